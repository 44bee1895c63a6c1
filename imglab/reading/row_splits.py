"""Rows that name their split, in a column `split` of a table of captions or of texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from imglab.errors import InputError, Problem
from imglab.reading.splits import Role, split_role, test_role

COLUMN = "split"


@dataclass(frozen=True)
class RowSplits:
    """Numbers of the rows for training and for testing, and of those for neither."""

    train: list[int]
    test: list[int]
    others: list[int]
    note: str


def split_column(names: Iterable[Any]) -> Any:
    """Return the column that names splits, in any case; None where a table has none.

    >>> split_column(["text", "Split "])
    'Split '
    """
    return next((name for name in names if str(name).strip().lower() == COLUMN), None)


def divided(names: Sequence[Any], where: str) -> RowSplits | None:
    """Divide rows by the splits that they name; None unless they name several.

    names  what each row calls its split, if it is a word

    Without a test part, the validation part is for testing. InputError, at the config's key
    `where`, where no row is for training.
    """
    roles = _roles(names)
    meant = set(roles) - {None}
    if len(meant) < 2:
        return None
    if "train" not in meant:
        what = "its rows name the splits test and validation, and none is for training"
        raise InputError(Problem(where, what, "set modality.source.splits to none"))

    chosen = test_role(meant)
    numbers: dict[Any, list[int]] = {"train": [], chosen: []}
    others: list[int] = []
    for number, role in enumerate(roles):
        numbers.get(role, others).append(number)
    note = f"the rows name their split; {chosen} is the test part"
    return RowSplits(numbers["train"], numbers[chosen], others, note)


def note_on_others(of_training: Sequence[Any], of_test: Sequence[Any]) -> list[str]:
    """Say how many rows name another split than the one that their file or folder is for.

    Each argument is what the rows of a part call their split.
    """
    count = sum(role in ("validation", "test") for role in _roles(of_training))
    count += _roles(of_test).count("train")
    if count == 0:
        return []
    return [f"{count:,} rows name another split than their files or folders, which decide"]


def _roles(names: Sequence[Any]) -> list[Role | None]:
    role_of = {name: split_role(name) for name in {each for each in names if isinstance(each, str)}}
    return [role_of[name] if isinstance(name, str) else None for name in names]
