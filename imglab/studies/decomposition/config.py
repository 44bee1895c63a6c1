"""A decomposition's config: a base, factors with levels, a design, seeds, outcomes. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError, field_validator

from imglab.config.load import validate_config
from imglab.config.merge import changed_tree, merged
from imglab.config.presets import find_config
from imglab.config.problems import problems_of
from imglab.config.schema import RunConfig
from imglab.config.shared_problems import SharedProblems
from imglab.config.yaml import read_yaml
from imglab.errors import InputError, Problem, ProblemCollector
from imglab.studies.decomposition.checks import (
    check_alike,
    check_budget,
    check_factors,
    check_outcomes,
)
from imglab.studies.decomposition.design import Cell, Design, Kind, make_design
from imglab.studies.decomposition.factors import Factor
from imglab.studies.decomposition.levels import level_changes
from imglab.studies.outcomes import DEFAULTS, Outcome, spelled_out
from imglab.studies.sweeps.config import Seeded, SweepConfig
from imglab.studies.sweeps.statistics import FEWEST

FEWEST_SEEDS = 2
"""With fewer seeds there is no interval."""


class _Keys(Seeded):
    """The keys of a decomposition."""

    base: dict[str, Any]
    """Config of one chain, which the factors change: its keys, or the path of its file."""
    factors: Annotated[dict[str, Factor], Field(min_length=1, max_length=8)]
    design: Kind = "full"
    """`full`: every combination of levels. `fractional`: every second one."""
    outcomes: Annotated[
        list[Annotated[Outcome, BeforeValidator(spelled_out)]], Field(min_length=1, max_length=100)
    ] = Field(default_factory=lambda: [Outcome(metric=name) for name in DEFAULTS])
    """On what effects are estimated."""
    generation: Annotated[int, Field(ge=1, lt=32_000)] | None = None
    """Generation in which outcomes are compared, the last one. Default: the base's last."""

    @field_validator("seeds")
    @classmethod
    def _enough(cls, seeds: list[int]) -> list[int]:
        if len(seeds) < FEWEST_SEEDS:
            raise ValueError(f"an interval needs {FEWEST_SEEDS} seeds, a verdict {FEWEST}")
        return seeds


_Changes = dict[str, dict[str, Mapping[str, Any]]]
"""Factor -> name of a level -> keys of the base that it changes."""


@dataclass(frozen=True)
class Decomposition:
    """What is run, as the arms of a sweep, and how effects are estimated from it.

    labels   the names of each factor's levels, the reference first
    cells    name of each cell -> the level of each factor
    origins  name of a cell -> config of the run whose generation 0 it takes; cells that make their
             own are left out. Equal configs have equal names
    """

    factors: Mapping[str, Factor]
    labels: Mapping[str, Sequence[str]]
    design: Design
    cells: Mapping[str, Cell]
    sweep: SweepConfig
    origins: Mapping[str, RunConfig]
    outcomes: Sequence[Outcome]
    generation: int


def load_decomposition(path: Path, changes: Sequence[str] = ()) -> Decomposition:
    """Read a decomposition's config, apply `key.sub=value` changes and validate.

    Raises InputError with every problem.
    """
    file = find_config(path)
    tree = read_yaml(file)
    if not isinstance(tree, dict) or "factors" not in tree:
        remedy = "see configs/decompose_gaussian.yaml, or `imglab sweep`"
        raise InputError(Problem(f"{path}: factors", "a decomposition has factors", remedy))

    # The base is read before the changes, so that they reach its keys.
    tree = {"name": path.stem, **tree}
    tree = changed_tree(_with_base(tree, file), changes, str(path))
    return validate_decomposition(_with_base(tree, file), str(path))


def validate_decomposition(tree: Mapping[str, Any], where: str) -> Decomposition:
    """Validate a config with `factors:`; InputError holds every problem."""
    try:
        keys = _Keys.model_validate(tree)
    except ValidationError as error:
        raise InputError(problems_of(where, tree, _Keys, error)) from error

    base_tree, base = _base(keys, where)
    check_factors(keys.factors, where)
    check_outcomes(keys.outcomes, base, where)
    check_budget(base, keys.factors, where)

    changes = _changes(keys, base, where)
    _check_levels(base_tree, changes, where)
    labels = {name: list(levels) for name, levels in changes.items()}
    design = _design(keys, where)

    cells = {"-".join(["cell", *map(str, cell)]): cell for cell in design.cells}
    arms = _arms(base_tree, changes, cells, where)
    origins = _origins(keys, base_tree, changes, cells)
    sweep = SweepConfig(keys.name, arms, tuple(keys.seeds), ())
    generation = base.generations - 1
    parts = (keys.factors, labels, design, cells, sweep, origins, keys.outcomes, generation)
    return Decomposition(*parts)


