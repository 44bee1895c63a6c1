"""`Samples`: all that crosses the loop; and the training sets that are chosen from them without copying."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

REAL = -1
"""`origin` of a real sample; a synthetic one carries the generation that drew it."""

FRESH = -1
"""`Selection.entry` of real data that no generation has seen (`Modality.fresh`)."""


@dataclass(frozen=True)
class Samples:
    """N samples of one kind of data with their lineage.

    data       images uint8 [N, C, H, W]; text int64 [N, T]; vectors float32 [N, D]; memory-mapped when large
    condition  int64, first dimension N (a class label each, or a prompt), or None
    origin     int16 [N]: -1 real, g = drawn from generation g; survives every mix
    source     int16 [N]: which model of a mixed chain drew it, -1 for real
    """

    data: Tensor
    condition: Tensor | None
    origin: Tensor
    source: Tensor

    def __post_init__(self) -> None:
        for name in ("condition", "origin", "source"):
            column = getattr(self, name)
            if column is not None and len(column) != len(self.data):
                raise ValueError(
                    f"Samples.{name} has {len(column)} rows, data has {len(self.data)}"
                )

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
    def concatenate(cls, parts: Sequence[Samples]) -> Samples:
        """Join parts in order; the condition is kept only if every part has one."""
        conditions = [part.condition for part in parts if part.condition is not None]
        return cls(
            torch.cat([part.data for part in parts]),
            torch.cat(conditions) if len(conditions) == len(parts) else None,
            torch.cat([part.origin for part in parts]),
            torch.cat([part.source for part in parts]),
        )

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
    """Which samples make a training set: (pool entry, index) pairs, int64 [N] each.

    Entry 0 is the real training set, entry g + 1 what generation g left in the pool, `FRESH` unseen real data
    (its indices are positions in the stream of fresh data).
    """

    entry: Tensor
    index: Tensor

    def __post_init__(self) -> None:
        if self.entry.shape != self.index.shape or self.entry.dim() != 1:
            raise ValueError("Selection needs two vectors of one length")

    def check(self, sizes: Sequence[int]) -> None:
        """Raise ValueError unless every pair lies in a pool with entries of these sizes, or in fresh data."""
        if self.entry.dtype != torch.int64 or self.index.dtype != torch.int64:
            raise ValueError(
                f"entries and indices must be int64, not {self.entry.dtype} and {self.index.dtype}"
            )
        if not len(self):
            return
        if int(self.entry.min()) < FRESH or int(self.entry.max()) >= len(sizes):
            raise ValueError(f"an entry is beyond the pool's {len(sizes)}")
        held = torch.tensor([*sizes, torch.iinfo(torch.int64).max])[
            self.entry
        ]  # entry -1, fresh data, has no end here
        if bool(((self.index < 0) | (self.index >= held)).any()):
            raise ValueError("an index is beyond its entry's samples")

    def through(self, accepted: Mapping[int, Tensor]) -> Selection:
        """Return the selection whose indices count all samples of an entry, from one that counts its accepted ones.

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
    """The chosen rows of a pool, read-only, gathered only when asked for: a batch at a time or all at once."""

    def __init__(self, entries: Mapping[int, Samples], selection: Selection) -> None:
        """Choose from `entries` of a pool, by number; those that the selection does not use may be left out."""
        self._entries = dict(entries)
        self._selection = selection

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
        """How many rows are `real`, and how many each generation drew, by its number."""
        found, counts = torch.unique(self.origin, return_counts=True)
        names = ["real" if origin == REAL else str(origin) for origin in found.tolist()]
        return dict(zip(names, counts.tolist(), strict=True))

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
        entry, index = self._selection.entry, self._selection.index
        return _Places.of(entry, index) if rows is None else _Places.of(entry[rows], index[rows])


@dataclass(frozen=True)
class _Places:
    """Rows sorted by the pool entry they lie in: which entries, which rows of each, and where each row belongs."""

    entries: list[int]
    rows: list[Tensor]
    order: Tensor

    @classmethod
    def of(cls, entry: Tensor, index: Tensor) -> _Places:
        order = torch.argsort(entry, stable=True)
        used, counts = torch.unique_consecutive(entry[order], return_counts=True)
        return cls(used.tolist(), list(index[order].split(counts.tolist())), order)

    def gather(self, columns: Mapping[int, Tensor | None]) -> Tensor | None:
        """Gather one column, given for each entry of the pool; None if an entry in use has none."""
        parts: list[Tensor] = []
        for number, rows in zip(self.entries, self.rows, strict=True):
            column = columns[number]
            if column is None:
                return None
            parts.append(column[rows])
        found = torch.cat(parts)
        return torch.empty_like(found).index_copy_(0, self.order, found)


def hash_samples(samples: Samples) -> str:
    """Return the sha256 of the samples' shape, data and conditions."""
    digest = hashlib.sha256(repr((samples.data.dtype, tuple(samples.data.shape))).encode())
    for column in (samples.data, samples.condition):
        if column is not None:
            digest.update(column.contiguous().numpy().data)
    return digest.hexdigest()
