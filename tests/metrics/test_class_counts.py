"""Class shares from a judge that errs, against the truth that is known in simulation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from imglab import seeds
from imglab.metrics.class_counts import (
    ClassShares,
    corrected_shares,
    rate_disparity,
    share_disparity,
    share_disparity_by_chance,
)
from imglab.metrics.confusion import REJECTED, Confusion, acceptance_threshold
from imglab.metrics.undefined import Undefined

RATES = torch.tensor([[0.86, 0.06, 0.02], [0.01, 0.90, 0.04], [0.10, 0.02, 0.80]])
"""What the simulated judge says of samples of class i: class j, or else nothing (it rejects)."""


def judged(truth: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Labels of the simulated judge for these classes."""
    outcomes = torch.cat([RATES, 1 - RATES.sum(1, keepdim=True)], 1)
    labels = torch.multinomial(outcomes[truth], 1, generator=generator).squeeze(1)
    return torch.where(labels == 3, REJECTED, labels)


def classes(shares: list[float], n: int, generator: torch.Generator) -> torch.Tensor:
    return torch.multinomial(torch.tensor(shares), n, replacement=True, generator=generator)


def estimate(shares: list[float], trial: int) -> tuple[ClassShares, torch.Tensor]:
    """The corrected shares of 600 samples with 400 held out, and the labels behind them."""
    generator = seeds.generator("simulation", trial)
    held_out = classes([1.0, 1.0, 1.0], 400, generator)
    labels = judged(held_out, generator)
    confusion = Confusion.of(truth=held_out, labels=labels, classes=3)
    drawn = judged(classes(shares, 600, generator), generator)
    return corrected_shares(drawn, confusion=confusion, seed=trial), drawn


def test_true_shares_lie_within_the_intervals():
    shares = [0.7, 0.25, 0.05]
    covered = []
    for trial in range(40):
        corrected, _ = estimate(shares, trial)
        low, high = corrected.interval()
        truth = torch.tensor(shares, dtype=torch.float64)
        covered += ((low <= truth) & (truth <= high)).tolist()

    # 120 intervals that cover 95% each: two standard deviations are .04.
    assert 0.91 <= sum(covered) / len(covered) <= 1


def test_counts_that_are_not_corrected_miss_the_rare_class():
    corrected, labels = estimate([0.7, 0.25, 0.05], 0)
    raw = labels.eq(2).sum() / labels.ne(REJECTED).sum()
    truth = 0.05

    assert abs(float(corrected.shares[2]) - truth) < abs(float(raw) - truth)
    assert float(corrected.shares.sum()) == pytest.approx(1)


def test_a_judge_without_mistakes_changes_nothing():
    truth = torch.arange(3).repeat_interleave(torch.tensor([6000, 3000, 1000]))
    perfect = Confusion(torch.diag(torch.tensor([10**6] * 3)), torch.zeros(3, dtype=torch.int64))
    shares = corrected_shares(truth, confusion=perfect).shares

    assert perfect.accuracy == 1
    assert shares.tolist() == pytest.approx([0.6, 0.3, 0.1], abs=1e-5)


def test_rejecting_half_of_all_samples_moves_no_share():
    generator = seeds.generator("thinned")
    truth = classes([0.5, 0.3, 0.2], 40_000, generator)
    confusion = Confusion.of(truth=truth, labels=judged(truth, generator), classes=3)
    drawn = judged(truth, generator)
    thinned = torch.where(torch.rand(len(drawn), generator=generator) < 0.5, REJECTED, drawn)

    every = corrected_shares(drawn, confusion=confusion).shares
    half = corrected_shares(thinned, confusion=confusion).shares
    assert (every - half).abs().max() < 0.02


def test_the_disparity_of_shares_covers_the_truth_and_has_a_null():
    real = torch.tensor([100, 100, 100])
    values = []
    covered = 0
    for trial in range(30):
        lost, _ = estimate([0.45, 0.45, 0.10], trial)
        disparity = share_disparity(lost, real=real)
        assert disparity.worst == 2
        covered += disparity.low <= 0.3 <= disparity.high
        values.append(share_disparity(estimate([1.0, 1.0, 1.0], trial)[0], real=real).value)
    assert covered >= 26

    # Where nothing is lost the least ratio is below 1 by chance, and a little more so because of
    # what is not known of the judge's mistakes.
    chance = float(share_disparity_by_chance(600, real=real).mean())
    assert 0.9 < chance < 0.97
    assert chance - 0.06 < sum(values) / len(values) < chance + 0.01


def counted(counts: torch.Tensor, trial: int) -> ClassShares:
    """The shares of samples of which a judge without mistakes has counted so many."""
    labels = torch.arange(len(counts)).repeat_interleave(counts)
    right = torch.full((len(counts),), 10**7)
    confusion = Confusion(torch.diag(right), torch.zeros_like(right))
    return corrected_shares(labels, confusion=confusion, seed=trial)


def test_a_class_without_a_label_may_be_a_rare_one():
    _, high = counted(torch.tensor([300, 200, 0]), 0).interval()
    # Clopper and Pearson: 3.7 of as many samples.
    assert float(high[2]) == pytest.approx(1 - 0.025 ** (1 / 500), rel=1e-3)


def test_the_least_of_groups_that_are_alike_covers_one_and_a_lost_one_is_not_certain():
    random = np.random.default_rng(0)
    real = torch.full((10,), 100)
    trials = 40
    of_shares = 0
    of_rates = 0
    for trial in range(trials):
        counts = torch.from_numpy(random.multinomial(200, np.full(10, 0.1)))
        disparity = share_disparity(counted(counts, trial), real=real)
        of_shares += disparity.low <= 1 <= disparity.high

        successes = torch.from_numpy(random.binomial(50, 0.3, 10))
        disparity = rate_disparity(successes, torch.full((10,), 50), seed=trial)
        of_rates += disparity.low <= 1 <= disparity.high
    assert of_shares >= 0.9 * trials
    assert of_rates >= 0.9 * trials

    lost = share_disparity(counted(torch.tensor([*[20] * 9, 0]), 0), real=real)
    assert (lost.value, lost.low) == pytest.approx((0, 0), abs=1e-6)
    assert lost.worst == 9
    assert 0.2 < lost.high < 0.5


def test_the_disparity_of_rates():
    totals = torch.tensor([100, 100, 0, 100])
    disparity = rate_disparity(torch.tensor([90, 90, 0, 30]), totals)

    assert disparity.value == pytest.approx(30 / 70)
    assert disparity.worst == 3
    assert disparity.low < 30 / 70 < disparity.high < 0.7
    with pytest.raises(Undefined, match="every group is 0"):
        rate_disparity(torch.zeros(3), torch.tensor([9, 9, 9]))


def test_the_threshold_accepts_its_share_of_real_samples():
    confidences = torch.rand(1000, generator=seeds.generator("confidences"))
    threshold = acceptance_threshold(confidences)
    assert (confidences >= threshold).double().mean() == pytest.approx(0.95, abs=0.002)


def test_what_cannot_be_corrected():
    nothing = Confusion(torch.zeros(2, 2, dtype=torch.int64), torch.tensor([5, 0]))
    with pytest.raises(Undefined, match="no held-out sample"):
        corrected_shares(torch.tensor([0, 1]), confusion=nothing)
    with pytest.raises(Undefined, match="sure of no sample"):
        corrected_shares(torch.tensor([REJECTED]), confusion=nothing)
    with pytest.raises(Undefined, match="rejects every held-out sample"):
        _ = nothing.accuracy
