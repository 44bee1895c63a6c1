"""Pictures that are not what they seem: inverted, black, of several pages, or no pictures."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imglab.images.folders import read_folder
from imglab.images.image_files import read_image
from imglab.images.source_settings import FolderSource
from tests.images.loading import load, refused
from tests.images.test_peoples_files import from_folder

GREYS = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)


def tiff(path: Path, values: np.ndarray, *, photometric: int, form: int = 1) -> None:
    """Write a TIFF by hand: Pillow writes neither zero as white nor signed or 64-bit pixels."""
    bits = values.dtype.itemsize * 8
    tags = [
        (256, 3, 8), (257, 3, 8), (258, 3, bits), (259, 3, 1), (262, 3, photometric), (273, 4, 8),
        (277, 3, 1), (278, 3, 8), (279, 4, values.nbytes), (339, 3, form),
    ]  # fmt: skip
    entries = [struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags]
    head = b"II*\0" + struct.pack("<I", 8 + values.nbytes)
    table = struct.pack("<H", len(tags)) + b"".join(entries) + bytes(4)
    path.write_bytes(head + values.tobytes() + table)


@pytest.mark.parametrize("scale", [1, 257])
def test_zero_may_be_white(scale, tmp_path):
    """As in X-rays; Pillow turns 8 bits by itself and 16 bits not."""
    for photometric, expected in ((0, 255 - GREYS), (1, GREYS)):
        values = (GREYS.astype("<u2") * scale) if scale > 1 else GREYS
        tiff(tmp_path / "x.tif", values, photometric=photometric)
        assert (read_image(tmp_path / "x.tif", None) == expected).all()


@pytest.mark.parametrize(
    ("values", "form", "message"),
    [
        (GREYS.astype("<i2") - 300, 2, "it has negative pixels"),
        (GREYS.astype("<f8"), 3, "its form of TIFF, e.g. of 64 bits"),
    ],
)
def test_forms_of_tiff_without_a_reader(values, form, message, tmp_path):
    tiff(tmp_path / "x.tif", values, photometric=1, form=form)
    assert message in refused(**from_folder(tmp_path))


def test_further_pages_are_counted(tmp_path):
    pages = [Image.fromarray(GREYS), Image.fromarray(255 - GREYS)]
    for number in range(4):
        pages[0].save(tmp_path / f"{number}.tif", save_all=True, append_images=pages[1:])
    assert (
        load(**from_folder(tmp_path))
        .summary.line()
        .endswith("4 of several pages, of which the first is read")
    )


@pytest.mark.parametrize("largest", [1, 15])
def test_numbers_of_classes_are_not_brightness(largest, tmp_path):
    for number in range(3):
        Image.fromarray(GREYS % (largest + 1)).save(tmp_path / f"{number}.png")
    assert f"no pixel of any image is above {largest}" in refused(**from_folder(tmp_path))
    assert len(read_folder(FolderSource(path=str(tmp_path)), None, is_drawn=True).train) == 3
    Image.fromarray(GREYS).save(tmp_path / "bright.png")
    assert load(**from_folder(tmp_path)).summary.total == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>", "it is a web page"),
        (b"<svg width='3'/>", "it is SVG"),
    ],
)
def test_what_is_no_picture_is_named(content, message, tmp_path):
    for number in range(5):
        (tmp_path / f"{number}.jpg").write_bytes(content)
    for tolerate in (0, 5):  # none is left of them
        assert message in refused(**from_folder(tmp_path, tolerate=tolerate))
