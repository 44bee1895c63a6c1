"""What a sweep will cost, before it begins: from earlier runs, or a short probe of each arm.

Arms that differ in their regimes alone cost the same but for the sizes of their training sets.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imglab.config.schema import RunConfig
from imglab.running.build import build
from imglab.running.cache import RunCache
from imglab.running.cost import WORTH_PROBING, RunCost, StageCost, of_run, training_sizes
from imglab.running.cost_probe import QUICK, probe
from imglab.running.earlier_runs import recalled, remember_measured
from imglab.running.short_plans import steps_of_fit
from imglab.running.stage_costs import Measured, grows
from imglab.store import layout
from imglab.studies.chains import with_threads
from imglab.studies.sweeps.config import SweepConfig
from imglab.studies.sweeps.tasks import chosen_runs

ALIKE = ("name", "regime", "generations", "seed", "keep", "tracker")
"""Keys in which arms may differ whose stages cost the same."""

Kinds = dict[str, tuple[Measured, int, str]]
"""What was measured of a kind of arm, with its number of real training samples and the source."""


@dataclass(frozen=True)
class PlannedRun:
    """A run of a study, which may have begun.

    where      what messages call its config
    is_forked  whether it takes generation 0, and what is prepared, from another run
    """

    where: str
    folder: Path
    config: RunConfig
    is_forked: bool = False


def expected_cost(
    config: SweepConfig,
    folder: Path,
    where: str,
    *,
    workers: int,
    threads: int,
    only: Collection[str] | None = None,
) -> RunCost | None:
    """Return what the runs of a sweep that are left will cost; None for one that is quickly done.

    only  the names of the runs that are meant; None: all
    """
    runs = [
        PlannedRun(f"{where}: arms.{arm}", run, chain)
        for arm, run, chain in chosen_runs(config, folder, workers, only)
    ]
    return cost_of_runs(runs, folder, workers=workers, threads=threads)


def cost_of_runs(
    runs: Sequence[PlannedRun], folder: Path, *, workers: int, threads: int
) -> RunCost | None:
    """Return what is left of the runs of a study in `folder`; None where that is quickly done.

    Its only stage is all of them together: seconds by the clock, the memory of all workers, disk.
    What runs share, such as an extractor and generation 0, is counted once.

    workers  how many runs go on at the same time, with so many `threads` each
    """
    if all(steps_of_fit(run.config.model) < WORTH_PROBING for run in runs):
        return None

    kinds: Kinds = {}
    shared: set[Path] = set()
    seconds: list[float] = []
    memory = 0
    disk = 0
    for run in runs:
        first = int(run.is_forked)
        to_run = run.config.generations - first
        left = run.config.generations - max(first, layout.count_finished(run.folder))
        if left <= 0:
            continue
        chain = with_threads(run.config, run.folder, threads)
        cost = _cost_of(chain, run.where, kinds)
        if run.is_forked:
            alone = _without_first(cost)
        else:
            alone = _without_shared(cost, RunCache.below(folder, chain, threads), shared)
        seconds.append(alone * left / to_run)
        disk += cost.disk * left // to_run
        memory = max(memory, cost.memory)

    if not seconds:
        return None
    sources = sorted({source for _, _, source in kinds.values()})
    return _together(seconds, memory, disk, workers=workers, source=" and ".join(sources))


def _without_first(cost: RunCost) -> float:
    """Return the seconds of a run that prepares nothing and has its generation 0 already."""
    stages = [stage for stage in cost.stages if stage.name != "prepare"]
    return sum(stage.seconds - sum(stage.generation[:1]) for stage in stages)


def _together(
    seconds: Sequence[float], memory: int, disk: int, *, workers: int, source: str
) -> RunCost:
    """Return the cost of runs, so many `workers` at a time, from the seconds of each.

    memory  the most that one of them needs
    disk    that of all of them
    """
    at_once = min(workers, len(seconds))
    clock = max(sum(seconds) / at_once, *seconds)
    stage = StageCost("sweep", clock, (), disk)
    return RunCost((stage,), memory * at_once, source)


def _cost_of(config: RunConfig, where: str, kinds: Kinds) -> RunCost:
    """Return the cost of a run alone; `kinds` holds what was measured before."""
    key = _kind_of(config)
    if key not in kinds:
        experiment = build(config, where)
        real = len(experiment.modality.real("train"))
        measured = recalled(config, real)
        if measured is None:
            measured = probe(experiment, QUICK)
            remember_measured(config, measured, real)
        kinds[key] = (measured, real, measured.source)

    measured, real, _ = kinds[key]
    sizes = [real] * config.generations
    if grows(config):
        sizes = training_sizes(build(config, where))
    return of_run(measured, config.generations, sizes, real=real, keep=config.keep)


def _kind_of(config: RunConfig) -> str:
    """Return what the cost of the stages depends on, as text; another draw of the data does not."""
    tree: dict[str, Any] = config.model_dump(mode="json")
    relevant = {name: value for name, value in tree.items() if name not in ALIKE}
    if isinstance(relevant["modality"], dict):
        relevant["modality"] = {**relevant["modality"], "data_seed": None}
    return json.dumps(relevant, sort_keys=True)


def _without_shared(cost: RunCost, cache: RunCache, shared: set[Path]) -> float:
    """Return the seconds of a run without what runs before it have left in the cache."""
    stages = {stage.name: stage for stage in cost.stages}
    seconds = cost.seconds
    if cache.prepared in shared and "prepare" in stages:
        seconds -= stages["prepare"].seconds
    if cache.generation0 in shared and "fit" in stages:
        seconds -= stages["fit"].generation[0]
    shared |= {cache.prepared, cache.generation0}
    return seconds
