"""Hostile files: whatever is in them, they open or are refused with a message, and nothing in them
is obeyed.
"""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
import random
import re
import shutil
import socket
import sys
import tempfile
import zipfile
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import load_file, save_file

from imglab import load_model
from imglab.cli import main
from imglab.config.load import validate_config
from imglab.curation import MARKS, NAMES, Context, human
from imglab.errors import InputError, Stopped
from imglab.images import image_files
from imglab.images.data import load_real_images
from imglab.images.settings import ImageSettings
from imglab.report import gallery
from imglab.report.arms import read_arms
from imglab.report.build import build_page, write_report
from imglab.report.curves import curves_figure
from imglab.report.figures import svg as figure_svg
from imglab.report.live import LiveReport
from imglab.report.results import FORMULAS, metrics_csv, write_results
from imglab.report.table import format_table, streamed
from imglab.run.build import build, build_modality, build_models
from imglab.run.export import export
from imglab.run.fork import fork
from imglab.store import files, groups, layout, reading
from imglab.text import corpus
from imglab.text.corpus import read_corpus
from imglab.text.data import load_real_text
from imglab.text.settings import TextSettings
from imglab.text.source_settings import FilesSource
from tests.fuzzing import STRANGE, Tally, spoiled, strange, written
from tests.page_fixtures import IMAGES, TEXTS, VECTORS, run_chain_in
from tests.text_fixtures import TINY_MODEL

SLOW = pytest.mark.slow
SECRET = "the-secret-of-another-file"
HOSTILE_SIGNS = st.sampled_from(
    [
        *(
            "<script>alert(1)</script>",
            "</title>",
            '"><img src=x onerror=alert(1)>',
            "&lt;",
            "-->",
            "]]>",
            "{{ 7*7 }}",
        ),
        *(
            "\x1b[31m",
            "\x1b]8;;http://x\x07y\x1b]8;;\x07",
            "\x9b31m",
            "\x07",
            "\x00",
            "\x7f",
            "\u202e",
            "\u2028",
            "\r",
            "\n",
        ),
        *(
            "=cmd()",
            "+1",
            "-1",
            "@sum",
            "\t=1",
            "$\\frac$",
            "'",
            "javascript:",
            "日本",
            "\U0001f600",
        ),
    ]
)
HOSTILE = st.lists(st.one_of(HOSTILE_SIGNS, st.text(max_size=5)), min_size=1, max_size=4).map(
    "".join
)


def lab(monkeypatch, *arguments):
    """Run the command line; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["imglab", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code or 0


def load_images(**keys):
    return load_real_images(ImageSettings.model_validate(keys))


def from_npz(path):
    return load_images(source={"kind": "npz", "path": str(path)})


def from_folder(path, **keys):
    return load_images(
        source={"kind": "folder", "path": str(path)}, **{"size": 8, "colour": "rgb", **keys}
    )


def refused(call) -> str:
    with pytest.raises(InputError) as caught:
        call()
    return str(caught.value)


def picture(mode="RGB", size=(9, 8)):
    noise = np.random.default_rng(0)
    if mode == "I;16":
        return Image.fromarray(noise.integers(0, 60_000, size[::-1], dtype=np.uint16))
    return Image.fromarray(noise.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)).convert(mode)


def encoded(image, kind, **keys) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **keys)
    return buffer.getvalue()


def good_arrays(**changes):
    noise = np.random.default_rng(0)
    images = {
        name: noise.integers(0, 9, (n, 5, 4), dtype=np.uint8)
        for name, n in (("train", 6), ("test", 4))
    }
    labels = {f"{name}_labels": np.arange(len(each)) % 2 for name, each in images.items()}
    return {**{f"{name}_images": each for name, each in images.items()}, **labels, **changes}


class Marker:
    """A pickle of it leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr("imglab.report.live.PATIENCE", 0.0)


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "somebody's code has run"


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
        if name == "deep.png":
            assert "not 8 bits" in refused(lambda: from_folder(folder))
        else:
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
        for name in ("pipe", "zero", "text", "gone", "itself", "folder"):
            assert f"{name}.png: cannot be read as an image" in message
        assert "root:" not in message

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


def text_of(path, **keys):
    return read_corpus(FilesSource(path=str(path), **keys))


