"""Which kind of loss a chain shows, from its metrics alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from imglab import seeds
from imglab.images.damage import image_damages
from imglab.images.moments import PixelMoments, match_moments
from imglab.metrics.bounded import bounded_precision_recall
from imglab.metrics.comparison import Reference, compare
from imglab.report.kind_of_loss import kind_of_loss
from imglab.samples import Samples

PARTS = ("fid_mean_se", "fid_variance_se", "fid_rest_se")


def rows(first, last):
    names = ("fid", "fid_shape", "recall_shape", "precision_shape", "variance_ratio")
    return [{"fid_se": 4.0, **dict(zip(names, values, strict=True))} for values in (first, last)]


def test_a_chain_that_fades_has_lost_moments():
    """The figures of a finished chain of digits, recomputed with per-pixel moments restored."""
    loss = kind_of_loss(rows((24, 24, 0.92, 0.9, 0.905), (146, 62, 0.88, 0.7, 0.649)))
    assert loss is not None
    assert loss.name == "moments"
    assert loss.described().startswith("69% of the rise of the Fréchet distance is fading")
    assert "tail" not in loss.described()


def test_a_share_whose_error_reaches_a_half_decides_nothing():
    """The share is .69; its error is of the distance's parts."""
    first, last = rows((24, 24, 0.92, 0.9, 0.905), (146, 62, 0.88, 0.7, 0.649))
    sure, unsure, far = (
        kind_of_loss([{**row, **dict.fromkeys(PARTS, error)} for row in (first, last)])
        for error in (5.0, 20.0, 500.0)
    )
    assert sure is not None
    assert unsure is not None
    assert far is not None
    assert "is fading" in sure.described()
    assert "most of it may be fading (the variance is 0.65 of that of real data) or not" in (
        unsure.described()
    )
    assert far.described().startswith("69 ± 100% of the rise of the Fréchet distance goes when")


def test_a_share_of_none_or_all_has_an_error_too():
    first, last = rows((14, 14, 0.9, 0.9, 0.98), (83, 90, 0.6, 0.85, 0.97))
    loss = kind_of_loss([{**row, **dict.fromkeys(PARTS, 5.0)} for row in (first, last)])
    assert loss is not None
    assert loss.by_moments == 0
    assert loss.described().startswith("0 ± 29% of the rise")


@pytest.mark.parametrize(("scale", "shift"), [(0.75, 0.2), (0.95, 0.1)])
def test_the_share_has_the_error_that_redrawing_gives_it(scale, shift, monkeypatch):
    """Half of a normal distribution in one direction, narrower and shifted in all."""
    monkeypatch.setattr("imglab.metrics.errors.PARTITIONS", 12)
    generator = seeds.generator("redrawn")
    shares = []
    errors = []
    for _ in range(25):
        real, one, other = torch.randn(3, 300, 8, generator=generator, dtype=torch.float64)
        other[:, 0].abs_()
        loss = kind_of_loss([of_features(one, real), of_features(scale * other + shift, real)])
        assert loss is not None
        assert loss.share_error is not None
        assert f"± {100 * loss.share_error:.0f}% of the rise" in loss.described()
        shares.append(loss.by_moments)
        errors.append(loss.share_error)

    spread = torch.tensor(shares).std()
    assert 0.6 < torch.tensor(errors).mean() / (2 * spread) < 1.5


def of_features(samples: Tensor, real: Tensor) -> dict[str, Any]:
    """Score features, float64 [N, D], as they are and with mean and total variance matched."""
    neighbours = {"precision_recall_k": 3, "density_coverage_k": 5}
    reference = Reference(real)
    values = compare(real=reference, synthetic=samples, errors=True, **neighbours).values

    scale = (real.var(0).sum() / samples.var(0).sum()).sqrt()
    matched = (samples - samples.mean(0)) * scale + real.mean(0)
    of_shape = {f"{name}_shape": values[name] for name in ("recall", "precision")}
    return {**values, **of_shape, "fid_shape": reference.frechet(matched)[0]}


def test_a_chain_that_loses_its_tail():
    loss = kind_of_loss(rows((14, 14, 0.9, 0.9, 0.98), (83, 75, 0.6, 0.85, 0.97)))
    assert loss is not None
    assert loss.name == "tail"


def test_a_chain_that_loses_structure():
    loss = kind_of_loss(rows((14, 14, 0.9, 0.9, 0.98), (83, 75, 0.8, 0.4, 1.01)))
    assert loss is not None
    assert loss.name == "structure"


def test_recall_that_falls_with_the_variance_alone_is_no_lost_tail():
    """The figures of `image_digits_8x8`, generations 0 and 5."""
    first, last = rows((0.079, 0.072, 0.829, 0.746, 0.907), (0.277, 0.226, 0.864, 0.501, 0.65))
    chain = [{**first, "fid_se": 0.01, "recall": 0.798}, {**last, "fid_se": 0.02, "recall": 0.584}]
    loss = kind_of_loss(chain)
    assert loss is not None
    assert loss.name == "structure"
    said = "Recall fell by 0.21 as drawn, and does not fall when they are matched."
    assert loss.described().endswith(said)


