"""What a search answers, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from imglab.studies.mixing.criterion import DEVIATIONS, FIRST_ONLY, WITHIN
from imglab.studies.mixing.plan import Plan

WIDE = 0.5
"""An interval as wide as this says too little to be called an answer."""


def sentences(result: Mapping[str, Any]) -> list[str]:
    """Return what `mixing.json` says; the first sentence answers the question."""
    return list(_sentences(result))


def _sentences(result: Mapping[str, Any]) -> Iterator[str]:
    answer = result["answer"]
    if answer is None:
        yield f"Not decided: {_why_open(result)}"
        return

    yield _first(result, answer)
    label = result["question"]["label"]
    yield (
        f"A chain holds where {_criterion(result)}. What is not real is {label} in generation 0, "
        "and in each later generation what the one before it drew."
    )
    if result["size"] < result["real"]:
        yield (
            f"All training sets have {result['size']:,} samples, as many as {label}, and not the "
            f"{result['real']:,} of the real one."
        )
    if result["question"].get("budget") is not None:
        plan = Plan.read(result["question"]["plan"])
        yield f"A budget of {result['question']['budget']} chose {plan.described}."

    poor = [chain for chain in result["chains"] if chain["generation0"] == "poor"]
    controls = sum(chain["share"] == 1.0 for chain in poor)
    if controls:
        yield (
            "Read training into it: with real data alone, generation 0 is a poor model with "
            f"{controls} of {answer['seeds']} seeds."
        )


def _first(result: Mapping[str, Any], answer: Mapping[str, Any]) -> str:
    """Return the answer."""
    interval = f"{answer['low']:.3g} to {answer['high']:.3g}"
    if answer["high"] == 0:
        question = result["question"]
        return (
            f"No real data are needed: begun with {question['label']} alone, the chain held for "
            f"{question['plan']['generations']} generations with all {answer['seeds']} seeds."
        )
    if answer["estimate"] == 1:
        return "No mixture that was tried holds: only real data alone do."
    if answer["high"] - answer["low"] >= WIDE:
        return (
            f"Not decided: the smallest real share that holds lies in {interval}, which is too "
            f"wide to act on; {_remedy(result)}."
        )

    n = result["size"]
    return (
        f"The mixture holds from a real share of about {answer['estimate']:.3g} on (95% interval "
        f"{interval}, {answer['seeds']} seeds): {round(answer['estimate'] * n):,} of {n:,} "
        "training samples."
    )


def _remedy(result: Mapping[str, Any]) -> str:
    """Say what would narrow an interval."""
    if len({tuple(bracket) for bracket in result["brackets"]}) == 1:
        return "the seeds agree, so more halvings narrow it"
    return "more seeds and more halvings narrow it"


def _criterion(result: Mapping[str, Any]) -> str:
    """Say when a chain holds."""
    return named_criterion(result["question"]["criterion"], result["thresholds"])


def named_criterion(name: str, thresholds: Mapping[str, float]) -> str:
    """Say when a chain holds, with the thresholds that count in its last generation."""
    asked = []
    for key, value in thresholds.items():
        if key in WITHIN:
            value = max(DEVIATIONS, value)
        if key != FIRST_ONLY:
            asked.append(f"{key} {value:g}")

    if name == "gate":
        return f"its last generation meets the gate ({', '.join(asked)})"
    if name == "control":
        near = "its last generation is as near to real data alone"
        return f"{near} as the gate asks it to be to the floor ({', '.join(asked)})"
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
    return "it takes at least three seeds."
