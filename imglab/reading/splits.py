"""Folders that people and tools name after splits: train, val, test and their variants."""

from __future__ import annotations

import re
from typing import Literal

Role = Literal["train", "validation", "test"]

ROLES: dict[str, Role] = {
    "train": "train",
    "training": "train",
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
    "holdout": "test",
}
"""Words that name a split, in lower case; a plural's `s` may follow."""

FILLERS = frozenset(
    {
        *("all", "batch", "csv", "data", "dataset", "datasets", "file", "files", "folder"),
        *("image", "images", "img", "imgs", "jpg", "part", "parts", "photo", "photos"),
        *("pic", "pics", "picture", "pictures", "png", "sample", "samples", "seg", "set"),
        *("sets", "split", "splits", "text", "texts", "the", "txt"),
    }
)
"""Words beside the one that names the split, e.g. in `training_set` and `images-test`."""

ALSO_CLASSES = frozenset({"train", "trains", "valid", "valids", "dev", "devs", "eval"})
"""Names of splits that are as likely names of classes: vehicles are `train`, answers `valid`."""

WORD = re.compile(r"[^\W\d_]+")
JOINED = re.compile(
    r"(train|training|val|valid|validation|dev|test|testing)"
    r"(set|sets|data|dataset|images|image|imgs|img|files|samples|split|text|texts)"
)
SEVERAL_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")


def split_role(name: str) -> Role | None:
    """Return the split that a folder's or a file's name means; None if it means none.

    >>> [split_role(name) for name in ("Train", "test_images", "val2017", "valSet", "trainer")]
    ['train', 'test', 'validation', 'validation', None]
    """
    roles = []
    for word in _separated(WORD.findall(SEVERAL_WORDS.sub("_", name))):
        role = ROLES.get(word) or ROLES.get(word.removesuffix("s"))
        if role is not None:
            roles.append(role)
        elif word not in FILLERS:
            return None

    if len(roles) != 1:
        return None
    return roles[0]


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
