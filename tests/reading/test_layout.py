"""People's folders: what is read, as what, and what is left out, against a small reference."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from imglab.errors import InputError
from imglab.reading import Failure, LeftOut, Summary, as_problems, by_suffix, is_system, split_role
from imglab.reading.layout import read_layout
from imglab.reading.tree import list_tree


def is_png(path: Path) -> bool:
    return path.suffix.lower() == ".png"


def fill(root: Path, *names: str) -> Path:
    """Make empty files; `cat/*5` stands for five of them."""
    for name in names:
        stem, star, count = name.partition("*")
        for number in range(int(count or 1)):
            path = root / (f"{stem}{number}.png" if star else stem)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return root


def read(root: Path, **keys):
    return read_layout(root, is_png, "here", **keys)


def counts(part) -> dict[str, int] | None:
    return part and (part.labels and dict(Counter(part.labels)))


def refused(root: Path, **keys) -> str:
    with pytest.raises(InputError) as caught:
        read(root, **keys)
    return str(caught.value)


class TestNames:
    @pytest.mark.parametrize(
        ("names", "role"),
        [
            (
                "train Train TRAIN training trains train_set Training-Images trainset seg_train",
                "train",
            ),
            ("val valid validation Val2017 dev VALIDATION_SET valid_images", "validation"),
            ("test testing Tests test1 TestSet imgs_test", "test"),
            ("训练集 Entraînement entrai\u0302nement entrenamiento обучение", "train"),
            ("验证集 Validierung", "validation"),
            ("测试集 测试_images pruebas", "test"),
            ("cat trainer latest contest train_station best tested vale 1 set images", None),
        ],
    )
    def test_of_splits(self, names, role):
        assert {split_role(name) for name in names.split()} == {role}

    @pytest.mark.parametrize(
        "name", [".ipynb_checkpoints", "__MACOSX", "._0.png", ".DS_Store", "@eaDir", "Thumbs.db"]
    )
    def test_of_systems(self, name):
        assert is_system(name)
        assert not is_system(name.lstrip("._@") + "_of_mine")


class TestLayouts:
    def test_classes_and_what_lies_beside_them(self, tmp_path):
        layout = read(fill(tmp_path, "cat/*4", "dog/*3", "preview.png", "notes.txt", "cat/.x.png"))
        assert counts(layout.train) == {"cat": 4, "dog": 3}
        assert layout.test is None
        assert [str(each) for each in layout.left_out] == ["1 file (beside the class folders)"]
        assert [path.name for path in layout.others] == ["notes.txt"]
        assert [path.name for path in layout.tree.hidden] == [".x.png"]

    def test_more_beside_the_folders_than_in_them(self, tmp_path):
        layout = read(fill(tmp_path, "*9", "more/*2", "yet_more/*2"))
        assert counts(layout.train) is None
        assert len(layout.train.files) == 13
        assert "no classes" in layout.notes[0]

    @pytest.mark.parametrize(
        "pair", ["train val", "Training TESTING", "train_set valid", "dev train"]
    )
    def test_pairs_of_splits(self, pair, tmp_path):
        one, other = pair.split()
        layout = read(fill(tmp_path, *(f"{s}/{c}/*3" for s in (one, other) for c in ("a", "b"))))
        assert counts(layout.train) == counts(layout.test) == {"a": 3, "b": 3}
        assert split_role(layout.train.name) == "train"

    def test_three_splits_and_others_beside_them(self, tmp_path):
        names = ("train/a/*4", "train/b/*4", "val/a/*2", "val/b/*2", "test/a/*1", "test/b/*1")
        layout = read(fill(tmp_path, *names, "extra/*5"))
        assert len(layout.test.files) == 2
        assert sorted(map(str, layout.left_out)) == [
            "4 files (in val/)",
            "5 files (beside train/ and test/)",
        ]

    def test_the_part_with_classes_is_the_test_part(self, tmp_path):
        names = ("train/a/*4", "train/b/*4", "val/a/*2", "val/b/*2", "test/*6")
        layout = read(fill(tmp_path, *names))
        assert counts(layout.test) == {"a": 2, "b": 2}
        assert "val/ is the test part" in layout.notes

    @pytest.mark.parametrize("wrap", ["wrap", "a/b/c", "data/train/train", "seg_train/seg_train"])
    def test_wrapped(self, wrap, tmp_path):
        fill(tmp_path, *(f"{wrap}/{name}/*3" for name in ("cat", "dog")))
        if "train" in wrap:
            fill(tmp_path, *(f"{wrap.replace('train', 'test')}/{name}/*1" for name in ("cat",)))
        layout = read(tmp_path)
        assert counts(layout.train) == {"cat": 3, "dog": 3}
        assert counts(layout.test) == ({"cat": 1} if "train" in wrap else None)

    def test_one_class_is_not_a_wrapper(self, tmp_path):
        assert counts(read(fill(tmp_path, "cat/2025/*2")).train) == {"cat": 2}

    def test_classes_that_hold_their_splits(self, tmp_path):
        names = [
            f"{name}/{split}/good/*2" for name in ("nut", "bolt") for split in ("train", "test")
        ]
        layout = read(fill(tmp_path, *names))
        assert counts(layout.train) == counts(layout.test) == {"bolt": 2, "nut": 2}

    def test_names_of_splits_that_are_classes(self, tmp_path):
        layout = read(fill(tmp_path, "car/*2", "train/*2", "bus/*2"))
        assert counts(layout.train) == {"bus": 2, "car": 2, "train": 2}
        assert layout.notes == ("'train', a class, is also a name of splits",)
        layout = read(fill(tmp_path, "test/*1"), splits="none")
        assert counts(layout.train) == {"bus": 2, "car": 2, "test": 1, "train": 2}

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            ("train/a/*2 train/b/*2", "has only one of train/ and test/: 'train'"),
            ("a/*2 b/*2 test/*2", "has 'test', a name of a split, but no train part"),
            ("train/*2 test/*2 Testing/*2", "has two test parts: 'Testing' and 'test'"),
        ],
    )
    def test_splits_that_are_not_clear(self, names, message, tmp_path):
        assert message in refused(fill(tmp_path, *names.split()))

    def test_without_classes(self, tmp_path):
        """As texts are read: folders mean nothing, and splits what they mean for images."""
        names = ("train/a/*2", "train/*3", "test/*1", "wrapped/*1")
        layout = read(fill(tmp_path, *names), classes=False)
        assert (len(layout.train.files), len(layout.test.files)) == (5, 1)
        assert layout.train.labels is None


class TestLinks:
    def test_to_folders_of_classes(self, tmp_path):
        fill(tmp_path, "store/cat/*3", "store/dog/*2", "data/eel/*1")
        for name in ("cat", "dog"):
            (tmp_path / "data" / name).symlink_to(tmp_path / "store" / name)
        layout = read(tmp_path / "data")
        assert counts(layout.train) == {"cat": 3, "dog": 2, "eel": 1}

    def test_loops_end_and_second_readings_are_said(self, tmp_path):
        fill(tmp_path, "cat/*3", "dog/*2")
        (tmp_path / "cat" / "again").symlink_to(tmp_path)
        (tmp_path / "kitty").symlink_to(tmp_path / "cat")
        layout = read(tmp_path)
        assert counts(layout.train) == {"cat": 3, "dog": 2, "kitty": 3}
        assert {path.name for path in layout.tree.looped} == {"again"}
        assert "read twice, through links: kitty" in layout.notes

    def test_a_folder_that_cannot_be_listed(self, tmp_path, monkeypatch):
        fill(tmp_path, "cat/*3", "dog/*2")
        scandir = os.scandir

        def denied(path):
            if Path(path).name == "dog":
                raise PermissionError(13, "Permission denied")
            return scandir(path)

        monkeypatch.setattr(os, "scandir", denied)
        assert "dog' cannot be listed: Permission denied" in refused(tmp_path)


NAMES = some.sampled_from(["cat", "Dog", "eel fish", "été", "x.png", "a-b", "a"])
CLASSES = some.dictionaries(NAMES, some.integers(1, 4), min_size=2, max_size=4)
PAIRS = some.sampled_from(
    [None, ("train", "test"), ("Train", "VAL"), ("training_set", "test_set"), ("TRAIN", "Testing")]
)


@settings(max_examples=60, deadline=None)
@given(
    classes=CLASSES,
    pair=PAIRS,
    wraps=some.integers(0, 2),
    strays=some.integers(0, 1),
    noise=some.lists(some.sampled_from([".hidden", "._0.png", "__MACOSX", "a.txt", "b.HEIC"])),
)
def test_what_was_put_in_comes_out(classes, pair, wraps, strays, noise, tmp_path_factory):
    """The reference is how the tree was made."""
    root = tmp_path_factory.mktemp("tree")
    base = root.joinpath(*["wrap"] * wraps)
    for part in pair or ("",):
        fill(base / part, *(f"{name}/*{size}" for name, size in classes.items()))
        fill(base / part, *(f"stray*{strays}" for _ in range(strays)))
        for name in noise:
            folder = base / part / name
            fill(base / part, f"{name}/0.png" if "." not in name[1:] else name)
            assert folder.exists()

    layout = read(root)
    assert counts(layout.train) == dict(sorted(classes.items()))
    assert (layout.test is not None) == (pair is not None)
    if pair:
        assert counts(layout.test) == counts(layout.train)
    assert sum(len(each.paths) for each in layout.left_out) == strays * len(pair or ("",))


def walk(folder: Path, around: tuple[Path, ...] = ()):
    """List files as slowly and as plainly as possible."""
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if not path.is_dir():
            yield path
        elif path.resolve() not in (*around, folder.resolve()):
            yield from walk(path, (*around, folder.resolve()))


@settings(max_examples=60, deadline=None)
@given(
    files=some.lists(some.lists(some.sampled_from("ab.c"), min_size=1, max_size=4), max_size=8),
    links=some.lists(some.tuples(some.integers(0, 9), some.integers(0, 9)), max_size=3),
)
def test_trees_with_links_are_walked_like_by_hand(files, links, tmp_path_factory):
    root = tmp_path_factory.mktemp("tree").resolve()
    for number, names in enumerate(files):
        folder = root.joinpath(*(name.replace(".", ".h") for name in names))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.png").touch()

    folders = sorted(path for path in [root, *root.rglob("*")] if path.is_dir())
    for number, (place, target) in enumerate(links):
        link = folders[place % len(folders)] / f"link{number}"
        link.symlink_to(folders[target % len(folders)])
    assert list(list_tree(root, "here").files) == sorted(walk(root))


class TestWords:
    def test_the_line(self):
        left_out = by_suffix(
            [Path("a.avif"), Path("b.AVIF"), Path("c.txt")], {".avif": "no reader"}
        )
        summary = Summary(20, "images", {"cat": 10, "dog": 10}, {"train": 16, "test": 4}, left_out)
        assert summary.line() == (
            "20 images: cat 10, dog 10; train 16, test 4; left out: 2 .avif (no reader), 1 .txt"
        )
        assert summary.as_json()["classes"] == ["cat", "dog"]
        assert summary.as_json()["left_out"][0]["count"] == 2

    def test_names_of_strangers_do_not_drive_the_terminal(self):
        summary = Summary(1, "images", {"\x1b[31m\n": 1}, left_out=(LeftOut("\u202e", "", ()),))
        assert summary.line().isprintable()

    def test_many_classes(self):
        line = Summary(300, "images", {str(number): 1 for number in range(300)}).line()
        assert line == f"300 images: 300 classes ({', '.join(f'{n} 1' for n in range(10))}, ...)"

    def test_one_message_for_many_files(self):
        failures = [Failure(Path(f"{n}.png"), f"is cut off after {n} bytes") for n in range(300)]
        (problem,) = as_problems([*failures], "here", "remove it")
        assert str(problem) == (
            "here: 300 files: each is cut off after 0 bytes; "
            "the first are 0.png, 1.png, 2.png (remove it)"
        )
        assert len(as_problems(failures[:3], "here", "remove it")) == 3


def test_folders_that_link_to_each_other_end(tmp_path, monkeypatch):
    monkeypatch.setattr("imglab.reading.tree.MOST_REPEATED", 500)
    for number in range(8):
        (tmp_path / str(number)).mkdir()
        for other in {*range(8)} - {number}:
            (tmp_path / str(number) / f"link{other}").symlink_to(tmp_path / str(other))
    with pytest.raises(InputError, match="in it twice, through links"):
        list_tree(tmp_path, "here")
