"""Tables of captions as other tools write them, and what stands beside images and is no caption."""

from __future__ import annotations

import json
import unicodedata

import numpy as np
import pytest
from PIL import Image

from imglab.errors import InputError
from imglab.images.inspection import inspect_images
from tests.images.loading import load, refused
from tests.images.test_peoples_files import from_folder

N = 6


@pytest.fixture
def folder(tmp_path):
    for number in range(N):
        noise = np.random.default_rng(number).integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{number}.png")
    return tmp_path


def rows(line: str) -> str:
    return "\n".join(line.replace("N", str(number)) for number in range(N))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.csv", "Filename,Caption\n" + rows("N.png,a N")),
        ("metadata.csv", "file_name; text\n" + rows("N.png; a N")),
        ("metadata.csv", "sep=;\r\nfile_name;text\n" + rows("N.png;a N")),
        ("metadata.csv", "image_name| comment_number| comment\n" + rows("N.png| 0| a N")),
        ("metadata.csv", "file_name, text\n" + rows('N.png, "a N"')),
        ("metadata.csv", ",file_name,text\n" + rows("N,N.png,a N")),
        ("metadata.csv", "file_name,text\r" + rows("N.png,a N").replace("\n", "\r")),
        ("metadata.jsonl", rows('{"image": "N", "prompt": "a N"}')),
        ("metadata.jsonl", rows('{"image": "images/N.Png", "prompt": "a N"}')),
        (
            "metadata.jsonl",
            json.dumps([{"file_name": f"{n}.png", "text": f"a {n}"} for n in range(N)], indent=1),
        ),
        ("N.TXT", "a N"),
    ],
)
def test_every_form_gives_the_same_captions(name, text, folder):
    for number in range(N):
        (folder / name.replace("N", str(number))).write_text(text.replace("N", str(number)))
    real = load(**from_folder(folder, "captioned_folder"))
    assert real.prompts == tuple(f"a {number}" for number in range(N))


def test_accents_may_be_written_in_either_way(folder):
    (folder / "0.png").rename(folder / unicodedata.normalize("NFD", "\u00e9t\u00e9.png"))
    (folder / "metadata.csv").write_text("file_name,text\n\u00e9t\u00e9.png,summer\n1.png,one\n")
    assert load(**from_folder(folder, "captioned_folder", tolerate=N)).prompts == ("one", "summer")


@pytest.mark.parametrize("test", ["test", "Validation"])
def test_rows_may_name_their_split(test, folder):
    splits = ["train", "train", "train", test, test, "extra"]
    table = [f"{number}.png,a {number},{split}" for number, split in enumerate(splits)]
    (folder / "metadata.csv").write_text("\n".join(["file_name,text,split", *table]))
    real = load(**from_folder(folder, "captioned_folder"))
    assert (len(real.train), len(real.test)) == (3, 2)
    assert "left out: 1 file (of other splits)" in real.summary.line()
    assert "tolerate" not in inspect_images(str(folder)).config["modality"]["source"]
    assert load(**from_folder(folder, "captioned_folder", splits="none")).summary.total == N


@pytest.mark.parametrize(
    ("column", "train", "test"),
    [("subset", "Training", "Testing"), ("is_train", "1", "0"), ("isTest", "False", "True"),
     ("train_test", "train", "test"), ("partition", "0", "2"), ("train_test_split", "1", "0")],
)  # fmt: skip
def test_other_columns_name_the_split_too(column, train, test, folder):
    table = [f"{number}.png,a {number},{train if number < 4 else test}" for number in range(N)]
    (folder / "metadata.csv").write_text("\n".join([f"file_name,text,{column}", *table]))
    real = load(**from_folder(folder, "captioned_folder"))
    assert (len(real.train), len(real.test)) == (4, 2)


def test_rows_without_an_image_are_one_message(folder):
    (folder / "metadata.csv").write_text(
        "file_name,text\n" + rows("N.png,a N") + "\n" + rows("x_N.png,a N")
    )
    message = refused(**from_folder(folder, "captioned_folder", tolerate=5))
    assert "6 of 12 rows name images that are missing, e.g. 'x_0.png', 'x_1.png', 'x" in message
    assert f"(looked in {str(folder)!r} and, by name, in all of" in message
    assert "or set modality.source.tolerate to 6 or more to leave the rows out)" in message
    line = load(**from_folder(folder, "captioned_folder", tolerate=6)).summary.line()
    assert "left out: 6 rows (their images are missing)" in line
    assert inspect_images(str(folder)).config["modality"]["source"]["tolerate"] == 6


