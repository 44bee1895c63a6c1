"""Curators of papers, each against what its paper shows."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest
import torch

from imglab import curation, seeds
from imglab.curation import Context
from imglab.errors import InputError
from imglab.model import HasAbilities
from imglab.samples import Samples

normal = NormalDist()


class Stub(HasAbilities):
    """A judge, or a model with a density, whose scores are at hand."""

    def __init__(self, *, confidence=None, log_density=None):
        if confidence is not None:
            self.confidence = lambda samples: confidence
        if log_density is not None:
            self.log_density = lambda samples: log_density


def context(*, features=None, real=None, judge=None, generation0=None, drawer=None, seed=1):
    empty = torch.empty(0, 1)
    features = empty if features is None else features
    real = empty if real is None else real
    return Context(features, real, judge, generation0, 0, seed, None, drawer)


WIDTH = 200
DISTANCE = 2.0
"""Feng et al.'s mixture: x = y mu + noise in 200 dimensions, |mu| = 2."""


def labelled(n, generator_accuracy):
    """Vectors of two classes [N, D], and the labels +-1 that a generator gives them."""
    noise = seeds.generator("feng")
    y = torch.randint(2, (n,), generator=noise) * 2 - 1
    x = torch.randn(n, WIDTH, generator=noise)
    x[:, 0] += DISTANCE * y
    cosine = normal.inv_cdf(generator_accuracy) / DISTANCE
    return x, (cosine * x[:, 0] + math.sqrt(1 - cosine**2) * x[:, 1]).sign()


def student_accuracy(x, labels):
    """Accuracy of the least-squares student that is trained on these labels."""
    w = torch.linalg.lstsq(x, labels[:, None]).solution[:, 0]
    return normal.cdf(DISTANCE * float(w[0] / w.norm()))


def test_a_better_verifier_of_labels_makes_a_better_student():
    x, labels = labelled(40_000, 0.758)
    n = 16_000
    samples = Samples.drawn(x, ((labels + 1) // 2).long())
    accuracies = [student_accuracy(x[:n], labels[:n])]
    for cosine in (0.2, 0.5, 0.8):
        verifier = cosine * x[:, 0] + math.sqrt(1 - cosine**2) * x[:, 2]
        judge = Stub(confidence=(verifier.sign() == labels).double())
        asked = context(judge=judge)
        rows = curation.label_verifier(samples, asked, true_positive=1.0, false_positive=0.0)[:n]
        accuracies.append(student_accuracy(x[rows], labels[rows]))
    assert accuracies == pytest.approx([0.77, 0.825, 0.923, 0.959], abs=0.02)


def test_a_verifier_errs_as_often_as_it_is_asked_to():
    is_right = (torch.arange(20_000) % 2).double()
    samples = Samples.drawn(torch.zeros(20_000, 1), torch.zeros(20_000, dtype=torch.int64))
    asked = context(judge=Stub(confidence=is_right))
    rows = curation.label_verifier(samples, asked, true_positive=0.9, false_positive=0.3)
    kept_right = float(is_right[rows].sum()) / 10_000
    assert kept_right == pytest.approx(0.9, abs=0.015)
    assert len(rows) / 10_000 - kept_right == pytest.approx(0.3, abs=0.02)
    with pytest.raises(InputError, match="these samples have none"):
        curation.label_verifier(
            Samples.drawn(torch.zeros(2, 1)), asked, true_positive=1.0, false_positive=0.0
        )


def shares(values, rows):
    return torch.bincount(values[rows], minlength=3).double() / len(rows)


def test_preferences_tilt_the_distribution_as_bradley_terry_says():
    p = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
    r = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    n = 120_000
    uniforms = torch.rand(n, generator=seeds.generator("pool"), dtype=torch.float64)
    values = seeds.invert(p, uniforms)
    judge = Stub(confidence=r[values])

    def chosen(choices, scale=1.0):
        rows = curation.preference(
            Samples.drawn(values[:, None]),
            context(judge=judge),
            choices=choices,
            reward="confidence",
            scale=scale,
        )
        assert len(rows) == n // choices
        return shares(values, rows)

    # Of two the first is taken with the probability e^r1 / (e^r1 + e^r2).
    pairs = p * (2 * r.exp()[:, None] / (r.exp()[:, None] + r.exp()) * p).sum(1)
    error = 4 * (0.25 / (n // 2)) ** 0.5
    torch.testing.assert_close(chosen(2), pairs, atol=error, rtol=0)
    torch.testing.assert_close(chosen(2, scale=0.0), p, atol=error, rtol=0)

    # Of many, the distribution is in proportion to p e^r.
    limit = p * r.exp() / (p * r.exp()).sum()
    torch.testing.assert_close(chosen(60), limit, atol=4 * (0.25 / (n // 60)) ** 0.5, rtol=0)


def test_the_least_likely_half_preserves_a_rare_mode():
    values = torch.cat([torch.randn(950, generator=seeds.generator("m")), torch.full((50,), 6.0)])
    at_0, at_6 = ((-((values - mode) ** 2) / 2).exp() for mode in (0, 6))
    model = Stub(log_density=(0.95 * at_0 + 0.05 * at_6).log().double())
    asked = context(drawer=lambda: model)
    samples = Samples.drawn(values[:, None])

    def rare(rows):
        return float((values[rows] > 4).sum()) / len(rows)

    least = rare(curation.likelihood_rank(samples, asked, keep=0.5, end="least"))
    most = rare(curation.likelihood_rank(samples, asked, keep=0.5, end="most"))
    assert least > rare(curation.random(samples, asked, keep=0.5)) > most


def test_entropy_keeps_what_lies_apart():
    tight = torch.randn(60, 2, generator=seeds.generator("tight")) * 0.01
    wide = torch.randn(60, 2, generator=seeds.generator("wide"))
    features = torch.cat([tight, wide])
    rows = curation.entropy(Samples.drawn(features), context(features=features), keep=0.5)
    assert len(rows) == 60
    assert float((rows >= 60).double().mean()) > 0.9

    same = torch.zeros(4, 2)
    assert len(curation.entropy(Samples.drawn(same), context(features=same), keep=0.5)) == 2


def test_a_latent_filter_drops_what_left_the_subspace():
    generator = seeds.generator("plane")
    real = torch.randn(200, 4, generator=generator) * torch.tensor([3.0, 3.0, 0.1, 0.1])
    inside = torch.randn(20, 4, generator=generator) * torch.tensor([9.0, 9.0, 0.1, 0.1])
    outside = torch.randn(20, 4, generator=generator) * torch.tensor([0.1, 0.1, 3.0, 3.0])
    features = torch.cat([inside, outside])
    asked = context(features=features, real=real)
    rows = curation.latent_filter(Samples.drawn(features), asked, keep=0.5, variance=0.9)
    assert float((rows < 20).double().mean()) > 0.9
