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


def numbered(names: Sequence[str], where_read: str, *, of: str) -> Groups:
    """Number the groups of samples, in the order of their names.

    names       of the group of each sample
    where_read  for messages
    of          what the samples are called, in the plural

    Raises InputError where they are no groups: one alone, more than half as many as samples, or a
    name that is no text.
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

    groups = tuple(sorted(sizes))
    numbers = {name: number for number, name in enumerate(groups)}
    return Groups(groups, torch.tensor([numbers[name] for name in names]))


def sizes_in_words(names: Sequence[str], where_read: str) -> str:
    """Say in a line how many groups there are, and how large the largest are.

    >>> sizes_in_words(["dark", "light", "light"], "'tone' of metadata.csv")
    "2 groups in 'tone' of metadata.csv: light 2, dark 1"
    """
    sizes = Counter(names)
    shown = [f"{name} {count:,}" for name, count in sizes.most_common(EXAMPLES)]
    if len(sizes) > EXAMPLES:
        shown.append("...")
    return one_line(f"{len(sizes)} groups in {where_read}: {', '.join(shown)}")
