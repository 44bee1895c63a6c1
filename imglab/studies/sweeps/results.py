"""From the runs of a sweep to what can be said: bands, contrasts, lead times. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imglab.errors import nearest
from imglab.store import files, groups, hashes, layout, reading
from imglab.store.reading import metric_names
from imglab.studies.sweeps.config import CONTROL, run_folder
from imglab.studies.sweeps.statistics import (
    FEWEST,
    LEVEL,
    Interval,
    Values,
    band,
    false_alarm_rate,
    first_leaves,
    is_positive,
    paired,
)

METHOD = (
    "95% bands are t-intervals of the mean over seeds, each generation's by itself, on the log scale for metrics that "
    "are positive throughout. Contrasts are paired t-tests over seeds, fixed before the sweep ran; below "
    f"{FEWEST} seeds there is no verdict. A metric leaves the control when it stays outside the band in which one more "
    "control seed lies with 95%, the variance between control seeds pooled over generations, with the degrees of "
    "freedom of one; the false-alarm rate is the share of control seeds that leave the band of the other ones."
)

SAME_SIZE = "compare with an arm that draws as many, e.g. `curate: {kind: random, keep: ...}`"

Rows = Sequence[Mapping[str, Any]]


def read_sweep(folder: Path) -> dict[str, dict[int, Rows]]:
    """Return the metrics of a sweep's runs that have a finished generation: arm -> seed -> rows."""
    described = groups.read_sweep_file(folder)
    found: dict[str, dict[int, Rows]] = {}
    for arm in described["arms"]:
        for seed in described["seeds"]:
            run = run_folder(folder, arm, seed)
            if layout.finished(run, 0):
                found.setdefault(arm, {})[seed] = reading.read_metrics(run)
    return found


def values_of(rows: Mapping[int, Rows], metric: str) -> Values:
    """Return a metric of an arm, float [seeds, generations], of the generations that all seeds have finished."""
    length = min(len(found) for found in rows.values())
    columns = [
        [reading.metric_value(row, metric) for row in found[:length]] for found in rows.values()
    ]
    return np.array(
        [[math.nan if value is None else value for value in column] for column in columns]
    )


