"""A sweep's config: the common keys of its runs, arms that change some of them, seeds, contrasts.

No torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator

from imglab.config.load import validate_config
from imglab.config.merge import changed_tree, check_number, merged
from imglab.config.presets import read_config
from imglab.config.problems import MOST_TOLD, SHOWN, kind_of_value, problems_of, shortened
from imglab.config.schema import Named, RunConfig, is_chain_name
from imglab.config.section import Section, Seed
from imglab.config.shared_problems import SharedProblems
from imglab.errors import InputError, Problem, nearest
from imglab.studies.sweeps.warning_config import EarlyWarning

CONTROL = "control"
"""The arm that every sweep has: real data alone, at the same budget, not curated, no remedy."""
CONTROL_CHANGES: Mapping[str, Any] = {
    "regime": {"kind": "real_only", "size": "last"},
    "curate": None,
    "remedy": None,
}


class Contrast(Section):
    """A question that is fixed before the sweep runs: does a metric differ between two arms?"""

    metric: Annotated[str, Field(min_length=1, max_length=200)]
    arms: Annotated[list[str], Field(min_length=2, max_length=2)]
    """Two arms: the first is compared with the second, paired by seed."""
    generation: Annotated[int, Field(ge=0)] | None = None
    """Number of the generation that is compared. Default: the last one."""


class Seeded(Named):
    """A study whose runs differ in their seeds."""

    seeds: Annotated[list[Seed], Field(min_length=1, max_length=10_000)] = Field(
        default_factory=lambda: [0, 1, 2, 3, 4]
    )

    @field_validator("seeds")
    @classmethod
    def _different(cls, seeds: list[int]) -> list[int]:
        repeated = sorted(seed for seed, count in Counter(seeds).items() if count > 1)
        if repeated:
            raise ValueError(f"has {', '.join(map(str, repeated[:3]))} twice: seeds must differ")
        return seeds


class _SweepKeys(Seeded):
    """Keys of a sweep that its runs do not have."""

    contrasts: Annotated[list[Contrast], Field(max_length=1000)] = Field(default_factory=list)
    warning: EarlyWarning = Field(default_factory=EarlyWarning)


@dataclass(frozen=True)
class SweepConfig:
    """Arms by name, among them the control: each a run's config whose seed is still open.

    new_data  whether each seed draws real data of its own, by the data's key `data_seed`
    """

    name: str
    arms: Mapping[str, RunConfig]
    seeds: tuple[int, ...]
    contrasts: tuple[Contrast, ...]
    warning: EarlyWarning = field(default_factory=EarlyWarning)
    new_data: bool = False

    def runs(self, at_once: int = 1) -> Iterator[tuple[str, int, RunConfig]]:
        """Yield (arm, seed, config) for each run, in the order in which to start them.

        `at_once` seeds go through all arms together. So pairs are complete early, and two runs that
        have generation 0 in common do not begin at the same time and both make it.
        """
        for first in range(0, len(self.seeds), at_once):
            for arm, config in self.arms.items():
                for seed in self.seeds[first : first + at_once]:
                    changes: dict[str, Any] = {"seed": seed}
                    if self.new_data:
                        drawn = config.modality.model_copy(update={"data_seed": seed})
                        changes["modality"] = drawn
                    yield arm, seed, config.model_copy(update=changes)


def run_folder(root: Path, arm: str, seed: int) -> Path:
    """Run directory of an arm and a seed."""
    return root / arm / f"seed-{seed}"


def load_sweep(path: Path, changes: Sequence[str] = ()) -> SweepConfig:
    """Read a sweep's config, apply `key.sub=value` changes and validate.

    Raises InputError with every problem.
    """
    tree = read_config(path)
    if not isinstance(tree, dict) or "arms" not in tree:
        remedy = "see configs/sweep_digits.yaml, or `imglab run`"
        raise InputError(Problem(f"{path}: arms", "a sweep has arms", remedy))

    tree.setdefault("name", path.stem)
    return validate_sweep(changed_tree(tree, changes, str(path)), str(path))


def validate_sweep(tree: Mapping[str, Any], where: str) -> SweepConfig:
    """Validate a config with `arms:`; InputError holds every problem."""
    problems: list[Problem] = []
    sources: list[InputError] = []
    if "seed" in tree:
        remedy = f"seeds: [{shortened(tree['seed'])}]"
        problems.append(Problem(f"{where}: seed", "a sweep has `seeds`", remedy))

    of_sweep = {key: tree[key] for key in _SweepKeys.model_fields if key in tree}
    common = {key: value for key, value in tree.items() if key not in {*of_sweep, "arms", "seed"}}
    changes = {**_arms(tree["arms"], where, problems), CONTROL: CONTROL_CHANGES}
    arms = _arm_configs(common, changes, where, problems, sources)

    try:
        keys = _sweep_keys(of_sweep, tree, where)
    except InputError as error:
        raise InputError([*problems, *error.problems], [*sources, error]) from error

    contrasts = keys.contrasts or _contrasts_with_control(changes)
    problems += islice(_contrast_problems(contrasts, changes, arms, where), MOST_TOLD)
    control = keys.warning.control
    if control not in changes:
        what = f"there is no arm {shortened(control)}"
        remedy = nearest(control[:SHOWN], changes)
        problems.append(Problem(f"{where}: warning.control", what, remedy))
    if problems:
        raise InputError(problems, sources)
    return SweepConfig(keys.name, arms, tuple(keys.seeds), tuple(contrasts), keys.warning)


def _sweep_keys(keys: Mapping[str, Any], tree: Mapping[str, Any], where: str) -> _SweepKeys:
    """Return the keys that only a sweep has; InputError with every problem of theirs."""
    try:
        return _SweepKeys.model_validate(keys)
    except ValidationError as error:
        raise InputError(problems_of(where, tree, _SweepKeys, error)) from error


def _arms(arms: Any, where: str, problems: list[Problem]) -> dict[str, Mapping[str, Any]]:
    """Return the changes of each arm of valid name and form; add the problems of the others."""
    if not isinstance(arms, dict) or not arms:
        what = "must hold arms by name, each with the keys that it changes"
        problems.append(Problem(f"{where}: arms", what, "see docs/"))
        return {}

    check_number(arms, f"{where}: arms")
    folded = Counter(str(name).casefold() for name in arms)

    valid: dict[str, Mapping[str, Any]] = {}
    for name, changes in arms.items():
        place = f"{where}: arms.{name}"
        wrong = list(_name_problems(name, folded, place))
        if not wrong:
            wrong = list(_form_problems(changes, place))

        if wrong:
            problems += wrong
        else:
            valid[name] = changes or {}
    return valid


def _name_problems(name: object, folded: Mapping[str, int], place: str) -> Iterator[Problem]:
    """Yield what is wrong with an arm's name; `folded` counts names in lower case."""
    if not is_chain_name(name):
        remedy = "use letters, digits, `-` and `_`, and begin with a letter"
        yield Problem(place, "is not a valid name for an arm", remedy)
    elif name == CONTROL:
        what = "every sweep has this arm: real data alone"
        yield Problem(place, what, "leave it out, or rename it")
    elif folded[str(name).casefold()] > 1:
        what = "differs from the name of another arm only in upper and lower case"
        yield Problem(place, what, "rename it")