def test_what_has_to_be_tolerated_is_counted_over_all_tables(folder):
    for number in range(4):
        part = folder / ("train", "test")[number % 2]
        part.mkdir(exist_ok=True)
        (folder / f"{number}.png").rename(part / f"{number}.png")
        lines = [f"{number}.png,a", *(f"{number}_{n}.png,b" for n in range(3))]
        (part / "metadata.csv").write_text("\n".join(["file_name,text", *lines]))
    advice = "tolerate to 8 or more to leave the rows out"  # 6 rows, and 2 images without a caption
    for tolerate in (0, 3, 7):
        settings = from_folder(folder, "captioned_folder", tolerate=tolerate)
        assert refused(**settings).count(advice) == 2 * (tolerate < 6)
    assert len(load(**from_folder(folder, "captioned_folder", tolerate=8)).train) == 1


def test_an_object_of_captions_by_the_name_of_the_image(folder):
    text = json.dumps({f"{number}.png": f"a {number}" for number in range(N)})
    (folder / "captions.json").write_text(text)
    assert len(load(**from_folder(folder, "captioned_folder")).prompts) == N


def test_rows_that_name_their_split_come_before_names_of_files(folder):
    for number in range(N):
        path = folder / f"{number}.png"
        path.rename(folder / f"{('train', 'test')[number % 2]}_{number}.png")
    splits = ["train", "train", "train", "train", "test", "test"]
    table = [
        f"{path.name},a,{split}"
        for path, split in zip(sorted(folder.glob("*.png")), splits, strict=True)
    ]
    (folder / "metadata.csv").write_text("\n".join(["file_name,text,split", *table]))
    real = load(**from_folder(folder, "captioned_folder"))
    assert (len(real.train), len(real.test)) == (4, 2)
    assert "the rows name their split in 'split'" in real.summary.line()
    assert "named after" not in real.summary.line()

    table = [row.replace(",a,", ",a,x,") for row in table]
    (folder / "metadata.csv").write_text("\n".join(["file_name,text,set,phase", *table]))
    real = load(**from_folder(folder, "captioned_folder"))
    assert "the rows name their split in 'phase'" in real.summary.line()

    table = [row.replace(",x,", ",") for row in table]
    (folder / "metadata.csv").write_text("\n".join(["file_name,text,class", *table]))
    real = load(**from_folder(folder, "captioned_folder"))
    assert (len(real.train), len(real.test)) == (3, 3)
    assert "the files are named after the parts" in real.summary.line()


def test_rows_that_name_another_split_than_their_folders_are_counted(folder):
    for number in range(N):
        part = folder / ("train" if number < 4 else "test")
        part.mkdir(exist_ok=True)
        (folder / f"{number}.png").rename(part / f"{number}.png")
    table = [f"{number}.png,a,{('train', 'val')[number % 2]}" for number in range(N)]
    (folder / "metadata.csv").write_text("\n".join(["file_name,text,split", *table]))
    line = load(**from_folder(folder, "captioned_folder")).summary.line()
    assert "3 rows name another split than their files or folders, which decide" in line


