"""The mark on images: what it changes, what it says without a mark and with one; its table with `-m
slow -s`.
"""

from __future__ import annotations

import os
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from sklearn.datasets import load_digits
from torch.nn import functional
from torchvision.datasets import MNIST, FashionMNIST

from imglab.images.watermark import DEFAULT_STRENGTH, embed, z_scores
from tests.detection import CERTAIN, ONE_PER_MILLE, ONE_PERCENT, share
from tests.test_docs import blocks


def to_bytes(images):
    return images.round().clamp(0, 255).byte()


def resized(images, size):
    return to_bytes(
        functional.interpolate(
            images.float(), size=(size, size), mode="bilinear", antialias=True, align_corners=False
        )
    )


@cache
def digits(size=8):
    images = to_bytes(torch.from_numpy(load_digits().images)[:, None] * (255 / 16))
    return images if size == 8 else resized(images, size)


def textures(n, channels=3, size=32, seed=0):
    """Independent images with the spectrum of photographs, 1/f, and colours that go together."""
    noise = torch.randn(n, channels + 1, size, size, generator=torch.Generator().manual_seed(seed))
    mixed = noise[:, :1] + 0.5 * noise[:, 1:]
    frequency = torch.hypot(torch.fft.fftfreq(size)[:, None], torch.fft.fftfreq(size)[None]).clamp(
        min=1 / size
    )
    image = torch.fft.ifft2(torch.fft.fft2(mixed) / frequency).real
    return to_bytes(128 + 50 * image / image.std((1, 2, 3), keepdim=True))


def noisy(images, spread=8.0):
    return to_bytes(
        images + spread * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    )


def blurred(images):
    line = torch.tensor([0.25, 0.5, 0.25])
    kernel = torch.outer(line, line).expand(images.shape[1], 1, 3, 3)
    padded = functional.pad(images.float(), (1, 1, 1, 1), mode="replicate")
    return to_bytes(functional.conv2d(padded, kernel, groups=images.shape[1]))


def more_contrast(images):
    """Loses what a mark has within 12 grey levels of black and of white."""
    return to_bytes(1.1 * (images.float() - 128) + 128)


def psnr(images, marked):
    error = (images.double() - marked.double()).square().mean((1, 2, 3)).sqrt()
    return float(20 * torch.log10(255 / error).mean())


class TestEmbed:
    @given(
        shape=st.tuples(
            st.integers(0, 3), st.integers(1, 4), st.integers(8, 20), st.integers(8, 20)
        ),
        key=st.integers(0, 2**40),
        strength=st.floats(0, 300),
        level=st.sampled_from([None, 0, 255]),
    )
    @settings(max_examples=40, deadline=None)
    def test_any_shape_and_strength(self, shape, key, strength, level):
        images = torch.randint(
            256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(key)
        )
        images = images if level is None else torch.full_like(images, level)
        before = images.clone()
        marked = embed(images, key=key, strength=strength)
        assert (marked.shape, marked.dtype) == (images.shape, torch.uint8)
        assert torch.equal(images, before)
        z = z_scores(marked, key=key)
        assert (z.shape, z.dtype) == (shape[:1], torch.float64)
        assert z.isfinite().all()

    def test_strength_zero_gives_the_same_bytes(self):
        assert torch.equal(embed(digits(), key=1, strength=0), digits())

    @pytest.mark.parametrize("strength", [2, 4, 8, 16])
    @pytest.mark.parametrize("level", [0, 3, 128, 255])
    def test_strength_is_the_size_of_the_change(self, strength, level):
        """On black and on white too, where one half of the pattern has no room."""
        images = torch.full((2, 1, 28, 28), level, dtype=torch.uint8)
        change = embed(images, key=5, strength=strength).double() - level
        assert change.square().mean().sqrt() == pytest.approx(strength, rel=0.05)

    def test_each_image_depends_on_itself_alone(self):
        images = textures(1030, channels=1, size=16)
        marked, z = embed(images, key=2), z_scores(images, key=2)
        for i in (0, 7, 1023, 1024, 1029):
            assert torch.equal(embed(images[i : i + 1], key=2), marked[i : i + 1])
            torch.testing.assert_close(z_scores(images[i : i + 1], key=2), z[i : i + 1])

    def test_same_key_same_bytes_and_the_global_generator_stays(self):
        state = torch.get_rng_state()
        assert torch.equal(embed(digits(), key=3), embed(digits(), key=3))
        assert not torch.equal(embed(digits(), key=3), embed(digits(), key=4))
        assert torch.equal(torch.get_rng_state(), state)

    @pytest.mark.parametrize("strength", [-1.0, float("nan"), float("inf")])
    def test_strengths_that_make_no_sense(self, strength):
        with pytest.raises(ValueError, match="strength"):
            embed(digits(), key=1, strength=strength)

    @pytest.mark.parametrize(
        "images",
        [
            torch.zeros(2, 1, 8, 8),
            torch.zeros(8, 8, dtype=torch.uint8),
            torch.zeros(2, 1, 8, 7, dtype=torch.uint8),
        ],
    )
    def test_images_of_another_kind(self, images):
        with pytest.raises(ValueError, match="uint8"):
            embed(images, key=1, strength=1)
        with pytest.raises(ValueError, match="uint8"):
            z_scores(images, key=1)


