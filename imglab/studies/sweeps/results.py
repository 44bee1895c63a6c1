"""From the runs of a sweep to what can be said: bands, contrasts, warnings. No torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imglab.errors import nearest
from imglab.store import files, groups, hashes, layout, reading
from imglab.store.reading import metric_names, metric_value
from imglab.studies.first_generations import count_first_generations
from imglab.studies.sweeps.alarms import sizes_differ
from imglab.studies.sweeps.config import CONTROL, run_folder
from imglab.studies.sweeps.described import read_described
from imglab.studies.sweeps.ranking import ranking_of, value_or_nan
from imglab.studies.sweeps.statistics import (
    FEWEST,
    LEVEL,
    Interval,
    Values,
    band,
    false_alarm_rate,
    first_leaves,
    holm,
    is_positive,
    paired,
)
from imglab.studies.sweeps.warning import early_warning
from imglab.studies.sweeps.warning_config import EarlyWarning

METHOD = (
    "95% bands are t-intervals of the mean over seeds, each generation's by itself, on the log "
    "scale for metrics that are positive throughout. Contrasts are paired t-tests over seeds, "
    f"fixed before the sweep ran; below {FEWEST} seeds there is no verdict. p_holm is p corrected "
    "by Holm's method for the number of contrasts, so that the chance of any false one is at most "
    "5%; the verdict follows it, while p and the interval are uncorrected. A metric leaves the "
    "control when it stays outside the band in which one more control seed lies with 95%, the "
    "variance between control seeds pooled over generations, with the degrees of freedom of one; "
    "the false-alarm rate is the share of control seeds that leave the band of the other ones."
)

SAME_SIZE = "compare with an arm that draws as many, e.g. `curate: {kind: random, keep: ...}`"

HIGHER = "is higher"
LOWER = "is lower"

Rows = Sequence[Mapping[str, Any]]
"""The metrics of a run's generations, from 0 on."""


def read_sweep(folder: Path) -> dict[str, dict[int, Rows]]:
    """Return the metrics of a sweep's runs that have a finished generation: arm -> seed -> rows."""
    described = groups.read_sweep_file(folder)
    sweep: dict[str, dict[int, Rows]] = {}
    for arm in described["arms"]:
        for seed in described["seeds"]:
            run = run_folder(folder, arm, seed)
            if layout.finished(run, 0):
                sweep.setdefault(arm, {})[seed] = reading.read_metrics(run)
    return sweep


def values_of(rows: Mapping[int, Rows], metric: str) -> Values:
    """Return a metric of an arm, float [seeds, generations], NaN where it is undefined.

    The generations are those that all seeds have finished.
    """
    length = min(len(of_seed) for of_seed in rows.values())
    return np.array(
        [[value_or_nan(row, metric) for row in of_seed[:length]] for of_seed in rows.values()]
    )


def summarise(
    sweep: Mapping[str, Mapping[int, Rows]],
    contrasts: Sequence[Mapping[str, Any]],
    warning: EarlyWarning | None = None,
) -> dict[str, Any]:
    """Return bands, contrasts and early warnings as JSON; undefined numbers are null."""
    bands = {
        arm: {name: _band(values_of(rows, name)) for name in _names(rows)}
        for arm, rows in sweep.items()
    }

    of_control = list(sweep.get(CONTROL, {}).values())
    first_generations = {
        arm: count_first_generations(rows.values(), control=of_control)
        for arm, rows in sweep.items()
    }

    leaves: dict[str, Any] = {}
    alarms: dict[str, Any] = {}
    control = sweep.get(CONTROL)
    if control:
        measured = _names(control)
        alarms = {name: false_alarm_rate(values_of(control, name)) for name in measured}

        for arm, rows in sweep.items():
            if arm != CONTROL:
                names = [name for name in _names(rows) if name in measured]
                leaves[arm] = {name: _leaves(rows, control, name) for name in names}

    return {
        "method": METHOD,
        "level": LEVEL,
        "seeds": {arm: list(rows) for arm, rows in sweep.items()},
        "generation0": first_generations,
        "bands": bands,
        "contrasts": corrected([compare(sweep, contrast) for contrast in contrasts]),
        "leaves_control": leaves,
        "false_alarm_rate": alarms,
        "warning": early_warning(sweep, warning or EarlyWarning()),
    }


