"""Archives of images: damaged, lying, pickled, or bombs."""

from __future__ import annotations

import io
import os
import pickle
import random
import zipfile

import numpy as np
import pytest

from tests.hostile.files import Marker, load_images, refused
from tests.hostile.fuzzing import Tally, spoiled


def from_npz(path):
    return load_images(source={"kind": "npz", "path": str(path)})


def good_arrays(**changes):
    noise = np.random.default_rng(0)
    images = {
        name: noise.integers(0, 9, (n, 5, 4), dtype=np.uint8)
        for name, n in (("train", 6), ("test", 4))
    }
    labels = {f"{name}_labels": np.arange(len(each)) % 2 for name, each in images.items()}
    return {**{f"{name}_images": each for name, each in images.items()}, **labels, **changes}


class TestNpz:
    @pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
    def test_damaged_anywhere(self, write, tmp_path):
        path, tally = tmp_path / "a.npz", Tally()
        write(path, **good_arrays())
        whole = path.read_bytes()
        for seed in range(300):
            path.write_bytes(spoiled(whole, random.Random(seed)))
            tally.open("npz", lambda: from_npz(path))
        assert tally.tried == 300
        assert tally.refused.total() > 200

    def test_a_bomb_is_refused_before_it_is_unpacked(self, tmp_path):
        path, zeros = tmp_path / "a.npz", bytes(1 << 20)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name in ("train_images.npy", "test_images.npy"):
                with archive.open(name, "w", force_zip64=True) as member:
                    for _ in range(200):
                        member.write(zeros)
        assert path.stat().st_size < 1 << 20
        assert "would unpack to 419,430,400" in refused(lambda: from_npz(path))

    def test_a_header_that_lies_about_the_size(self, tmp_path):
        path, header = tmp_path / "a.npz", io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "|u1", "fortran_order": False, "shape": (10**12, 1000, 1000)}
        )
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("train_images.npy", header.getvalue() + bytes(100))
            archive.writestr("test_images.npy", header.getvalue() + bytes(100))
        assert "is not a readable .npz" in refused(lambda: from_npz(path))

    def test_pickles_are_refused_and_not_read(self, tmp_path, marker):
        path = tmp_path / "a.npz"
        np.savez(
            path,
            **good_arrays(train_labels=np.array([Marker(marker)] * 6, dtype=object)),
            allow_pickle=True,
        )
        assert "is not a readable .npz" in refused(lambda: from_npz(path))
        path.write_bytes(pickle.dumps(Marker(marker)))
        assert "is not a readable .npz" in refused(lambda: from_npz(path))
        assert not marker.exists()

    @pytest.mark.parametrize(
        "changes",
        [
            {"train_images": np.uint8(3)},
            {"train_images": np.zeros((6, 5, 4), np.float32)},
            {"train_images": np.zeros((6, 5, 4, 2), np.uint8)},
            {
                "train_images": np.zeros((6, 0, 4), np.uint8),
                "test_images": np.zeros((4, 0, 4), np.uint8),
            },
            {"train_images": np.zeros((6, 5, 4), [("a", np.uint8)])},
            {"train_labels": np.full(6, np.nan)},
            {"train_labels": np.zeros((6, 2), int)},
            {"train_labels": np.int64(0)},
            {"train_labels": np.zeros(6, "datetime64[s]")},
            {"train_labels": np.zeros(6, complex)},
            {"train_labels": np.array(["\ud800"] * 6)},
            {"train_labels": np.frombuffer(np.full(6, 0x7FFFFFFF, np.uint32).tobytes(), "U1")},
        ],
    )
    def test_arrays_that_are_no_images_and_classes(self, changes, tmp_path):
        np.savez(tmp_path / "a.npz", **good_arrays(**changes))
        assert "modality.source.path" in refused(lambda: from_npz(tmp_path / "a.npz"))

    def test_what_is_beside_the_arrays_is_left_alone(self, tmp_path):
        path = tmp_path / "a.npz"
        np.savez(path, **good_arrays())
        with zipfile.ZipFile(path, "a") as archive:
            for name in (
                "../../outside.npy",
                "/etc/outside.npy",
                "x" * 300,
                "train_images",
                "train_images.npy.npy",
            ):
                archive.writestr(name, b"junk")
        tally = Tally()
        tally.open("names", lambda: from_npz(path))
        assert not (tmp_path.parent.parent / "outside.npy").exists()

    @pytest.mark.parametrize(
        "content", [b"", b"PK", b"PK\x05\x06" + bytes(18), b"\x93NUMPY" + bytes(50), b"x" * 1000]
    )
    def test_no_archive_or_an_empty_one(self, content, tmp_path):
        (tmp_path / "a.npz").write_bytes(content)
        assert "a.npz" in refused(lambda: from_npz(tmp_path / "a.npz"))

    def test_a_pipe_and_a_folder_are_no_files(self, tmp_path):
        os.mkfifo(tmp_path / "a.npz")
        (tmp_path / "b.npz").mkdir()
        for name in ("a.npz", "b.npz"):
            assert "there is no file" in refused(lambda name=name: from_npz(tmp_path / name))
