"""A sweep's config: the common keys of its runs, arms that change some of them, seeds, and contrasts. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator

from imglab.config.load import validate_config
from imglab.config.merge import changed_tree, check_number, merged
from imglab.config.problems import MOST_TOLD, SHOWN, kind_of_value, problems_of, shortened
from imglab.config.schema import Named, RunConfig, is_chain_name
from imglab.config.section import Section, Seed
from imglab.config.yaml import read_yaml
from imglab.errors import InputError, Problem, nearest

CONTROL = "control"
"""The arm that every sweep has: the common config on real data alone, of equal budget, uncurated."""
CONTROL_CHANGES: Mapping[str, Any] = {
    "regime": {"kind": "real_only", "size": "last"},
    "curate": None,
}


class Contrast(Section):
    """One question, asked before the sweep ran: does a metric of two arms differ in a generation?"""

    metric: Annotated[str, Field(min_length=1, max_length=200)]
    arms: Annotated[list[str], Field(min_length=2, max_length=2)]
    """The first compared with the second, paired by seed."""
    generation: Annotated[int, Field(ge=0)] | None = None
    """The last one if left out."""


class _SweepKeys(Named):
    """Keys of a sweep beside those of its runs."""

    seeds: Annotated[list[Seed], Field(min_length=1, max_length=10_000)] = Field(
        default_factory=lambda: [0, 1, 2, 3, 4]
    )
    contrasts: Annotated[list[Contrast], Field(max_length=1000)] = Field(default_factory=list)

    @field_validator("seeds")
    @classmethod
    def _different(cls, seeds: list[int]) -> list[int]:
        twice = sorted(seed for seed, count in Counter(seeds).items() if count > 1)
        if twice:
            raise ValueError(f"has {', '.join(map(str, twice[:3]))} twice: seeds must differ")
        return seeds


@dataclass(frozen=True)
class SweepConfig:
    """Arms by name, each a config of one run whose seed is still open; the control is among them."""

    name: str
    arms: Mapping[str, RunConfig]
    seeds: tuple[int, ...]
    contrasts: tuple[Contrast, ...]

    def runs(self, at_once: int = 1) -> Iterator[tuple[str, int, RunConfig]]:
        """Yield (arm, seed, config) for each run, in the order in which to start them.

        `at_once` seeds go through all arms together: pairs are complete early, and no two runs that have generation 0
        in common begin at the same time and both make it.
        """
        for first in range(0, len(self.seeds), at_once):
            for arm, config in self.arms.items():
                for seed in self.seeds[first : first + at_once]:
                    yield arm, seed, config.model_copy(update={"seed": seed})


def run_folder(root: Path, arm: str, seed: int) -> Path:
    """Run directory of an arm and a seed."""
    return root / arm / f"seed-{seed}"


def load_sweep(path: Path, changes: Sequence[str] = ()) -> SweepConfig:
    """Read a sweep's config, apply `key.sub=value` changes and validate; InputError holds every problem."""
    tree = read_yaml(path)
    if not isinstance(tree, dict) or "arms" not in tree:
        raise InputError(
            Problem(
                f"{path}: arms",
                "a sweep has arms",
                "see configs/sweep_digits.yaml, or `imglab run`",
            )
        )
    tree.setdefault("name", path.stem)
    return validate_sweep(changed_tree(tree, changes, str(path)), str(path))


def validate_sweep(tree: Mapping[str, Any], where: str) -> SweepConfig:
    """Validate a config with `arms:`; InputError holds every problem."""
    problems: list[Problem] = []
    own = {key: tree[key] for key in _SweepKeys.model_fields if key in tree}
    common = {
        key: value for key, value in tree.items() if key not in own and key not in ("arms", "seed")
    }
    if "seed" in tree:
        problems.append(
            Problem(f"{where}: seed", "a sweep has `seeds`", f"seeds: [{shortened(tree['seed'])}]")
        )
    arms = {**_arms(tree["arms"], where, problems), CONTROL: CONTROL_CHANGES}
    found: dict[str, RunConfig] = {}
    for name, changes in arms.items():
        at = f"{where}: arms.{name}"
        if len(problems) >= MOST_TOLD:
            break
        try:
            found[name] = validate_config(merged({**common, "name": name}, changes, at), at)
        except InputError as error:
            problems += error.problems
    keys = None
    try:
        keys = _SweepKeys.model_validate(own)
    except ValidationError as error:
        problems += problems_of(where, tree, _SweepKeys, error)
    wrong = (
        Problem(f"{where}: contrasts.{number}.{problem.where}", problem.what, problem.remedy)
        for number, contrast in enumerate(keys.contrasts if keys else ())
        for problem in _wrong_contrast(contrast, arms, found)
    )
    problems += islice(wrong, MOST_TOLD)
    if problems:
        raise InputError(problems)
    assert keys is not None
    contrasts = keys.contrasts or [
        Contrast(metric="fid", arms=[name, CONTROL]) for name in arms if name != CONTROL
    ]
    return SweepConfig(keys.name, found, tuple(keys.seeds), tuple(contrasts))


def _arms(arms: Any, where: str, problems: list[Problem]) -> dict[str, Mapping[str, Any]]:
    """Return the arms whose names and form are right."""
    found: dict[str, Mapping[str, Any]] = {}
    if not isinstance(arms, dict) or not arms:
        what = "holds arms by name, each with the keys that it changes"
        problems.append(Problem(f"{where}: arms", what, "see docs/"))
        return found
    check_number(arms, f"{where}: arms")
    folded = Counter(str(name).casefold() for name in arms)
    for name, changes in arms.items():
        at = f"{where}: arms.{name}"
        if not is_chain_name(name):
            problems.append(
                Problem(at, "is no name for an arm", "letters, digits, `-` and `_`, a letter first")
            )
        elif name == CONTROL:
            problems.append(
                Problem(
                    at, "every sweep has this arm: real data alone", "leave it out, or rename it"
                )
            )
        elif folded[name.casefold()] > 1:
            problems.append(
                Problem(at, "differs from another arm only in upper and lower case", "rename it")
            )
        elif changes is not None and not isinstance(changes, dict):
            problems.append(Problem(at, f"is a mapping of keys, not {kind_of_value(changes)}"))
        else:
            wrong = {"name", "seed", "arms", "seeds", "chains"} & set(changes or {})
            for key in sorted(wrong):
                problems.append(Problem(f"{at}.{key}", "an arm cannot change it", "leave it out"))
            if not wrong:
                found[name] = changes or {}
    return found


def _wrong_contrast(
    contrast: Contrast, arms: Mapping[str, Any], found: Mapping[str, RunConfig]
) -> Iterator[Problem]:
    for arm in contrast.arms:
        if arm not in arms:
            yield Problem("arms", f"there is no arm {shortened(arm)}", nearest(arm[:SHOWN], arms))
    if contrast.arms[0] == contrast.arms[1]:
        yield Problem(
            "arms", f"compares {shortened(contrast.arms[0])} with itself", "name two arms"
        )
    shortest = min((found[arm].generations for arm in contrast.arms if arm in found), default=None)
    if contrast.generation is not None and shortest is not None and contrast.generation >= shortest:
        what = f"there is no generation {contrast.generation}: the runs have {shortest}"
        yield Problem("generation", what, f"at most {shortest - 1}")
