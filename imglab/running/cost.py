"""What a run will cost: time, memory and disk of each stage, known before it starts.

`estimate` is the one way to ask. What it knows comes from an earlier run on this machine that had
the same settings (`earlier_runs`), or from a short probe of them (`cost_probe`).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from imglab.config.machine import size_text
from imglab.config.schema import RunConfig
from imglab.config.sections import KeepSettings
from imglab.pool import pool_sizes
from imglab.running.build import Experiment, build
from imglab.running.earlier_runs import recalled, remember_measured
from imglab.running.keeping import kept_generations
from imglab.running.short_plans import steps_of_fit
from imglab.running.stage_costs import Measured, grows

WORTH_PROBING = 200
"""Steps of a fit from which on a run is probed before it begins."""

CLOSE = 1.5
"""Factor within which an estimate of time is called right."""

STAGES = ("prepare", "fit", "draw", "measure", "pictures")


@dataclass(frozen=True)
class StageCost:
    """The cost of one stage in a whole run.

    seconds     in all generations
    generation  seconds in each generation, from 0; empty for what is done once
    disk        bytes in the run directory
    """

    name: str
    seconds: float
    generation: tuple[float, ...]
    disk: int


@dataclass(frozen=True)
class RunCost:
    """The cost of a run.

    memory  the most bytes that it needs at a time, those of the program included
    source  where the numbers come from: "an earlier run" or "a short probe"
    """

    stages: tuple[StageCost, ...]
    memory: int
    source: str

    @property
    def seconds(self) -> float:
        """Seconds of the whole run."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def disk(self) -> int:
        """Bytes of the finished run directory."""
        return sum(stage.disk for stage in self.stages)

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON has it."""
        totals = {"seconds": self.seconds, "memory": self.memory, "disk": self.disk}
        return {"source": self.source, **totals, "stages": [asdict(each) for each in self.stages]}


def estimate(config: RunConfig, where: str = "config") -> RunCost:
    """Return what a run of this config will cost: from an earlier run if there was one, or probed.

    A probe prepares the data as the run will, takes a few seconds of steps of a fit and of samples
    of the real model, and scores once. Raises InputError for what a run would refuse.
    """
    return estimate_of(build(config, where), config)


def estimate_of(experiment: Experiment, config: RunConfig) -> RunCost:
    """Return what `estimate` says of a config whose data and models are open.

    config  as the user wrote it, before `auto` had values
    """
    cost = remembered(experiment, config)
    if cost is not None:
        return cost

    from imglab.running.cost_probe import probe

    return of_experiment(probe(experiment), experiment)


def expected(experiment: Experiment, config: RunConfig, where: str) -> RunCost | None:
    """Return what a run that begins will cost: as an earlier one, or by a quick probe.

    None for a run so short that a probe would take as long.

    config  as the user wrote it, before `auto` had values
    """
    cost = remembered(experiment, config)
    if cost is not None or steps_of_fit(config.model) < WORTH_PROBING:
        return cost

    from imglab.running.cost_probe import QUICK, probe

    # The data of the run itself are prepared by the run.
    apart = build(config, where)
    measured = probe(apart, QUICK)
    remember_measured(config, measured, len(apart.modality.real("train")))
    return of_experiment(measured, apart)


def remembered(experiment: Experiment, config: RunConfig) -> RunCost | None:
    """Return the cost of a run as an earlier one had it; None if there was none. It takes no time.

    config  as the user wrote it, before `auto` had values
    """
    measured = recalled(config, len(experiment.modality.real("train")))
    if measured is None:
        return None
    return of_experiment(measured, experiment)


def of_experiment(measured: Measured, experiment: Experiment) -> RunCost:
    """Return the cost of a run of an experiment whose stages were measured."""
    sizes = training_sizes(experiment)
    real = len(experiment.modality.real("train"))
    keep = experiment.config.keep
    return of_run(measured, experiment.config.generations, sizes, real=real, keep=keep)


def of_run(
    measured: Measured,
    generations: int,
    sizes: list[int],
    *,
    real: int,
    keep: KeepSettings | None = None,
) -> RunCost:
    """Return the cost of so many generations whose training sets have these sizes.

    real  how many real training samples there are: what was measured is a fit of so many
    keep  what stays on disk; samples count until the run is finished
    """
    later = generations - 1
    growth = [size / real if measured.grows else 1.0 for size in sizes]
    fits = [measured.fit_first, *[measured.fit_later] * later]
    once = (0.0,) * generations

    seconds = {
        "prepare": once,
        "fit": tuple(fit * factor for fit, factor in zip(fits, growth, strict=True)),
        "draw": (measured.draw,) * generations,
        "measure": (measured.measure_first, *[measured.measure_later] * later),
        "pictures": (measured.pictures,) * generations,
    }
    alone = {"prepare": measured.prepare, "pictures": measured.page}

    disk = _disk_of(measured, generations, keep)
    stages = []
    for name in STAGES:
        each = seconds[name]
        total = sum(each) + alone.get(name, 0.0)
        stages.append(StageCost(name, total, () if name == "prepare" else each, disk[name]))
    return RunCost(tuple(stages), measured.memory, measured.source)


def _disk_of(measured: Measured, generations: int, keep: KeepSettings | None) -> dict[str, int]:
    """Return the bytes of each stage, counted where they arise.

    These are what the runs share, models, samples, features and pictures.
    """
    disk = {name: measured.disk_generation.get(name, 0) * generations for name in STAGES}
    for name, what in (("fit", "models"), ("measure", "features")):
        if keep is not None:
            disk[name] = disk[name] * kept_generations(keep, generations, what) // generations
    for name, size in measured.disk_once.items():
        disk[name] = disk.get(name, 0) + size
    return disk


def training_sizes(experiment: Experiment) -> list[int]:
    """Return how many samples each generation is trained on.

    Where a fit of more samples takes no longer, that of the real ones stands for all of them.
    """
    real = len(experiment.modality.real("train"))
    if not grows(experiment.config):
        return [real] * experiment.config.generations

    sizes = []
    for g in range(experiment.config.generations):
        available = pool_sizes(experiment.modality, [experiment.samples] * g)
        selection = experiment.regime(available, generation=g, seed=0)
        sizes.append(len(selection))
    return sizes


def shortages(cost: RunCost, folder: Path) -> Iterator[str]:
    """Yield what the machine lacks for a run: memory, or room where `folder` will be."""
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if cost.disk > free:
        yield f"it needs {size_text(cost.disk)} of disk, {existing} has {size_text(free)} left"

    available = available_memory()
    if available is not None and cost.memory > available:
        needed = size_text(cost.memory)
        yield f"it needs {needed} of memory, the machine has {size_text(available)} left"


def verdict_on(cost: RunCost, seconds: float) -> str:
    """Say whether a run took as long as it was expected to."""
    factor = seconds / max(cost.seconds, 1e-9)
    text = f"took {time_text(seconds)} where {time_text(cost.seconds)} were expected"
    if 1 / CLOSE <= factor <= CLOSE:
        return f"{text}: within a factor of {CLOSE:g}"
    return f"{text}: {factor:.2g} times as long; the next estimate is from this run"


def available_memory() -> int | None:
    """Return how many bytes of memory a new program may use; None where nothing says so."""
    path = Path("/proc/meminfo")
    if not path.is_file():
        return None
    for line in path.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def time_text(seconds: float) -> str:
    """Write a time for people."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