class TestDetection:
    @pytest.mark.parametrize(
        "images", [textures(300), textures(300, channels=1, size=64), digits(32)[:300]]
    )
    def test_marked_is_told_from_unmarked(self, images):
        marked = embed(images, key=11, strength=DEFAULT_STRENGTH)
        assert (z_scores(marked, key=11) > ONE_PER_MILLE).double().mean() > 0.99
        for change, at_least in ((noisy, 0.9), (more_contrast, 0.9), (blurred, 0.8)):
            found = share(z_scores(change(marked), key=11), ONE_PER_MILLE)
            assert found > 100 * at_least, change.__name__

    def test_a_model_s_range_and_back_keeps_every_byte(self):
        marked = embed(digits(32), key=1)
        assert torch.equal(
            to_bytes(((marked.float() / 127.5 - 1).clamp(-1, 1) + 1) * 127.5), marked
        )

    def test_stronger_scores_higher(self):
        z = [
            z_scores(embed(textures(100), key=6, strength=s), key=6).mean() for s in (0, 1, 2, 4, 8)
        ]
        assert z == sorted(z)

    def test_an_image_without_detail_says_nothing(self):
        for level in (0, 77, 255):
            assert z_scores(
                torch.full((2, 3, 28, 28), level, dtype=torch.uint8), key=1
            ).tolist() == [0, 0]

    @pytest.mark.parametrize(
        ("images", "group"),
        [(textures(1500), 10), (textures(1500, channels=1), 10), (digits(32)[:500], 1)],
    )
    @pytest.mark.parametrize("marked", [False, True])
    def test_false_positives_are_as_many_as_the_normal_law_says(self, images, group, marked):
        """Textures of one key are independent, digits are too much alike: one key for each. So the
        count is binomial.

        Another key's mark changes nothing in that.
        """
        if marked:
            images, group = embed(images[:500], key=-1, strength=8), 1
        z = torch.cat([z_scores(some, key=key) for key, some in enumerate(images.split(group))])
        assert float(z.mean()) == pytest.approx(0, abs=4 / len(z) ** 0.5)
        assert float(z.std()) == pytest.approx(1, abs=4 / (2 * len(z)) ** 0.5)
        for threshold, rate in ((ONE_PERCENT, 0.01), (1.645, 0.05)):
            low, high = binom.ppf([1e-4, 1 - 1e-4], len(z), rate)
            assert low <= int((z > threshold).sum()) <= high


def test_the_page_s_example():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        example = blocks("docs/watermark.md", "python")[0]
        assert "assert" in example
        exec(example, {})


def real_images(shared_data, n):
    root = str(shared_data / "torchvision")
    for data in (MNIST, FashionMNIST):
        images = data(root, train=False, download=False).data[:n, None]
        yield f"{data.__name__} 28", images
        yield f"{data.__name__} 32", resized(images, 32)
    with np.load(shared_data / "cifar10_subset" / "cifar10_subset.npz", allow_pickle=False) as file:
        colour = torch.from_numpy(file["test_images"][:n]).permute(0, 3, 1, 2)
    yield "CIFAR-10 32", colour
    yield "CIFAR-10 grey 32", to_bytes(colour.float().mean(1, keepdim=True))
    yield "digits 8", digits()


TABLE = int(os.environ.get("IMGLAB_WATERMARK_IMAGES", "500"))
"""Images of each set in the table; those of docs/watermark.md are of 2,000."""

KEYS, WRONG_KEYS = range(16), range(100, 108)


def marked_in_turn(images, strength):
    """Mark every 16th image with one of 16 keys."""
    return [embed(images[key :: len(KEYS)], key=key, strength=strength) for key in KEYS]


def own_scores(parts):
    return torch.cat([z_scores(part, key=key) for key, part in zip(KEYS, parts, strict=True)])


@pytest.mark.slow
def test_table(shared_data):
    """Prints the tables of docs/watermark.md."""
    nulls, rows = [], []
    for name, images in real_images(shared_data, TABLE):
        null = torch.stack([z_scores(images, key=key) for key in KEYS])
        each = [share(z) for z in null]
        thresholds = [float(torch.quantile(null.flatten(), q)) for q in (0.99, 0.999)]
        nulls.append(
            f"| {name} | {null.mean():.2f} | {null.std():.2f} "
            f"| {share(null):.2f} | {share(null, ONE_PER_MILLE):.3f} "
            f"| {min(each):.1f} to {max(each):.1f} | {thresholds[0]:.2f} | {thresholds[1]:.2f} |"
        )
        if not name.startswith("digits"):
            assert 0.5 < share(null) < 2
        for strength in (2, 4, 8, 16):
            parts = marked_in_turn(images, strength)
            own = own_scores(parts)
            cells = [share(own, t) for t in (ONE_PERCENT, ONE_PER_MILLE, *thresholds, CERTAIN)]
            for change in (noisy, blurred, more_contrast):
                cells.append(share(own_scores([change(part) for part in parts]), ONE_PER_MILLE))
            wrong = [share(z_scores(part, key=key)) for part in parts for key in WRONG_KEYS]
            marked = embed(images, key=0, strength=strength)
            rows.append(
                f"| {name} | {strength} | {psnr(images, marked):.1f} | {own.mean():.1f} | "
                + " | ".join(f"{cell:.1f}" for cell in cells)
                + f" | {sum(wrong) / len(wrong):.1f} | {max(wrong):.0f} |"
            )
            if not name.startswith("digits") and strength >= DEFAULT_STRENGTH:
                assert cells[1] > 99
    print("\n" + "\n".join(nulls) + "\n\n" + "\n".join(rows))
