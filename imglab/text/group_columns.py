"""Groups of documents that a column of their rows names, and the groups of the blocks of tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from imglab.errors import InputError, Problem, nearest
from imglab.groups import Groups
from imglab.groups.numbering import (
    EXAMPLES,
    LONGEST,
    NO_GROUP,
    WHERE,
    numbered,
    sizes_in_words,
)
from imglab.modality import Split
from imglab.safe_text import one_line

NO_NAMES = {list: "lists", dict: "objects", bytes: "bytes"}
"""What cells may hold that is no name, and how it is called."""


@dataclass(frozen=True)
class GroupedTokens:
    """Documents as tokens, and the name of each one's group."""

    documents: Sequence[Sequence[int]]
    names: Sequence[str]

    def blocks(self, block: int, n: int) -> list[str]:
        """Return the group of each of the first n blocks of this many tokens.

        A block may hold parts of several documents. Its group is the one to which most of its
        tokens belong; of several, the first by name.
        """
        groups = sorted(set(self.names))
        number_of = {name: number for number, name in enumerate(groups)}
        numbers = torch.tensor([number_of[name] for name in self.names])
        lengths = torch.tensor([len(document) for document in self.documents])
        of_tokens = numbers.repeat_interleave(lengths)[: n * block].view(n, block)
        return [groups[number] for number in of_tokens.mode(1).values.tolist()]

    def documents_per_block(self, block: int, n: int) -> float:
        """Return how many documents the first n blocks hold, as a share of n; 1 at most.

        Blocks of a document are alike, so that they say no more than about as many documents.
        """
        begins = torch.tensor([0, *(len(document) for document in self.documents)]).cumsum(0)[:-1]
        return min(1.0, int((begins < n * block).sum()) / n)


def groups_of_splits(names: Mapping[Split, Sequence[str]]) -> dict[Split, Groups]:
    """Number the groups of blocks; those of the test split have the same numbers.

    Raises InputError where one group alone has blocks, or the groups have hardly any.
    """
    joined = [name for of_split in names.values() for name in of_split]
    count = len(set(joined))
    if count < 2:
        what = f"no block of text is mostly of another group than {joined[0]!r}"
        remedy = "lower modality.block, to about the length of a document, or raise n_train"
        raise InputError(Problem(WHERE, one_line(what), remedy))
    if 2 * count > len(joined):
        what = f"the {len(joined):,} blocks of text are of {count:,} groups: too few of each"
        raise InputError(Problem(WHERE, what, "lower modality.block, or name a coarser column"))
    groups = numbered(joined)
    sizes = [len(of_split) for of_split in names.values()]
    parts: Sequence[Tensor] = groups.numbers.split(sizes)
    return {split: Groups(groups.names, part) for split, part in zip(names, parts, strict=True)}


def blocks_in_words(
    names: Mapping[Split, Sequence[str]], of_documents: Iterable[str], column: str
) -> str:
    """Say in a line how many blocks the groups have, and which have none."""
    joined = [*names["train"], *names["test"]]
    parts = [sizes_in_words(joined, f"{column!r}, by blocks")]
    lost = sorted(set(of_documents) - set(joined))
    if lost:
        parts.append(f"most of no block: {_some(lost)}")
    unseen = sorted(set(joined) - set(names["test"]))
    if unseen:
        parts.append(f"no test block of {_some(unseen)}, so that groups are not counted")
    return one_line("; ".join(parts))


def _some(names: Sequence[str]) -> str:
    """Return the first of several names of groups, and how many more there are."""
    text = ", ".join(name[:LONGEST] for name in names[:EXAMPLES])
    if len(names) > EXAMPLES:
        text += f" and {len(names) - EXAMPLES:,} more"
    return text


def check_column(group: str | None, columns: Sequence[str], read: str, place: str) -> None:
    """Raise InputError where a column of groups is not there, or is that of the texts.

    group    name of the column; None: no groups are wanted
    columns  of the rows
    read     the column of the texts
    place    where the rows are, for messages
    """
    if group is None:
        return
    if group == read:
        what = f"{group!r} of {place!r} is the column of the texts"
        raise InputError(Problem(WHERE, one_line(what), "name a column of groups"))
    if list(columns).count(group) > 1:
        what = f"{place!r} has several columns {group!r}"
        raise InputError(Problem(WHERE, one_line(what), "rename all but one of them"))
    if group not in columns:
        what = f"{place!r} has no column {group!r}"
        others = [name for name in columns if name != read]
        remedy = nearest(group, others) if others else "write one, with a name in each row"
        raise InputError(Problem(WHERE, one_line(what), one_line(remedy)))


def group_names(cells: Iterable[Any], group: str, place: str) -> list[str]:
    """Return the name of the group in each cell of a column; `none` where it is blank or null.

    Raises InputError for cells that are lists, objects or bytes.
    """
    names = []
    for cell in cells:
        for kind, called in NO_NAMES.items():
            if isinstance(cell, kind):
                what = f"the column {group!r} of {place!r} holds {called}, not names of groups"
                raise InputError(Problem(WHERE, one_line(what), "write one name in each row"))
        names.append(_name(cell))
    return names


def _name(cell: Any) -> str:
    """Return the name in a cell. NaN stands for null, and 1.0 for 1, where a column has nulls.

    >>> [_name(cell) for cell in (" the  sea ", None, float("nan"), 1.0, 2)]
    ['the sea', 'none', 'none', '1', '2']
    """
    if cell is None or cell != cell:
        return NO_GROUP
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return " ".join(str(cell).split()) or NO_GROUP


def check_no_column(group: str | None, place: str) -> None:
    """Raise InputError where a column of groups is wanted of a file that has no rows."""
    if group is not None:
        what = f"{place!r} has no columns, and so no column {group!r}"
        remedy = f'write JSON lines: {{"text": "...", "{group}": "..."}}'
        raise InputError(Problem(WHERE, one_line(what), one_line(remedy)))
