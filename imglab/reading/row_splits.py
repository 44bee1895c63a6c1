"""Rows that name their split, in a column such as `split` or `is_train` of a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from imglab.errors import InputError, Problem
from imglab.reading.splits import SEVERAL_WORDS, Role, split_role, test_role
from imglab.reading.tables import Columns

COLUMNS = (
    *("split", "subset", "set", "partition", "phase", "usage", "data_split", "dataset_split"),
    *("split_name", "split_set", "train_test_split", "train_test", "train_val_test"),
    *("train_val", "is_train", "is_training", "is_test", "is_val", "is_validation"),
)
"""Columns that name the split of a row, in lower case, the preferred one first. A row that
`is_valid` may as well be one that can be used."""

FLAGS: dict[str, tuple[Role, Role]] = {
    **dict.fromkeys(("is_train", "is_training"), ("test", "train")),
    **dict.fromkeys(("train_test_split", "train_test"), ("test", "train")),
    "is_test": ("train", "test"),
    **dict.fromkeys(("is_val", "is_validation"), ("train", "validation")),
}
"""What 0 and 1 mean in columns of flags: those of CUB-200 have 1 for training. In `train_val` they
may mean either."""

PARTS: dict[str, Role] = {"0": "train", "1": "validation", "2": "test"}
"""What numbers mean in a column `partition`, as that of CelebA."""

SWITCHES = {"0": 0, "false": 0, "no": 0, "0.0": 0, "1": 1, "true": 1, "yes": 1, "1.0": 1}


@dataclass(frozen=True)
class RowSplits:
    """Numbers of the rows for training and for testing, and of those for neither."""

    train: list[int]
    test: list[int]
    others: list[int]
    note: str


def split_columns(names: Iterable[Any]) -> list[Any]:
    """Return the columns that are called as those of splits, in any case, the preferred one first.

    >>> split_columns(["set", "text", "Split "])
    ['Split ', 'set']
    """
    columns = {plain_column(name): name for name in names}
    return [columns[each] for each in COLUMNS if each in columns]


def split_column(names: Iterable[Any], cells: Callable[[Any], Iterable[Any]]) -> Any:
    """Return the column that names splits; None where no column is called so.

    cells  returns the values of a column

    Of several it is the first one that names training and another part, or else any part.
    """

    def rank(name: Any) -> tuple[bool, bool]:
        words = {str(cell) for cell in cells(name) if isinstance(cell, str | int | float)}
        roles = {split_role(str(split_of_cell(name, word))) for word in words} - {None}
        return "train" in roles and len(roles) > 1, bool(roles)

    return max(split_columns(names), key=rank, default=None)


def plain_column(name: Any) -> str:
    """Return the name of a column as all ways to write it have it: `isTrain` is `is_train`."""
    words = SEVERAL_WORDS.sub("_", str(name).strip())
    return words.lower().replace("-", "_").replace(" ", "_")


def split_of_cell(column: Any, value: Any) -> Any:
    """Return what a cell of such a column calls its split; a flag becomes a word.

    >>> split_of_cell("is_train", 0), split_of_cell("partition", "2"), split_of_cell("set", "dev")
    ('test', 'test', 'dev')
    """
    name = plain_column(column)
    plain = str(value).strip().lower()
    if name in FLAGS and plain in SWITCHES:
        return FLAGS[name][SWITCHES[plain]]
    if name == "partition":
        return PARTS.get(plain, value)
    return value


def divided(names: Sequence[Any], columns: Iterable[Columns], where: str) -> RowSplits | None:
    """Divide rows by the splits that they name; None unless they name several.

    names    what each row calls its split, if it is a word
    columns  of the tables that have the rows

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
    of_splits = dict.fromkeys(repr(each.split) for each in columns if each.split)
    note = f"the rows name their split in {' or '.join(of_splits)}; {chosen} is the test part"
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
