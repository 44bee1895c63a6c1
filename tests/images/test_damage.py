"""Known damage to images does what its description says, and nothing else."""

from __future__ import annotations

import pytest
import torch

from imglab.images.damage import image_damages, textures
from imglab.samples import Samples

N = 40


def images(n: int, seed: int, channels: int = 1) -> Samples:
    """Draw blobs of four classes, each bright in another quarter."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 4
    data = torch.randint(20, 60, (n, channels, 8, 8), generator=generator, dtype=torch.uint8)
    for row, label in enumerate(labels.tolist()):
        top, left = divmod(label, 2)
        data[row, :, 4 * top : 4 * top + 4, 4 * left : 4 * left + 4] += 120
    return Samples.real(data, labels)


TRAIN = images(60, 1)
POOL = images(2 * N, 2)
DAMAGES = {damage.name: damage for damage in image_damages(TRAIN)}


def damaged(name: str, strength: float = 1.0, pool: Samples = POOL) -> Samples:
    return DAMAGES[name].apply(pool, N, strength=strength, seed=7)


def class_counts(name: str, strength: float) -> torch.Tensor:
    labels = damaged(name, strength).condition
    assert labels is not None
    return torch.bincount(labels, minlength=4)


def rows_of(samples: Samples, pool: Samples) -> torch.Tensor:
    """Return which row of the pool each sample equals; -1: none."""
    equal = (samples.data[:, None] == pool.data[None]).flatten(2).all(2)
    return torch.where(equal.any(1), equal.long().argmax(1), -1)


@pytest.mark.parametrize("name", DAMAGES)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_damage_gives_as_many_images_of_the_same_form(name, channels):
    pool = images(2 * N, 2, channels)
    damage = {each.name: each for each in image_damages(images(60, 1, channels))}[name]
    one, other = (damage.apply(pool, N, strength=0.5, seed=3) for _ in range(2))
    assert one.data.shape == (N, channels, 8, 8)
    assert one.data.dtype == torch.uint8
    assert one.condition is not None
    assert len(one.condition) == N
    assert torch.equal(one.data, other.data)


@pytest.mark.parametrize(
    "name", ["fade", "brighten", "blur", "noise", "shuffle_quarters", "thin_class", "drop_rare",
             "duplicate", "memorise", "mix_in"],
)  # fmt: skip
def test_without_strength_nothing_is_damaged(name):
    rows = rows_of(damaged(name, 1e-9), POOL)
    assert (rows >= 0).all()
    assert len(rows.unique()) == N


def test_fading_halves_the_contrast_and_keeps_the_mean():
    before = DAMAGES["fade"].apply(POOL, N, strength=1e-9, seed=7).data.float()
    after = damaged("fade").data.float()
    assert torch.allclose(after.flatten(1).std(1), before.flatten(1).std(1) / 2, atol=0.5)
    assert torch.allclose(after.mean((1, 2, 3)), before.mean((1, 2, 3)), atol=0.5)


def test_a_class_is_left_out_or_thinned():
    assert (class_counts("drop_class", 1.0) == 0).sum() == 2  # 40% of four, rounded
    assert (class_counts("drop_class", 0.1) == 0).sum() == 1
    counts = class_counts("thin_class", 1.0)
    assert counts.min() <= 4
    assert counts.max() >= 10


def test_what_is_rare_is_what_lies_alone():
    alone = Samples.real(torch.full((4, 1, 8, 8), 255, dtype=torch.uint8), torch.zeros(4).long())
    pool = Samples.concatenate([POOL, alone])
    assert (rows_of(damaged("drop_rare", 0.2, pool), pool) < len(POOL)).all()


def test_duplicates_repeat_a_tenth():
    rows = rows_of(damaged("duplicate"), POOL)
    assert torch.unique(rows, return_counts=True)[1].tolist() == [10] * 4


def test_memorised_images_are_training_images_but_for_slight_noise():
    distance = (damaged("memorise").data[:, None].float() - TRAIN.data[None].float()).abs()
    assert distance.flatten(2).mean(2).amin(1).max() < 3
    half = rows_of(damaged("memorise", 0.5), POOL)
    assert (half >= 0).sum() == N // 2


def test_the_quarters_of_an_image_all_move():
    before = DAMAGES["shuffle_quarters"].apply(POOL, N, strength=1e-9, seed=7).data
    after = damaged("shuffle_quarters").data
    assert torch.equal(before.flatten(1).sort(1).values, after.flatten(1).sort(1).values)
    assert torch.equal(after[:, :, :4, :4], before[:, :, :4, 4:])


def test_textures_differ_from_one_another():
    assert len(textures(20, (3, 8, 8), seed=0).flatten(1).unique(dim=0)) == 20


def test_images_without_classes_have_no_class_to_drop():
    pool = Samples.real(POOL.data)
    for name in ("drop_class", "thin_class"):
        with pytest.raises(ValueError, match="no classes"):
            damaged(name, 1.0, pool)


def test_a_pool_that_is_too_small_is_refused():
    with pytest.raises(ValueError, match="40 samples are needed, 10 are left"):
        damaged("fade", 1.0, POOL[:10])
