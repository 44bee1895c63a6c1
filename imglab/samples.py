"""`Samples`, which is all that crosses the loop, and training sets that are chosen from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

REAL = -1
"""The `origin` of a real sample; a synthetic one has the number of the generation that drew it."""

FRESH = -1
"""The `Selection.entry` of real data that no generation has seen (the ability `FreshData`)."""

GIVEN = -2
"""The `Selection.entry` and the `origin` of the user's first synthetic set; the second has -3."""


@dataclass(frozen=True)
class Samples:
    """N samples of one kind of data with their lineage.

    data       images uint8 [N, C, H, W]; text int64 [N, T]; vectors float32 [N, D]; memory-mapped
               where large
    condition  a class label or a prompt for each sample, int64 [N, ...], or None
    origin     the generation that drew each sample, int16 [N], -1 for real ones, `GIVEN` and below
               for synthetic ones that the user gave; it survives every mix
    source     which model of a mixed chain drew each sample, int16 [N], -1 where none of them did
    """

    data: Tensor
    condition: Tensor | None
    origin: Tensor
    source: Tensor

    def __post_init__(self) -> None:
        for name in ("condition", "origin", "source"):
            column = getattr(self, name)
            if column is not None and len(column) != len(self.data):
                what = f"has {len(column)} rows, data has {len(self.data)}"
                raise ValueError(f"Samples.{name} {what}")

    @classmethod
    def real(cls, data: Tensor, condition: Tensor | None = None) -> Samples:
        """Make samples of real data."""
        column = torch.full((len(data),), REAL, dtype=torch.int16)
        return cls(data, condition, column, column.clone())

    @classmethod
    def drawn(cls, data: Tensor, condition: Tensor | None = None) -> Samples:
        """Make samples that a model drew; the loop stamps the generation on them (`stamped`)."""
        column = torch.zeros(len(data), dtype=torch.int16)
        return cls(data, condition, column, column.clone())

    @classmethod
    def given(cls, data: Tensor, condition: Tensor | None, number: int) -> Samples:
        """Make samples of the synthetic data that the user gave as set `number`, from 0."""
        real = cls.real(data, condition)
        return replace(real, origin=torch.full_like(real.origin, GIVEN - number))

    @classmethod
    def concatenate(cls, parts: Sequence[Samples]) -> Samples:
        """Join parts in order; the result has a condition only if every part has one.

        >>> real = Samples.real(torch.zeros(2, 1))
        >>> drawn = Samples.drawn(torch.ones(1, 1)).stamped(4)
        >>> Samples.concatenate([real, drawn]).origin.tolist()
        [-1, -1, 4]
        """
        data = torch.cat([part.data for part in parts])
        origin = torch.cat([part.origin for part in parts])
        source = torch.cat([part.source for part in parts])

        condition = None
        conditions = [part.condition for part in parts if part.condition is not None]
        if len(conditions) == len(parts):
            condition = torch.cat(conditions)
        return cls(data, condition, origin, source)

    def stamped(self, generation: int) -> Samples:
        """Return the same samples, recorded as drawn from `generation`."""
        return replace(self, origin=torch.full_like(self.origin, generation))

    def drawn_by(self, source: int) -> Samples:
        """Return the same samples, recorded as drawn by model number `source` of a mixed chain."""
        return replace(self, source=torch.full_like(self.source, source))

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, rows: Tensor | slice) -> Samples:
        condition = None if self.condition is None else self.condition[rows]
        return Samples(self.data[rows], condition, self.origin[rows], self.source[rows])


@dataclass(frozen=True)
class Selection:
    """Which samples make a training set, as pairs of a pool entry and an index, int64 [N] each.

    entry  0 is the real training set, g + 1 what generation g left in the pool, `FRESH` real data
           that no generation has seen, `GIVEN` and below synthetic data that the user gave
    index  a sample of that entry; for fresh data its position in the stream

    >>> real, drawn = Samples.real(torch.arange(4)), Samples.drawn(torch.arange(10, 13))
    >>> selection = Selection(torch.tensor([0, 1, 0]), torch.tensor([3, 2, 0]))
    >>> TrainingSet({0: real, 1: drawn}, selection).all().data.tolist()
    [3, 12, 0]
    """

    entry: Tensor
    index: Tensor

    def __post_init__(self) -> None:
        if self.entry.shape != self.index.shape or self.entry.dim() != 1:
            raise ValueError("Selection needs two vectors of one length")

    def check(self, sizes: Sequence[int], sets: Sequence[int] = ()) -> None:
        """Raise ValueError unless every pair names fresh data or a sample of the pool.

        sizes  how many samples each entry of the pool has
        sets   how many samples each set of synthetic data has that the user gave
        """
        if self.entry.dtype != torch.int64 or self.index.dtype != torch.int64:
            dtypes = f"{self.entry.dtype} and {self.index.dtype}"
            raise ValueError(f"entries and indices must be int64, not {dtypes}")
        if not len(self):
            return
        lowest = FRESH - len(sets)
        if int(self.entry.min()) < lowest or int(self.entry.max()) >= len(sizes):
            raise ValueError(f"an entry is beyond the pool's {len(sizes)}")

        # Negative entries count limits from the end; fresh data, entry -1, have no end here.
        endless = torch.iinfo(torch.int64).max
        limits = torch.tensor([*sizes, *reversed(sets), endless])[self.entry]
        if bool(((self.index < 0) | (self.index >= limits)).any()):
            raise ValueError("an index is beyond its entry's samples")

    def through(self, accepted: Mapping[int, Tensor]) -> Selection:
        """Turn indices among the accepted samples of an entry into indices among all of them.

        accepted  for each curated entry in use, which of its samples were accepted, int64 [M]
        """
        index = self.index.clone()
        for entry, rows in accepted.items():
            of_entry = self.entry == entry
            index[of_entry] = rows[self.index[of_entry]]
        return Selection(self.entry, index)

    def __len__(self) -> int:
        return len(self.entry)