def _form_problems(changes: object, place: str) -> Iterator[Problem]:
    """Yield what is wrong with the changes of an arm before they are applied."""
    if changes is None:
        return
    if not isinstance(changes, dict):
        yield Problem(place, f"must be a mapping of keys, not {kind_of_value(changes)}")
        return

    for key in sorted({"name", "seed", "arms", "seeds", "chains"} & set(changes)):
        yield Problem(f"{place}.{key}", "an arm cannot change it", "leave it out")


def _arm_configs(
    common: Mapping[str, Any],
    arms: Mapping[str, Mapping[str, Any]],
    where: str,
    problems: list[Problem],
    sources: list[InputError],
) -> dict[str, RunConfig]:
    """Return the config of each arm that is valid; add the problems of the others, and the errors.

    sources  takes the errors whose problems are added
    """
    shared = SharedProblems(where, "arms", len(arms))
    configs: dict[str, RunConfig] = {}
    for name, changes in arms.items():
        if len(problems) + len(shared) >= MOST_TOLD:
            break

        place = f"{where}: arms.{name}"
        tree = {**common, "name": name}
        attempt = partial(_arm_config, tree, changes, place)
        config = shared.run(f"arms.{name}", place, attempt)
        if config is not None:
            configs[name] = config

    problems += shared.joined()
    sources += shared.sources
    return configs


def _arm_config(tree: Mapping[str, Any], changes: Mapping[str, Any], place: str) -> RunConfig:
    return validate_config(merged(tree, changes, place), place)


def _contrasts_with_control(arms: Mapping[str, Any]) -> list[Contrast]:
    """Return the contrasts of a sweep that names none: each arm's FID against the control's."""
    return [Contrast(metric="fid", arms=[name, CONTROL]) for name in arms if name != CONTROL]


def _contrast_problems(
    contrasts: Sequence[Contrast],
    arms: Mapping[str, Any],
    configs: Mapping[str, RunConfig],
    where: str,
) -> Iterator[Problem]:
    """Yield what is wrong with contrasts; `configs` holds those of `arms` that are valid."""
    for number, contrast in enumerate(contrasts):
        for problem in _problems_of_contrast(contrast, arms, configs):
            place = f"{where}: contrasts.{number}.{problem.where}"
            yield Problem(place, problem.what, problem.remedy)


def _problems_of_contrast(
    contrast: Contrast, arms: Mapping[str, Any], configs: Mapping[str, RunConfig]
) -> Iterator[Problem]:
    one, two = contrast.arms
    for arm in (one, two):
        if arm not in arms:
            yield Problem("arms", f"there is no arm {shortened(arm)}", nearest(arm[:SHOWN], arms))
    if one == two:
        yield Problem("arms", f"compares {shortened(one)} with itself", "name two arms")

    lengths = [configs[arm].generations for arm in (one, two) if arm in configs]
    if contrast.generation is None or not lengths:
        return
    if contrast.generation >= min(lengths):
        what = f"there is no generation {contrast.generation}: the runs have {min(lengths)}"
        yield Problem("generation", what, f"at most {min(lengths) - 1}")
