"""One pass over float32 tiles gives what float64 gives, also where float32 alone would not."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from imglab.metrics import (
    Moments,
    bounded_precision_recall,
    frechet_distance,
    kernel_distance_standardised,
    match_moments,
    nearest_distances,
    neighbours,
    points,
    prdc,
    probabilistic_precision_recall,
    tiles,
)
from imglab.metrics.kernel import kernel_distance_of_both
from imglab.metrics.memorization import distances_to
from imglab.metrics.one_pass import OnePass, Reference
from imglab.metrics.pairs import Pairs
from imglab.metrics.prdc import prdc_of
from tests.metrics.references import normal

KS: dict[str, Any] = {"precision_recall_k": 3, "density_coverage_k": 5}


def pair_of(kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Two float32 sets that tempt rounding errors to decide."""
    real = normal(150, 12, 1).float()
    synthetic = normal(130, 12, 2, scale=0.9, shift=0.1).float()
    if kind == "lattice":  # equal rows, and equal distances everywhere
        return (real[:, :3] * 1.2).round() / 3, (synthetic[:, :3] * 1.2).round() / 3
    if kind == "offset":
        return 3000 + real, 3000 + synthetic
    if kind == "clusters":  # neighbours are a millionth as far apart as the clusters
        places = 100 * normal(5, 12, 3).float()
        rows = torch.arange(150) % 5
        return places[rows] + 1e-2 * real, places[rows[:130]] + 1e-2 * synthetic
    if kind == "ties":  # copies, moved by the smallest step that float32 knows
        moved = torch.nextafter(real[:60], torch.tensor(9.0))
        return torch.cat([real, moved]), torch.cat([real[:60], synthetic])
    if kind == "outlier":
        synthetic[0] = 1e20
    return real, synthetic


@pytest.fixture
def in_float32(monkeypatch):
    """Take products in float32, and in tiles of 64, as for large sets."""
    monkeypatch.setattr(points, "SMALL", 0)
    monkeypatch.setattr(tiles, "TILE", 64)


@pytest.mark.parametrize("kind", ["normal", "lattice", "offset", "clusters", "ties", "outlier"])
def test_float32_products_give_the_values_of_float64(kind, in_float32):
    real, synthetic = pair_of(kind)
    both: dict[str, Any] = {"real": real.double(), "synthetic": synthetic.double()}
    one_pass = OnePass(Reference(real), synthetic, **KS)

    assert prdc_of(one_pass.balls, 5) == prdc(**both, **KS), "decisions are exact"
    assert one_pass.bounded.scores == bounded_precision_recall(**both)
    expected = probabilistic_precision_recall(**both)
    assert list(one_pass.support) == pytest.approx(list(expected), rel=1e-6, abs=1e-9)

    kernel = kernel_distance_of_both(**both)
    scale = float((both["real"].square().sum(1) / real.shape[1] + 1).pow(3).mean())
    assert list(one_pass.kernel) == pytest.approx(list(kernel), rel=1e-6, abs=1e-8 * scale)
    standard, error = kernel_distance_standardised(**both)
    assert one_pass.kernel_standard.value == pytest.approx(standard, rel=1e-6, abs=1e-6)
    assert one_pass.kernel_standard.of_synthetic == pytest.approx(error, rel=1e-6, abs=1e-6)

    nearest = nearest_distances(train=both["real"], synthetic=both["synthetic"])
    assert torch.equal(distances_to(Reference(real), synthetic), nearest)


@pytest.mark.parametrize("scale", [0.5, 1.0, 30.0, 1e-3])
@pytest.mark.parametrize("kind", ["normal", "lattice", "offset", "clusters", "ties", "outlier"])
def test_matched_samples_score_in_the_same_tiles_what_they_score_by_themselves(
    kind, scale, in_float32
):
    real, synthetic = pair_of(kind)
    synthetic = synthetic.mean(0) + scale * (synthetic - synthetic.mean(0))
    pairs = Pairs(Reference(real), synthetic, **KS, matched=True)
    distance, scores, bounded = pairs.matched_scores()

    both: dict[str, Any] = {
        "real": real.double(),
        "synthetic": match_moments(synthetic, to=real),
    }
    assert scores == prdc(**both, **KS), "decisions are exact"
    assert bounded == bounded_precision_recall(**both)
    trace = float(Moments.of(real).covariance.trace())
    assert distance == pytest.approx(frechet_distance(**both), rel=1e-6, abs=1e-9 * trace)


@pytest.mark.parametrize("outlier", [False, True])
@pytest.mark.parametrize("width", [1.0, 3e-3, 1e-5])
def test_a_narrow_set_far_from_the_real_mean_leaves_no_row_open(
    width, outlier, in_float32, monkeypatch
):
    real = normal(150, 64, 1).float() + 1
    synthetic = real[:1] + width * normal(130, 64, 2).float()
    if outlier:
        synthetic[0] = 1e4

    sizes = []
    exact = points.squared_distances

    def counted(points, i, others, j):
        sizes.append(len(i))
        return exact(points, i, others, j)

    monkeypatch.setattr(neighbours, "squared_distances", counted)
    OnePass(Reference(real), synthetic, **KS)

    # Each set's candidates, and beyond them the outlier at most, but no other row by itself.
    assert len(sizes) <= 2 + outlier


def test_the_real_side_is_computed_once(monkeypatch):
    real = Reference(normal(80, 4, 1))
    passes = []
    take = tiles.tiles

    def counted(first, others, **keys):
        passes.append(first is others)
        return take(first, others, **keys)

    for module in ("neighbours", "kernel", "one_pass"):
        monkeypatch.setattr(f"imglab.metrics.{module}.tiles", counted)
    for seed in (2, 3):
        passes.clear()
        one_pass = OnePass(real, normal(70, 4, seed), **KS)
        assert one_pass.kernel_standard.value is not None

    # Each set with itself, and both together; the same again for standardised features.
    assert passes == [True, False, True, False]


def test_a_reference_serves_sets_of_any_size_and_scale():
    real = normal(60, 3, 1).float()
    reference = Reference(real)
    for synthetic in (normal(50, 3, 2).float(), 1e30 * normal(50, 3, 3).float(), real[:2]):
        one_pass = OnePass(reference, synthetic, **KS)
        if len(synthetic) > 5:
            assert prdc_of(one_pass.balls, 5) == prdc(real=real, synthetic=synthetic)