def test_a_shift_of_brightness_is_not_called_fading():
    loss = kind_of_loss(rows((14, 14, 0.9, 0.9, 0.995), (83, 16, 0.9, 0.9, 0.995)))
    assert loss is not None
    assert "a shift of mean and scale" in loss.described()


def test_what_rises_is_not_said_to_fall_by_less_than_nothing():
    loss = kind_of_loss(rows((14, 14, 0.94, 0.98, 1.05), (83, 16, 0.98, 0.96, 0.3)))
    assert loss is not None
    assert loss.described().endswith("recall then rises by 0.04, precision falls by 0.02.")


def test_what_does_not_fall_is_not_lost():
    loss = kind_of_loss(rows((14, 14, 0.8, 0.75, 0.98), (83, 75, 0.82, 0.79, 0.97)))
    assert loss is not None
    assert loss.name == "neither"
    assert loss.described().endswith("neither recall nor precision then falls beyond its error.")


def test_a_rise_within_its_error_has_no_kind():
    assert kind_of_loss(rows((14, 14, 0.9, 0.9, 0.98), (20, 19, 0.8, 0.4, 1.01))) is None


def test_runs_without_shape_have_no_kind():
    assert kind_of_loss([{"fid": 1.0}, {"fid": 100.0}]) is None


def test_most_of_the_distance_may_go_and_precision_not_come_back():
    """Quarters that change places shift every pixel's mean, and matching does not put them back."""
    first, last = rows((14, 14, 0.8, 0.8, 1), (200, 60, 0.82, 0.42, 1))
    chain = [{**first, "recall": 0.8, "precision": 0.8}, {**last, "recall": 0.85, "precision": 0.4}]
    loss = kind_of_loss(chain)
    assert loss is not None
    assert loss.by_moments > 0.7
    assert loss.name == "structure"


def test_a_fall_that_the_matching_makes_is_not_lost():
    """Half of a ring, moved and widened to the moments of the ring, lies beside it."""
    first, last = rows((14, 14, 0.9, 0.9, 1), (83, 75, 0.0, 0.05, 0.8))
    chain = [{**first, "recall": 0.9, "precision": 0.9}, {**last, "recall": 0.5, "precision": 0.92}]
    loss = kind_of_loss(chain)
    assert loss is not None
    assert loss.name == "tail"


def test_recall_falls_with_precision_where_nothing_looks_real():
    loss = kind_of_loss(rows((14, 14, 0.9, 0.9, 1), (83, 75, 0.3, 0.5, 1)))
    assert loss is not None
    assert loss.name == "structure"


def test_bounded_balls_are_read_where_the_chain_has_them():
    """One outlier's ball lifts the published recall to 1 and hides what is lost."""
    first, last = rows((14, 14, 0.9, 0.9, 1), (83, 75, 1.0, 0.9, 1))
    names = ("recall_bounded", "recall_bounded_shape", "precision_bounded")
    of_first = dict.fromkeys((*names, "precision_bounded_shape"), 0.9)
    of_last = {**of_first, "recall_bounded": 0.4, "recall_bounded_shape": 0.4}
    loss = kind_of_loss([first | of_first, last | of_last])
    assert loss is not None
    assert loss.name == "tail"
    assert loss.recall.lost == pytest.approx(0.5)


@pytest.fixture(scope="module")
def digits():
    scans = load_digits()
    images = torch.from_numpy(scans.images * 15).to(torch.uint8)[:, None]
    samples = Samples.real(images, torch.from_numpy(scans.target).long())
    return samples[torch.randperm(len(samples), generator=seeds.generator("scans"))]


@pytest.mark.parametrize(
    ("damage", "strength", "name"),
    [
        ("nothing", 0.0, None),
        ("fade", 1.0, "moments"),
        ("drop_class", 1.0, "tail"),
        ("duplicate", 1.0, "tail"),
        ("shuffle_quarters", 0.5, "structure"),
        ("mix_in", 0.5, "structure"),
    ],
)
def test_known_damage_to_real_digits_is_named(digits, damage, strength, name, monkeypatch):
    """Their pixels are scored: what was done to them comes out, and nothing where nothing was."""
    monkeypatch.setattr("imglab.metrics.errors.PARTITIONS", 12)
    real, pool, others = digits[:250], digits[250:850], digits[850:1100]
    samples = digits[1100:1350]
    if damage != "nothing":
        damages = {each.name: each for each in image_damages(digits[1350:])}
        samples = damages[damage].apply(pool, 250, strength=strength, seed=1)

    chain = [scored(each.data, real.data) for each in (others, samples)]
    loss = kind_of_loss(chain)
    assert (loss and loss.name) == name


def scored(images: Tensor, real: Tensor) -> dict[str, Any]:
    """Score the pixels of images, uint8 [N, 1, H, W], as drawn and with their moments matched."""
    matched = match_moments(images, target=PixelMoments.of(real)).flatten(1).double()
    reference = Reference(real.flatten(1).double())
    neighbours = {"precision_recall_k": 3, "density_coverage_k": 5}
    values = compare(
        real=reference, synthetic=images.flatten(1).double(), errors=True, **neighbours
    ).values

    bounded = bounded_precision_recall(real=reference.features, synthetic=matched)
    of_shape = {f"{name}_bounded_shape": value for name, value in bounded._asdict().items()}
    return {**values, **of_shape, "fid_shape": reference.frechet(matched)[0]}
