"""Folders that people and tools name after splits: train, val, test and their variants."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Mapping, Sequence
from typing import Literal

Role = Literal["train", "validation", "test"]

ROLES: dict[str, Role] = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "validate": "validation",
    "validating": "validation",
    "dev": "validation",
    "development": "validation",
    "eval": "validation",
    "evaluation": "validation",
    "test": "test",
    "testing": "test",
    "tst": "test",
    "holdout": "test",
    **dict.fromkeys(("训练", "训练集", "訓練", "訓練集", "学習", "학습", "훈련"), "train"),
    **dict.fromkeys(("验证", "验证集", "驗證", "驗證集", "検証", "검증"), "validation"),
    **dict.fromkeys(("测试", "测试集", "測試", "測試集", "テスト", "테스트"), "test"),
    **dict.fromkeys(("entrainement", "entraînement", "entrenamiento", "treinamento"), "train"),
    **dict.fromkeys(("validierung", "validación", "validacion", "validação"), "validation"),
    **dict.fromkeys(("prueba", "teste", "тест"), "test"),
    **dict.fromkeys(("обучение", "тренировка"), "train"),
    "валидация": "validation",
}
"""Words that name a split, in lower case; a plural's `s` may follow."""

FILLERS = frozenset(
    {
        *("all", "batch", "csv", "data", "dataset", "datasets", "file", "files", "folder"),
        *("gz", "image", "images", "img", "imgs", "jpg", "json", "jsonl", "list", "lists", "of"),
        "parquet",
        *("part", "parts", "photo", "photos", "pic", "pics", "picture", "pictures", "png"),
        *("sample", "samples", "seg", "set", "sets", "split", "splits", "text", "texts", "the"),
        *("tsv", "txt"),
    }
)
"""Words beside the one that names the split, e.g. in `training_set` and `images-test`."""

ALSO_CLASSES = frozenset(
    {"train", "trains", "valid", "valids", "dev", "devs", "eval", "trn", "tst"}
)
"""Names of splits that are as likely names of classes: vehicles are `train`, answers `valid`."""

ABOUT = frozenset(
    {
        *("readme", "license", "licence", "citation", "changelog", "notice", "about"),
        *("description", "requirements", "sample_submission", "samplesubmission", "dataset_info"),
        *("dataset_infos",),
    }
)
"""Names of files that say something of a data set, in lower case."""

CONTAINERS = frozenset(
    {"images", "image", "imgs", "img", "jpegimages", "jpegs", "leftimg8bit", "pngs"}
)
"""Names of folders that say what is in them, not of which class it is, in lower case."""

ANNOTATIONS = frozenset(
    {
        *("annotation", "annotations", "bboxes", "boxes", "depth", "depths", "ground_truth"),
        *("groundtruth", "gt", "gtcoarse", "gtfine", "label", "labels", "mask", "masks"),
        *("segmentation", "segmentationclass", "segmentationobject", "segmentations", "trimap"),
        *("trimaps",),
    }
)
"""Names of folders of pictures that say something of the images beside them, in lower case."""

WORD = re.compile(r"[^\W\d_]+")
JOINED = re.compile(
    r"(train|training|val|valid|validation|dev|test|testing)"
    r"(set|sets|data|dataset|images|image|imgs|img|files|list|lists|samples|split|text|texts|val)"
)
SEVERAL_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")


def split_role(name: str) -> Role | None:
    """Return the split that a folder's or a file's name means; None if it means none.

    >>> [split_role(name) for name in ("Train", "test_images", "val2017", "valSet", "trainer")]
    ['train', 'test', 'validation', 'validation', None]
    """
    roles = []
    for word in _words(name):
        role = _role_of_word(word)
        if role is not None:
            roles.append(role)
        elif word not in FILLERS:
            return None

    if roles == ["train", "validation"]:  # both are for training where a test part is beside them
        return "train"
    if len(roles) != 1:
        return None
    return roles[0]


def test_role(roles: Container[Role | None]) -> Role:
    """Return which of these splits is for testing: without a test part, the validation part."""
    if "test" in roles:
        return "test"
    return "validation"


