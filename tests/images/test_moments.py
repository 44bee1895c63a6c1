"""What fading does to images, and how it is undone."""

from __future__ import annotations

import pytest
import torch

from imglab import seeds
from imglab.images.metrics import measure_tone, tone_metrics
from imglab.images.modality import ImageModality
from imglab.images.moments import PixelMoments, match_moments
from imglab.images.settings import ImageSettings
from imglab.modality import MatchesMoments
from imglab.samples import Samples


def noise(n: int = 500) -> torch.Tensor:
    """Images whose pixels are independent, with means of 100 and deviations of 20."""
    generator = seeds.generator("noise")
    values = 100 + 20 * torch.randn(n, 1, 4, 4, generator=generator)
    return values.round().clamp(0, 255).byte()


def faded(images: torch.Tensor, contrast: float) -> torch.Tensor:
    return ((images.double() - 128) * contrast + 128).round().byte()


def test_moments_in_closed_form():
    images = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(-1, 3, 2, 2)
    moments = PixelMoments.of(images)
    assert moments.mean.unique().tolist() == [0.5]
    assert moments.deviation.unique().tolist() == [0.5]
    assert moments.variance == pytest.approx(12 / 4)


def test_fading_takes_its_square_from_the_variance_and_itself_from_the_contrast():
    real = noise()
    half = faded(real, 0.5)
    ratio = PixelMoments.of(half).variance / PixelMoments.of(real).variance
    assert ratio == pytest.approx(0.25, rel=0.01)

    values = tone_metrics(half, real=measure_tone(real)).values
    assert values["contrast_ratio"] == pytest.approx(0.5, rel=0.01)
    assert values["contrast_drift"] == pytest.approx(-0.5, rel=0.02)


def test_matching_undoes_fading_and_leaves_what_is_right():
    real = noise()
    target = PixelMoments.of(real)
    assert torch.equal(match_moments(real, target=target), real)

    # What rounding took cannot come back: half of 256 levels is one level's error.
    restored = match_moments(faded(real, 0.5), target=target)
    assert (restored.int() - real.int()).abs().max() <= 1


def test_a_constant_pixel_gets_the_mean_alone():
    real = noise()
    grey = torch.full_like(real, 7)
    restored = match_moments(grey, target=PixelMoments.of(real))
    assert (restored[0].double() - real.double().mean(0)).abs().max() <= 0.5
    assert len(restored.unique(dim=0)) == 1


def test_images_match_moments():
    modality = ImageModality(ImageSettings())
    assert modality.ability(MatchesMoments) is modality
    real = modality.real("train")
    samples = Samples.drawn(faded(real.data, 0.7))

    matched = modality.matched(samples, real)
    assert modality.variance(samples) == pytest.approx(0.49 * modality.variance(real), rel=0.01)
    assert modality.variance(matched) == pytest.approx(modality.variance(real), rel=0.01)


def test_the_variance_of_few_images_is_not_biased():
    modality = ImageModality(ImageSettings())
    many = noise(2_000)
    of_four = [modality.variance(Samples.drawn(images)) for images in many.split(4)]
    whole = modality.variance(Samples.drawn(many))
    assert sum(of_four) / len(of_four) == pytest.approx(whole, rel=0.01)
