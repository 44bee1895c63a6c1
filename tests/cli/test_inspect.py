"""`imglab inspect`: what it says of images, archives and texts, and of what it cannot use."""

from __future__ import annotations

import json
import shutil
import zipfile

import numpy as np
import pytest
import yaml
from PIL import Image

from imglab.cli.inspect import inspection_of
from imglab.errors import InputError


def pictures(folder, n, seed=0):
    folder.mkdir(parents=True)
    for number in range(n):
        noise = np.random.default_rng([seed, number]).integers(0, 256, (9, 8, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{number}.png")


def test_a_folder_of_images(lab, tmp_path):
    for seed, name in enumerate(("train/cat", "train/dog", "val/cat", "val/dog")):
        pictures(tmp_path / "d" / name, 5, seed)
    shutil.copy(tmp_path / "d/train/cat/0.png", tmp_path / "d/val/cat/copy.png")
    (tmp_path / "d/train/cat/x.heic").write_bytes(b"x")
    (tmp_path / "d/train/dog/broken.png").write_bytes(b"x")

    code, out, _ = lab("inspect", "d", "--json")
    assert code == 0
    shown = json.loads(out)
    assert shown["classes"] == ["cat", "dog"]
    assert shown["counts"] == {"cat": 11, "dog": 10}
    assert shown["split"] == {"train": 10, "test": 11}
    assert {each["what"]: each["count"] for each in shown["left_out"]} == {".heic": 1, "broken": 1}
    assert shown["duplicates"]["between_train_and_test"] == 1

    code, out, _ = lab("inspect", "d")
    assert code == 0
    assert "left out: 1 .heic (no reader), 1 broken (train/dog/broken.png)" in out
    config = yaml.safe_load(out.partition("reads them:")[2])
    assert config["modality"]["source"] == {"kind": "folder", "path": "d", "tolerate": 1}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({**config, "generations": 1}))
    code, out, err = lab("validate", "c.yaml")
    assert (code, err) == (0, "")
    assert "data: 21 images: cat 11, dog 10; train 10, test 11" in out


def test_archives_texts_and_captions(lab, tmp_path):
    np.savez(tmp_path / "a.npz", arr_0=np.zeros((10, 3, 8, 8), np.uint8))
    shown = json.loads(lab("inspect", "a.npz", "--json")[1])
    assert (shown["total"], shown["duplicates"]["count"]) == (10, 9)

    pictures(tmp_path / "p", 5)
    for number in range(5):
        (tmp_path / "p" / f"{number}.txt").write_text(f"picture {number}")
    shown = json.loads(lab("inspect", "p", "--json")[1])
    assert shown["config"]["modality"]["source"]["kind"] == "captioned_folder"

    (tmp_path / "t").mkdir()
    for number in range(4):
        (tmp_path / "t" / f"{number}.txt").write_text("the same words again")
    (tmp_path / "t" / "notes.jsonl").write_text("{}")
    shown = json.loads(lab("inspect", "t", "--json")[1])
    assert (shown["noun"], shown["duplicates"]["count"]) == ("documents", 3)
    assert [(each["what"], each["count"]) for each in shown["left_out"]] == [(".jsonl", 1)]
    assert shown["split"] == {"train": 3, "test": 1}
    assert shown["duplicates"]["between_train_and_test"] == 1


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_it_says_which_column_holds_the_texts(lab, tmp_path, name):
    rows = [{"id": n, "title": f"Bridge {n}", "article": f"Bridge {n} is old."} for n in range(9)]
    path = tmp_path / name
    if name == "a.csv":
        lines = ["id,title,article", *(",".join(map(str, row.values())) for row in rows)]
        path.write_text("\n".join(lines))
    elif name == "a.jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        pyarrow = pytest.importorskip("pyarrow.parquet")
        pyarrow.write_table(pytest.importorskip("pyarrow").Table.from_pylist(rows), path)

    out = lab("inspect", name)[1]
    assert "columns: the texts are read from 'article'" in out
    assert "modality.source.column may name another one: 'title'\n" in out
    shown = json.loads(lab("inspect", name, "--json")[1])
    assert (shown["columns"]["read"], shown["columns"]["others"]) == (["article"], ["title"])
    assert shown["config"]["modality"]["source"]["column"] == "article"


def test_a_table_without_a_usual_column_names_those_with_texts(lab, tmp_path):
    (tmp_path / "a.csv").write_text("id,question,answer\n1,Who is it?,Nobody is.\n")
    assert "name one of: question, answer;" in lab("inspect", "a.csv")[2]


def test_it_says_which_column_holds_the_captions(lab, tmp_path):
    pictures(tmp_path / "p", 5)
    lines = [f"{n}.png,{n},a cat {n},its title" for n in range(5)]
    (tmp_path / "p/metadata.csv").write_text("\n".join(["file_name,id,text,title", *lines]))
    out = lab("inspect", "p")[1]
    assert "the captions are read from 'text'; modality.source.caption may name another" in out
    shown = json.loads(lab("inspect", "p", "--json")[1])
    assert shown["columns"]["others"] == ["title"]
    assert shown["config"]["modality"]["source"]["caption"] == "text"


def test_texts_beside_images_of_the_same_names_are_not_counted(tmp_path):
    """As img2dataset writes them: a caption and a note for each image, and a table beside."""
    pictures(tmp_path / "d", 4)
    for number in range(4):
        (tmp_path / "d" / f"{number}.txt").write_text(f"picture {number}")
        (tmp_path / "d" / f"{number}.json").write_text("{}")
    (tmp_path / "d" / "stats.json").write_text("{}")
    assert inspection_of(tmp_path / "d", str(tmp_path / "d")).summary.noun == "images"


def test_pages_with_a_picture_are_not_a_folder_of_images(tmp_path):
    pictures(tmp_path / "d", 1)
    for number in range(4):
        (tmp_path / "d" / f"page {number}.md").write_text("words")
    with pytest.raises(InputError, match=r"1 images and 4 texts, .* kind: files the texts"):
        inspection_of(tmp_path / "d", str(tmp_path / "d"))


def test_nothing_usable(lab, tmp_path):
    (tmp_path / "empty").mkdir()
    assert lab("inspect", "none")[0] == 2
    assert lab("inspect", "empty")[0] == 2
    with zipfile.ZipFile(tmp_path / "d 1.zip", "w") as archive:
        archive.writestr("0.png", b"x")
    code, _, err = lab("inspect", "d 1.zip")
    assert code == 2
    assert "unzip 'd 1.zip' -d 'd 1'" in err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("d/a.heic", "no image and no text, but 1 .heic (no reader)"),
        ("d/a.tar", "1 .tar (unpack the files"),
        ("d/a.npy", "store the arrays by numpy.savez"),
        ("d/a.npz", "give the path of the .npz archive itself"),
        ("d/a", "1 without a suffix"),
        ("d/._a.png", "all 1 files in it are hidden or of systems"),
        ("a.npy", "numpy.savez('a.npz', images=..., labels=...)"),
        ("a.png", "give the folder that holds the images"),
    ],
)
def test_what_is_not_read_is_named(name, message, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / name).write_bytes(b"x")
    path = tmp_path / name.partition("/")[0]
    with pytest.raises(InputError) as refused:
        inspection_of(path, str(path))
    assert message in str(refused.value)


def test_a_plain_file_of_any_suffix_is_inspected(tmp_path):
    (tmp_path / "wiki.train.raw").write_text(" = A = \n\n a text \n" * 9)
    path = tmp_path / "wiki.train.raw"
    inspection = inspection_of(path, str(path))
    assert inspection.lines()[0].startswith("1 document: train 1; a run divides it into 18 parts")