class TestText:
    def test_damaged_anywhere(self, tmp_path):
        path, tally = tmp_path / "a.txt", Tally()
        whole = (
            "Grüße, 日本語 \u202e\x00 and words.\r\nOne \x1b[31mline\x1b[0m\u2028more\n" * 20
        ).encode()
        for seed in range(150):
            path.write_bytes(spoiled(whole, random.Random(seed)))
            tally.open("text", lambda: text_of(path, document_start="^One"))
        assert tally.opened.total() > 10
        assert tally.refused.total() > 10

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"\xed\xa0\x80 half a character", "is not UTF-8: byte 0"),
            (b"ab\xff", "is not UTF-8: byte 2"),
            ("words".encode("utf-16"), "is not UTF-8"),
            (b" \n\t\r\n\x0b\x0c \xe2\x80\x83", "has no training text"),
            (b"", "has no training text"),
            (b"a" * 200_000, "100,000 letters, spaces or others in a row, from character 0 on"),
            (b"a b" + b" " * 200_000, "in a row, from character 3 on"),
            (b"a " + b"=" * 200_000, "in a row, from character 2 on"),
        ],
    )
    def test_what_is_no_text_is_refused(self, content, message, tmp_path):
        (tmp_path / "a.txt").write_bytes(content)
        assert message in refused(lambda: text_of(tmp_path / "a.txt"))

    @pytest.mark.parametrize(
        "text",
        ["\0" * 500 + "x", "one\rtwo\rthree", "\u202eback\u202c", "\ufefftext", "\x1b[2J" * 99],
    )
    def test_odd_text_goes_through_the_tokenizer(self, text, tmp_path):
        for at in range(4):
            (tmp_path / f"{at}.txt").write_text(f"{text} and {'some more words ' * 40}", newline="")
        settings = {"kind": "files", "path": str(tmp_path)}
        tiny = {"source": settings, "tokenizer": {"kind": "bpe", "vocabulary": 300}, "block": 8}
        real = load_real_text(TextSettings.model_validate(tiny))
        assert len(real.train) > 2

    def test_pipes_and_links_do_not_hang(self, tmp_path):
        os.mkfifo(tmp_path / "pipe.txt")
        (tmp_path / "zero.txt").symlink_to("/dev/zero")
        (tmp_path / "itself.txt").symlink_to(tmp_path / "itself.txt")
        assert "holds no .txt file" in refused(lambda: text_of(tmp_path))
        for name in ("pipe.txt", "zero.txt"):
            assert "there is no file or folder" in refused(
                lambda name=name: text_of(tmp_path / name)
            )

    def test_a_file_larger_than_memory(self, tmp_path):
        with (tmp_path / "a.txt").open("wb") as file:
            file.truncate(corpus.MOST_BYTES + 1)  # a hole: it takes no room
        assert "is larger than" in refused(lambda: text_of(tmp_path / "a.txt"))

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("line", "opens"), [(b"one more word ", True), (b"a", False), ("字".encode(), False)]
    )
    def test_a_line_of_a_hundred_megabytes(self, line, opens, tmp_path):
        path = tmp_path / "a.txt"
        path.write_bytes(line * (100_000_000 // len(line)))
        assert Tally().open("long", lambda: text_of(path)) is opens


def spoil_one(folder: Path, chance: random.Random) -> str:
    """Damage one file below a folder and return its name."""
    path = chance.choice(
        sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "README.md")
    )
    if path.suffix == ".json" and chance.random() < 0.75:
        path.write_bytes(written(strange(json.loads(path.read_text()), chance)))
    else:
        path.write_bytes(spoiled(path.read_bytes(), chance))
    return path.name


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    """Fitted models of all kinds, as runs keep them."""
    root, short = tmp_path_factory.mktemp("models"), {"generations": 1}
    unet = {"kind": "diffusion", "channels": [8, 16], "training": {"images": 128}}
    made = {
        "vae": run_chain_in(root, "vae", {**IMAGES, **short}),
        "diffusion": run_chain_in(root, "diffusion", {**IMAGES, **short, "model": unet}),
        "ngram": run_chain_in(root, "ngram", {**TEXTS, **short}),
        "language_model": run_chain_in(
            root, "language_model", {**TEXTS, **short, "model": TINY_MODEL}
        ),
        "gaussian": run_chain_in(root, "gaussian", {**VECTORS, **short}),
    }
    return {kind: run / "generation_000" / "model" for kind, run in made.items()}


@pytest.fixture(scope="module")
def digits():
    section = {
        "kind": "image",
        "source": "digits",
        "n_train": 60,
        "n_test": 40,
        "extractor": "pixels",
    }
    return section, build_modality(
        validate_config({"name": "x", "modality": section, "model": "vae"}, "test")
    )


def open_pipeline(path, digits):
    section, modality = digits
    model = {"kind": "pipeline", "name": str(path)}
    return build_models(
        validate_config({"name": "x", "modality": section, "model": model}, "test"), modality
    )


def open_language_model(path):
    named = {"kind": "pretrained", "name": str(path)}
    sections = {
        "modality": {**TEXTS["modality"], "tokenizer": named},
        "model": {**TINY_MODEL, "network": named},
    }
    config = validate_config({"name": "x", **sections}, "test")
    return build_models(config, build_modality(config))


@pytest.mark.slow
class TestModels:
    def fuzz(self, kind, source, call, folder, seeds):
        tally = Tally()
        shutil.copytree(source, folder)
        assert tally.open(kind, call), "the whole one opens"
        for seed in range(seeds):
            shutil.rmtree(folder)
            shutil.copytree(source, folder)
            spoil_one(folder, random.Random(seed))
            tally.open(kind, call)
        assert tally.tried == seeds + 1
        return tally

    @pytest.mark.parametrize("kind", ["vae", "diffusion", "ngram", "language_model", "gaussian"])
    def test_saved_ones_damaged_anywhere(self, kind, models, tmp_path):
        tally = self.fuzz(
            kind, models[kind], lambda: load_model(tmp_path / "m"), tmp_path / "m", 60
        )
        assert tally.refused.total() > 10

    @pytest.mark.parametrize(("kind", "sections"), [("vae", IMAGES), ("gaussian", VECTORS)])
    def test_bases_damaged_anywhere(self, kind, sections, models, tmp_path):
        keys = {**sections, "start": "base", "base": str(tmp_path / "m")}
        if kind == "vae":
            keys["modality"] = {**keys["modality"], "extractor": "pixels"}
        config = validate_config({"name": "x", **keys}, "test")
        self.fuzz(kind, models[kind], lambda: build(config, "test"), tmp_path / "m", 40)

    @pytest.mark.parametrize("name", ["ddpm", "by_class", "latent", "stable_diffusion"])
    def test_pipelines_damaged_anywhere(self, name, pipelines, digits, captioned, tmp_path):
        data = digits
        if name == "stable_diffusion":
            source = {"kind": "captioned_folder", "path": str(captioned)}
            section = {"kind": "image", "source": source, "n_test": 4, "extractor": "pixels"}
            config = validate_config({"name": "x", "modality": section, "model": "vae"}, "test")
            data = section, build_modality(config)
        self.fuzz(
            name, pipelines / name, lambda: open_pipeline(tmp_path / "m", data), tmp_path / "m", 25
        )

    @pytest.mark.slow
    def test_language_models_damaged_anywhere(self, models, tmp_path):
        source = shutil.copytree(models["language_model"], tmp_path / "source")
        (source / "imglab.json").unlink()
        self.fuzz(
            "pretrained", source, lambda: open_language_model(tmp_path / "m"), tmp_path / "m", 40
        )

    @pytest.mark.parametrize("kind", ["vae", "diffusion", "language_model"])
    @pytest.mark.parametrize("lie", ["offsets", "overlap", "length", "shape", "names", "dtype"])
    def test_headers_that_lie(self, kind, lie, models, tmp_path):
        folder = shutil.copytree(models[kind], tmp_path / "m")
        path = next(folder.rglob("*.safetensors"))
        whole = path.read_bytes()
        size = int.from_bytes(whole[:8], "little")
        header, data = json.loads(whole[8 : 8 + size]), whole[8 + size :]
        names = [name for name in header if name != "__metadata__"]
        first, second = header[names[0]], header[names[1]]
        if lie == "offsets":
            first["data_offsets"] = [first["data_offsets"][0], 10**15]
        elif lie == "overlap":
            second["data_offsets"] = first["data_offsets"]
        elif lie == "shape":
            first["shape"] = [2**40, 2**40]
        elif lie == "dtype":
            first["dtype"] = "I32"
        elif lie == "names":
            header = {f"../{name}": header[name] for name in names}
        told = json.dumps(header).encode()
        length = 2**62 if lie == "length" else len(told)
        path.write_bytes(length.to_bytes(8, "little") + told + data)
        opened = Tally().open("header", lambda: load_model(folder))
        assert not opened or (kind, lie) == ("language_model", "dtype"), (
            "transformers reads whole numbers as others"
        )

    @pytest.mark.parametrize(
        "name", ["pytorch_model.bin", "model.pt", "model.ckpt", "weights.pkl", "model.pth"]
    )
    def test_pickles_are_refused_by_name(self, name, models, pipelines, digits, marker, tmp_path):
        for source, call in (
            (models["language_model"], open_language_model),
            (pipelines / "ddpm", lambda path: open_pipeline(path, digits)),
        ):
            folder = shutil.copytree(source, tmp_path / source.name)
            weights = next(folder.rglob("*.safetensors"))
            weights.unlink()
            (weights.parent / name).write_bytes(pickle.dumps(Marker(marker)))
            torch.save({"x": Marker(marker)}, weights.parent / "other.bin")
            message = refused(lambda folder=folder, call=call: call(folder))
            assert "only safetensors are opened" in message
            assert name in message
        assert not marker.exists()

    @pytest.mark.parametrize(
        "part", ["../outside.safetensors", "/outside.safetensors", "pytorch_model.bin", 3, None]
    )
    def test_an_index_that_leads_elsewhere(self, part, models, marker, tmp_path):
        folder = shutil.copytree(models["language_model"], tmp_path / "m")
        (folder / "model.safetensors").rename(tmp_path / "outside.safetensors")
        torch.save({"x": Marker(marker)}, folder / "pytorch_model.bin")
        index = {"metadata": {}, "weight_map": {"lm_head.weight": part}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        (folder / "decoy.safetensors").write_bytes((tmp_path / "outside.safetensors").read_bytes())
        assert "no safetensors in its folder" in refused(lambda: open_language_model(folder))
        assert not marker.exists()

    def test_an_adapter_does_not_name_what_is_loaded(self, models, tmp_path):
        folder = shutil.copytree(models["language_model"], tmp_path / "m")
        (folder / "adapter_config.json").write_text(
            json.dumps({"base_model_name_or_path": str(tmp_path)})
        )
        assert "holds an adapter" in refused(lambda: open_language_model(folder))

    @pytest.mark.parametrize("key", ["AutoConfig", "AutoModelForCausalLM", "AutoTokenizer"])
    def test_code_beside_a_model_never_runs(self, key, models, marker, tmp_path):
        folder = shutil.copytree(models["language_model"], tmp_path / "m")
        code = f"open({str(marker)!r}, 'w')\nclass Anything:\n    pass\n"
        for name in ("modeling_x.py", "model.py", "__init__.py"):
            (folder / name).write_text(code)
        for path in (folder / "config.json", folder / "tokenizer_config.json"):
            told = json.loads(path.read_text())
            named = (
                ["modeling_x.Anything", None] if key == "AutoTokenizer" else "modeling_x.Anything"
            )
            told |= {
                "auto_map": {key: named},
                "trust_remote_code": True,
                "model_type": "anything",
                "tokenizer_class": "Any",
            }
            path.write_text(json.dumps(told))
        Tally().open("code", lambda: open_language_model(folder))
        assert not marker.exists()

    @pytest.mark.parametrize(
        "change",
        [
            {"unet": ["model", "Anything"]},
            {"unet": ["antigravity", "fly"]},
            {"unet": ["subprocess", "Popen"]},
            {"unet": []},
            {"unet": [["a"], {}]},
            {"_class_name": ["model", "Anything"]},
            {"_class_name": "Anything", "custom_pipeline": "model"},
        ],
    )
    def test_code_beside_a_pipeline_never_runs(self, change, pipelines, digits, marker, tmp_path):
        folder = shutil.copytree(pipelines / "ddpm", tmp_path / "m")
        code = f"open({str(marker)!r}, 'w')\nclass Anything:\n    pass\n"
        for name in ("model.py", "pipeline.py", "unet/model.py"):
            (folder / name).write_text(code)
        index = json.loads((folder / "model_index.json").read_text())
        (folder / "model_index.json").write_text(json.dumps({**index, **change}))
        refused(lambda: open_pipeline(folder, digits))
        assert not marker.exists()
        assert "antigravity" not in sys.modules

    @pytest.mark.parametrize(
        ("kind", "file", "change"),
        [
            ("language_model", "config.json", {"n_layer": 10**9}),
            ("language_model", "config.json", {"num_labels": 10**9}),
            ("language_model", "config.json", {"vocab_size": 10**15}),
            ("language_model", "config.json", {"n_embd": 10**400}),
            ("ngram", "config.json", {"order": 10**9, "entries": None}),
            ("ngram", "config.json", {"entries": [10**12]}),
            ("diffusion", "unet/config.json", {"layers_per_block": 10**9}),
            ("diffusion", "unet/config.json", {"block_out_channels": [8, 8 * 10**9]}),
            ("diffusion", "imglab.json", {"classes": 10**12}),
            ("vae", "imglab.json", {"shape": [10**9, 10**9, 10**9]}),
            ("ddpm", "unet/config.json", {"layers_per_block": 10**9}),
            ("ddpm", "scheduler/scheduler_config.json", {"num_train_timesteps": 10**12}),
        ],
    )
    def test_sizes_without_end_are_refused_at_once(
        self, kind, file, change, models, pipelines, digits, tmp_path
    ):
        folder = shutil.copytree(models.get(kind, pipelines / kind), tmp_path / "m")
        (folder / file).write_text(
            json.dumps({**json.loads((folder / file).read_text()), **change})
        )
        refused(
            (lambda: open_pipeline(folder, digits))
            if kind == "ddpm"
            else (lambda: load_model(folder))
        )

    @pytest.mark.parametrize("name", ["imglab.json", "class.json"])
    @pytest.mark.parametrize(
        "content", [b"", b"[]", b"null", b'{"kind": []}', b'{"kind": "os:system"}', b"[" * 10**5]
    )
    def test_what_says_which_kind_it_is(self, name, content, models, tmp_path):
        folder = shutil.copytree(models["vae"], tmp_path / "m")
        (folder / name).write_bytes(content)
        refused(lambda: load_model(folder))

    @pytest.mark.parametrize("suffix", ["pth", "safetensors"])
    def test_an_extractors_weights(self, suffix, marker, tmp_path):
        path = tmp_path / f"weights.{suffix}"
        path.write_bytes(pickle.dumps(Marker(marker)))
        tally = Tally()
        torch.save({"a": torch.zeros(3)}, tmp_path / "good.pth")
        whole = (tmp_path / "good.pth").read_bytes()
        chosen = {"kind": "inception", "weights": str(path)}
        config = validate_config(
            {"name": "x", "modality": {"kind": "image", "extractor": chosen}, "model": "vae"},
            "test",
        )
        assert not tally.open("extractor", lambda: build_modality(config))
        for seed in range(5):
            path.write_bytes(spoiled(whole, random.Random(seed)))
            assert not tally.open("extractor", lambda: build_modality(config))
        assert not marker.exists()


def signed_again(path: Path, tree) -> None:
    """Write what a stranger would who signs what he changed."""
    path.unlink()
    try:
        path.write_bytes(
            files.signed_bytes({key: value for key, value in tree.items() if key != "self"})
        )
    except (AttributeError, ValueError):
        path.write_bytes(written(tree))


@pytest.fixture
def copy(finished_runs, tmp_path):
    """Copy a run, so that a test may spoil it."""

    def copied(name, to=None):
        return shutil.copytree(finished_runs[name], tmp_path / (to or name))

    return copied


def resealed(path: Path) -> None:
    """Let the manifest of a stranger's generation list a file of it as it now is."""
    manifest = path.with_name(layout.MANIFEST)
    listed = {
        key: value for key, value in json.loads(manifest.read_text()).items() if key != "self"
    }
    listed["files"][path.name] = files.sha256_file(path)
    files.write_signed(manifest, listed)


OF_A_RUN = ("config.yaml", "environment.json", "events.jsonl")
OF_A_GENERATION = (
    *("metrics.json", "manifest.json", "exhibit.json", "exhibit.safetensors", "shown.safetensors"),
    *("per_sample.safetensors", "samples.safetensors"),
)


@pytest.mark.slow
class TestRuns:
    @pytest.mark.parametrize(
        "name", [*(pytest.param(name, marks=SLOW) for name in ("replace", "texts")), "vectors"]
    )
    @pytest.mark.parametrize("file", [*OF_A_RUN, *OF_A_GENERATION])
    def test_any_file_damaged_anywhere(self, name, file, finished_runs, tmp_path):
        tally, run = Tally(), tmp_path / name
        shutil.copytree(finished_runs[name], run)
        for seed in range(12 if file == "metrics.json" else 5):
            chance = random.Random(f"{name} {file} {seed}")
            g = chance.randrange(2)
            path = run / file if file in OF_A_RUN else layout.generation_folder(run, g) / file
            if not path.exists():
                pytest.skip(f"{name} has no {file}")
            whole = path.read_bytes()
            if file.endswith(".json") and chance.random() < 0.8:
                signed_again(path, strange(json.loads(whole), chance)) if "self" in json.loads(
                    whole
                ) else path.write_bytes(written(strange(json.loads(whole), chance)))
            elif file == "events.jsonl":
                lines = whole.decode().splitlines()
                at = chance.randrange(len(lines))
                lines[at] = json.dumps(strange(json.loads(lines[at]), chance))
                path.write_text("\n".join(lines))
            else:
                path.write_bytes(spoiled(whole, chance))
            if file == "metrics.json":  # or nothing in it would be looked at
                resealed(path)
            tally.open("report", lambda: build_page(read_arms([run])))
            tally.open("metrics", lambda: format_table(reading.read_metrics(run)))
            if file in ("metrics.json", "per_sample.safetensors") and seed < 3:
                tally.open("results", lambda: write_results(run))
            if file in ("samples.safetensors", "config.yaml", "environment.json") and seed < 3:
                shutil.rmtree(tmp_path / "out", ignore_errors=True)
                tally.open("export", partial(export, f"{run}@{g}", tmp_path / "out"))
            path.unlink()
            path.write_bytes(whole)
            if file == "metrics.json":
                resealed(path)
        assert tally.tried >= 10

    @pytest.mark.parametrize(
        "value",
        [
            pytest.param(value, marks=() if at % 4 == 0 else SLOW)
            for at, value in enumerate(STRANGE)
        ],
    )
    def test_strange_values_where_numbers_are(self, value, copy):
        run, tally = copy("vectors"), Tally()
        path = run / "generation_001" / "metrics.json"
        whole = json.loads(path.read_text())
        for keys in (
            ["fid"],
            ["fid_se"],
            ["floor", "recall"],
            ["floor", "recall", "sd"],
            ["n_train"],
            ["origins"],
        ):
            tree = json.loads(json.dumps(whole))
            node = tree
            for key in keys[:-1]:
                node = node[key]
            node[keys[-1]] = value
            path.write_bytes(written(tree))
            resealed(path)
            tally.open("report", lambda: build_page(read_arms([run])))
            tally.open("metrics", lambda: format_table(reading.read_metrics(run)))
        assert tally.tried == 12

    @pytest.mark.parametrize("value", [1e308, -1e308, 5e-324, 1e300, 1e-300, 0])
    def test_numbers_at_the_ends_are_drawn(self, value, copy):
        run = copy("vectors")
        for g in range(4):
            path = run / f"generation_{g:03d}" / "metrics.json"
            row = json.loads(path.read_text())
            path.write_bytes(
                written({**row, "fid": value if g % 2 else -value, "fid_se": abs(value)})
            )
            resealed(path)
        rows = reading.read_metrics(run)
        assert (
            "nan"
            not in build_page(read_arms([run]))
            .html.partition('<script type="application/json"')[0]
            .lower()
        )
        assert "generation" in format_table(rows)
        assert metrics_csv(rows)

    @pytest.mark.parametrize(
        "described",
        [
            {"arms": ["../secret"], "seeds": [0]},
            {"arms": ["/secret"], "seeds": [0]},
            {"arms": [None], "seeds": [0]},
            {"arms": ["a"], "seeds": ["../../secret"]},
            {"arms": ["a"], "seeds": [True]},
            {"arms": [], "seeds": []},
            {"arms": {"a": 1}, "seeds": 3},
            {"arms": ["a\0"], "seeds": [0]},
        ],
    )
    def test_a_sweep_does_not_lead_out_of_its_folder(
        self, described, finished_runs, tmp_path, monkeypatch
    ):
        shutil.copytree(finished_runs["texts"], tmp_path / "secret" / "seed-0")
        (tmp_path / "sweep").mkdir()
        files.write_signed(
            tmp_path / "sweep" / "sweep.json", {**described, "contrasts": [], "generations": {}}
        )
        assert "sweep.json" in refused(lambda: read_arms([tmp_path / "sweep"]))
        assert "sweep.json" in refused(lambda: groups.run_folders(tmp_path / "sweep"))
        assert lab(monkeypatch, "metrics", tmp_path / "sweep") == 2
        assert lab(monkeypatch, "report", tmp_path / "sweep") == 2

    @pytest.mark.parametrize(
        "names", [["../secret"], ["/x"], ["."], [""], [None], [{}], {}, "x", [], ["a/b"], ["a\0"]]
    )
    def test_chains_do_not_lead_out_of_their_folder(self, names, finished_runs, tmp_path):
        shutil.copytree(finished_runs["texts"], tmp_path / "secret")
        (tmp_path / "several").mkdir()
        files.write_signed(tmp_path / "several" / "chains.json", {"chains": names})
        assert "chains.json" in refused(lambda: read_arms([tmp_path / "several"]))

    @pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "..", "a\0b", ""])
    def test_paths_in_manifests_are_not_followed(self, name, copy, tmp_path):
        run = copy("replace")
        (tmp_path / "secret").write_text(SECRET)
        for key in ("files", "shared"):
            path = run / "generation_001" / "manifest.json"
            manifest = json.loads(path.read_text())
            signed_again(path, {**manifest, key: {**manifest[key], name: "0" * 64}})
        assert SECRET not in build_page(read_arms([run])).html
        assert "is listed, but lies outside its folder" in refused(
            lambda: export(f"{run}@1", tmp_path / "out")
        )
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        "link",
        [
            *("config.yaml", "environment.json", "events.jsonl", "shared", "generation_001"),
            *(
                f"generation_001/{name}"
                for name in ("metrics.json", "manifest.json", "samples.txt", "exhibit.json")
            ),
            *(
                "generation_001/notes.txt",
                "generation_001/model",
                "generation_001/shown.safetensors",
            ),
        ],
    )
    def test_links_are_not_followed(self, link, copy, tmp_path, monkeypatch, capsys):
        run, outside = copy("texts"), tmp_path / "outside"
        path = run / link
        if path.is_dir():
            shutil.copytree(path, outside)
            shutil.rmtree(path)
        else:
            outside.write_text(json.dumps({"secret": SECRET, "shown": [{"text": SECRET}]}))
            path.unlink(missing_ok=True)
        path.symlink_to(outside)
        for call in (
            lambda: read_arms([run]),
            lambda: reading.read_metrics(run),
            lambda: export(f"{run}@1", tmp_path / "out"),
        ):
            assert "is a symlink" in refused(call)
        assert lab(monkeypatch, "report", run, "--out", tmp_path / "page.html") == 2
        assert (
            lab(
                monkeypatch,
                "fork",
                f"{run}@1",
                "--out",
                tmp_path / "fork",
                "--set",
                "generations=4",
            )
            == 2
        )
        assert SECRET not in capsys.readouterr().err
        assert not (tmp_path / "page.html").exists()
        assert not (tmp_path / "fork").exists()
        with LiveReport(run) as live:
            assert SECRET not in ask(live, "GET / HTTP/1.0\r\nHost: {host}")

    def test_chains_that_are_links_are_not_followed(self, finished_runs, tmp_path):
        folder = tmp_path / "several"
        folder.mkdir()
        (folder / "a").symlink_to(finished_runs["texts"])
        files.write_signed(folder / "chains.json", {"chains": ["a"]})
        assert "is a symlink" in refused(lambda: read_arms([folder]))

    @pytest.mark.parametrize("name", ["metrics.json", "manifest.json", "exhibit.json", "grid.png"])
    def test_pipes_do_not_hang(self, name, copy):
        run = copy("replace")
        path = run / "generation_001" / name
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        message = "is a symlink or a special file"
        assert message in refused(lambda: read_arms([run]))

    def test_a_picture_that_is_a_bomb_is_not_opened(self, copy):
        run = copy("vectors")
        (run / "generation_001" / "grid.png").unlink(missing_ok=True)
        for path in (run / "generation_001").glob("*.png"):
            path.unlink()
        (run / "generation_001" / "a.png").write_bytes(
            encoded(Image.new("1", (20_000, 20_000)), "PNG")
        )
        shown = gallery.collect(read_arms([run])).arms[0]["generations"][1]
        assert "a.png cannot be read" in shown["note"]

    def test_an_exhibit_that_does_not_fit(self, copy):
        run, tally = copy("texts"), Tally()
        path = run / "generation_001" / "exhibit.safetensors"
        whole = load_file(path)
        for name, column in whole.items():
            for changed in (
                column[:1],
                column[:0],
                column.astype(np.float32) * np.nan,
                column.reshape(-1),
                -column,
            ):
                path.unlink()
                save_file({**whole, name: np.ascontiguousarray(changed)}, path)
                tally.open("exhibit", lambda: build_page(read_arms([run])))
        assert tally.opened.total() == tally.tried, "one damaged picture leaves the rest"

    def test_what_a_person_has_marked(self, tmp_path):
        files.write_signed(tmp_path / NAMES, {"names": ["a.png", "b.png"]})
        tally = Tally()
        whole = b"file,keep\na.png,1\nb.png,0\n"
        unused: Any = None
        context = Context(torch.zeros(2, 1), torch.zeros(2, 1), unused, unused, 0, 0, tmp_path)
        unmarked = 0
        for seed in range(60):
            (tmp_path / MARKS).write_bytes(spoiled(whole, random.Random(seed)))
            try:
                tally.open("marks", lambda: human(unused, context))
            except Stopped:  # a mark is missing: the person is asked again
                unmarked += 1
        assert tally.tried + unmarked == 60
        assert tally.tried > 40

    @pytest.mark.parametrize("name", ["replace", "texts", "vectors"])
    def test_forks_of_damaged_runs(self, name, finished_runs, tmp_path):
        tally, run, out = Tally(), tmp_path / name, tmp_path / "fork"
        shutil.copytree(finished_runs[name], run)
        inside = [
            path
            for path in run.rglob("*")
            if path.is_file() and path.parent.name == "generation_001"
        ]
        for seed in range(30):
            chance = random.Random(seed)
            path = chance.choice(
                sorted([*inside, *(run / file for file in ("config.yaml", "environment.json"))])
            )
            whole = path.read_bytes()
            path.unlink()
            path.write_bytes(spoiled(whole, chance))
            tally.open("fork", lambda: fork(f"{run}@1", out, changes=["generations=3"]))
            shutil.rmtree(out, ignore_errors=True)
            path.write_bytes(whole)
        assert tally.tried == 30


