"""Pictures, captions and archives as people and other tools write them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image

from imglab.errors import InputError
from imglab.failures import Unavailable
from imglab.images.folders import read_captioned_folder
from imglab.images.image_files import read_image
from imglab.images.npz_arrays import NotImages, as_images
from imglab.images.source_settings import CaptionedFolderSource
from tests.images.loading import load, refused

NOISE = np.random.default_rng(0).integers(0, 256, (12, 9, 3), dtype=np.uint8)


def from_folder(path, kind="folder", **keys):
    more = {key: keys.pop(key) for key in ("tolerate", "splits", "caption") if key in keys}
    return {"source": {"kind": kind, "path": str(path), **more}, **keys}


class TestPictures:
    @pytest.mark.parametrize("turn", range(1, 9))
    @pytest.mark.parametrize("kind", ["png", "tif", "jpg"])
    def test_exif_makes_upright(self, turn, kind, tmp_path):
        """The reference is Pillow's own function, on the file that was opened."""
        from PIL import ImageOps

        exif = Image.Exif()
        exif[0x0112] = turn
        path = tmp_path / f"x.{kind}"
        Image.fromarray(NOISE).save(path, exif=exif)
        with Image.open(path) as image:
            image.load()
            assert (read_image(path, None) == np.asarray(ImageOps.exif_transpose(image))).all()

    @pytest.mark.parametrize(
        "suffix", ["PNG", "jfif", "ppm", "pgm", "tga", "pcx", "ico", "sgi", "jp2", "avif", "dib"]
    )
    def test_formats(self, suffix, tmp_path):
        for number in range(3):
            path = tmp_path / f"{number}.{suffix}"
            Image.fromarray(NOISE[..., 0] if suffix == "pgm" else NOISE).save(
                path, **({"format": "JPEG"} if suffix == "jfif" else {})
            )
        assert len(load(**from_folder(tmp_path, size=8)).train) == 2

    def test_a_photo_of_200_megapixels(self, tmp_path):
        path = tmp_path / "x.jpg"
        Image.new("L", (20_000, 10_000), 90).save(path)
        assert read_image(path, 16).tolist() == [[90] * 16] * 16
        with pytest.raises(ValueError, match=r"set modality\.size"):
            read_image(path, None)

    def test_a_progressive_photo_is_counted_whole(self, tmp_path, monkeypatch):
        monkeypatch.setattr("imglab.images.image_files.MOST_DECODED", 10**7)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10**6)
        for is_progressive in (False, True):
            path = tmp_path / f"{is_progressive}.jpg"
            Image.new("RGB", (1600, 1600)).save(path, progressive=is_progressive)
        assert read_image(tmp_path / "False.jpg", 16).shape == (16, 16, 3)
        with pytest.raises(ValueError, match="of which reading takes"):
            read_image(tmp_path / "True.jpg", 16)

    def test_pictures_that_add_up(self, tmp_path, monkeypatch):
        monkeypatch.setattr("imglab.images.image_reading.ALWAYS_ALLOWED", 1 << 23)
        for number in range(3):
            Image.new("RGB", (1000, 1000)).save(tmp_path / f"{number}.png")
        assert "times as many, and more than 8,388,608" in refused(**from_folder(tmp_path))

    def test_broken_ones_may_be_left_out(self, tmp_path):
        for number in range(5):
            Image.fromarray(NOISE).save(tmp_path / f"{number}.png")
        (tmp_path / "x.png").write_bytes(b"nothing")
        (tmp_path / "heic.jpg").write_bytes(bytes(4) + b"ftypheic" + bytes(9))
        message = refused(**from_folder(tmp_path, tolerate=1))
        assert "heic.jpg: cannot be read as an image: it is HEIC" in message
        summary = load(**from_folder(tmp_path, tolerate=2)).summary
        assert summary.line() == (
            "5 images: no classes; train 4, test 1; left out: 2 broken (heic.jpg, x.png)"
        )

    def test_broken_ones_are_named_with_their_class(self, tmp_path):
        for name in ("cat/0", "cat/1", "dog/0", "dog/1"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            Image.fromarray(NOISE).save(tmp_path / f"{name}.png")
        (tmp_path / "dog/x.png").write_bytes(b"nothing")
        summary = load(**from_folder(tmp_path, tolerate=1)).summary
        assert summary.line().endswith("left out: 1 broken (dog/x.png)")

    def test_a_disk_that_fails_is_not_a_broken_picture(self, tmp_path, monkeypatch):
        for number in range(3):
            Image.fromarray(NOISE).save(tmp_path / f"{number}.png")

        def fail(*args, **keys):
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(Image, "open", fail)
        with pytest.raises(Unavailable, match=r"0.png: cannot be read now: Input/output error"):
            load(**from_folder(tmp_path, tolerate=9))


class TestCaptions:
    @pytest.fixture
    def folder(self, tmp_path):
        for number in range(6):
            path = tmp_path / "d" / "in" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(NOISE).save(path)
        return tmp_path / "d"

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("metadata.jsonl", '{"file_name": "in/N.png", "text": "a N"}'),
            ("Metadata.JSONL", '{"file_name": "in\\\\N.png", "text": ["a N", "one N"]}'),
            ("captions.jsonl", '{"image": "N.png", "caption": "a N"}'),
            ("in/metadata.csv", 'N.png,"a N"'),
            ("metadata.tsv", "in/N.png\ta N"),
            ("in/N.txt", "a\r\nN"),
            ("in/N.png.caption", "\ufeffa N"),
        ],
    )
    def test_forms(self, folder, name, text):
        header = {"csv": "file_name,text\n", "tsv": "filename\tsentence\n"}.get(name[-3:], "")
        texts = [text.replace("N", str(number)) for number in range(6)]
        if "N" in name.removesuffix("JSONL"):
            for number in range(6):
                (folder / name.replace("N", str(number))).write_text(texts[number])
        else:
            (folder / name).write_text("\ufeff" + header + "\n".join(texts))
        real = load(**from_folder(folder, "captioned_folder"))
        assert real.prompts == tuple(f"a {number}" for number in range(6))

    def test_of_coco(self, folder):
        images = [{"id": 9 - number, "file_name": f"{number}.png"} for number in range(6)]
        rows = [{"image_id": 9 - number, "caption": f"a {number}"} for number in range(6)]
        (folder / "captions.json").write_text(json.dumps({"images": images, "annotations": rows}))
        assert load(**from_folder(folder, "captioned_folder")).prompts[5] == "a 5"

    def test_a_table_may_have_several_rows_for_an_image(self, folder):
        """As captions.txt of Flickr8k has."""
        rows = [f"{number}.png,a {number}\n{number}.png,another" for number in range(6)]
        (folder / "captions.txt").write_text("\n".join(["image,caption", *rows]))
        real = load(**from_folder(folder, "captioned_folder"))
        assert real.prompts == tuple(f"a {number}" for number in range(6))
        assert "6 with several captions, of which the first is used" in real.summary.line()

    def test_a_comma_in_a_caption_asks_for_quotes(self, folder):
        (folder / "metadata.csv").write_text("file_name,text\n0.png,a cat, on a red mat\n")
        message = refused(**from_folder(folder, "captioned_folder"))
        assert "line 2 has more cells than the header, parted by a comma: put captions" in message

    def test_each_part_has_its_own(self, folder):
        for name in ("train", "validation"):
            (folder / name).mkdir()
        for number in range(6):
            part = folder / ("train" if number < 4 else "validation")
            (folder / "in" / f"{number}.png").rename(part / f"{number}.png")
            with (part / "metadata.jsonl").open("a") as file:
                file.write(json.dumps({"file_name": f"{number}.png", "text": f"a {number}"}) + "\n")
        real = load(**from_folder(folder, "captioned_folder"))
        assert (len(real.train), len(real.test)) == (4, 2)

    def test_one_on_a_disk_that_fails(self, folder, monkeypatch):
        (folder / "in" / "1.txt").write_text("a 1")

        def fail(path):
            raise OSError(5, "Input/output error")

        monkeypatch.setattr("imglab.images.captions_beside._read_text", fail)
        with pytest.raises(Unavailable, match=r"1.txt: cannot be read now: Input/output error"):
            load(**from_folder(folder, "captioned_folder"))

    def test_images_without_one(self, folder):
        (folder / "metadata.csv").write_text("file_name,text\nin/0.png,x\nin/1.png,y\nin/2.png,z")
        message = refused(**from_folder(folder, "captioned_folder"))
        assert "3.png: has no caption in metadata.csv" in message
        summary = load(**from_folder(folder, "captioned_folder", tolerate=3)).summary
        assert "left out: 3 images (no caption)" in summary.line()