def test_an_empty_caption_is_none(folder):
    table = [f"{number}.png,{'' if number == 2 else 'x'}" for number in range(N)]
    (folder / "metadata.csv").write_text("\n".join(["file_name,text", *table]))
    assert "2.png: has no caption in" in refused(**from_folder(folder, "captioned_folder"))
    summary = load(**from_folder(folder, "captioned_folder", tolerate=1)).summary
    assert "left out: 1 image (no caption)" in summary.line()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metadata.csv", b"0.png,a cat\n1.png,a dog\n", "no column of file names; its columns are"),
        (
            "captions.txt",
            b"0.png\ta cat, a hat, a mat\n1.png\ta dog\n",
            "its columns are '0.png', 'a cat, a hat, a mat' (name the columns in the first line, "
            "file_name and text, parted as the others are)",
        ),
        (
            "captions.txt",
            b"file_name\ttext\n0.png\ta\tb\n",
            "line 2 has more cells than the header, parted by a tab: put captions that hold one",
        ),
        ("metadata.csv", "file_name,text\n0.png,\xe9".encode("latin-1"), "0xe9; save it as UTF-8"),
        ("metadata.csv", "file_name,text\n0.png,a".encode("utf-16-le"), "zero bytes, as UTF-16"),
        ("0.txt", "a cat".encode("utf-16-le"), "zero bytes, as UTF-16"),
        ("0.txt", b"0 0.5 0.5 0.1 0.2\n11 .2 .2 .1 1e-3\n", "boxes of objects, as YOLO does"),
        ("metadata.jsonl", b'{"file_name": "/home/me/0.png", "text": "a"}', "as seen from"),
        ("captions_train2017.json", b"{}", "rename it to metadata.json, or write"),
        ("x.parquet", b"PAR1", "save it as metadata.jsonl, or write"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_with_the_remedy(name, content, message, folder):
    (folder / name).write_bytes(content)
    assert message in refused(**from_folder(folder, "captioned_folder"))


@pytest.mark.parametrize("numbers", ["1 2 3 4 5", "0 1 0 1 1", "2026 11 27 3 30"])
def test_five_numbers_are_a_caption(numbers, folder):
    for number in range(N):
        (folder / f"{number}.txt").write_text(numbers)
    assert load(**from_folder(folder, "captioned_folder")).prompts == (numbers,)
    (folder / "0.txt").write_text("0 0.5 0.5 0.1 0.2")
    assert len(load(**from_folder(folder, "captioned_folder")).prompts) == 2
    assert inspect_images(str(folder)).config["modality"]["source"]["kind"] == "captioned_folder"


@pytest.mark.parametrize("box", ["0 0.5 0.5 0.1 0.2", "12 .5 .5 1.0003 1e-3", "0 0.1 0 1 1 0.5 2"])
def test_boxes_beside_images_are_left_out(box, folder):
    for number in range(N):
        (folder / f"{number}.txt").write_text(f"{box}\n")
    (folder / "0.txt").write_text("")  # no object
    inspection = inspect_images(str(folder))
    assert inspection.config["modality"]["source"]["kind"] == "folder"
    assert "left out: 6 .txt" in inspection.lines()[0]


@pytest.mark.parametrize(
    ("name", "text", "columns"),
    [
        ("metadata.csv", "file_name,label\n0.png,cat\n", "metadata.csv has file_name, label"),
        ("metadata.csv", "isic_id,age\n1,3\n", "metadata.csv has isic_id, age"),
        ("metadata.json", '{"license": "x"}', "metadata.json has another form"),
    ],
)
def test_tables_without_captions_do_not_stop_an_inspection(name, text, columns, folder):
    (folder / name).write_text(text)
    inspection = inspect_images(str(folder))
    assert inspection.config["modality"]["source"]["kind"] == "folder"
    assert inspection.facts["no_captions"] == columns


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("results.csv", "results.csv may hold some: rename it to metadata.csv, beside its images"),
        ("metadata.parquet", "metadata.parquet may hold some: save it as metadata.jsonl, beside"),
        ("labels.csv", ""),
    ],
)
def test_a_table_of_captions_under_another_name_is_pointed_out(name, said, folder):
    header = "image,label" if name == "labels.csv" else "image_name| comment_number| comment"
    (folder / name).write_text(f"{header}\n" + rows("N.png| 0| a N"))
    assert inspect_images(str(folder)).facts.get("no_captions", "").startswith(said)


def test_a_number_is_no_caption(folder):
    (folder / "metadata.jsonl").write_text('{"file_name": "0.png", "text": 3}')
    message = refused(**from_folder(folder, "captioned_folder", tolerate=N))
    assert "has '3' under 'text', which is not a text" in message


def test_a_table_without_any_caption_is_named_by_inspect_too(folder):
    (folder / "metadata.csv").write_text("file_name,text\n" + rows("N.png,"))
    for look in (inspect_images, lambda path: load(**from_folder(path, "captioned_folder"))):
        with pytest.raises(InputError, match=r"6 files: each has no caption in metadata.csv"):
            look(str(folder))
