"""Groups of documents that a column of their rows names, and the groups of the blocks of tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from imglab.errors import InputError, Problem, nearest
from imglab.groups import Groups
from imglab.groups.numbering import NO_GROUP, WHERE, numbered
from imglab.modality import Split
from imglab.safe_text import one_line


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
        numbers = torch.tensor([groups.index(name) for name in self.names])
        lengths = torch.tensor([len(document) for document in self.documents])
        of_tokens = numbers.repeat_interleave(lengths)[: n * block].view(n, block)

        counts = torch.zeros(n, len(groups), dtype=torch.int64)
        counts.scatter_add_(1, of_tokens, torch.ones_like(of_tokens))
        return [groups[number] for number in counts.argmax(1).tolist()]


def groups_of_splits(names: Mapping[Split, Sequence[str]], where_read: str) -> dict[Split, Groups]:
    """Number the groups of blocks; those of the test split have the same numbers.

    Raises InputError where they are no groups (`numbered`).
    """
    joined = [name for of_split in names.values() for name in of_split]
    groups = numbered(joined, where_read, of="blocks of text")
    sizes = [len(of_split) for of_split in names.values()]
    parts: Sequence[Tensor] = groups.numbers.split(sizes)
    return {split: Groups(groups.names, part) for split, part in zip(names, parts, strict=True)}


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
    if group not in columns:
        what = f"{place!r} has no column {group!r}"
        others = [name for name in columns if name != read]
        remedy = nearest(group, others) if others else "write one, with a name in each row"
        raise InputError(Problem(WHERE, one_line(what), one_line(remedy)))


def group_names(cells: Iterable[Any], group: str, place: str) -> list[str]:
    """Return the name of the group in each cell of a column; `none` where it is blank or null.

    Raises InputError for cells that are lists or objects.
    """
    names = []
    for cell in cells:
        if isinstance(cell, list | dict):
            kind = "lists" if isinstance(cell, list) else "objects"
            what = f"the column {group!r} of {place!r} holds {kind}, not names of groups"
            raise InputError(Problem(WHERE, one_line(what), "write one name in each row"))
        text = "" if cell is None else " ".join(str(cell).split())
        names.append(text or NO_GROUP)
    return names


def check_no_column(group: str | None, place: str) -> None:
    """Raise InputError where a column of groups is wanted of a file that has no rows."""
    if group is not None:
        what = f"{place!r} has no columns, and so no column {group!r}"
        remedy = f'write JSON lines: {{"text": "...", "{group}": "..."}}'
        raise InputError(Problem(WHERE, one_line(what), one_line(remedy)))