ARRAYS = some.tuples(
    some.sampled_from([(5, 4), (5, 4, 3), (3, 5, 4), (1, 6, 6), (6, 6, 1)]),
    some.sampled_from(["uint8", "int64", "[0, 1]", "[-1, 1]", "whole"]),
)


class TestArchives:
    @settings(max_examples=40, deadline=None)
    @given(case=ARRAYS, seed=some.integers(0, 99))
    def test_every_form_gives_the_same_bytes(self, case, seed):
        shape, form = case
        generator = np.random.default_rng(seed)
        images = generator.integers(0, 256, (6, *shape), dtype=np.uint8)
        images[0].flat[:2] = (0, 255)
        forms: dict[str, np.ndarray] = {
            "uint8": images,
            "int64": images.astype(np.int64),
            "[0, 1]": (images / 255).astype(np.float32),
            "[-1, 1]": images / 127.5 - 1,
            "whole": images.astype(np.float64),
        }
        written = forms[form]
        read, _ = as_images({"one": written[:3], "other": written[3:]})
        expected = images
        if len(shape) == 3 and shape[0] in (1, 3):
            expected = np.moveaxis(images, 1, -1)
        assert (np.concatenate(list(read.values())) == expected).all()

    @pytest.mark.parametrize(
        ("shape", "message"),
        [
            ((4, 3, 8, 3), "either side may be the channels"),
            ((8, 8, 3), "is it one picture?"),
            ((4, 192), "must be uint8 [N, H, W]"),
            ((4, 8, 8, 4), "put transparency on white"),
        ],
    )
    def test_what_is_not_clear_is_refused(self, shape, message):
        with pytest.raises(NotImages) as caught:
            as_images({"images": np.zeros(shape, np.uint8)})
        assert message in str(caught.value)

    def test_numbers_that_are_not_clear(self):
        standard = np.random.default_rng(0).normal(size=(4, 8, 8))
        with pytest.raises(NotImages, match="scale them"):
            as_images({"images": standard})

    @pytest.mark.parametrize(
        "names",
        ["x_train y_train x_test y_test", "train_images train_labels test_images test_labels"],
    )
    def test_names_and_one_hot_labels(self, names, tmp_path):
        train, train_labels, test, test_labels = names.split()
        images = np.arange(4 * 25, dtype=np.uint8).reshape(4, 5, 5)
        hot = np.eye(3)[[2, 0, 1, 1]]
        arrays: dict[str, Any] = {train: images, test: images, train_labels: hot, test_labels: hot}
        arrays["val_images"] = images
        np.savez(tmp_path / "a.npz", **arrays)
        real = load(source={"kind": "npz", "path": str(tmp_path / "a.npz")})
        assert real.classes == ("0", "1", "2")
        assert torch.bincount(real.test.labels).tolist() == [1, 2, 1]
        assert "left out: 1 arrays (val_images)" in real.summary.line()

    def test_samples_of_guided_diffusion(self, tmp_path):
        images = np.zeros((20, 5, 5, 3), np.uint8)
        np.savez(tmp_path / "a.npz", images, np.arange(20) % 4)
        real = load(source={"kind": "npz", "path": str(tmp_path / "a.npz")})
        assert real.summary.counts == {"0": 5, "1": 5, "2": 5, "3": 5}
        np.savez(tmp_path / "a.npz", mu=np.zeros(3), sigma=np.eye(3))
        message = refused(source={"kind": "npz", "path": str(tmp_path / "a.npz")})
        assert "holds statistics of images" in message


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), MemoryError()])
def test_an_archive_that_the_system_cannot_read_is_not_broken(tmp_path, monkeypatch, error):
    def fail(*args, **keys):
        raise error

    np.savez(tmp_path / "a.npz", images=np.zeros((4, 8, 8), np.uint8))
    monkeypatch.setattr(np, "load", fail)
    with pytest.raises(Unavailable, match=r"a.npz: cannot be read now"):
        load(source={"kind": "npz", "path": str(tmp_path / "a.npz")})


def test_a_flat_test_part_does_not_cost_the_classes(tmp_path):
    for name in ("train/a/0", "train/b/0", "test/0"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(NOISE).save(tmp_path / f"{name}.png")
    with pytest.raises(InputError, match="train/ holds class folders and test/ does not"):
        load(**from_folder(tmp_path))


def test_a_table_of_another_name_is_named(tmp_path):
    """As the results.csv of Flickr30k: that it was seen, and is not read, must be said."""
    for number in range(3):
        Image.new("L", (8, 8)).save(tmp_path / f"{number}.png")
    (tmp_path / "results.csv").write_text("image_name| comment\n0.png| a dog\n")
    source = CaptionedFolderSource(path=str(tmp_path))
    with pytest.raises(InputError, match=r"of another name, and not read: results\.csv"):
        read_captioned_folder(source, None)

    (tmp_path / "results.csv").unlink()
    (tmp_path / "0.txt").write_text("a dog")
    with pytest.raises(InputError, match=r"1\.png: has no caption file beside it"):
        read_captioned_folder(source, None)
