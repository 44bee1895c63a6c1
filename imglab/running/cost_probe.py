"""A short probe of a config: some steps of its fit, some samples of its drawing, one scoring.

Networks, sizes and settings are the real ones; only the budget of the fit is cut, and of long data
the first samples stand for all. Nothing is written but to a temporary folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from imglab.errors import InputError, Problem
from imglab.modality import HeldOutLoss
from imglab.model import GenerativeModel, call_metrics
from imglab.progress import Progress, finish, report
from imglab.running.build import Experiment, build_models
from imglab.running.earlier_runs import forget_peak, peak_memory, size_below
from imglab.running.file_probe import disk_of_generation, picture_seconds
from imglab.running.preparation_probe import Prepared, prepared, samples_like, spread
from imglab.running.short_plans import shortened
from imglab.running.stage_costs import PAGE, Measured, grows
from imglab.samples import Samples, TrainingSet
from imglab.training.devices import device

MOST_SCORED = 2_000
"""Samples that are scored in a probe at most; the time of more grows with their square."""

MOST_FLOOR = 2_000
"""Samples of a floor that is computed in a probe, at most."""

FIRST = 4
"""Samples on which metrics are computed for the first time."""

MOST_READ = 512
"""Samples whose features are taken in a probe at most: enough to fill the batches of small models,
whose memory is then that of a run."""

MOST_DRAWN = 128
"""Samples that are drawn in a probe at most, on a CPU."""

LONGEST_FIT = 300.0
"""Seconds after which a fit without a budget is given up."""

SEALING = 0.1
"""Seconds in which a generation's files are hashed, synced and listed."""

PAGE_BYTES = 800_000
"""Bytes of figures and page of such a run."""

clock: Callable[[], float] = time.perf_counter


@dataclass(frozen=True)
class Effort:
    """How long a probe looks.

    patience  seconds for which steps of a fit, or batches of samples, are timed
    drawn     samples that are drawn on a CPU at most; elsewhere as many as fit into `patience`
    scored    samples that are scored at most
    read      samples whose features are taken at most
    """

    patience: float = 1.5
    drawn: int = MOST_DRAWN
    scored: int = MOST_SCORED
    read: int = MOST_READ


QUICK = Effort(patience=1.0, drawn=32, scored=256, read=128)
"""For a command that has more to do."""


def probe(experiment: Experiment, effort: Effort | None = None) -> Measured:
    """Return what the stages of an experiment cost, from a short trial of each."""
    effort = effort or Effort()
    forget_peak()
    train = TrainingSet.of(experiment.modality.real("train"))
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        ready = prepared(experiment, folder, effort.read)

        report("probing the fit")
        fitted, set_up = _first_fit(experiment, train)
        first, later = _fit_seconds(experiment, train, fitted, effort)
        first_alone = _gate_seconds(experiment, ready, train, fitted, effort)

        report("probing the drawing")
        rate, drawn = _drawing(experiment, train, fitted, effort)
        later += _self_training_seconds(experiment, train, fitted, rate, effort)
        report("probing the metrics")
        measures = measure_seconds(experiment, ready, fitted, drawn, effort.scored)
        first_alone += floor_seconds(experiment, folder, effort)
        pictures, picture = picture_seconds(experiment, ready.measure, drawn, folder)
        disk, alike = disk_of_generation(experiment, fitted, drawn, ready.measure, folder)
        once = {"prepare": size_below(folder / "shared"), "fit": alike, "pictures": PAGE_BYTES}
        n_drawn = experiment.drawn + (experiment.config.measure.samples or 0)
        return Measured(
            prepare=ready.seconds,
            fit_first=set_up + first,
            fit_later=later,
            grows=grows(experiment.config),
            draw=n_drawn * rate,
            measure_first=measures[0] + first_alone,
            measure_later=measures[1],
            pictures=pictures + experiment.config.shown * rate + SEALING,
            page=PAGE + picture,
            disk_generation=disk,
            disk_once=once,
            # A run holds all samples and features, of which the probe has seen few.
            memory=peak_memory() + disk["draw"] + disk["measure"],
            source="a short probe",
        )


def _first_fit(experiment: Experiment, train: TrainingSet) -> tuple[GenerativeModel, float]:
    """Return a fitted model, and the seconds in which what all fits use was imported and built."""
    began = clock()
    fitted = short_fit(experiment, train)
    return fitted, clock() - began


def short_fit(experiment: Experiment, train: TrainingSet) -> GenerativeModel:
    """Return a fitted model of the real size, after a few steps; without a budget, after all.

    Raises InputError where that takes too long, as it may with another package's model.
    """
    config = experiment.config
    model = experiment.models[0]
    section = shortened(config.model)
    if section is not config.model:
        cut = config.model_copy(update={"model": section})
        model = build_models(cut, experiment.modality)[0]

    began = clock()
    fitting = model.fit(train, start=experiment.bases[0], seed=0)
    while True:
        try:
            next(fitting)
        except StopIteration as end:
            fitted: GenerativeModel = end.value
            return fitted
        if clock() - began > LONGEST_FIT:
            what = f"a fit of {type(model).__name__} takes more than {LONGEST_FIT:.0f} s"
            remedy = "run it once: a run that is finished is remembered"
            raise InputError(Problem("model", f"{what}, and has no budget to cut", remedy))


