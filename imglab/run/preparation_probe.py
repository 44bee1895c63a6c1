"""How long the preparation of a run takes: its extractor and judges are trained for a few steps.

Their whole training may take longer than a probe is worth. It takes steps of equal length.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from imglab.config.schema import RunConfig
from imglab.measure import Measure
from imglab.progress import Stage
from imglab.run.build import Experiment, build_modality

STEPS = {"images": 128, "tokens": 4096}
"""Keys of a budget in an extractor's section, with what about a step uses up of it."""

FEW = 1
MORE = 3
"""Steps of the two short trainings, whose difference gives the time of a step."""

clock: Callable[[], float] = time.perf_counter


def prepared(experiment: Experiment, folder: Path) -> tuple[float, Measure, Experiment]:
    """Prepare the data in folder/shared; return the seconds of a whole preparation.

    Also return what scores, and the experiment whose data are prepared: with an extractor of the
    real size that was trained for a few steps, where its training is long.
    """
    shared = folder / "shared"
    shared.mkdir()
    budget = budget_of(experiment.config)
    if budget is None:
        seconds, measure = _timed(experiment, shared)
        return seconds, measure, experiment

    key, size = budget
    few = FEW * STEPS[key]
    more = MORE * STEPS[key]
    first = _shortened(experiment, key, few)
    began = clock()
    first.modality.prepare(Path(mkdtemp(dir=folder)))
    seconds_of_few = clock() - began

    second = _shortened(experiment, key, more)
    began = clock()
    second.modality.prepare(shared)
    seconds_of_more = clock() - began

    # Features of the real data are taken once, however long the extractor was trained.
    seconds, measure = _timed(second, shared)
    step = max(0.0, seconds_of_more - seconds_of_few) / (more - few)
    return seconds_of_more + (size - more) * step + seconds, measure, second


def budget_of(config: RunConfig) -> tuple[str, int] | None:
    """Return the key and the size of the budget of an extractor that is trained for long."""
    section: Any = getattr(config.modality, "extractor", None)
    for key, step in STEPS.items():
        size = getattr(section, key, None)
        if isinstance(size, int) and size > 2 * MORE * step:
            return key, size
    return None


def _shortened(experiment: Experiment, key: str, size: int) -> Experiment:
    """Return the experiment with data whose extractor is trained for a part of its budget."""
    config = experiment.config
    modality: Any = config.modality
    extractor = modality.extractor.model_copy(update={key: size})
    section = modality.model_copy(update={"extractor": extractor})
    short = config.model_copy(update={"modality": section})
    return replace(experiment, modality=build_modality(short))


def _timed(experiment: Experiment, shared: Path) -> tuple[float, Measure]:
    began = clock()
    experiment.modality.prepare(shared)
    measure = experiment.measure(cache=shared)
    finish(measure.prepare())
    return clock() - began, measure


def finish(stage: Stage[Any]) -> Any:
    """Do all the work of a stage and return what it returns."""
    while True:
        try:
            next(stage)
        except StopIteration as end:
            return end.value
