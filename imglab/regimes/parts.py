"""Parts of a pool: rows of one of its entries. A regime chooses parts and joins them.

torch is imported when a regime is called and not before: a config is judged without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

    from imglab.samples import Selection

Part: TypeAlias = "tuple[int, Tensor]"
"""The number of an entry of the pool, and rows of it, int64 [N]."""


def whole(sizes: Sequence[int], entry: int) -> Part:
    """Return all rows of an entry."""
    import torch

    return entry, torch.arange(sizes[entry])


def some(sizes: Sequence[int], entry: int, n: int, *names: int | str) -> Part:
    """Return n rows of an entry, drawn without replacement and sorted; the same for the same names.

    Raises ValueError if the entry has fewer than n.
    """
    return entry, _choose(sizes[entry], n, *names)


def unseen(first: int, n: int) -> Part:
    """Return n rows of the stream of fresh real data, from its row `first` on."""
    import torch

    from imglab.samples import FRESH

    return FRESH, torch.arange(first, first + n)


def join(*parts: Part) -> Selection:
    """Return the selection of these parts, in this order."""
    import torch

    from imglab.samples import Selection

    entries = [torch.full_like(rows, entry) for entry, rows in parts]
    return Selection(torch.cat(entries), torch.cat([rows for _, rows in parts]))


def subsample(selection: Selection, n: int, *names: int | str) -> Selection:
    """Return n of the selected samples, drawn without replacement; the same for the same names.

    Raises ValueError if the selection has fewer than n.
    """
    from imglab.samples import Selection

    rows = _choose(len(selection), n, *names)
    return Selection(selection.entry[rows], selection.index[rows])


def _choose(population: int, n: int, *names: int | str) -> Tensor:
    """Return n of `population` numbers, int64 [n], ascending, by a generator of these names."""
    import torch

    from imglab import seeds

    if n > population:
        raise ValueError(f"cannot draw {n} of {population} without replacement")
    return torch.randperm(population, generator=seeds.generator(*names))[:n].sort().values
