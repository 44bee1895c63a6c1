"""The file of many unscored chains: their seeds, and each metric by seed and generation. No torch.

{"generations": [0, 5], "seeds": [0, 1, 2], "metrics": {"w2": [[.1, .3], [.2, .4], [.1, .2]]}}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

STORED_KEYS = ("generations", "seeds", "metrics")


@dataclass(frozen=True)
class Stored:
    """What such a file holds; a metric that is undefined is None."""

    tree: dict[str, Any]

    @classmethod
    def empty(cls, generations: Sequence[int]) -> Stored:
        """Return a file of no chains yet."""
        return cls({"generations": list(generations), "seeds": [], "metrics": {}})

    @property
    def seeds(self) -> list[int]:
        """The chains' seeds, in the order in which they ran."""
        return list(self.tree["seeds"])

    def add(self, seed: int, rows: Sequence[Mapping[str, float]]) -> None:
        """Add a chain by its metrics in each of the generations."""
        metrics = self.tree["metrics"]
        before = len(self.tree["seeds"])
        undefined = [None] * len(rows)

        for name in {name: None for row in rows for name in row}:
            metrics.setdefault(name, [undefined] * before)
        for name, values in metrics.items():
            values.append([row.get(name) for row in rows])
        self.tree["seeds"].append(seed)

    def values(self, metric: str, seeds: Sequence[int]) -> list[list[float | None]] | None:
        """Return a metric of these chains in each of the generations; None: no chain has it."""
        column = self.tree["metrics"].get(metric)
        if column is None:
            return None
        places = {seed: number for number, seed in enumerate(self.tree["seeds"])}
        return [column[places[seed]] for seed in seeds]

    def rows(self, seed: int) -> list[dict[str, Any]]:
        """Return a chain's metrics by generation from 0 on, as metrics.json has them."""
        generations = self.tree["generations"]
        place = self.tree["seeds"].index(seed)
        rows: list[dict[str, Any]] = [{} for _ in range(max(generations) + 1)]

        for name, values in self.tree["metrics"].items():
            for g, value in zip(generations, values[place], strict=True):
                table = rows[g]
                *path, last = name.split(".")
                for key in path:
                    table = table.setdefault(key, {})
                table[last] = value
        return rows