def corrected(answers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add `p_holm` to the answers of a sweep's contrasts; verdicts that it denies are withdrawn."""
    values = holm([answer.get("p") for answer in answers])
    corrected_answers = []
    for answer, p in zip(answers, values, strict=True):
        verdict = answer["verdict"]
        if p is not None and p >= 1 - LEVEL and verdict.endswith((HIGHER, LOWER)):
            verdict = f"no difference shown once corrected for {len(answers)} contrasts"
        if answer.get("added"):
            verdict += " (added to a sweep that had results)"
        corrected_answers.append({**answer, "p_holm": p, "verdict": verdict})
    return corrected_answers


def compare(sweep: Mapping[str, Mapping[int, Rows]], contrast: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a contrast, paired by seed, with an estimate, its interval and a verdict.

    The estimate is a ratio if the metric is positive throughout, and a difference otherwise.

    contrast  `metric`, `arms`, and `generation` (default: the last that all seeds of both arms have
              finished)
    """
    one, two = (sweep.get(arm, {}) for arm in contrast["arms"])
    seeds = [seed for seed in one if seed in two]
    answer = {**contrast, "n": len(seeds)}
    if not seeds:
        return {**answer, "verdict": "open: no seed has finished both"}

    last = min(len(rows[seed]) for rows in (one, two) for seed in seeds) - 1
    g = contrast.get("generation")
    if g is None:
        g = last
    if g > last:
        return {**answer, "verdict": f"open: generation {g} is not finished in all seeds"}

    metric = contrast["metric"]
    first = [one[seed][g] for seed in seeds]
    second = [two[seed][g] for seed in seeds]
    reason = _why_open(first, second, metric)
    if reason:
        return {**answer, "verdict": f"open: {reason}"}

    first_values = values_of({seed: one[seed] for seed in seeds}, metric)[:, g]
    second_values = values_of({seed: two[seed] for seed in seeds}, metric)[:, g]
    return {**answer, "generation": g, **_answer(first_values, second_values, contrast["arms"])}


def summary_of(folder: Path) -> dict[str, Any]:
    """Return what the finished runs in a sweep's directory say.

    A sweep in which an arm has a remedy has a `ranking` of its arms.
    """
    contrasts, warning = read_described(folder)
    sweep = read_sweep(folder)
    summary = summarise(sweep, contrasts, warning)
    return {**summary, **ranking_of(folder, sweep, summary["contrasts"])}


def write_summary(folder: Path) -> dict[str, Any]:
    """Write summary.json into a sweep's directory and return it."""
    summary = summary_of(folder)
    with hashes.written(folder, "summary.json", made_again=True):
        files.write_json(folder / "summary.json", summary)
    return summary


def sentence(answer: Mapping[str, Any]) -> str:
    """Say a contrast's answer in a line."""
    one, two = answer["arms"]
    metric = answer["metric"]
    if "estimate" not in answer:
        return f"{metric}, {one} against {two}: {answer['verdict']}"

    estimate = _format(answer["estimate"])
    if answer["scale"] == "ratio":
        estimate = f"x{estimate}"
    details = f"{_format(answer['low'])} to {_format(answer['high'])}"
    if answer["p"] is not None:
        details += f", p = {answer['p']:.2g}"
    if answer.get("p_holm") is not None:
        details += f", corrected {answer['p_holm']:.2g}"

    return (
        f"{metric} in generation {answer['generation']}, {one} against {two}: {estimate} "
        f"({details}, {answer['n']} seeds): {answer['verdict']}"
    )


def _why_open(first: Rows, second: Rows, metric: str) -> str:
    """Say why a metric of two arms cannot be compared, one row for each seed; "" if it can."""
    rows = (*first, *second)
    if all(metric_value(row, metric) is None for row in rows):
        names = [name for name in first[0] if metric_value(first[0], name) is not None]
        return f"there is no number {metric!r}: {nearest(metric, names)}"
    if sizes_differ(rows, metric):
        return f"{metric} was measured at different numbers of samples; {SAME_SIZE}"
    return ""


def _answer(first: Values, second: Values, arms: Sequence[str]) -> dict[str, Any]:
    """Compare the values of two arms, float [seeds] each."""
    # `from_scale` leads from the scale of the test back to that of the answer.
    from_scale: Callable[[float], Any]
    if is_positive(first, second):
        scale = "ratio"
        interval = paired(np.log(first), np.log(second))
        from_scale = np.exp
    else:
        scale = "difference"
        interval = paired(first, second)
        from_scale = np.asarray

    return {
        "scale": scale,
        "n": interval.n,
        "estimate": _number(from_scale(interval.estimate)),
        "low": _number(from_scale(interval.low)),
        "high": _number(from_scale(interval.high)),
        "p": _number(interval.p),
        "verdict": _verdict(interval, arms),
    }


def _verdict(interval: Interval, arms: Sequence[str]) -> str:
    if interval.n < FEWEST:
        return f"open: {interval.n} seeds, {FEWEST} are needed"
    if interval.low > 0:
        return f"{arms[0]} {HIGHER}"
    if interval.high < 0:
        return f"{arms[0]} {LOWER}"
    return "no difference shown"


def _band(values: Values) -> dict[str, list[float | None]]:
    seeds_band = band(values)
    return {
        "mean": [_number(value) for value in seeds_band.mean],
        "low": [_number(value) for value in seeds_band.low],
        "high": [_number(value) for value in seeds_band.high],
    }


def _names(rows: Mapping[int, Rows]) -> list[str]:
    """Return the metrics of an arm that have a number anywhere in its first seed."""
    first = next(iter(rows.values()))
    return [name for name in metric_names(first) if any(row.get(name) is not None for row in first)]


def _leaves(arm: Mapping[int, Rows], control: Mapping[int, Rows], metric: str) -> dict[str, Any]:
    """Return when each seed leaves the control's band for good, and how long before the end.

    `before_end` is the median, over seeds, of how many generations before the last one a seed
    leaves. A seed that never leaves counts as later than all others. If the median is such a seed,
    it is None. Summaries of older versions call it `lead`, which now is that of a warning.
    """
    if sizes_differ([rows[0] for rows in (*arm.values(), *control.values())], metric):
        reason = f"measured at different numbers of samples; {SAME_SIZE}"
        return {"first": None, "before_end": None, "reason": reason}

    values = values_of(arm, metric)
    first = first_leaves(values, values_of(control, metric))
    last = values.shape[1] - 1

    before_end = [-math.inf if g is None else last - g for g in first]
    return {"first": first, "before_end": _number(np.median(before_end))}


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _format(value: float | None) -> str:
    return "unbounded" if value is None else f"{value:.3g}"