def summarise(
    sweep: Mapping[str, Mapping[int, Rows]], contrasts: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return bands, lead times and contrasts as JSON; undefined numbers are null."""
    control = sweep.get(CONTROL)
    bands: dict[str, Any] = {}
    leaves: dict[str, Any] = {}
    for arm, rows in sweep.items():
        bands[arm] = {name: _band(values_of(rows, name)) for name in _names(rows)}
        if control and arm != CONTROL:
            leaves[arm] = {
                name: _lead(rows, control, name) for name in _names(rows) if name in _names(control)
            }
    alarms = (
        {name: false_alarm_rate(values_of(control, name)) for name in _names(control)}
        if control
        else {}
    )
    return {
        "method": METHOD,
        "level": LEVEL,
        "seeds": {arm: list(rows) for arm, rows in sweep.items()},
        "bands": bands,
        "contrasts": [compare(sweep, contrast) for contrast in contrasts],
        "leaves_control": leaves,
        "false_alarm_rate": alarms,
    }


def compare(sweep: Mapping[str, Mapping[int, Rows]], contrast: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a contrast: a ratio where the metric is positive, else a difference, with its interval and verdict.

    contrast  `metric`, `arms`, and the `generation`, by default the last that all seeds of both have finished
    """
    one, two = (sweep.get(arm, {}) for arm in contrast["arms"])
    seeds = [seed for seed in one if seed in two]
    asked = {**contrast, "n": len(seeds)}
    if not seeds:
        return {**asked, "verdict": "open: no seed has finished both"}
    wanted = contrast.get("generation")
    last = min(len(rows[seed]) for rows in (one, two) for seed in seeds) - 1
    g = last if wanted is None else wanted
    if g > last:
        return {**asked, "verdict": f"open: generation {g} is not finished in all seeds"}
    metric = contrast["metric"]
    first, second = ([rows[seed][g] for seed in seeds] for rows in (one, two))
    if all(reading.metric_value(row, metric) is None for row in (*first, *second)):
        names = [
            name
            for name, value in first[0].items()
            if reading.metric_value({name: value}, name) is not None
        ]
        return {
            **asked,
            "verdict": f"open: there is no number {metric!r}: {nearest(metric, names)}",
        }
    if _sizes_differ(first, second, metric):
        return {
            **asked,
            "verdict": f"open: {metric} was measured at different numbers of samples; {SAME_SIZE}",
        }
    ours, theirs = (
        values_of({seed: rows[seed] for seed in seeds}, metric)[:, g] for rows in (one, two)
    )
    log = is_positive(ours, theirs)
    found = paired(np.log(ours), np.log(theirs)) if log else paired(ours, theirs)
    scale = np.exp if log else np.asarray
    return {
        **asked,
        "generation": g,
        "scale": "ratio" if log else "difference",
        "n": found.n,
        **{key: _number(scale(getattr(found, key))) for key in ("estimate", "low", "high")},
        "p": _number(found.p),
        "verdict": _verdict(found, contrast["arms"]),
    }


def write_summary(folder: Path) -> dict[str, Any]:
    """Write summary.json into a sweep's directory and return it."""
    described = files.read_signed(
        folder / layout.SWEEP, ("arms", "seeds", "contrasts", "generations")
    )
    last = {arm: generations - 1 for arm, generations in described["generations"].items()}
    contrasts = [
        {**each, "generation": min(last[arm] for arm in each["arms"])}
        if each["generation"] is None
        else each
        for each in described["contrasts"]
    ]
    summary = summarise(read_sweep(folder), contrasts)
    with hashes.written(folder, "summary.json", made_again=True):
        files.write_json(folder / "summary.json", summary)
    return summary


def sentence(answer: Mapping[str, Any]) -> str:
    """Say a contrast's answer in a line."""
    one, two = answer["arms"]
    if "estimate" not in answer:
        return f"{answer['metric']}, {one} against {two}: {answer['verdict']}"
    sign = "x" if answer["scale"] == "ratio" else ""
    low, middle, high = (_told(answer[key]) for key in ("low", "estimate", "high"))
    p = "" if answer["p"] is None else f", p = {answer['p']:.2g}"
    return (
        f"{answer['metric']} in generation {answer['generation']}, {one} against {two}: {sign}{middle} "
        f"({low} to {high}{p}, {answer['n']} seeds): {answer['verdict']}"
    )


def _verdict(found: Interval, arms: Sequence[str]) -> str:
    if found.n < FEWEST:
        return f"open: {found.n} seeds, {FEWEST} are needed"
    if found.low > 0:
        return f"{arms[0]} is higher"
    return f"{arms[0]} is lower" if found.high < 0 else "no difference shown"


def _band(values: Values) -> dict[str, list[float | None]]:
    found = band(values)
    return {
        key: [_number(value) for value in getattr(found, key)] for key in ("mean", "low", "high")
    }


def _names(rows: Mapping[int, Rows]) -> list[str]:
    """Return the metrics of an arm that have a number anywhere in its first seed."""
    first = next(iter(rows.values()))
    return [name for name in metric_names(first) if any(row.get(name) is not None for row in first)]


def _lead(arm: Mapping[int, Rows], control: Mapping[int, Rows], metric: str) -> dict[str, Any]:
    """When each seed leaves the control's band for good, and the median of how long before the end that is.

    A seed that never leaves counts as later than all others; if the median is such a seed, there is no lead.
    """
    if _sizes_differ(
        [rows[0] for rows in arm.values()], [rows[0] for rows in control.values()], metric
    ):
        return {
            "first": None,
            "lead": None,
            "reason": f"measured at different numbers of samples; {SAME_SIZE}",
        }
    values = values_of(arm, metric)
    first = first_leaves(values, values_of(control, metric))
    last = values.shape[1] - 1
    return {
        "first": first,
        "lead": _number(np.median([-math.inf if g is None else last - g for g in first])),
    }


def _sizes_differ(one: Rows, two: Rows, metric: str) -> bool:
    """Say whether a metric that depends on how many samples it is taken of was taken of different numbers."""
    sizes = {row.get("n_synthetic") for row in (*one, *two)}
    return len(sizes) > 1 and any(metric in row["floor"] for row in (*one, *two))


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _told(value: float | None) -> str:
    return "unbounded" if value is None else f"{value:.3g}"