def without_unions(
    roles: Mapping[str, Role | None], full: Container[str]
) -> dict[str, Role | None]:
    """Return splits by name, and none for training and validation in one beside the training alone.

    full  names of folders that hold files

    >>> without_unions({"train": "train", "trainval": "train"}, {"train", "trainval"})
    {'train': 'train', 'trainval': None}
    """
    unions = {name for name, role in roles.items() if role == "train" and len(roles_in(name)) > 1}
    if not any(roles[name] == "train" and name in full for name in roles.keys() - unions):
        return dict(roles)
    return {name: None if name in unions else role for name, role in roles.items()}


def roles_in(name: str) -> set[Role]:
    """Return the splits that words of a name mean, whatever its other words are.

    >>> sorted(roles_in("DIV2K_train_HR") | roles_in("bullet-trains") | roles_in("latest"))
    ['train']
    """
    return {role for role in map(_role_of_word, _words(name)) if role is not None}


def role_and_subject(name: str) -> tuple[Role | None, tuple[str, ...]]:
    """Return the split that words of a name mean, and its other words but those that say little.

    >>> role_and_subject("images_variant_trainval"), role_and_subject("words")
    (('train', ('variant',)), (None, ('words',)))
    """
    words = _words(name)
    of_roles = [word for word in words if _role_of_word(word)]
    others = [word for word in words if not _role_of_word(word) and word not in FILLERS]
    return split_role(" ".join(of_roles)), tuple(others)


def file_roles(stems: Sequence[str]) -> dict[str, Role | None] | None:
    """Return the splits that the names of all files or folders mean; None unless they mean several.

    Words that all names share are passed over; files that only describe the others have no split.

    >>> file_roles(["stories-train", "stories-valid", "README"])
    {'stories-train': 'train', 'stories-valid': 'validation', 'README': None}
    >>> file_roles(["train", "ship"]) is None
    True
    """
    words = {}
    for stem in stems:
        if stem.lower() in ABOUT:
            continue
        words[stem] = _words(stem)
        if not any(map(_role_of_word, words[stem])):  # a folder may hold a million others
            return None
    if len(words) < 2:
        return None
    shared = {
        word for word in set.intersection(*map(set, words.values())) if not _role_of_word(word)
    }

    roles: dict[str, Role | None] = dict.fromkeys(stems)
    for stem, each in words.items():
        roles[stem] = split_role(" ".join(word for word in each if word not in shared))
        if roles[stem] is None:
            return _by_one_word(words, roles)
    if len(set(roles.values()) - {None}) < 2 or "train" not in roles.values():
        return None
    return roles


def _by_one_word(
    words: Mapping[str, Sequence[str]], roles: Mapping[str, Role | None]
) -> dict[str, Role | None] | None:
    """Return the splits of names such as train_pos, train_neg, test_pos and test_neg.

    Each means one split, and the words beside that are those of a training file.
    """
    beside: dict[Role, set[tuple[str, ...]]] = {}
    by_word = dict(roles)
    for name, each in words.items():
        role = split_role(" ".join(filter(_role_of_word, each)))
        if role is None:
            return None
        by_word[name] = role
        others = tuple(word for word in each if _role_of_word(word) is None)
        beside.setdefault(role, set()).add(others)

    train = beside.get("train")
    if train is None or len(beside) < 2 or any(not each <= train for each in beside.values()):
        return None
    return by_word


def _role_of_word(word: str) -> Role | None:
    return ROLES.get(word) or ROLES.get(word.removesuffix("s"))


def _words(name: str) -> list[str]:
    composed = unicodedata.normalize("NFC", name)  # macOS writes an accent as a sign of its own
    return _separated(WORD.findall(SEVERAL_WORDS.sub("_", composed)))


def _separated(words: list[str]) -> list[str]:
    """Return words in lower case; `trainset` is two words."""
    separated: list[str] = []
    for word in map(str.lower, words):
        joined = JOINED.fullmatch(word)
        separated += joined.groups() if joined else [word]
    return separated


def may_be_class(name: str) -> bool:
    """Say whether a name of a split is as likely the name of a class, where it stands alone."""
    return name.lower() in ALSO_CLASSES
