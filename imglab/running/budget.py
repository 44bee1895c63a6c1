"""A budget of time: how it is written, and what a chain costs that is cut to fit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from imglab.config.merge import merged
from imglab.errors import InputError, Problem
from imglab.running.cost import RunCost, StageCost

UNITS = {"s": 1, "m": 60, "h": 3600}

TRAINING = {1.0: "all", 0.5: "half", 0.25: "a quarter"}
"""Shares of a config's training that a budget may leave, largest first, in words."""

WIDTHS = ("channels", "hidden", "width")
"""Keys of a model's section, or of its network's, that say how wide the network is."""


def seconds_of(budget: str) -> float:
    """Return the seconds that a budget names.

    >>> seconds_of("30m")
    1800.0
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", budget.strip())
    if match is None or not float(match[1]):
        raise InputError(Problem("--budget", f"{budget!r} is no time", "e.g. 90s, 30m or 2h"))
    return float(match[1]) * UNITS[match[2]]


def cut(cost: RunCost, generations: int, training: float) -> RunCost:
    """Return the cost of a chain of fewer generations, whose fits are shorter.

    cost      of the whole chain, with at least so many generations
    training  by what share of the config's budgets fits are trained
    """
    stages: list[StageCost] = []
    for stage in cost.stages:
        once = stage.seconds - sum(stage.generation)
        each = stage.generation[:generations]
        if stage.name == "fit":
            each = tuple(seconds * training for seconds in each)

        disk = stage.disk
        if each:
            disk = round(disk * len(each) / len(stage.generation))
        stages.append(StageCost(stage.name, once + sum(each), each, disk))
    return replace(cost, stages=tuple(stages))


def changed_budgets(model: Mapping[str, Any], training: float) -> dict[str, Any]:
    """Return the changes of a model's section that multiply the budgets of its fits."""
    if training == 1.0:
        return {}
    if "models" in model:
        members = model["models"]
        return {
            "models": [merged(each, changed_budgets(each, training), "model") for each in members]
        }

    changed: dict[str, Any] = {}
    for plan in ("training", "fine_tuning"):
        changed[plan] = dict(_multiplied(model.get(plan) or {}, training))
    return {name: keys for name, keys in changed.items() if keys}


def narrower(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes of a model's section that halve the widths of its network.

    {} where it has none, such as a pretrained one, or one that is odd.

    >>> narrower({"kind": "diffusion", "channels": [32, 64]})
    {'channels': [16, 32]}
    """
    if "models" in model:
        each = [narrower(member) for member in model["models"]]
        if not all(each):
            return {}
        members = zip(model["models"], each, strict=True)
        return {"models": [merged(member, changes, "model") for member, changes in members]}

    changed: dict[str, Any] = {}
    for key in WIDTHS:
        if isinstance(model.get(key), int) and model[key] % 2 == 0:
            changed[key] = model[key] // 2
        elif isinstance(model.get(key), list) and not any(width % 2 for width in model[key]):
            changed[key] = [width // 2 for width in model[key]]
    if isinstance(model.get("network"), Mapping):
        of_network = narrower(model["network"])
        if of_network:
            changed["network"] = of_network
    return changed


def _multiplied(keys: Mapping[str, Any], training: float) -> Iterator[tuple[str, Any]]:
    for unit in ("images", "tokens", "samples"):
        if isinstance(keys.get(unit), int):
            yield unit, max(1, round(keys[unit] * training))
    if keys.get("epochs"):
        yield "epochs", keys["epochs"] * training
