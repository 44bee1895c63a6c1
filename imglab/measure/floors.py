"""Floors: what real data score against real data, at the sizes of the comparison."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from imglab import distributed, seeds
from imglab.measure.own import OwnMetric, own_floors
from imglab.metrics import strips
from imglab.metrics.comparison import (
    BETWEEN_SPLITS,
    DISTRIBUTION,
    MetricValues,
    Reference,
    spread,
)
from imglab.metrics.splits import split_scores, steps_before
from imglab.metrics.two_sample import null_of_auc
from imglab.progress import Progress, Stage, report
from imglab.store import files, hashes


class Floors:
    """The floors of the distribution metrics, each computed once for a number of samples."""

    def __init__(
        self,
        *,
        splits: int,
        neighbours: Mapping[str, int],
        metrics: Mapping[str, OwnMetric],
        cache: Path | None = None,
    ) -> None:
        """Choose how floors are computed.

        splits      random disjoint splits of the real data behind each floor
        neighbours  `precision_recall_k` and `density_coverage_k`
        metrics     metrics of the user's own by name
        cache       folder that keeps floors from process to process
        """
        self._splits = splits
        self._neighbours = neighbours
        self._own = metrics
        self._cache = cache
        self._floors: dict[int, dict[str, Any]] = {}

    def floor(
        self,
        real: Mapping[str, Reference],
        n_real: int,
        n_synthetic: int,
        copies: Callable[[], MetricValues],
    ) -> Stage[dict[str, Any]]:
        """Return mean, deviation and 95% range of each metric between disjoint real sets.

        real         the real features by split; `n_real` and `n_synthetic` of all are drawn
        copies       returns what held-out data score in the metrics that look for copies
        """
        if n_synthetic in self._floors:
            return self._floors[n_synthetic]

        path = self._cache / f"floor_{n_synthetic}.json" if self._cache else None
        if path and distributed.broadcast(path.exists()):
            self._floors[n_synthetic] = json.loads(path.read_text())
            return self._floors[n_synthetic]

        everything = torch.cat([real["train"].features, real["test"].features])
        floor = copies_floor(copies(), len(real["test"].features), n_synthetic)
        floor.update((yield from self._between_splits(everything, n_real, n_synthetic)))
        if path:
            with hashes.written(path.parent, path.name):
                files.write_json(path, floor)
        self._floors[n_synthetic] = floor
        return floor

    def _between_splits(
        self, everything: Tensor, n_real: int, n_synthetic: int
    ) -> Stage[dict[str, Any]]:
        if len(everything) < n_real + n_synthetic:
            reason = too_few(len(everything), n_real, n_synthetic)
            return {"reason": reason, **dict.fromkeys([*DISTRIBUTION, *self._own])}

        of_splits = split_scores(
            everything,
            n_real=n_real,
            n_synthetic=n_synthetic,
            orders=orders(len(everything), self._splits),
            **self._neighbours,
        )
        values: dict[str, list[Any]] = {name: [] for name in BETWEEN_SPLITS}
        steps = steps_before(len(everything), n_real, n_synthetic, self._neighbours)
        steps += self._splits
        for step in range(steps):
            with strips.shared():
                scores = next(of_splits)
            for name in BETWEEN_SPLITS:
                if scores is not None:
                    values[name].append(scores[name])
            yield Progress("floor", step + 1, steps)

        floor: dict[str, Any] = {name: spread(of_metric) for name, of_metric in values.items()}
        floor["two_sample_auc"] = null_of_auc(n_real, n_synthetic)
        if self._own:
            report(f"floor of {', '.join(self._own)}")
        sizes = {"n_real": n_real, "n_synthetic": n_synthetic}
        of_own = own_floors(
            self._own, everything, **sizes, orders=orders(len(everything), self._splits)
        )
        floor.update(of_own)
        return floor


def copies_floor(copies: MetricValues, held_out: int, n_synthetic: int) -> dict[str, Any]:
    """Return the floors of the metrics that look for copies: held-out data do not copy.

    copies    what the held-out samples score
    held_out  how many of them there are
    """
    # An error goes with the root of the number of samples, here from test set to synthetic.
    scale = (held_out / n_synthetic) ** 0.5
    floor: dict[str, Any] = {}
    for name in ("nearest_distance", "duplicate_share"):
        mean = copies.values[name]
        floor[name] = None
        if mean is not None:
            error = copies.values[f"{name}_se"] or 0.0
            floor[name] = {"mean": mean, "sd": error * scale}
    return floor


def too_few(population: int, n_real: int, n_synthetic: int) -> str:
    """Say that so many real samples cannot be split into parts of these sizes."""
    return f"a floor needs {n_real} + {n_synthetic} real samples, there are {population}"


def orders(population: int, count: int) -> Iterator[Tensor]:
    """Yield `count` random orders of a population, the same in every run."""
    for split in range(count):
        yield torch.randperm(population, generator=seeds.generator("floor", split))
