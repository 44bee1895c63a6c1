"""Folders of images: damaged, endless, or of kinds that run programs."""

from __future__ import annotations

import json
import os
import random

import numpy as np
import pytest
from PIL import Image

from imglab.images import image_formats
from tests.hostile.files import encoded, load_images, refused
from tests.hostile.fuzzing import STRANGE, Tally, spoiled, written


def from_folder(path, tolerate=0, **keys):
    source = {"kind": "folder", "path": str(path), "tolerate": tolerate}
    return load_images(source=source, **{"size": 8, "colour": "rgb", **keys})


def picture(mode="RGB", size=(9, 8)):
    noise = np.random.default_rng(0)
    if mode == "I;16":
        return Image.fromarray(noise.integers(0, 60_000, size[::-1], dtype=np.uint16))
    return Image.fromarray(noise.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)).convert(mode)


PICTURES = {
    "rgb.png": encoded(picture(), "PNG"),
    "palette.png": encoded(picture("P"), "PNG"),
    "alpha.png": encoded(picture("RGBA"), "PNG"),
    "deep.png": encoded(picture("I;16"), "PNG"),
    "bits.png": encoded(picture("1"), "PNG"),
    "rgb.jpg": encoded(picture(), "JPEG"),
    "cmyk.jpg": encoded(picture("CMYK"), "JPEG"),
    "moving.gif": encoded(
        picture("P"), "GIF", save_all=True, append_images=[picture("L").convert("P")]
    ),
    "rgb.webp": encoded(picture(), "WEBP"),
    "packed.tif": encoded(picture(), "TIFF", compression="tiff_lzw"),
    "rgb.bmp": encoded(picture(), "BMP"),
}


class TestImages:
    @pytest.fixture
    def folder(self, tmp_path):
        found = tmp_path / "pictures"
        found.mkdir()
        for at in range(3):
            (found / f"good-{at}.png").write_bytes(PICTURES["rgb.png"])
        return found

    @pytest.mark.filterwarnings("error::UserWarning")
    @pytest.mark.parametrize("name", PICTURES)
    def test_damaged_anywhere(self, name, folder):
        tally = Tally()
        for seed in range(40):
            (folder / name).write_bytes(spoiled(PICTURES[name], random.Random(seed)))
            tally.open(name, lambda: from_folder(folder))
        assert tally.tried == 40

    @pytest.mark.parametrize("name", PICTURES)
    def test_whole_ones_open_whatever_their_name_says(self, name, folder):
        (folder / "named-otherwise.png").write_bytes(PICTURES[name])
        assert from_folder(folder, n_test=1).train.images.shape == (3, 3, 8, 8)

    @pytest.mark.parametrize("mode", ["1", "L"])
    def test_bombs(self, mode, folder):
        (folder / "bomb.png").write_bytes(encoded(Image.new(mode, (14_000, 13_000)), "PNG"))
        assert "bomb.png: cannot be read as an image" in refused(lambda: from_folder(folder))

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"some text",
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
            b"<svg/>",
            b"%PDF-1.7\n",
        ],
    )
    def test_what_is_no_picture_of_these_kinds(self, content, folder):
        (folder / "x.png").write_bytes(content)
        assert "x.png: cannot be read as an image" in refused(lambda: from_folder(folder))

    def test_long_and_thin(self, folder):
        (folder / "thin.png").write_bytes(encoded(Image.new("L", (1, 100_000)), "PNG"))
        assert from_folder(folder, n_test=1).train.images.shape == (3, 3, 8, 8)

    def test_pipes_devices_and_links_to_them_do_not_hang(self, folder, tmp_path):
        os.mkfifo(folder / "pipe.png")
        (folder / "zero.png").symlink_to("/dev/zero")
        (folder / "text.png").symlink_to("/etc/passwd")
        (folder / "gone.png").symlink_to(tmp_path / "nowhere")
        (folder / "itself.png").symlink_to(folder / "itself.png")
        (folder / "folder.png").mkdir()
        message = refused(lambda: from_folder(folder))
        assert "4 files: each cannot be read as an image: it is not a regular file" in message
        assert "text.png: cannot be read as an image" in message
        assert "root:" not in message
        assert len(from_folder(folder, tolerate=5, n_test=1).train) == 2

    def test_a_loop_of_folders_ends(self, folder):
        (folder / "again").symlink_to(folder, target_is_directory=True)
        assert len(from_folder(folder, n_test=1).train) == 2

    @pytest.mark.parametrize(
        "name",
        ["=cmd()", "<b>x", "a\nb", "\x1b[31m", "\u202e", "-", "--out", "$x$", "'", "x" * 200],
    )
    def test_a_class_may_be_called_anything(self, name, tmp_path):
        for each in (name, "other"):
            (tmp_path / "p" / each).mkdir(parents=True)
            for at in range(3):
                (tmp_path / "p" / each / f"{at}.png").write_bytes(PICTURES["rgb.png"])
        assert name in (from_folder(tmp_path / "p").classes or ())

    def test_a_class_that_utf8_cannot_say(self, tmp_path):
        for each in (b"\xff\xfe", b"other"):
            os.makedirs(os.path.join(os.fsencode(tmp_path), b"p", each))
            with open(os.path.join(os.fsencode(tmp_path), b"p", each, b"0.png"), "wb") as file:
                file.write(PICTURES["rgb.png"])
        assert "is not UTF-8" in refused(lambda: from_folder(tmp_path / "p"))

    def test_lines_of_captions(self, folder):
        def read():
            return load_images(source={"kind": "captioned_folder", "path": str(folder)}, n_test=1)

        good = [{"file_name": f"good-{at}.png", "text": f"picture {at % 2}"} for at in range(3)]
        lines, tally = folder / "metadata.jsonl", Tally()
        lines.write_text("\n".join(map(json.dumps, good)))
        assert tally.open("captions", read)
        whole = lines.read_bytes()
        for seed in range(60):
            lines.write_bytes(spoiled(whole, random.Random(seed)))
            tally.open("captions", read)
        for name in (
            "../../etc/passwd",
            "/etc/passwd",
            "..",
            "",
            ".",
            "a\0b.png",
            "x" * 5000 + ".png",
            "good-0.png",
            None,
            3,
        ):
            lines.write_text("\n".join(map(json.dumps, [*good, {"file_name": name, "text": "x"}])))
            assert not tally.open("captions", read), name
        for value in STRANGE:
            lines.write_bytes(
                written({**good[0], "text": value}) + b"\n" + b"\n".join(map(written, good[1:]))
            )
            tally.open("captions", read)
            lines.write_bytes(
                written({**good[0], "file_name": value})
                + b"\n"
                + b"\n".join(map(written, good[1:]))
            )
            assert not tally.open("captions", read)
        for content in (b"[" * 100_000, b"{}" * 10**6, b"\xff\xfe", b"null\n" * 10**5):
            lines.write_bytes(content)
            assert not tally.open("captions", read)
        lines.unlink()
        os.mkfifo(lines)
        assert not tally.open("captions", read)


def test_formats_that_run_programs_are_not_tried():
    assert not {"EPS", "PDF", "WMF", "FPX", "MPEG"} & set(image_formats.FORMATS)