class Reader(HTMLParser):
    """Reads a page back: its text and the elements that it has."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.attributes: list[str] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        self.attributes += [value or "" for _, value in attrs]

    def handle_data(self, data):
        self.text.append(data)


def controls(text: str) -> list[str]:
    """Return what would drive a terminal, or turn its text round."""
    return [sign for sign in text if not sign.isprintable() and sign != "\n"]


MANY = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class TestNeutralised:
    @MANY
    @given(text=HOSTILE)
    def test_names_and_texts_on_the_page(self, text, finished_runs):
        with tempfile.TemporaryDirectory() as folder:
            run = shutil.copytree(finished_runs["texts"], Path(folder) / "run")
            for g in range(3):
                path = layout.generation_folder(run, g) / "exhibit.json"
                words = json.loads(path.read_text())
                words["shown"][0] = {"text": text, "prompt": text}
                path.write_bytes(written(words))
                path = layout.generation_folder(run, g) / "metrics.json"
                row = {
                    **json.loads(path.read_text()),
                    text: 1.5,
                    "extractor": text,
                    "class_survival": {text: 1.0},
                }
                path.write_bytes(written({**row, "reasons": {text: text}}))
                resealed(path)
            arms = [type(arm)(text, arm.folder, arm.rows) for arm in read_arms([run])]
            plain = [
                type(arm)("name", arm.folder, arm.rows)
                for arm in read_arms([finished_runs["texts"]])
            ]
            html = build_page(arms).html
        read, known = Reader(html), Reader(build_page(plain).html)
        assert {tag for tag, _ in read.elements} == {tag for tag, _ in known.elements}
        assert {names for _, names in read.elements} <= {names for _, names in known.elements}
        assert [tag for tag, _ in read.elements].count("script") == 2
        shown = text.replace("\r\n", "\n").replace("\r", "\n")
        if "\0" not in text:
            assert shown in "".join(read.text).replace("\r\n", "\n").replace("\r", "\n")
        (data,) = re.findall(
            r'<script type="application/json" id="data">(.*?)</script>', html, re.S
        )
        found = json.loads(data)
        assert found["arms"][0]["generations"][0]["words"][0] == text

    @MANY
    @given(text=HOSTILE)
    def test_names_in_the_terminal_and_in_tables(self, text, finished_runs):
        row = reading.read_metrics(finished_runs["vectors"])[0]
        row = {
            **row,
            "extractor": text,
            "reference": text,
            text: 1.5,
            "reasons": {text: text},
            "headline": [text],
        }
        assert not controls(format_table([row, row]))
        assert not any(map(controls, streamed(row)))
        for line in csv.reader(io.StringIO(metrics_csv([row, row]).decode())):
            for cell in line:
                assert not cell.startswith(FORMULAS) or re.fullmatch(r"-\d[\d.e+-]*", cell)

    @settings(max_examples=10, deadline=None)
    @given(text=HOSTILE)
    def test_names_in_figures(self, text):
        floor = {"fid": {"mean": 1.0, "sd": 0.1}}
        described = {
            "extractor": text,
            "reference": "test",
            "n_real": 5,
            "n_synthetic": 5,
            "reasons": {},
            "floor": floor,
        }
        rows = [
            {"generation": g, "fid": 1.0, text: 2.0, "class_counts": {text: 3}, **described}
            for g in range(2)
        ]
        read = Reader(figure_svg(curves_figure({"": rows})).decode())
        assert not {"script", "img", "a", "foreignobject"} & {tag for tag, _ in read.elements}
        assert not [name for _, names in read.elements for name in names if name.startswith("on")]

    @pytest.mark.parametrize(
        "name",
        ["<img src=x onerror=alert(1)>", "=cmd()", "\x1b[31mred", "a\nb", "\u202eback", "$x^$"],
    )
    def test_a_run_directory_may_be_called_anything(
        self, name, finished_runs, tmp_path, monkeypatch, capsys
    ):
        run = shutil.copytree(finished_runs["replace"], tmp_path / name)
        assert lab(monkeypatch, "report", run, "--out", tmp_path / "page.html") == 0
        page = Reader((tmp_path / "page.html").read_text())
        assert not [names for tag, names in page.elements if "onerror" in names]
        assert export(f"{run}@1", tmp_path / "out") > 0
        assert not controls(json.loads((tmp_path / "out" / "manifest.json").read_text())["run"])

    def test_a_run_directory_that_utf8_cannot_say(self, finished_runs, tmp_path):
        run = shutil.copytree(finished_runs["vectors"], tmp_path / os.fsdecode(b"\xff"))
        write_report([run], tmp_path / "page.html")
        assert "\\udcff" in (tmp_path / "page.html").read_text()
        with LiveReport(run) as live:
            assert "200 OK" in ask(live, "GET / HTTP/1.0\r\nHost: {host}")

    @pytest.mark.slow
    def test_classes_and_their_folders(self, finished_runs, tmp_path, monkeypatch):
        names = ["../../x", "=cmd()", "<b>", "a\nb", "\x1b[31m", "x" * 900, "日" * 300, "."]
        images = np.random.default_rng(0).integers(0, 255, (64, 8, 8), dtype=np.uint8)
        labels = np.array(names * 8)
        np.savez(
            tmp_path / "a.npz",
            train_images=images,
            train_labels=labels,
            test_images=images,
            test_labels=labels,
        )
        modality = {
            "kind": "image",
            "source": {"kind": "npz", "path": str(tmp_path / "a.npz")},
            "extractor": "pixels",
        }
        model = {"kind": "vae", "hidden": [8], "latent": 2, "training": {"images": 64}}
        changes = {"modality": modality, "model": model, "generations": 1, "samples": 16}
        run = run_chain_in(tmp_path, "run", {**IMAGES, **changes})
        for path in write_results(run):
            assert path.exists()
        assert export(f"{run}@0", tmp_path / "out") == 16
        inside = tmp_path / "out"
        assert all(path.resolve().is_relative_to(inside) for path in inside.rglob("*"))

    def test_the_sheet_of_texts_has_no_control_characters(self, models):
        from imglab.text.render import write_sheet

        model = load_model(models["language_model"])
        evil = model._tokenizer("\x1b[31m \x9b2J \u202e \x07", return_tensors="pt").input_ids
        assert not controls(write_sheet([(evil, evil)], model._tokenizer))


def ask(live: LiveReport, request: str) -> str:
    """Send bytes to the live server as they are and return its answer."""
    port = int(live.url.rsplit(":", 1)[1].strip("/"))
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        whole = request.replace("{host}", f"127.0.0.1:{port}") + "\r\n\r\n"
        connection.sendall(whole.encode("utf-8", "surrogateescape"))
        connection.shutdown(socket.SHUT_WR)
        parts = []
        while part := connection.recv(1 << 16):
            parts.append(part)
    return b"".join(parts).decode("utf-8", "replace")


class TestLive:
    @pytest.fixture
    def live(self, finished_runs):
        with LiveReport(finished_runs["vectors"]) as server:
            yield server

    def test_it_listens_on_this_machine_alone(self, live):
        assert live._server.socket.getsockname()[0] == "127.0.0.1"

    @pytest.mark.parametrize(
        "host",
        [
            "evil.example",
            "127.0.0.1",
            "localhost",
            "0.0.0.0",
            "127.0.0.1:1",
            "[::1]",
            "",
            "x" * 999,
        ],
    )
    def test_another_host_is_refused(self, host, live):
        answer = ask(live, f"GET / HTTP/1.1\r\nConnection: close\r\nHost: {host}")
        assert " 403 " in answer.splitlines()[0]
        assert "generation" not in answer

    @pytest.mark.parametrize(
        "method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE", "BREW", "get"]
    )
    def test_only_get_is_answered(self, method, live, capfd):
        assert " 501 " in ask(live, f"{method} / HTTP/1.0\r\nHost: {{host}}").splitlines()[0]
        assert "Traceback" not in capfd.readouterr().err

    @pytest.mark.parametrize(
        "path",
        [
            *(
                "/../../etc/passwd",
                "/%2e%2e/%2e%2e/etc/passwd",
                "//etc/passwd",
                "/..\\..\\etc\\passwd",
                "/\x00",
                "/a%00b",
            ),
            *(
                "/config.yaml",
                "/generation_000/metrics.json",
                "/./",
                "/?x",
                "/state/",
                "/state?x",
                "http://evil/",
                "*",
                "\\",
            ),
            *("/" + "x" * 60_000, "/\x1b[31m", "/<script>", "/\udcff"),
        ],
    )
    def test_there_is_nothing_but_the_page(self, path, live, capfd):
        answer = ask(live, f"GET {path} HTTP/1.0\r\nHost: {{host}}")
        assert answer.split()[1] in ("400", "404", "414")
        assert "root:" not in answer
        assert "<script>" not in answer
        assert "Traceback" not in capfd.readouterr().err

    @pytest.mark.parametrize(
        "request_",
        [
            *(
                "",
                "GET",
                "GET /",
                "GET / HTTP/9.9",
                "GET / HTTP/1.x",
                "\x16\x03\x01 / HTTP/1.1",
                "A" * 70_000,
                "\udcff\udcfe",
            ),
            *(
                "GET / HTTP/1.0\r\n" + "a: b\r\n" * 300,
                "GET / HTTP/1.0\r\nHost" + "x" * 70_000,
                "GET / HTTP/1.0\r\n:\r\n",
            ),
            "GET / HTTP/1.0\r\nHost: {host}\r\nHost: evil.example\r\nContent-Length: -1",
        ],
    )
    def test_malformed_requests(self, request_, live, capfd):
        ask(live, request_)
        assert " 200 " in ask(live, "GET / HTTP/1.0\r\nHost: {host}").splitlines()[0], "it goes on"
        assert "Traceback" not in capfd.readouterr().err

    @pytest.mark.parametrize(
        "file", ["chains.json", "sweep.json", "config.yaml", "generation_000/metrics.json"]
    )
    def test_a_damaged_run(self, file, copy, capfd):
        run = copy("vectors")
        (run / file).write_text('{"chains": ["../x"], "arms": ["../x"], "seeds": [0]}')
        with LiveReport(run) as live:
            for path in ("/", "/state"):
                assert (
                    " 200 " in ask(live, f"GET {path} HTTP/1.0\r\nHost: {{host}}").splitlines()[0]
                )
        assert "Traceback" not in capfd.readouterr().err

    def test_the_page_may_load_nothing(self, live):
        answer = ask(live, "GET / HTTP/1.0\r\nHost: {host}")
        assert "default-src 'none'" in answer
        assert "X-Content-Type-Options: nosniff" in answer


def test_formats_that_run_programs_are_not_tried():
    assert not {"EPS", "PDF", "WMF", "FPX", "MPEG"} & set(image_files.FORMATS)
