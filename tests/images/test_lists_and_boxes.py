"""Parts and classes that lists, tables and boxes beside the images name, as data sets have them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from imglab.images.annotations import annotated_classes
from imglab.images.captions_beside import CaptionFiles, are_boxes
from imglab.images.inspection import inspect_images
from imglab.reading.lists import read_lists
from imglab.reading.names import Names
from tests.images.loading import load, refused
from tests.images.test_peoples_files import from_folder

N = 8


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def images(root: Path, form: str) -> None:
    """Make images of these names: `N` is the number, and `C` one of two classes."""
    for number in range(N):
        path = root / form.replace("N", str(number)).replace("C", "ab"[number % 2])
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(noise).save(path)


def rows(form: str, numbers: range = range(N)) -> str:
    """Write a row for each image: `C` is its class, `P` 1 if it is for training, `W` its part."""
    return "\n".join(
        form.replace("N", str(n))
        .replace("C", "ab"[n % 2])
        .replace("K", str(n % 2))
        .replace("P", str(int(n < 6)))
        .replace("W", "train" if n < 6 else "test")
        for n in numbers
    )


TRAIN = range(6)
TEST = range(6, N)
CUB = {
    "images.txt": rows("N0 x_N.png"),
    "image_class_labels.txt": rows("N0 K"),
    "train_test_split.txt": rows("N0 P"),
    "classes.txt": "0 a\n1 b\n",
    "bounding_boxes.txt": rows("N0 1.0 2.0 3.0 4.0"),
}
ONE_HOT = "image,a,b,c\n" + "\n".join(f"x_{n}.png,{1 - n % 2},{n % 2},0" for n in range(N))
BY_PART = {"train": [f"x_{n}.png" for n in TRAIN], "test": [f"x_{n}.png" for n in TEST]}
PARTITION = "\n".join([rows("x_N.png 0", TRAIN), rows("x_N.png 2", TEST)])


@pytest.mark.parametrize(
    ("form", "files"),
    [
        ("images/x_N.png", CUB),
        ("x_N.png", {"train.txt": rows("x_N.png C", TRAIN), "test.txt": rows("x_N.png C", TEST)}),
        ("i/x_N.png", {"train.txt": rows("/data/i/x_N.jpg\tC", TRAIN),
                       "val.txt": rows("/data/i/x_N.jpg\tC", TEST)}),
        ("my x_N.png", {"train.txt": rows("my x_N.png", TRAIN),
                        "test.txt": rows("my x_N.png", TEST),
                        "labels.csv": "filename,label\n" + rows("my x_N.png,C")}),
        ("images/C/x_N.png", {"meta/train.txt": rows("C/x_N", TRAIN),
                              "meta/test.txt": rows("C/x_N", TEST)}),
        ("x_N.png", {"all.csv": "id,subset,species\n" + rows("x_N,W,C")}),
        ("x_N.png", {"all.csv": ONE_HOT, "split.json": json.dumps(BY_PART)}),
        ("x_N.png", {"list_eval_partition.txt": PARTITION,
                     "metadata.jsonl": rows('{"file_name": "x_N.png", "label": "C"}')}),
    ],
    ids=["cub", "lists", "absolute", "spaces", "food", "table", "one-hot", "celeba"],
)  # fmt: skip
def test_parts_and_classes_are_those_of_the_lists(form, files, tmp_path):
    images(tmp_path, form)
    write(tmp_path, files)
    real = load(**from_folder(tmp_path))
    assert (len(real.train), len(real.test), len(real.classes)) == (6, 2, 2)
    assert real.train.labels.bincount().tolist() == [3, 3]
    assert "test part" in real.summary.line()
    if "all.csv" in files and "subset" in files["all.csv"]:
        assert "parts are named in 'subset' of all.csv" in real.summary.line()

    # With `none` no list is asked for parts.
    assert len(load(**from_folder(tmp_path, splits="none", n_test=1)).test) == 1


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"train.txt": rows("x_N.png", TRAIN), "test.txt": rows("x_N.png")}, "some files twice"),
        ({"train.txt": "x_0.png\n", "test.txt": "x_1.png\n"}, "only 2 of 8, so no split"),
        ({"train.txt": rows("x_N.png\nz_N.png", TRAIN), "test.txt": rows("x_N.png", TEST)},
         "6 rows name files that are missing"),
        ({"labels.csv": "id,label\n" + rows("x_N,C", TRAIN)}, "2 of 8 images have none, e.g. x_6"),
        ({"labels.csv": "id,label\n" + rows("x_N,name N")}, "are not used: 8 for 8 images"),
        ({"a.csv": "id,label\n" + rows("x_N,C"),
          "b.csv": "id,label\nx_0,b\n" + rows("x_N,C", range(1, N))},
         "several files name classes, and none is used: a.csv, b.csv"),
        ({"train.csv": "id,label\n" + "\n".join(f"x_{n},a" for n in TRAIN),
          "test.csv": "id,label\n" + "\n".join(f"x_{n},b" for n in TEST)}, "no class is in both"),
        ({"train.txt": "z.png a\n" + rows("x_N.png C", TRAIN), "test.txt": rows("x_N.png C", TEST)},
         "a 4, b 4; train 6, test 2; parts are listed in test.txt, train.txt; test is the test "
         "part; 1 rows name files that are missing"),
        ({"all.csv": ONE_HOT.replace("b,c", "b").replace(",0\n", "\n").removesuffix(",0")},
         "no classes; train 6, test 2; left out: 1 .csv"),
        ({"train.csv": "id,label\n" + rows("x_N,C", TRAIN),
          "test.csv": "id,label\n" + rows("x_N,a", TEST)},
         "no classes; train 6, test 2; parts are listed in test.csv, train.csv; test is the test "
         "part; classes of test.csv, train.csv are not used: all 2 images of the test part have "
         "'a', which may stand for none"),
        ({"all.csv": "id,train_val\n" + rows("x_N,P")}, "no classes; train 6, test 2; left out: 1"),
        ({"notes.tsv": rows("x_N.png#0\ta dog and a cat")}, "notes.tsv may hold captions"),
    ],
)  # fmt: skip
def test_lists_that_are_not_used_say_why(files, said, tmp_path):
    images(tmp_path, "x_N.png")
    write(tmp_path, files)
    assert said in load(**from_folder(tmp_path)).summary.line()


@pytest.mark.parametrize("first", ["train", "here"])
def test_a_row_of_a_part_that_is_missing_names_no_file_of_another_one(first, tmp_path):
    """Files of two parts have the same names, and one of the parts is not there."""
    images(tmp_path, "here/x_N.png")
    missing = "\n".join(rows(f"train_{part}/x_N.png,z") for part in range(5))
    here = rows("here/x_N.png,C")
    of_parts = {"train": [missing, here], "here": [here, missing]}
    write(tmp_path, {"labels.csv": "\n".join(["file,label", *of_parts[first]])})

    assert load(**from_folder(tmp_path)).classes == ("a", "b")


@pytest.mark.parametrize(
    ("form", "table"),
    [
        ("moved/x_N.png", "file,label\n" + rows("images/x_N.png,C")),
        ("moved/N.png", ",filename,label\n" + rows("M,images/N.png,C")),
        ("moved/N.png", "filename,label\n" + rows("images/N.png,C")),
        ("moved/N.png", rows("images/N.png,C")),
        ("C/N.png", "file,label\n" + rows("old_C/N.png,C")),
    ],
)
def test_files_that_were_moved_go_by_their_names(form, table, tmp_path):
    """Whatever else in a row may be a name of a file: `M` numbers the rows the other way round."""
    images(tmp_path, form)
    for n in range(N):
        table = table.replace("M", str(N - 1 - n), 1)
    write(tmp_path, {"labels.csv": table})
    real = load(**from_folder(tmp_path, n_test=2))
    assert real.classes == ("a", "b")
    assert real.summary.counts == {"a": 4, "b": 4}


def test_some_files_were_moved_and_others_not(tmp_path):
    images(tmp_path, "pics/x_N.png")
    (tmp_path / "images").mkdir()
    (tmp_path / "pics/x_0.png").rename(tmp_path / "images/x_0.png")
    write(tmp_path, {"labels.csv": "file,label\n" + rows("images/x_N.png,C")})
    [files_named], _ = read_lists(
        tmp_path, sorted(tmp_path.rglob("*.png")), [tmp_path / "labels.csv"]
    )
    assert {file.stem: cells for file, [cells] in files_named.rows.items()} == {
        f"x_{n}": ("ab"[n % 2],) for n in range(N)
    }


@pytest.mark.parametrize(
    "table",
    [
        "image_id,category_id,id\n" + "\n".join(rows(f"N,K,{k}N") for k in ("", "1", "2")),
        "photo,answer,label\n" + "\n".join(rows(f"N.png,{k},C") for k in range(3)),
    ],
    ids=["annotations", "raters"],
)
def test_rows_that_repeat_a_file_name_it_all_the_same(table, tmp_path):
    images(tmp_path, "N.png")
    write(tmp_path, {"labels.csv": table + "\n"})
    files = sorted(tmp_path.glob("*.png"))
    [files_named], _ = read_lists(tmp_path, files, [tmp_path / "labels.csv"])
    assert {file.stem: len(of_file) for file, of_file in files_named.rows.items()} == {
        str(n): 3 for n in range(N)
    }


def test_a_stem_that_two_files_have_names_neither(tmp_path):
    images(tmp_path, "x_N.png")
    images(tmp_path, "x_N.jpg")
    write(tmp_path, {"labels.csv": "id,label\n" + rows("x_N,C")})
    assert read_lists(tmp_path, sorted(tmp_path.glob("x_*")), [tmp_path / "labels.csv"])[0] == []


@pytest.mark.parametrize("form", ["K,N.png", "N.png,K", "K,N", "N,K"])
def test_numbers_of_classes_are_not_taken_for_files(form, tmp_path):
    """Files are called by numbers, and so are classes."""
    images(tmp_path, "N.png")
    write(tmp_path, {"labels.csv": rows(form) + "\n"})
    assert load(**from_folder(tmp_path)).classes == ("0", "1")


def test_lists_that_drop_a_class_folder_divide_nothing(tmp_path):
    images(tmp_path, "C/x_N.png")
    images(tmp_path, "c/x_N.png")
    lists = {"train.txt": rows("C/x_N", TRAIN), "test.txt": rows("C/x_N", TEST)}
    write(tmp_path, lists)
    line = load(**from_folder(tmp_path)).summary.line()
    assert line.startswith("16 images: a 4, b 4, c 8; train 12, test 4; left out: 2 .txt; ")
    assert "parts are listed in test.txt, train.txt: none of the class 'c', so no split" in line
    assert "no image in" not in line


@pytest.fixture
def usual_limit():
    """Bound the cells of tables as `csv` does, whatever was read before."""
    before = csv.field_size_limit(1 << 17)
    yield
    csv.field_size_limit(before)


@pytest.mark.usefixtures("usual_limit")
@pytest.mark.parametrize("content", [b"caf\xe9.png\n", b"\0\n", b'"' + b"x" * 140_000])
@pytest.mark.parametrize("first", [1, 10_000])
def test_a_list_that_cannot_be_read_to_its_end_is_none(content, first, tmp_path):
    images(tmp_path, "x_N.png")
    head = ("file,label\n" + f"{rows('x_N.png,C')}\n" * first).encode()
    (tmp_path / "all.csv").write_bytes(head + content)
    assert "all.csv is not read, since it" in load(**from_folder(tmp_path)).summary.line()


def test_names_are_gathered_only_where_a_file_asks_for_them(tmp_path, monkeypatch):
    """A folder may hold a million images, and a licence beside them."""
    gathered = Mock(return_value={})
    monkeypatch.setattr(Names, "_by_name", property(gathered))
    images(tmp_path, "x_N.png")
    write(tmp_path, {"LICENSE.txt": "as it is", "all.json": '[{"a": [1]}]'})
    files = sorted(tmp_path.glob("*.png"))
    others = [tmp_path / "LICENSE.txt", tmp_path / "all.json"]
    assert read_lists(tmp_path, files, others) == ([], [])
    assert annotated_classes(tmp_path, files, others, CaptionFiles()) == []
    assert not gathered.called


KITTI = "Car 0.00 0 -1.57 599.41 156.40 629.75 189.25 2.85 2.63 12.34 0.47 1.49 69.44 -1.56\n"
YOLO = "0 0.5 0.5 0.1 0.2\n"
VOC = "<annotation><object><pose>x</pose><name>Car</name></object></annotation>"
COCO: dict[str, list[Any]] = {
    "categories": [{"id": 5, "name": "Car"}, {"id": 7, "name": "Van"}],
    "images": [{"id": n, "file_name": f"x_{n}.png"} for n in range(N)],
    "annotations": [{"image_id": n, "category_id": (5, 7)[n % 2]} for n in range(N)],
}


@pytest.mark.parametrize(
    ("name", "box", "other"),
    [
        ("label_2/x_N.txt", KITTI, KITTI.replace("Car", "Van")),
        ("labels/x_N.txt", YOLO, "1" + YOLO[1:]),
        ("labels/x_N.txt", "12 30 45 90 Car\n", "Van 12 30 45 90"),
        ("images/x_N.txt", YOLO, "1" + YOLO[1:]),
        ("Annotations/x_N.xml", VOC, VOC.replace("Car", "Van")),
    ],
)
def test_boxes_give_classes_where_each_image_has_one(name, box, other, tmp_path):
    images(tmp_path, "images/x_N.png")
    write(tmp_path, {"data.yaml": "names: [Car, Van]"})
    for number in range(N):
        write(tmp_path, {name.replace("N", str(number)): (box, other)[number % 2]})
    inspection = inspect_images(str(tmp_path))
    assert "Car 4, Van 4" in inspection.lines()[0]
    assert inspection.config["modality"]["source"]["kind"] == "folder"
    if name.endswith(".txt"):
        assert refused(**from_folder(tmp_path, "captioned_folder"))

    write(tmp_path, {name.replace("N", "0"): box + other})
    line = inspect_images(str(tmp_path)).lines()[0]
    assert "no classes" in line or "images 8" in line
    assert "1 of 8 images have several or none, e.g. x_0.png" in line


def test_boxes_of_coco(tmp_path):
    images(tmp_path, "x_N.png")
    write(tmp_path, {"instances.json": json.dumps(COCO)})
    assert load(**from_folder(tmp_path)).classes == ("Car", "Van")
    more = [*COCO["annotations"], {"image_id": 0, "category_id": 7}]
    write(tmp_path, {"instances.json": json.dumps({**COCO, "annotations": more})})
    assert "1 of 8 images have several" in load(**from_folder(tmp_path)).summary.line()


def test_a_list_may_name_the_classes_of_validation_alone(tmp_path):
    """Tiny ImageNet: folders for training, a list for validation, nothing for testing."""
    images(tmp_path, "train/C/N.png")
    images(tmp_path, "val/images/val_N.png")
    images(tmp_path, "test/images/test_N.png")
    write(tmp_path, {"val/val_annotations.txt": rows("val_N.png\tC\t0\t32\t44\t62")})
    real = load(**from_folder(tmp_path))
    assert (len(real.train), len(real.test)) == (N, N)
    assert "8 files (in test/, without classes)" in real.summary.line()


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("images/N.png", "captions/N.txt"),
        ("images/N.png", "labels/N.txt"),
        ("train/images/N.png", "train/texts/N.TXT"),
        ("images/C/N.png", "text_c10/C/N.txt"),
        ("C/N.png", "words/C/N.caption"),
    ],
)
def test_captions_in_a_folder_of_their_own(form, text, tmp_path):
    images(tmp_path, form)
    for line in rows(f"{text} a bird N").splitlines():
        name, _, caption = line.partition(" ")
        write(tmp_path, {name: caption})
    if "train" in form:
        images(tmp_path, form.replace("train", "val"))
        write(tmp_path, {"val/texts/0.txt": "a view", "val/texts/1.txt": "a lake"})
    if form.startswith("images"):
        images(tmp_path, form.replace("images", "masks"))
    real = load(**from_folder(tmp_path, "captioned_folder", tolerate=6))
    assert {f"a bird {n}" for n in range(N)} <= set(real.prompts)
    assert inspect_images(str(tmp_path)).config["modality"]["source"]["kind"] == "captioned_folder"


@pytest.mark.parametrize("text", ["2 dogs and 3 cats", "1 2 3 4", "7 of 9 at 10 past 11 and 12"])
def test_captions_with_whole_numbers_are_no_boxes(text):
    assert not are_boxes([text])


def test_lists_part_captioned_images_too(tmp_path):
    images(tmp_path, "images/N.png")
    write(tmp_path, {f"captions/{n}.txt": f"a bird {n}" for n in range(N)})
    write(tmp_path, {"train.txt": rows("N.png", TRAIN), "test.txt": rows("N.png", TEST)})
    real = load(**from_folder(tmp_path, "captioned_folder"))
    assert (len(real.train), len(real.test)) == (6, 2)


def test_an_inspection_reads_captions_once(tmp_path, monkeypatch):
    opened: list[str] = []
    read_bytes = Path.read_bytes

    def noted(path: Path) -> bytes:
        opened.append(path.name)
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", noted)
    images(tmp_path / "a", "N.png")
    write(tmp_path / "a", {f"{n}.txt": f"a bird {n}" for n in range(N)})
    images(tmp_path / "b", "N.png")
    write(tmp_path / "b", {"metadata.csv": "file_name,text\n" + rows("N.png,a bird N")})
    for name in "ab":
        inspect_images(str(tmp_path / name))
    texts = [name for name in opened if name.endswith((".txt", ".csv"))]
    assert sorted(texts) == sorted(set(texts))
    assert "metadata.csv" in texts
