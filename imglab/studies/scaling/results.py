"""What the finished runs of a scaling study answer: scaling.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imglab.store import files, hashes, layout, reading
from imglab.studies.outcomes import Outcome, outcome_value
from imglab.studies.scaling.analysis import METHOD, NO_PLATEAU, PLATEAU, scaling_laws
from imglab.studies.scaling.config import ScalingConfig
from imglab.studies.sweeps.config import run_folder
from imglab.studies.sweeps.statistics import LEVEL, Values

FILE = "scaling.json"
ERRORS = ("perplexity", "excess_risk", "test_error", "w2", "excess_fid")
"""Errors that are taken where a config names none, the first one that all chains have."""
NOISY = "test_error"
FREE_OF_NOISE = "excess_risk"
"""The same error less the noise of the labels, which no number of samples lowers."""

Rows = Mapping[tuple[str, float, int], Mapping[str, Any]]
"""(kind of data, size, seed) -> metrics of the generation that counts."""


def write_scaling(folder: Path, config: ScalingConfig) -> dict[str, Any]:
    """Write scaling.json into the directory of a study and return it."""
    answer = answer_of(config, read_rows(folder, config))
    with hashes.written(folder, FILE, made_again=True):
        files.write_json(folder / FILE, answer)
    return answer


def read_rows(folder: Path, config: ScalingConfig) -> dict[tuple[str, float, int], dict[str, Any]]:
    """Return the metrics that count, of those runs that have finished their generation."""
    rows = {}
    for (name, size), cell in config.cells.items():
        for seed in config.sweep.seeds:
            run = run_folder(folder, cell, seed)
            if layout.finished(run, config.generations[name]):
                rows[name, size, seed] = reading.read_generation(run, config.generations[name])
    return rows


def answer_of(config: ScalingConfig, rows: Rows) -> dict[str, Any]:
    """Return the laws as JSON; kinds of data whose errors are not complete are left out."""
    metric = config.metric or _first_metric(list(rows.values()))
    names = list(config.generations)
    errors = {}
    left_out = {}
    for name in names:
        values = _errors(config, rows, name, metric)
        reason = _why_left_out(values, metric)
        if reason:
            left_out[name] = reason
        else:
            errors[name] = values[np.isfinite(values).all(1)]

    answer: dict[str, Any] = {
        "name": config.sweep.name,
        "key": config.key,
        "sizes": list(config.sizes),
        "metric": metric,
        "level": LEVEL,
        "seeds": list(config.sweep.seeds),
        "generations": dict(config.generations),
        "generation0": _verdicts(rows),
        "left_out": left_out,
        "method": METHOD,
        "laws": {},
        "differences": {},
    }
    if errors:
        answer |= scaling_laws(np.array(config.sizes, dtype=np.float64), errors)
    if answer["laws"] and metric == NOISY and _has_noise(rows):
        _take_back_plateaus(answer)
    return answer


def _has_noise(rows: Rows) -> bool:
    """Say whether a part of the test error is known to be noise: where the rest is below it."""
    whole = Outcome(metric=NOISY)
    rest = Outcome(metric=FREE_OF_NOISE)
    pairs = [(outcome_value(row, rest), outcome_value(row, whole)) for row in rows.values()]
    return any(None not in pair and pair[0] != pair[1] for pair in pairs)


def _take_back_plateaus(answer: dict[str, Any]) -> None:
    """Call no plateau of a test error one: every test error levels off at the noise of labels."""
    for law in answer["laws"].values():
        law["verdict"] = NO_PLATEAU
    answer["noise"] = f"{NOISY} levels off at the noise of the labels: ask for {FREE_OF_NOISE}"


def _first_metric(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the first error that all chains have."""
    for name in ERRORS:
        values = [outcome_value(row, Outcome(metric=name)) for row in rows]
        if values and None not in values:
            return name
    return ERRORS[-1]


def _errors(config: ScalingConfig, rows: Rows, name: str, metric: str) -> Values:
    """Return the errors of a kind of data, float64 [seeds, sizes], NaN where there is none."""
    values = np.full((len(config.sweep.seeds), len(config.sizes)), np.nan)
    for i, seed in enumerate(config.sweep.seeds):
        for j, size in enumerate(config.sizes):
            row = rows.get((name, size, seed))
            value = None
            if row is not None:
                value = outcome_value(row, Outcome(metric=metric))
            if value is not None:
                values[i, j] = value
    return values


def _why_left_out(values: Values, metric: str) -> str:
    """Say why nothing is fitted to the errors of a kind of data; "" if something can be."""
    complete = values[np.isfinite(values).all(1)]
    if len(complete) < 2:
        return f"{metric} is undefined or not finished in all but {len(complete)} seeds"
    if (complete <= 0).any():
        return f"{metric} is not above 0 everywhere, so that it follows no power law"
    return ""


def _verdicts(rows: Rows) -> dict[str, int]:
    """Count the chains by what was judged of their generation 0."""
    counts: dict[str, int] = {}
    for row in rows.values():
        judged = row.get("generation0")
        if isinstance(judged, Mapping):
            verdict = str(judged.get("verdict", "unknown"))
            counts[verdict] = counts.get(verdict, 0) + 1
    return counts


def sentences(answer: Mapping[str, Any]) -> list[str]:
    """Return a line for each kind of data, for each difference, and for what is left out."""
    key = answer["key"]
    lines = [_law_text(name, law, answer) for name, law in answer["laws"].items()]
    for name, each in answer["differences"].items():
        interval = f"{each['low']:+.3f} to {each['high']:+.3f}"
        line = (
            f"exponent of {name} less that of {each['against']}: {each['estimate']:+.3f} "
            f"({interval}, corrected p {each['p_holm']:.2g})"
        )
        of_real_data = answer["generations"][each["against"]] == 0
        if each["smaller"] and of_real_data and answer["generations"][name] > 0:
            line += ": scaling worsens, which is a definition of model collapse"
        lines.append(line)
    lines += [f"{name}: left out: {reason}" for name, reason in answer["left_out"].items()]

    if "noise" in answer:
        lines.append(answer["noise"])
    poor = answer["generation0"].get("poor", 0)
    if poor:
        lines.append(f"generation 0 is poor in {poor} chains: laws over {key} speak of training")
    return lines


def _law_text(name: str, law: Mapping[str, Any], answer: Mapping[str, Any]) -> str:
    generation = answer["generations"][name]
    text = (
        f"{name} (generation {generation}): {answer['metric']} falls as {answer['key']}^"
        f"-{law['exponent']:.3f} (95% interval {law['low']:.3f} to {law['high']:.3f}, "
        f"{law['seeds']} seeds); {law['verdict']}"
    )
    if law["verdict"] == PLATEAU:
        text += f" at {law['level']:.3g}"
    return f"{text} (gain {law['gain']:.1f}, corrected p {law['p_holm']:.2g})"