def _with_base(tree: Any, path: Path) -> Any:
    """Return a tree whose base, where it is the path of a config, is what stands in that file."""
    if not isinstance(tree, dict) or not isinstance(tree.get("base"), str):
        return tree

    source = path.parent / tree["base"]
    base = changed_tree(read_yaml(source), [], str(source))
    return {**tree, "base": base}


def _base(keys: _Keys, where: str) -> tuple[dict[str, Any], RunConfig]:
    """Return the base as a tree that ends with the generation compared, and as a config."""
    place = f"{where}: base"
    several = next((key for key in ("arms", "chains", "factors") if key in keys.base), None)
    if several is not None:
        what = "is a config of several runs"
        raise InputError(Problem(f"{place}.{several}", what, "give the config of one chain"))

    tree = {**keys.base, "name": "base"}
    if keys.generation is not None:
        tree["generations"] = keys.generation + 1
    config = validate_config(tree, place)
    if config.generations < 2:
        what = "with one generation nothing has been trained on samples"
        raise InputError(Problem(f"{place}.generations", what, "at least 2, or give `generation`"))
    return tree, config


def _changes(keys: _Keys, base: RunConfig, where: str) -> _Changes:
    """Return what each level of each factor changes."""
    changes: _Changes = {}
    collector = ProblemCollector()
    for name, factor in keys.factors.items():
        place = f"{where}: factors.{name}"
        attempt = partial(level_changes, factor.key, factor.levels, base, place)
        changes[name] = collector.run(attempt) or {}
    collector.finish()
    return changes


def _check_levels(tree: Mapping[str, Any], changes: _Changes, where: str) -> None:
    """Raise InputError unless each level of each factor, by itself, is a valid change."""
    shared = SharedProblems(where, "levels", sum(map(len, changes.values())))
    problems: list[Problem] = []

    for name, levels in changes.items():
        configs = {}
        for label, change in levels.items():
            part = f"factors.{name}, level {label}"
            place = f"{where}: {part}"
            config = shared.run(part, place, partial(_changed, tree, [change], "base", place))
            if config is not None:
                configs[label] = config
        problems += check_alike(configs, f"{where}: factors.{name}.levels")

    problems = [*shared.joined(), *problems]
    if problems:
        raise InputError(problems, shared.sources)


def _changed(
    tree: Mapping[str, Any], changes: Sequence[Mapping[str, Any]], name: str, place: str
) -> RunConfig:
    for change in changes:
        tree = merged(tree, change, place)
    return validate_config({**tree, "name": name}, place)


def _design(keys: _Keys, where: str) -> Design:
    counts = {name: len(factor.levels) for name, factor in keys.factors.items()}
    try:
        return make_design(counts, keys.design)
    except ValueError as error:
        remedy = "use design: full, or add a factor"
        raise InputError(Problem(f"{where}: design", str(error), remedy)) from error


def _arms(
    tree: Mapping[str, Any], changes: _Changes, cells: Mapping[str, Cell], where: str
) -> dict[str, RunConfig]:
    """Return the config of each cell."""
    shared = SharedProblems(where, "cells", len(cells))
    arms = {}
    for name, cell in cells.items():
        place = f"{where}: {name}"
        chosen = _chosen(changes, dict(zip(changes, cell, strict=True)))
        config = shared.run(name, place, partial(_changed, tree, chosen, name, place))
        if config is not None:
            arms[name] = config

    shared.finish()
    return arms


def _origins(
    keys: _Keys, tree: Mapping[str, Any], changes: _Changes, cells: Mapping[str, Cell]
) -> dict[str, RunConfig]:
    """Return the config of the run whose generation 0 each cell takes.

    It leaves out the factors since 1. Without such factors each cell makes its own generation 0.
    """
    early = [name for name, factor in keys.factors.items() if factor.since == 0]
    if len(early) == len(keys.factors):
        return {}

    origins = {}
    for name, cell in cells.items():
        levels = {factor: k for factor, k in zip(changes, cell, strict=True) if factor in early}
        digits = [str(levels.get(factor, "x")) for factor in changes]
        shortened = {**tree, "generations": 1}
        origin = "-".join(["origin", *digits])
        origins[name] = _changed(shortened, _chosen(changes, levels), origin, origin)
    return origins


def _chosen(changes: _Changes, levels: Mapping[str, int]) -> list[Mapping[str, Any]]:
    """Return the changes of these levels, by factor and number."""
    return [list(changes[factor].values())[level] for factor, level in levels.items()]
