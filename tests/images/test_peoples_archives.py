"""Archives whose numbers, sides or labels mean something else than they seem to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from imglab.errors import InputError
from imglab.images.inspection import inspect_npz
from imglab.images.npz import read_any_npz
from tests.images.loading import load, refused

GREYS = np.random.default_rng(0).integers(0, 256, (8, 6, 6), dtype=np.uint8)


def archive(folder, **arrays: Any) -> dict[str, Any]:
    np.savez(folder / "a.npz", **arrays)
    return {"source": {"kind": "npz", "path": str(folder / "a.npz")}}


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "bool"])
def test_bits_are_black_and_white(dtype, tmp_path):
    """As in dSprites; every type gives the same images."""
    real = load(**archive(tmp_path, imgs=(GREYS > 127).astype(dtype)))
    assert real.for_training.images.unique().tolist() == [0, 255]
    assert "scaled from" in real.summary.line()


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (GREYS % 17, "no number of images is above 16: all would be nearly black; scale them"),
        ((GREYS % 17).astype(np.float64), "multiply by 16"),
        ((GREYS % 17).astype(">i2"), "nearly black"),
        (GREYS.astype(np.uint16) * 16, "no number of images is above 4080: all would be nearly"),
        (GREYS[:, None].repeat(4, 1), "put transparency on white"),
        (GREYS[:, None].repeat(5, 1), "neither its second side nor its last is 1 or 3"),
        (GREYS.reshape(8, 36), "if each row is an image, use numpy.reshape"),
        (np.array([{}], dtype=object), "words as numpy.array(words, dtype=str)"),
    ],
)
def test_what_would_be_black_or_is_no_image(images, message, tmp_path):
    assert message in refused(**archive(tmp_path, images=images))


def test_black_images_among_bright_ones_are_left_as_they_are(tmp_path):
    images = GREYS.copy()
    images[:4] = 1
    assert load(**archive(tmp_path, train_images=images[:4], test_images=images[4:]))


def test_what_a_model_drew_may_be_nearly_black(tmp_path):
    for images in (GREYS % 2, GREYS % 9):
        archive(tmp_path, images=images)
        drawn = read_any_npz(str(tmp_path / "a.npz")).train.images[:, 0]
        assert (drawn.numpy() == images).all()


def test_words_in_bytes_are_names(tmp_path):
    real = load(**archive(tmp_path, images=GREYS, labels=np.array([b"cat", b"dog"] * 4)))
    assert real.classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.linspace(0, 1, 8), "labels of images are not whole numbers"),
        (np.arange(7), "has 8 images but labels of shape [7]"),
        (np.full((8, 4), 0.25), "several classes for an image"),
    ],
)
def test_labels_that_are_no_classes(labels, message, tmp_path):
    """`imglab inspect` says what a run says: it must not propose a config that a run refuses."""
    assert message in refused(**archive(tmp_path, images=GREYS, labels=labels))
    with pytest.raises(InputError) as caught:
        inspect_npz(str(tmp_path / "a.npz"))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("x_train", "y_train"), "call 'x_train' images, of which a part is then held out"),
        (("trainX", "testX"), "has no array 'train_images' (rename one of: trainX, testX)"),
    ],
)
def test_names_that_are_not_known(names, message, tmp_path):
    settings = archive(tmp_path, **dict.fromkeys(names, GREYS))
    assert message in refused(**settings)
    with pytest.raises(InputError):
        inspect_npz(str(tmp_path / "a.npz"))
