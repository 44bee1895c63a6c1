"""What a search answers, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

WIDE = 0.5
"""An interval as wide as this says too little to be called an answer."""


def sentences(result: Mapping[str, Any]) -> list[str]:
    """Return what `mixing.json` says; the first sentence answers the question."""
    return list(_sentences(result))


def _sentences(result: Mapping[str, Any]) -> Iterator[str]:
    label = result["question"]["label"]
    criterion = _criterion(result)
    answer = result["answer"]
    if answer is None:
        yield f"Not decided: {_why_open(result)}"
    elif answer["high"] == 0:
        yield (
            f"No real data are needed: trained on {label} alone, the chain held with all "
            f"{answer['seeds']} seeds, by the criterion {criterion}."
        )
    elif answer["high"] - answer["low"] >= WIDE:
        yield (
            f"Not decided: the smallest real share that holds lies between {answer['low']:.2f} and "
            f"{answer['high']:.2f}, which is too wide to act on; more seeds narrow it."
        )
    else:
        n = result["real"]
        yield (
            f"The mixture holds from a real share of about {answer['estimate']:.2f} on (95% "
            f"interval {answer['low']:.2f} to {answer['high']:.2f}, {answer['seeds']} seeds): "
            f"{round(answer['estimate'] * n):,} of {n:,} training samples, the rest {label}."
        )
    if answer is not None:
        yield f"A chain holds where {criterion}."

    poor = [chain for chain in result["chains"] if chain["generation0"] == "poor"]
    controls = [chain for chain in poor if chain["share"] == 1.0]
    if controls:
        yield (
            f"Read training into it: with real data alone, generation 0 is a poor model with "
            f"{len(controls)} seeds."
        )


def _criterion(result: Mapping[str, Any]) -> str:
    name = result["question"]["criterion"]
    asked = ", ".join(f"{key} {value:g}" for key, value in result["thresholds"].items())
    if name == "gate":
        return f"its last generation meets the gate ({asked})"
    if name == "control":
        return f"its last generation is as near to real data alone as the gate asks ({asked})"
    return f"the definition {name!r} of collapse does not apply"


def _why_open(result: Mapping[str, Any]) -> str:
    """Say which chains leave the question open."""
    if not result["finished"]:
        return "the search was not finished; the same command goes on."
    chains: Sequence[Mapping[str, Any]] = result["chains"]
    for chain in chains:
        if chain["share"] == 1.0 and chain["holds"] is False:
            return (
                f"real data alone do not hold (seed {chain['seed']}: {chain['reason']}). Train "
                "longer, take a larger network, or choose --criterion control."
            )
    for chain in chains:
        if chain["holds"] is None:
            return f"real share {chain['share']:g}, seed {chain['seed']}: {chain['reason']}."
    return "it takes at least two seeds."
