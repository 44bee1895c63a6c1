"""Images from `.npz` files: what is read, and what is said when they are wrong."""

from __future__ import annotations

import numpy as np
import pytest

from imglab.errors import InputError
from tests.images.loading import load, refused


class TestNpz:
    def write(self, path, **arrays):
        np.savez(path, **arrays)
        return {"source": {"kind": "npz", "path": str(path)}}

    def test_colour_with_labels(self, tmp_path):
        images = np.arange(4 * 6 * 6 * 3, dtype=np.uint8).reshape(4, 6, 6, 3)
        settings = self.write(
            tmp_path / "a.npz",
            train_images=images,
            train_labels=np.array([5, 9, 5, 9]),
            test_images=images[:2],
            test_labels=np.array([9, 5]),
        )
        real = load(**settings)
        assert real.classes == ("5", "9")
        assert real.test.labels.tolist() == [1, 0]
        assert sorted(image[0, 0, 0].item() for image in real.train.images) == sorted(
            images[:, 0, 0, 0].tolist()
        )

    def test_grey_without_labels(self, tmp_path):
        images = np.zeros((4, 6, 6), np.uint8)
        real = load(**self.write(tmp_path / "a.npz", train_images=images, test_images=images))
        assert real.train.images.shape == (4, 1, 6, 6)
        assert real.classes is None

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            (
                {"train_image": np.zeros((2, 4, 4), np.uint8)},
                "has no array 'train_images' (rename one of: train_image)",
            ),
            ({"train_images": np.zeros((2, 4, 4))}, "must be uint8"),
            (
                {"train_images": np.zeros((2, 4, 4), np.uint8), "train_labels": np.zeros(3, int)},
                "has 2 images but labels of shape [3]",
            ),
            ({"train_images": np.zeros((2, 5, 4), np.uint8)}, "differ in shape"),
        ],
    )
    def test_wrong_arrays(self, tmp_path, arrays, message):
        settings = self.write(
            tmp_path / "a.npz", **{"test_images": np.zeros((2, 4, 4), np.uint8), **arrays}
        )
        assert message in refused(**settings)

    def test_labels_as_a_column(self, tmp_path):
        images = np.zeros((4, 6, 6), np.uint8)
        column = np.array([[0], [1], [1], [0]])
        arrays = {
            "train_images": images,
            "train_labels": column,
            "test_images": images,
            "test_labels": column,
        }
        assert load(**self.write(tmp_path / "a.npz", **arrays)).classes == ("0", "1")

    def test_an_empty_part(self, tmp_path):
        images = np.zeros((4, 6, 6), np.uint8)
        message = refused(
            **self.write(tmp_path / "a.npz", train_images=images, test_images=images[:0])
        )
        assert "the source has no test image" in message

    def test_damaged_in_any_place(self, tmp_path):
        """Whatever byte is wrong: images of the right shape, or one message."""
        images = np.arange(144, dtype=np.uint8).reshape(4, 6, 6)
        path = tmp_path / "a.npz"
        np.savez_compressed(path, train_images=images, test_images=images)
        whole, refusals = path.read_bytes(), 0
        for place in range(0, len(whole), 3):
            damaged = bytearray(whole)
            damaged[place] ^= 0xFF
            path.write_bytes(damaged)
            try:
                assert load(source={"kind": "npz", "path": str(path)}).train.images.shape[1:] == (
                    1,
                    6,
                    6,
                )
            except InputError as error:
                refusals += "a.npz" in str(error)
        assert refusals > 50

    def test_corrupt_missing_or_pickled(self, tmp_path):
        path = tmp_path / "a.npz"
        settings = self.write(
            path,
            train_images=np.zeros((20, 4, 4), np.uint8),
            test_images=np.zeros((2, 4, 4), np.uint8),
        )
        path.write_bytes(path.read_bytes()[:-300])
        assert "is not a readable .npz" in refused(**settings)
        path.unlink()
        assert "there is no file" in refused(**settings)
        np.savez(path, train_images=np.array([{"a": 1}], dtype=object))
        assert "is not a readable .npz" in refused(**settings)


def test_cifar_npz(shared_data):
    path = shared_data / "cifar10_subset" / "cifar10_subset.npz"
    real = load(source={"kind": "npz", "path": str(path)}, n_train=1000)
    assert real.train.images.shape == (1000, 3, 32, 32)
    assert len(real.test) == 2000