class TrainingSet:
    """The chosen rows of a pool, read-only.

    Rows are gathered only when they are needed, a batch at a time or all at once, so that
    choosing copies no data.
    """

    weights: Tensor | None = None
    """How much each row counts in a fit, float64 [N] of mean 1; None: all alike."""

    def __init__(
        self, entries: Mapping[int, Samples], selection: Selection, labels: Sequence[str] = ()
    ) -> None:
        """Choose from the entries of a pool, by number; those that are not used may be left out.

        labels  the names of the sets of synthetic data that the user gave, in their order
        """
        self._entries = dict(entries)
        self._selection = selection
        self._labels = labels

    def weighted(self, weights: Tensor) -> TrainingSet:
        """Return the same rows with these weights."""
        weighted = TrainingSet(self._entries, self._selection, self._labels)
        weighted.weights = weights
        return weighted

    def part(self, rows: Tensor) -> TrainingSet:
        """Return a training set of these rows, int64 [M]; ValueError if all have the weight 0."""
        selection = Selection(self._selection.entry[rows], self._selection.index[rows])
        part = TrainingSet(self._entries, selection, self._labels)
        if self.weights is not None:
            weights = self.weights[rows]
            if not bool(weights.any()):
                raise ValueError("all rows of a part have the weight 0")
            part.weights = weights / weights.mean()
        return part

    @classmethod
    def of(cls, samples: Samples) -> TrainingSet:
        """Make a training set of all of `samples`."""
        rows = torch.arange(len(samples))
        return cls({0: samples}, Selection(torch.zeros_like(rows), rows))

    def __len__(self) -> int:
        return len(self._selection)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample's data."""
        return tuple(self._data.shape[1:])

    @property
    def nbytes(self) -> int:
        """Bytes that the data would take if all rows were gathered."""
        return len(self) * self._data[:1].numel() * self._data.element_size()

    @property
    def _data(self) -> Tensor:
        return next(iter(self._entries.values())).data

    @property
    def condition(self) -> Tensor | None:
        """Conditions of all rows, or None if some have none."""
        return self._places(None).gather(self._column("condition"))

    @property
    def origin(self) -> Tensor:
        """Origins of all rows, int16 [N]."""
        origin = self._places(None).gather(self._column("origin"))
        assert origin is not None
        return origin

    @property
    def real_share(self) -> float:
        """Share of rows that are real, in [0, 1]."""
        return float((self.origin == REAL).double().mean())

    @property
    def origin_counts(self) -> dict[str, int]:
        """How many rows are real ("real"), given (by label), and drawn (by generation)."""
        origins, counts = torch.unique(self.origin, return_counts=True)

        by_origin = {}
        for origin, count in zip(origins.tolist(), counts.tolist(), strict=True):
            by_origin[self._origin_name(origin)] = count
        return by_origin

    def _origin_name(self, origin: int) -> str:
        if origin <= GIVEN:
            return self._labels[GIVEN - origin]
        if origin == REAL:
            return "real"
        return str(origin)

    def all(self) -> Samples:
        """Gather every row, in the order of the selection."""
        return self.rows(None)

    def rows(self, rows: Tensor | None) -> Samples:
        """Gather these rows (int64 [B]), in this order; None: all."""
        places = self._places(rows)
        columns = {field.name: places.gather(self._column(field.name)) for field in fields(Samples)}
        return Samples(**columns)  # type: ignore[arg-type]

    def _column(self, name: str) -> Mapping[int, Tensor | None]:
        return {number: getattr(entry, name) for number, entry in self._entries.items()}

    def _places(self, rows: Tensor | None) -> _Places:
        entry = self._selection.entry
        index = self._selection.index
        if rows is None:
            return _Places.of(entry, index)
        return _Places.of(entry[rows], index[rows])


@dataclass(frozen=True)
class _Places:
    """Rows sorted by the pool entry that they lie in.

    entries  the entries in use, ascending
    rows     the rows of each of them, int64 [n] each
    order    where each of the sorted rows belongs, int64 [N]
    """

    entries: list[int]
    rows: list[Tensor]
    order: Tensor

    @classmethod
    def of(cls, entry: Tensor, index: Tensor) -> _Places:
        order = torch.argsort(entry, stable=True)
        used, counts = torch.unique_consecutive(entry[order], return_counts=True)
        return cls(used.tolist(), list(index[order].split(counts.tolist())), order)

    def gather(self, columns: Mapping[int, Tensor | None]) -> Tensor | None:
        """Gather one column, which each entry of the pool has; None if an entry in use lacks it."""
        parts: list[Tensor] = []
        for number, rows in zip(self.entries, self.rows, strict=True):
            column = columns[number]
            if column is None:
                return None
            parts.append(column[rows])

        by_entry = torch.cat(parts)
        return torch.empty_like(by_entry).index_copy_(0, self.order, by_entry)
