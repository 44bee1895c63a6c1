"""The catalogue: protocols (chains at a size) and claims about them, each a short declarative file. No torch.

A protocol is a sweep at one or more profiles: `quick` for two cores, `full` for one GPU. A claim names a protocol and
says what must hold of its arms. Several claims share a protocol, and protocols share chains whose configs are equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError, model_validator

from imglab.config.load import validate_config
from imglab.config.merge import merged
from imglab.config.problems import problem_of
from imglab.config.schema import RunConfig
from imglab.config.section import Section, Seed
from imglab.config.yaml import read_yaml
from imglab.errors import InputError, Problem, nearest
from imglab.studies.sweeps.config import CONTROL, CONTROL_CHANGES
from imglab.studies.sweeps.statistics import FEWEST

SHIPPED = Path(__file__).parent
DATA = "DATA"
"""Stands in protocols for the folder of torchvision data sets that the user names."""
Profile = Literal["quick", "full"]
S = TypeVar("S", bound=Section)


class ProfileSettings(Section):
    """A protocol at a size."""

    cost: str
    """Measured, in plain words."""
    seeds: Annotated[list[Seed], Field(min_length=FEWEST)]
    set: dict[str, Any] = Field(default_factory=dict)
    """Keys that differ from the protocol's base."""
    arms: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """What arms change at this size beside what they always do."""


class Protocol(Section):
    """Chains that claims are about."""

    about: str
    needs: list[str] = Field(default_factory=list)
    """Data sets of torchvision by name: without them, the claims are blocked."""
    base: dict[str, Any]
    arms: Annotated[dict[str, dict[str, Any] | None], Field(min_length=1)]
    """What each arm changes; `control`, real data alone, may be left empty."""
    profiles: dict[Profile, ProfileSettings]

    def configs(
        self, profile: Profile, arms: Sequence[str], data: Path
    ) -> Iterator[tuple[str, int, RunConfig]]:
        """Yield (arm, seed, config) of these arms."""
        chosen = self.profiles[profile]
        for arm in arms:
            changes = self.arms[arm] or (CONTROL_CHANGES if arm == CONTROL else {})
            for seed in chosen.seeds:
                own = {**chosen.set, **changes, **chosen.arms.get(arm, {})}
                yield arm, seed, self._config(own, f"arms.{arm}", seed, data)

    def _config(self, changes: Mapping[str, Any], where: str, seed: int, data: Path) -> RunConfig:
        tree = merged({**self.base, "name": "claim", "seed": seed}, changes, where)
        return validate_config(_with_data(tree, data), where)


class Term(Section):
    """A metric of an arm in a generation; dots lead into tables, e.g. `word_survival.1`."""

    metric: str
    arm: str
    generation: Annotated[int, Field(ge=0)]


class Statement(Section):
    """A quantity, one number for each seed, and the region in which its interval must lie.

    One of: `value`, a term; `ratio`, a term over another; `difference` of two; `ratios`, a ratio over another ratio.
    Ratios are averaged on the log scale.
    """

    says: str
    value: Term | None = None
    ratio: Annotated[list[Term], Field(min_length=2, max_length=2)] | None = None
    difference: Annotated[list[Term], Field(min_length=2, max_length=2)] | None = None
    ratios: Annotated[list[Term], Field(min_length=4, max_length=4)] | None = None
    above: float | None = None
    below: float | None = None

    @model_validator(mode="after")
    def _one_quantity_with_bounds(self) -> Statement:
        if (
            sum(
                found is not None
                for found in (self.value, self.ratio, self.difference, self.ratios)
            )
            != 1
        ):
            raise ValueError("has one of value, ratio, difference, ratios")
        if self.above is None and self.below is None:
            raise ValueError("has above, below, or both")
        return self

    @property
    def terms(self) -> list[Term]:
        """The terms of its quantity."""
        return (
            [self.value] if self.value else list(self.ratio or self.difference or self.ratios or ())
        )


class TheoryStatement(Section):
    """Chains of an exactly solvable model, each from real data of its own, against the closed form."""

    says: str
    config: dict[str, Any]
    replicas: Annotated[int, Field(ge=20)]
    generations: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    """In which the mean over replicas is compared."""
    most_z: float = 4.0
    """Largest |z| of all comparisons that passes."""
    shifted: float = 1.0
    """The closed form is multiplied by it: another value makes a claim that must fail."""


class Claim(Section):
    """A published claim and what it comes to here."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    family: str
    source: str
    claims: str
    substitutions: list[str] = Field(default_factory=list)
    protocol: str | None = None
    must: list[Statement] = Field(default_factory=list)
    theory: list[TheoryStatement] = Field(default_factory=list)
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95

    @model_validator(mode="after")
    def _is_about_something(self) -> Claim:
        if bool(self.theory) == (self.protocol is not None):
            raise ValueError("has a protocol, or theory")
        if self.protocol is not None and not self.must:
            raise ValueError("says nothing that must hold")
        return self


@dataclass(frozen=True)
class Catalog:
    """All protocols and claims under a folder: `protocols/*.yaml`, `catalog/*.yaml`."""

    folder: Path = SHIPPED

    @cached_property
    def protocols(self) -> dict[str, Protocol]:
        """Protocols by the name of their file."""
        return {
            path.stem: _validated(read_yaml(path), path, Protocol)
            for path in sorted((self.folder / "protocols").glob("*.yaml"))
        }

    @cached_property
    def claims(self) -> dict[str, Claim]:
        """Claims by name; those that name an unknown protocol, arm or generation are refused."""
        found: dict[str, Claim] = {}
        for path in sorted((self.folder / "catalog").glob("*.yaml")):
            tree = read_yaml(path)
            for section in tree if isinstance(tree, list) else [tree]:
                claim = _validated(section, path, Claim)
                if claim.name in found:
                    raise InputError(
                        Problem(str(path), f"the claim {claim.name!r} is there twice", "rename one")
                    )
                self._check(claim, path)
                found[claim.name] = claim
        return found

    def chosen(self, names: Sequence[str]) -> list[Claim]:
        """Return the claims, or families of claims, of these names; all without any."""
        if not names:
            return list(self.claims.values())
        families = {claim.family for claim in self.claims.values()}
        for name in names:
            if name not in self.claims and name not in families:
                options = [*self.claims, *families]
                raise InputError(
                    Problem("NAME", f"there is no claim {name!r}", nearest(name, options))
                )
        return [
            claim for claim in self.claims.values() if claim.name in names or claim.family in names
        ]

    def _check(self, claim: Claim, path: Path) -> None:
        if claim.protocol is None:
            return
        where = f"{path}: {claim.name}"
        if claim.protocol not in self.protocols:
            problem = f"there is no protocol {claim.protocol!r}"
            raise InputError(Problem(where, problem, nearest(claim.protocol, self.protocols)))
        arms = self.protocols[claim.protocol].arms
        for term in (term for statement in claim.must for term in statement.terms):
            if term.arm not in arms:
                raise InputError(
                    Problem(where, f"there is no arm {term.arm!r}", nearest(term.arm, arms))
                )


def _validated(tree: Any, path: Path, form: type[S]) -> S:
    try:
        return form.model_validate(tree)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise InputError(problem_of(str(path), tree, form, each) for each in details) from error


def _with_data(tree: Any, data: Path) -> Any:
    if isinstance(tree, dict):
        return {key: _with_data(value, data) for key, value in tree.items()}
    return str(data) if tree == DATA else tree
