"""What the finished runs of a decomposition answer: decomposition.json. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from imglab.store import files, hashes, layout, reading
from imglab.studies.decomposition.analysis import METHOD, effect_name, estimate_effects
from imglab.studies.decomposition.config import Decomposition
from imglab.studies.decomposition.design import Array
from imglab.studies.outcomes import Outcome, outcome_value, why_undefined
from imglab.studies.sweeps.config import run_folder
from imglab.studies.sweeps.statistics import LEVEL, mean_interval

FILE = "decomposition.json"
JUDGED = "generation0"
"""Where metrics say whether generation 0 was a good model."""

Row = Mapping[str, Any]
Rows = Mapping[tuple[str, int], Row]
"""(cell, seed) -> metrics of the generation that is compared."""


def write_decomposition(folder: Path, config: Decomposition) -> dict[str, Any]:
    """Write decomposition.json into a decomposition's directory and return it."""
    answer = decompose(config, read_rows(folder, config))
    with hashes.written(folder, FILE, made_again=True):
        files.write_json(folder / FILE, answer)
    return answer


def read_rows(folder: Path, config: Decomposition) -> dict[tuple[str, int], Row]:
    """Return the metrics of the generation compared, of those runs that have finished it."""
    rows: dict[tuple[str, int], Row] = {}
    for cell in config.cells:
        for seed in config.sweep.seeds:
            run = run_folder(folder, cell, seed)
            if layout.finished(run, config.generation):
                rows[cell, seed] = _read_row(run, config.generation)
    return rows


def _read_row(run: Path, g: int) -> Row:
    """Return the metrics of generation g, with what was judged of generation 0."""
    row = reading.read_generation(run, g)
    first = reading.read_generation(run, 0)
    if JUDGED in row or JUDGED not in first:
        return row
    return {**row, JUDGED: first[JUDGED]}


def decompose(config: Decomposition, rows: Rows) -> dict[str, Any]:
    """Return the effects on each outcome as JSON; undefined numbers are null."""
    outcomes: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    for outcome in config.outcomes:
        values = _values(config, rows, outcome)
        reason = _why_left_out(rows, outcome, values)
        if reason:
            left_out[outcome.metric] = reason
        else:
            outcomes[outcome.metric] = _answer(config, outcome, values)

    return {
        "name": config.sweep.name,
        "method": METHOD,
        "level": LEVEL,
        "generation": config.generation,
        "seeds": list(config.sweep.seeds),
        "factors": dict(_described_factors(config)),
        "cells": dict(_described_cells(config)),
        "aliases": dict(_described_aliases(config)),
        JUDGED: _verdicts(rows),
        "outcomes": outcomes,
        "left_out": left_out,
    }


def _values(config: Decomposition, rows: Rows, outcome: Outcome) -> Array:
    """Return an outcome, float64 [seeds, cells], NaN where it is undefined or not finished."""
    values = np.full((len(config.sweep.seeds), len(config.cells)), np.nan)
    for i, seed in enumerate(config.sweep.seeds):
        for j, cell in enumerate(config.cells):
            value = None
            if (cell, seed) in rows:
                value = outcome_value(rows[cell, seed], outcome)
            if value is not None:
                values[i, j] = value
    return values


def _why_left_out(rows: Rows, outcome: Outcome, values: Array) -> str:
    """Say why no effects on an outcome can be estimated; "" if they can."""
    is_complete = np.isfinite(values).all(1)
    if not is_complete.any():
        if not rows:
            return "no run has finished this generation"
        return why_undefined(list(rows.values()), outcome)

    # `measure.samples` gives all cells one evaluation size, whatever they draw to train on.
    sizes = {int(row["n_synthetic"]) for row in rows.values()}
    if len(sizes) > 1 and outcome.needs_size:
        counts = ", ".join(map(str, sorted(sizes)))
        return (
            f"it depends on how many samples are scored, and cells scored {counts}; "
            "set base.measure.samples to score the same number in all of them"
        )
    if outcome.scale == "log" and (values[is_complete] <= 0).any():
        return "it is not positive in every cell; use scale: linear"
    return ""


def _answer(config: Decomposition, outcome: Outcome, values: Array) -> dict[str, Any]:
    """Return what cells and effects an outcome has."""
    scaled = values
    if outcome.scale == "log":
        with np.errstate(invalid="ignore", divide="ignore"):
            scaled = np.log(values)

    cells = {}
    for at, cell in enumerate(config.cells):
        column = values[:, at]
        interval = mean_interval(column[np.isfinite(column)])
        cells[cell] = {"mean": _finite(interval.estimate), "n": interval.n}
        cells[cell] |= {"low": _finite(interval.low), "high": _finite(interval.high)}
    effects = estimate_effects(config.design, scaled, config.labels)
    return {"scale": outcome.scale, "cells": cells, "effects": effects}


def _described_factors(config: Decomposition) -> Iterator[tuple[str, Any]]:
    for name, factor in config.factors.items():
        described = {
            "error": factor.error_of(name),
            "key": factor.key,
            "levels": list(config.labels[name]),
            "since": factor.since,
        }
        yield name, described


def _described_cells(config: Decomposition) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each cell and the names of its levels."""
    for cell, levels in config.cells.items():
        pairs = zip(config.labels.items(), levels, strict=True)
        yield cell, {name: labels[level] for (name, labels), level in pairs}


def _described_aliases(config: Decomposition) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield each effect that contains others, and how much of each."""
    for effect, others in config.design.aliases.items():
        named = {effect_name(other, config.labels): value for other, value in others.items()}
        yield effect_name(effect, config.labels), named


def _verdicts(rows: Rows) -> dict[str, int]:
    """Count the runs by what was judged of their generation 0."""
    counts: dict[str, int] = {}
    for row in rows.values():
        judged = row.get(JUDGED)
        if isinstance(judged, Mapping):
            verdict = str(judged.get("verdict", "unknown"))
            counts[verdict] = counts.get(verdict, 0) + 1
    return counts


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def sentences(answer: Mapping[str, Any]) -> list[str]:
    """Return a line for each effect of each outcome, and for each outcome left out."""
    lines = []
    for metric, outcome in answer["outcomes"].items():
        lines.append(f"{metric} in generation {answer['generation']} ({outcome['scale']} scale):")
        lines += [f"  {_sentence(effect)}" for effect in outcome["effects"]]

    lines += [f"{metric}: left out: {reason}" for metric, reason in answer["left_out"].items()]
    for name, others in answer["aliases"].items():
        lines.append(f"{name} also contains: {_listed(others)}")
    poor = answer[JUDGED].get("poor", 0)
    if poor:
        lines.append(f"generation 0 is poor in {poor} runs: effects speak of training")
    return lines


def _sentence(effect: Mapping[str, Any]) -> str:
    if effect["estimate"] is None:
        return f"{effect['name']}: {effect['verdict']}"

    bounds = [effect[key] for key in ("low", "high")]
    shown = "no interval"
    if None not in bounds:
        shown = f"{bounds[0]:+.3g} to {bounds[1]:+.3g}"
    return f"{effect['name']}: {effect['estimate']:+.3g} ({shown}): {effect['verdict']}"


def _listed(others: Mapping[str, float]) -> str:
    return ", ".join(f"{value:+.2g} x ({name})" for name, value in others.items())
