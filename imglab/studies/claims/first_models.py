"""Whether the chains of a claim begin with good models. No torch before chains are judged.

Each chain's own gate asks whether one model is good. Applied to every seed, it would choose among
them: a sampler without any fault misses one standard deviation of the floor in one seed of six, and
the seeds that are left have begun low by chance, so that they rise. Protocols therefore say what
their models must reach as the mean over the seeds of each arm, and then every seed counts, or none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from imglab.store.reading import GATE_VERDICTS
from imglab.studies.claims.evaluate import Chains
from imglab.studies.claims.protocol import FirstModels
from imglab.studies.first_generations import NO_THRESHOLDS, judge_mean, mean_of, with_control

VALUE = re.compile(r"(.+? is )(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)(\b.*)")
"""What a reason says before the value of a metric, the value, and the rest."""


def poor_seeds(
    chains: Chains, asked: FirstModels | None, improvement: str | None
) -> dict[int, list[str]]:
    """Return why generation 0 of each seed is not a good model; empty where it is one.

    asked        what the protocol asks of the mean of each arm; None: each chain's own gate
    improvement  by how much the control still improves, which makes all of them poor
    """
    seeds = sorted({seed for _, seed in chains})
    if asked is None:
        return {seed: _reasons_of(chains, seed, improvement) for seed in seeds}

    reasons: dict[str, None] = {}
    for arm in sorted({arm for arm, _ in chains} - set(asked.without)):
        first = [rows[0] for (of_arm, _), rows in chains.items() if of_arm == arm]
        for miss in _misses(first, asked):
            reasons[f"as the mean of {len(first)} chains of {arm}, {miss}"] = None
    if improvement is not None:
        reasons[improvement] = None
    return {seed: list(reasons) for seed in seeds}


def in_ranges(reasons: Sequence[str]) -> list[str]:
    """Return reasons that differ in the value of a metric alone as one, with the range of values.

    >>> in_ranges(["recall is 0.52, at least 0.8", "recall is 0.61, at least 0.8"])
    ['recall is 0.52 to 0.61, at least 0.8']
    """
    values: dict[tuple[str, str], list[str]] = {}
    for reason in reasons:
        parts = VALUE.fullmatch(reason)
        if parts is None:
            values[reason, ""] = []
        else:
            values.setdefault((parts[1], parts[3]), []).append(parts[2])

    in_short = []
    for (metric, rest), of_metric in values.items():
        ordered = sorted(of_metric, key=float)
        ends = dict.fromkeys([*ordered[:1], *ordered[-1:]])
        in_short.append(f"{metric}{' to '.join(ends)}{rest}")
    return in_short


def mean_counts(chains: Chains, poor: Mapping[int, Sequence[str]]) -> dict[str, Any]:
    """Return the numbers of chains as `count_first_generations` does, where the mean has decided.

    poor  what `poor_seeds` returned
    """
    counts = dict.fromkeys(GATE_VERDICTS, 0)
    for _, seed in chains:
        counts["poor" if poor[seed] else "good"] += 1
    reasons = [reason for of_seed in poor.values() for reason in of_seed]
    return {**counts, "reasons": list(dict.fromkeys(reasons))}


def _reasons_of(chains: Chains, seed: int, improvement: str | None) -> list[str]:
    """Return what the gates of a seed's chains say against them, each reason once."""
    reasons: list[str] = []
    for (_, of_seed), rows in chains.items():
        if of_seed != seed:
            continue
        gate = with_control(rows[0].get("generation0"), improvement)
        asked = [reason for reason in gate["reasons"] if reason != NO_THRESHOLDS]
        if gate["verdict"] != "good":
            reasons += [reason for reason in asked if reason not in reasons]
    return reasons


def _misses(first: Sequence[Mapping[str, Any]], asked: FirstModels) -> Iterator[str]:
    """Yield what the mean over rows of generation 0 misses of what is asked."""
    thresholds = asked.gate.model_dump(exclude_none=True)
    if thresholds:
        yield from judge_mean(first, thresholds)["reasons"]

    for name, least in asked.at_least.items():
        mean = mean_of(first, name)
        if mean is None:
            yield f"{name} is undefined, at least {least:g} is asked for"
        elif mean < least:
            yield f"{name} is {mean:.3g}, at least {least:g} is asked for"
