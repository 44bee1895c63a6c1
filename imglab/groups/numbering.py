"""Groups by their names: a column must tell samples apart, and several must share a group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch

from imglab.errors import InputError, Problem
from imglab.groups.ability import Groups
from imglab.safe_text import is_text, one_line

WHERE = "modality.groups"

NO_GROUP = "none"
"""The group of samples whose cell is blank, and of those without a row."""

EXAMPLES = 6
"""Groups with their sizes that a message names."""

MOST = 200
"""Groups that a column may name: with more, the intervals of their shares take minutes."""

LONGEST = 40
"""Characters of a name that a message shows."""


def numbered(names: Sequence[str]) -> Groups:
    """Number the groups of samples, whose names are given, in the order of the names."""
    groups = tuple(sorted(set(names)))
    numbers = {name: number for number, name in enumerate(groups)}
    return Groups(groups, torch.tensor([numbers[name] for name in names]))


def check_groups(names: Sequence[str], where_read: str, *, of: str) -> None:
    """Raise InputError where the names of the samples' groups are no groups.

    They are none where there is one alone, where they are more than half as many as samples or
    more than `MOST`, and where one is no text.

    where_read  for messages
    of          what the samples are called, in the plural
    """
    sizes = Counter(names)
    for name in sizes:
        if not is_text(name):
            what = f"{name!r} cannot be the name of a group: it is not UTF-8"
            raise InputError(Problem(WHERE, what, "write it again"))
    if len(sizes) < 2:
        what = f"all {of} are of one group, {names[0]!r}, in {where_read}"
        raise InputError(Problem(WHERE, what, f"name a column that tells {of} apart"))
    if 2 * len(sizes) > len(names):
        what = f"{where_read} has {len(sizes):,} values for {len(names):,} {of}: no groups"
        raise InputError(Problem(WHERE, what, f"name a column that several {of} share"))
    if len(sizes) > MOST:
        what = f"{where_read} names {len(sizes):,} groups, more than {MOST}"
        raise InputError(Problem(WHERE, what, "name a coarser column"))


def sizes_in_words(names: Sequence[str], where_read: str) -> str:
    """Say in a line how many groups there are, and how large the largest are.

    >>> sizes_in_words(["dark", "light", "light"], "'tone' of metadata.csv")
    "2 groups in 'tone' of metadata.csv: light 2, dark 1"
    """
    sizes = Counter(names)
    shown = [f"{name[:LONGEST]} {count:,}" for name, count in sizes.most_common(EXAMPLES)]
    if len(sizes) > EXAMPLES:
        shown.append("...")
    return one_line(f"{len(sizes)} groups in {where_read}: {', '.join(shown)}")