def _fit_seconds(
    experiment: Experiment, train: TrainingSet, fitted: GenerativeModel, effort: Effort
) -> tuple[float, float]:
    """Return the seconds of generation 0's fit, and of a later one."""
    model = experiment.models[0]
    first = _whole_fit(model.fit(train, start=experiment.bases[0], seed=0), effort)
    if experiment.config.start == "scratch":
        return first, first
    return first, _whole_fit(model.fit(train, start=fitted, seed=0), effort)


def _self_training_seconds(
    experiment: Experiment,
    train: TrainingSet,
    fitted: GenerativeModel,
    rate: float,
    effort: Effort,
) -> float:
    """Return the seconds that remedies train each later model on samples drawn for that.

    rate  seconds to draw a sample
    """
    times = sum(remedy.trains_itself for remedy in experiment.remedies)
    if not times:
        return 0.0
    report("probing the self-training")
    fit = _whole_fit(experiment.models[0].fit(train, start=fitted, seed=0), effort)
    return times * (fit + len(train) * rate)


def _gate_seconds(
    experiment: Experiment,
    ready: Prepared,
    train: TrainingSet,
    fitted: GenerativeModel,
    effort: Effort,
) -> float:
    """Return the seconds in which the gate trains generation 0's model once more and judges it."""
    judge = ready.few.ability(HeldOutLoss)
    if "further_training" not in ready.measure.gate or judge is None:
        return 0.0

    report("probing the gate")
    began = clock()
    if judge.held_out_loss(fitted) is None:
        return 0.0
    judging = (clock() - began) / ready.share
    fitting = experiment.models[0].fit(train, start=fitted, seed=0)
    return 2 * judging + _whole_fit(fitting, effort)


def _whole_fit(fitting: Iterable[Progress], effort: Effort) -> float:
    """Return the seconds of a whole fit, from the steps of its first seconds."""
    began = clock()
    warm: tuple[float, int] | None = None
    elapsed = 0.0
    total = seen = 0

    for progress in fitting:
        elapsed = clock() - began
        total = progress.total
        seen = progress.seen
        # The first step also sets everything up.
        if warm is None:
            warm = (elapsed, seen)
        if elapsed - warm[0] > effort.patience:
            break
    else:
        return clock() - began

    rate = (elapsed - warm[0]) / max(1, seen - warm[1])
    return warm[0] + (total - warm[1]) * rate


def _drawing(
    experiment: Experiment, train: TrainingSet, fitted: GenerativeModel, effort: Effort
) -> tuple[float, Samples]:
    """Return the seconds that one sample takes, and the samples that were drawn."""
    n = experiment.drawn
    if device().type == "cpu":
        n = min(n, effort.drawn)
    conditions = experiment.modality.conditions(train, n, seed=0)
    began = clock()
    warm: tuple[float, int] | None = None
    batches: list[Samples] = []
    seen = 0
    elapsed = 0.0

    for batch in fitted.draw(range(n), conditions=conditions, seed=0):
        batches.append(batch)
        seen += len(batch)
        elapsed = clock() - began
        if warm is not None and elapsed - warm[0] > effort.patience:
            break
        warm = warm or (elapsed, seen)

    samples = Samples.concatenate(batches)
    if warm is None or seen == warm[1]:
        return elapsed / max(1, seen), samples
    return (elapsed - warm[0]) / (seen - warm[1]), samples


def measure_seconds(
    experiment: Experiment, ready: Prepared, fitted: GenerativeModel, drawn: Samples, most: int
) -> tuple[float, float]:
    """Return the seconds of generation 0's measures, and of a later one's, without its floors.

    The samples that were drawn stand for all of them, over and over. Features and the metrics of
    modality and model take longer in proportion to the samples, the scores with their square.

    most  samples that are scored here
    """
    wanted = experiment.config.measure.samples or experiment.drawn
    n = min(wanted, most)
    samples = samples_like(drawn, n)
    features = spread(ready.features, n)

    # What the first scoring sets up is set up once, whatever the number of samples.
    pairs = []
    for _ in range(2):
        began = clock()
        finish(ready.measure.scores(samples, features))
        pairs.append(clock() - began)

    n_read = n
    if ready.share < 1:
        n_read = max(1, round(ready.share * wanted))
    keys = {"generation0": fitted, "seed": 0}
    linear = []
    for read in (samples_like(drawn, min(n_read, FIRST)), samples_like(drawn, n_read)):
        began = clock()
        call_metrics(ready.few, read, model=fitted, **keys)
        call_metrics(fitted, read, **keys)
        linear.append(clock() - began)

    later = ready.rate * wanted + linear[1] * wanted / n_read + pairs[1] * (wanted / n) ** 2
    once = max(0.0, pairs[0] - pairs[1])
    return later + once, later


def floor_seconds(experiment: Experiment, folder: Path, effort: Effort) -> float:
    """Return the seconds of the floors, from the splits of the first seconds."""
    wanted = experiment.config.measure.samples or experiment.drawn
    n = min(wanted, MOST_FLOOR)
    n_real = len(experiment.modality.real("test"))
    measure = experiment.measure(cache=folder / "shared")
    seconds = _whole_fit(measure.prepare(n), effort)
    return seconds * ((n_real + wanted) / (n_real + n)) ** 2
