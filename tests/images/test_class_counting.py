"""Class counts of real images whose classes are known, as they are and damaged."""

from __future__ import annotations

import pytest
import torch

from imglab import seeds
from imglab.images.augmentation import damaged, moved
from imglab.images.counter import ClassCounter
from imglab.images.data import load_real_images
from imglab.images.extractor_settings import ClassifierSettings
from imglab.images.modality import ImageModality
from imglab.images.settings import ImageSettings
from imglab.metrics.confusion import REJECTED
from imglab.samples import Samples

EXTRACTOR = ClassifierSettings(images=12_000)


@pytest.fixture(scope="module")
def modality(tmp_path_factory):
    modality = ImageModality(ImageSettings(extractor=EXTRACTOR, n_train=1200))
    modality.prepare(tmp_path_factory.mktemp("shared"))
    return modality


def faded(images: torch.Tensor) -> torch.Tensor:
    mean = images.double().mean((1, 2, 3), keepdim=True)
    return (mean + 0.4 * (images.double() - mean)).round().byte()


def values(modality, samples):
    """What is said of the classes of samples, without what only a chain has."""
    measures = modality.metrics(samples, model=None, generation0=None, seed=0)
    return measures.values, measures.floor


@pytest.mark.slow
@pytest.mark.parametrize("change", [torch.clone, faded])
def test_the_true_counts_lie_within_the_intervals(modality, change):
    real = modality.real("test")
    counted, floor = values(modality, Samples.drawn(change(real.data), real.condition))
    truth = torch.bincount(real.condition).tolist()

    inside = [
        counted["class_counts_low"][name] <= count <= counted["class_counts_high"][name]
        for name, count in zip(modality.spec.conditions, truth, strict=True)
    ]
    assert sum(inside) >= 9
    assert sum(counted["class_counts_corrected"].values()) == pytest.approx(len(real.data))
    low, high = counted["share_disparity_interval"]
    assert low <= floor["share_disparity"]["mean"] <= high


@pytest.mark.slow
def test_accuracy_and_agreement_of_real_images(modality):
    counted, _ = values(modality, modality.real("test"))
    assert counted["class_rejected_share"] == pytest.approx(0.05, abs=0.01)
    assert counted["class_agreement"] > 0.85
    assert all(accuracy > 0.8 for accuracy in counted["class_accuracy"].values())


@pytest.mark.slow
def test_noise_is_rejected_and_a_lost_class_is_seen(modality):
    generator = seeds.generator("noise")
    noise = torch.randint(256, (200, 1, 8, 8), generator=generator).byte()
    assert values(modality, Samples.drawn(noise))[0]["class_rejected_share"] > 0.5

    real = modality.real("test")
    rows = (real.condition != 3).nonzero().flatten()
    counted, _ = values(modality, real[rows])
    assert counted["share_disparity_class"] == "3"
    assert counted["share_disparity"] < 0.3


@pytest.mark.slow
def test_the_counter_learns_from_images_that_the_chain_leaves_out(modality):
    real = load_real_images(ImageSettings(n_train=1000, n_fresh=100))
    assert len(real.for_training) == 1400
    assert len(real.spare) == 300
    assert real.for_training.labels is not None


def test_the_counter_is_opened_as_it_was_written(tmp_path):
    real = load_real_images(ImageSettings(n_train=200, n_test=100))
    labels = []
    for _ in range(2):
        counter = ClassCounter(ClassifierSettings(images=256), 10)
        counter.prepare(real.train, real.test, tmp_path)
        labels.append(counter.labels(real.test.images))

    assert torch.equal(labels[0], labels[1])
    assert labels[0].eq(REJECTED).double().mean() == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize("augmentation", [moved, damaged])
def test_images_are_changed_the_same_way_by_the_same_generator(augmentation):
    images = torch.zeros(3, 1, 8, 8)
    images[:, :, 2:6, 2:6] = 1
    changed = [augmentation(images, seeds.generator("augmentation")) for _ in range(2)]
    assert torch.equal(*changed)
    assert changed[0].shape == images.shape
    assert not torch.equal(changed[0][0], changed[0][1])
