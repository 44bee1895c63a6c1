"""Folders as people and other data sets have them: a table of what is read, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tests.reading.test_layout import counts, fill, read, refused

ALIKE = {"a": 2, "b": 2}


def parts(left: str, right: str) -> list[str]:
    return [f"{part}/{name}/*2" for part in (left, right) for name in ALIKE]


@pytest.mark.parametrize(
    "pair",
    [
        "cats_train cats_test", "train_hq val_hq", "stage1_train stage1_test", "x_train x_test",
        "cifar10-train cifar10-test", "DIV2K_train_HR DIV2K_valid_HR", "trn tst", "trainval test",
        "train_val test", "imgAlignTrain imgAlignTest",
    ],
)  # fmt: skip
def test_splits_by_what_the_names_do_not_share(pair, tmp_path):
    left, right = pair.split()
    layout = read(fill(tmp_path, *parts(left, right)))
    assert counts(layout.train) == counts(layout.test) == ALIKE
    assert layout.train.folder.name == left


@settings(max_examples=40, deadline=None)
@given(
    words=some.lists(some.sampled_from(["cats", "hq", "v2", "clean", "LR"]), max_size=2),
    place=some.integers(0, 2),
    pair=some.sampled_from([("train", "test"), ("Train", "Val"), ("training", "validation")]),
)
def test_words_beside_the_split_change_nothing(words, place, pair, tmp_path_factory):
    root = tmp_path_factory.mktemp("tree")
    names = ["_".join([*words[:place], part, *words[place:]]) for part in pair]
    layout = read(fill(root, *parts(*names)))
    assert counts(layout.train) == counts(layout.test) == ALIKE


@pytest.mark.parametrize(
    ("names", "train", "test", "said"),
    [
        # Folders that say what is in them, not of which class it is.
        ("images/*6 masks/*6", None, None, "6 files (beside images/)"),
        ("VOC/JPEGImages/*6 VOC/SegmentationClass/*3", None, None, "beside JPEGImages/"),
        ("images/a/*2 images/b/*2 labels/a/*2", ALIKE, None, "2 files (beside images/)"),
        ("train/images/*4 valid/images/*2", None, None, "valid/ is the test part"),
        ("images/training/*4 images/validation/*2 annotations/training/*4", None, None,
         "4 files (beside images/)"),
        ("trn/*2 bus/*2", {"trn": 2, "bus": 2}, None, ""),
        ("photo/*2 sketch/*2", {"photo": 2, "sketch": 2}, None, ""),
        # Folders around the classes, of which the test part has none.
        ("x_train/x_train/a/*2 x_train/x_train/b/*2 x_test/x_test/*2", ALIKE, None, ""),
        # Splits within classes, not all of them in each.
        ("a/train/*2 a/test/*1 b/train/*2", ALIKE, {"a": 1}, "each class folder holds its own"),
        ("a/train/*2 a/test/*1 b/train/*2 b/val/*1 x.png", ALIKE, {"a": 1}, "1 file (in neither"),
        ("a/train/*2 a/test/*1 a/x.png b/train/*2", ALIKE, {"a": 1}, "1 file (in neither part)"),
        ("*9 old/train/*2 old/test/*2", None, None, "some lie beside the only folder, 'old'"),
        # Training and validation in one, beside both.
        ("train/*3 val/*2 trainval/*5 test/*1", None, None, "5 files (beside train/ and test/)"),
        # Splits in the names of files.
        ("a/train_*2 a/test_*1 b/train_*2 b/test_*1", ALIKE, {"a": 1, "b": 1}, "after the parts"),
        ("train_*4 test_*2 val_*1", None, None, "1 file (of neither part)"),
        ("a/train_*2 b/ship_*2", ALIKE, None, ""),
        # A class that is never trained on cannot be tested.
        ("a/train_*2 b/test_*2", ALIKE, None, "named after train and test, but no class has both"),
        # One folder beside other images is not "most of them".
        ("a/*5 x.png", None, None, "some lie beside the only folder, 'a'"),
        # Pieces of one, and a folder of the name of its part.
        ("images_part_1/*3 images_part_2/*3", None, None, "numbered pieces of one"),
        ("train/images_1/*2 train/images_2/*2 test/images_1/*1 test/images_2/*1", None, None,
         "numbered pieces of one, so there are no classes (rename them to make them classes)"),
        ("part_1/*3 part_2/*3", {"part_1": 3, "part_2": 3}, None, ""),
        ("x_train/x_train/*4 x_test/x_test/*2", None, None, "split by x_train/ and x_test/"),
        # The two ways in which Unicode writes an accent.
        ("train/caf\u00e9/*2 test/cafe\u0301/*1", {"caf\u00e9": 2}, {"caf\u00e9": 1}, ""),
    ],
)  # fmt: skip
def test_what_is_read(names, train, test, said, tmp_path):
    layout = read(fill(tmp_path, *names.split()))
    assert (counts(layout.train), counts(layout.test)) == (train, test)
    assert said in "; ".join([*map(str, layout.left_out), *layout.notes])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("trainA/*2 trainB/*2 testA/*2 testB/*2", "not clear: 'testA', 'testB', 'trainA'"),
        ("cats_train/*2 cats_test/*2 dogs_train/*2 dogs_test/*2", "which is not clear"),
        ("training_set/*2 b/*2", "'training_set', a name of a split, but no test part"),
        ("a/train/*2 a/test/*2 b/*2", "a' holds splits, and images of 'b' are in none"),
        ("a/train/*2 a/test/*2 b/train/*1 b/*5", "a' holds splits, and images of 'b' are in none"),
    ],
)
def test_what_is_not_clear_is_refused(names, message, tmp_path):
    fill(tmp_path, *names.split())
    assert message in refused(tmp_path)
    assert read(tmp_path, splits="none").test is None


def test_a_guess_by_other_words_than_splits_names_the_key(tmp_path):
    fill(tmp_path, "toy_train/*2", "toy_test/*2")
    said = "split by toy_train/ and toy_test/ (set modality.source.splits to none to make them "
    assert read(tmp_path).notes == (f"{said}classes)",)
    assert counts(read(tmp_path, splits="none").train) == {"toy_test": 2, "toy_train": 2}
    assert "to none to read all as one" in read(tmp_path, classes=False).notes[0]
    assert read(fill(tmp_path / "plain", "train/*2", "test_images/*2")).notes == ()


@pytest.mark.parametrize("names", ["train_ship/*2 test_tube/*2", "a/*2 test/*2", "val/*1 Valid/*1"])
def test_a_refusal_of_what_may_be_classes_names_first_what_makes_them_classes(names, tmp_path):
    message = refused(fill(tmp_path, *names.split()))
    assert "(set modality.source.splits to none to make them classes, or " in message


def test_an_archive_of_windows_that_was_unpacked_without_its_folders(tmp_path):
    fill(tmp_path, "cats\\*3", "dogs\\*3")
    said = "6 have a backslash in their names in the place of folders: unpack the archive again, "
    assert read(tmp_path).notes == (f"{said}with unzip",)


def test_files_after_splits_are_one_part_where_splits_are_none(tmp_path):
    layout = read(fill(tmp_path, "train_*4", "test_*2"), splits="none")
    assert (len(layout.train.files), layout.test) == (6, None)
    assert all(isinstance(path, Path) for path in layout.train.files)
