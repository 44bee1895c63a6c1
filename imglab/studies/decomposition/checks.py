"""What makes a decomposition's comparison unfair, found before anything runs. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from imglab.config.load import plug_ins
from imglab.config.merge import flattened
from imglab.config.schema import RunConfig, is_chain_name
from imglab.errors import InputError, Problem
from imglab.studies.decomposition.factors import Factor
from imglab.studies.outcomes import Outcome, unknown

FIXED = {
    "name": "cells name themselves",
    "seed": "cells are paired by `seeds`",
    "generations": "cells are compared in the same generation",
    "shown": "it changes nothing that is measured",
    "threads": "it changes nothing that is measured",
    "tracker": "it changes nothing that is measured",
    "checkpoint_every": "it changes nothing that is measured",
    "measure": "cells are measured alike",
    "modality": "cells have the same data, measured alike",
}
"""Keys of the base that no factor can change, and why."""


def check_factors(factors: Mapping[str, Factor], where: str) -> None:
    """Raise InputError for names that cannot be told apart, and for keys that must stay alike."""
    problems: list[Problem] = []
    for name, factor in factors.items():
        place = f"{where}: factors.{name}"
        if not is_chain_name(name):
            remedy = "use letters, digits, `-` and `_`, and begin with a letter"
            problems.append(Problem(place, "is not a valid name for a factor", remedy))
        problems += _fixed_keys(factor, place)
    if problems:
        raise InputError(problems)


def _fixed_keys(factor: Factor, place: str) -> Iterator[Problem]:
    """Yield a problem for each key that a factor changes and must not."""
    keys = {}
    if factor.key is not None:
        keys[f"{place}.key"] = factor.key
    if isinstance(factor.levels, dict):
        for label, changes in factor.levels.items():
            keys |= {f"{place}.levels.{label}.{key}": key for key in changes}

    for at, key in keys.items():
        why = FIXED.get(key.split(".")[0])
        if why is not None:
            yield Problem(at, f"a factor cannot change {key}: {why}", "set it in `base`")


def check_outcomes(outcomes: Sequence[Outcome], base: RunConfig, where: str) -> None:
    """Raise InputError for outcomes that are named twice or that nothing measures.

    What a class of another package measures is only known when it has run.
    """
    problems = []
    names = [outcome.metric for outcome in outcomes]
    for number, name in enumerate(names):
        if name in names[:number]:
            place = f"{where}: outcomes.{number}.metric"
            problems.append(Problem(place, f"{name} is there twice", "leave one out"))

    if not plug_ins(base):
        for number, what, remedy in unknown(outcomes):
            problems.append(Problem(f"{where}: outcomes.{number}.metric", what, remedy))
    if problems:
        raise InputError(problems)


def check_budget(base: RunConfig, factors: Mapping[str, Factor], where: str) -> None:
    """Raise InputError if more samples would also mean a longer training.

    A budget in epochs grows with the training set: the effect of the one could not be told from
    that of the other.
    """
    if all(factor.key != "samples" for factor in factors.values()):
        return

    tree: Any = base.model_dump(mode="json")["model"]
    epochs = [key for key, value in flattened(tree) if key.endswith("epochs") and value is not None]
    problems = [
        Problem(
            f"{where}: base.model.{key}",
            "a budget in epochs lets a larger training set train longer",
            "give the budget in samples seen, so that only the number of samples differs",
        )
        for key in epochs
    ]
    if problems:
        raise InputError(problems)


def check_alike(configs: Mapping[str, RunConfig], place: str) -> Iterator[Problem]:
    """Yield a problem for each level whose config is that of an earlier one."""
    seen: list[RunConfig] = []
    for label, config in configs.items():
        if config in seen:
            yield Problem(place, f"level {label} changes nothing", "levels must differ")
        seen.append(config)
