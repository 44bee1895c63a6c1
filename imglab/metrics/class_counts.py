"""How many samples belong to each class, when the judge that says so makes mistakes.

The judge's mistakes are known from labelled samples that it was not trained on. Its labels of other
samples are a mixture of those mistakes, from which the true shares follow by maximum likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from imglab import seeds
from imglab.metrics.confusion import REJECTED, Confusion
from imglab.metrics.share_interval import TAIL, share_interval
from imglab.metrics.undefined import Undefined

DRAWS = 200
"""Draws behind each interval."""
ROUNDS = 500
"""Rounds of expectation maximisation, at most."""
SETTLED = 1e-6
"""It ends when no share moves by more than this in a round."""
ENTRIES = 4_000_000
"""Entries of the confusion matrices that are worked on at a time."""


@dataclass(frozen=True)
class ClassShares:
    """Shares of the classes, which add up to 1.

    shares  the estimate, float64 [K]
    draws   the same from redrawn samples and mistakes, float64 [B, K]; their spread is its error
    n       accepted samples, of which they are shares
    """

    shares: Tensor
    draws: Tensor
    n: int

    def interval(self) -> tuple[Tensor, Tensor]:
        """Return the bounds of a 95% interval for each share, float64 [K] each.

        They are quantiles of the draws. A class without a label has none in any redrawn set
        either, so that an interval ends no earlier than that of as many samples whose classes are
        known (`share_interval`).
        """
        low, high = self.draws.quantile(torch.tensor([TAIL, 1 - TAIL], dtype=torch.float64), 0)
        known_classes = _bounds(self.shares, self._errors_of_known, self._samples)[1]
        return low, torch.maximum(high, known_classes)

    def highest(self, tail: float) -> Tensor:
        """Return upper bounds that the shares exceed with this small chance, float64 [K]."""
        errors = torch.maximum(self.draws.std(0), self._errors_of_known)
        return _bounds(self.shares, errors, self._samples, tail)[1]

    @property
    def _errors_of_known(self) -> Tensor:
        """Standard errors that the shares would have if all classes were known, float64 [K]."""
        likely = self.shares.clamp(0.5 / self.n, 1 - 0.5 / self.n)
        return (likely * (1 - likely) / self.n).sqrt()

    @property
    def _samples(self) -> Tensor:
        return torch.full_like(self.shares, self.n)


def corrected_shares(labels: Tensor, *, confusion: Confusion, seed: int = 0) -> ClassShares:
    """Estimate the true shares of the classes from a judge's labels, int64 [N] (or `REJECTED`).

    With A_ij the chance that the judge accepts a sample of class i and calls it j, the accepted
    labels are draws of sum_i pi_i A_ij, up to a factor. The shares pi maximise their likelihood
    (Saerens et al. 2002 give the expectation maximisation), so that they are on the simplex, where
    the inverse of the matrix would leave it. Only the accepted samples count: that the judge
    rejects more of the synthetic samples than of the real ones moves nothing, as long as it does
    so in all classes alike.

    Each draw takes the rows of A from their posterior, under a prior that is worth one sample
    spread over all labels, and the labels from the multinomial of their frequencies.

    Raises `Undefined` if no sample is accepted, or a class has no held-out sample.
    """
    classes = len(confusion.accepted)
    counts = torch.bincount(labels[labels != REJECTED], minlength=classes).double()
    if not counts.sum() > 0:
        raise Undefined("the judge is sure of no sample")

    weights = _weights(confusion)
    shares = _mixture(counts[None], _acceptance(confusion)[None])[0]

    random = np.random.default_rng(seeds.derive(seed, "class counts"))
    draws = []
    step = max(1, min(DRAWS, ENTRIES // classes**2))
    for start in range(0, DRAWS, step):
        size = min(step, DRAWS - start)
        gammas = torch.from_numpy(random.standard_gamma(weights.numpy(), (size, *weights.shape)))
        redrawn_rates = (gammas / gammas.sum(2, keepdim=True))[:, :, :-1]
        frequencies = (counts / counts.sum()).numpy()
        redrawn = torch.from_numpy(random.multinomial(int(counts.sum()), frequencies, size))
        draws.append(_mixture(redrawn.double(), redrawn_rates))
    return ClassShares(shares, torch.cat(draws), int(counts.sum()))


def _weights(confusion: Confusion) -> Tensor:
    """Return how often each class gets which label, or none, with the prior, float64 [K, K + 1].

    Raises `Undefined` if a class has no held-out sample.
    """
    held_out = torch.cat([confusion.accepted, confusion.rejected[:, None]], 1).double()
    if bool((held_out.sum(1) == 0).any()):
        raise Undefined("a class has no held-out sample to find the judge's mistakes on")
    return held_out + 1 / held_out.shape[1]


def _acceptance(confusion: Confusion) -> Tensor:
    """Return the chance that a sample of class i is accepted as j, float64 [K, K]."""
    weights = _weights(confusion)
    return (weights / weights.sum(1, keepdim=True))[:, :-1]


def _mixture(counts: Tensor, rates: Tensor) -> Tensor:
    """Return the shares under which these labels are the most likely, float64 [B, K].

    counts  of each label, float64 [B, K]
    rates   entry [b, i, j]: the chance that a sample of class i is accepted as j
    """
    accepted = rates.sum(2)  # [B, K]
    confusion = rates / accepted[:, :, None].clamp(min=1e-300)
    observed = counts / counts.sum(1, keepdim=True)

    # Shares among the accepted samples, from the most likely one on: no share starts at 0.
    shares = (observed + 1 / counts.shape[1]) / 2
    for _ in range(ROUNDS):
        expected = torch.einsum("bk,bkj->bj", shares, confusion)
        ratio = observed / expected.clamp(min=1e-300)
        updated = shares * torch.einsum("bkj,bj->bk", confusion, ratio)
        change = float((updated - shares).abs().max())
        shares = updated
        if change < SETTLED:
            break

    # Classes that are rejected more often are more frequent than among the accepted.
    drawn = shares / accepted.clamp(min=1e-300)
    return drawn / drawn.sum(1, keepdim=True)


@dataclass(frozen=True)
class Disparity:
    """How far the worst group is behind: 1 means that no group is, 0 that one is lost.

    value      the worst group's rate over the mean of all groups
    low, high  bounds of its 95% interval
    worst      number of the worst group
    """

    value: float
    low: float
    high: float
    worst: int


def share_disparity(estimate: ClassShares, *, real: Tensor) -> Disparity:
    """Return the least ratio of a group's share to its share of the real data.

    real  samples of each group in the real data, [K]; groups without any are left out

    The mean of these ratios, weighted by the real shares, is 1. The least of several is below 1 by
    chance alone: `share_disparity_by_chance` says how far.
    """
    rows = real.nonzero().flatten()
    if not len(rows):
        raise Undefined("no group has a real sample")
    expected = real[rows].double() / real.sum()
    ratios = estimate.shares[rows] / expected
    low = estimate.interval()[0][rows] / expected
    high = estimate.highest(TAIL / len(rows))[rows] / expected
    return _worst(ratios, low, high, rows)


def share_disparity_by_chance(
    n: int, *, real: Tensor, confusion: Confusion | None = None, seed: int = 0
) -> Tensor:
    """Return the least ratio of shares in sets of n samples with the real shares, float64 [B].

    confusion  of the judge that labels the samples, whose shares are then corrected: its mistakes,
               and how little is known of them, spread the ratios; None: all classes are known
    """
    present = real > 0
    expected = real.double() / real.sum()
    random = np.random.default_rng(seeds.derive(seed, "share disparity"))
    counts = random.multinomial(n, expected.numpy(), DRAWS)
    shares = torch.from_numpy(counts).double() / n
    if confusion is not None:
        weights = _weights(confusion).numpy()
        gammas = random.standard_gamma(weights, (DRAWS, *weights.shape))
        chances = gammas / gammas.sum(2, keepdims=True)
        labels = sum(
            random.multinomial(counts[:, row], chances[:, row]) for row in range(len(weights))
        )
        accepted = torch.as_tensor(labels)[:, :-1].double()
        shares = _mixture(accepted, _acceptance(confusion)[None])
    return (shares / expected)[:, present].amin(1)


def rate_disparity(successes: Tensor, totals: Tensor, *, seed: int = 0) -> Disparity:
    """Return the least rate of a group over the mean rate of the groups, such as of recall.

    successes, totals  of each group, [K]; groups without samples are left out

    The error is that of rates drawn from their posterior under Jeffreys' prior, half a success and
    half a failure: one success of one says little. Raises `Undefined` if there are fewer than two
    groups, or all rates are 0.
    """
    rows = (totals > 0).nonzero().flatten()
    if len(rows) < 2:
        raise Undefined("needs at least two groups with samples")
    rates = successes[rows].double() / totals[rows]
    if not rates.sum() > 0:
        raise Undefined("the rate of every group is 0")

    random = np.random.default_rng(seeds.derive(seed, "rate disparity"))
    sizes = totals[rows].long().numpy()
    hits = (rates.clamp(0, 1) * totals[rows]).numpy()
    draws = torch.from_numpy(random.beta(hits + 0.5, sizes - hits + 0.5, (DRAWS, len(rows))))
    sums = draws.sum(1, keepdim=True)

    # A group's rate is a share of the sum of all rates, a K-th of it where no group is behind.
    of_sum = torch.where(sums > 0, draws / sums, 0.0).std(0)
    samples = totals[rows] * rates.sum()
    shares = rates / rates.sum()
    low = _bounds(shares, of_sum, samples)[0] * len(rows)
    high = _bounds(shares, of_sum, samples, TAIL / len(rows))[1] * len(rows)
    return _worst(shares * len(rows), low, high, rows)


def _worst(ratios: Tensor, low: Tensor, high: Tensor, rows: Tensor) -> Disparity:
    """Return the least of ratios [K], with its interval; `rows` numbers the groups.

    Which group is the worst is not known, and the least of several ratios is low by chance. So the
    interval begins at the least of the lower bounds, each of which holds by itself, and ends at the
    least of the upper bounds, which hold for all groups at once (Bonferroni), and at 1: the worst
    of the true ratios is no larger.
    """
    worst = int(rows[ratios.argmin()])
    return Disparity(float(ratios.min()), float(low.min()), min(1.0, float(high.min())), worst)


def _bounds(shares: Tensor, errors: Tensor, samples: Tensor, tail: float = TAIL) -> Tensor:
    """Return the ends of `share_interval` for each of K shares, float64 [2, K]."""
    ends = [
        share_interval(min(1.0, share), error, n=max(1, round(n)), tail=tail)
        for share, error, n in zip(shares.tolist(), errors.tolist(), samples.tolist(), strict=True)
    ]
    return torch.tensor(ends, dtype=torch.float64).T
