"""The catalogue: protocols (chains at a size) and claims about them, each a short declarative file.

A protocol is a sweep at one or more profiles: `quick` for two cores, `full` for one GPU. A claim
names a protocol and says what must hold of its arms. Several claims share a protocol, and protocols
share chains whose configs are equal. No torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError, model_validator

from imglab.config.load import validate_config
from imglab.config.merge import flattened, merged
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
    """The size at which a protocol runs."""

    cost: str
    """What it costs as measured, in plain words."""
    seeds: Annotated[list[Seed], Field(min_length=FEWEST)]
    set: dict[str, Any] = Field(default_factory=dict)
    """Keys that differ from the protocol's base."""
    arms: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Keys that arms change at this size, in addition to what they always change."""


class Protocol(Section):
    """Chains that claims are about."""

    about: str
    needs: list[str] = Field(default_factory=list)
    """Names of torchvision data sets without which the claims are blocked."""
    base: dict[str, Any]
    arms: Annotated[dict[str, dict[str, Any] | None], Field(min_length=1)]
    """The keys that each arm changes; `control`, real data alone, may be left empty."""
    profiles: dict[Profile, ProfileSettings]

    def configs(
        self, profile: Profile, arms: Sequence[str], data: Path
    ) -> Iterator[tuple[str, int, RunConfig]]:
        """Yield (arm, seed, config) of these arms; `data` is the folder of torchvision's data."""
        size = self.profiles[profile]
        for arm in arms:
            changes = {**size.set, **self._changes(arm), **size.arms.get(arm, {})}
            for seed in size.seeds:
                yield arm, seed, self._config(changes, f"arms.{arm}", seed, data)

    def _changes(self, arm: str) -> Mapping[str, Any]:
        """Return the keys that an arm changes at every size."""
        changes = self.arms[arm]
        if not changes and arm == CONTROL:
            return CONTROL_CHANGES
        return changes or {}

    def _config(self, changes: Mapping[str, Any], where: str, seed: int, data: Path) -> RunConfig:
        tree = merged({**self.base, "name": "claim", "seed": seed}, changes, where)
        folders = {key: str(data) for key, value in flattened(tree) if value == DATA}
        return validate_config(merged(tree, folders, where), where)


class Term(Section):
    """A metric of an arm in a generation; a dotted name lies in a table, e.g. `word_survival.1`."""

    metric: str
    arm: str
    generation: Annotated[int, Field(ge=0)]


class Statement(Section):
    """A quantity, one number for each seed, and the region in which its interval must lie.

    The quantity is one of: `value`, a term; `ratio`, a term over another; `difference` of two
    terms; `ratios`, a ratio over another ratio. Ratios are averaged on the log scale.
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
        quantities = (self.value, self.ratio, self.difference, self.ratios)
        if len([quantity for quantity in quantities if quantity is not None]) != 1:
            raise ValueError("has one of value, ratio, difference, ratios")
        if self.above is None and self.below is None:
            raise ValueError("has above, below, or both")
        return self

    @property
    def terms(self) -> list[Term]:
        """The terms of its quantity."""
        if self.value is not None:
            return [self.value]
        return list(self.ratio or self.difference or self.ratios or ())


class TheoryStatement(Section):
    """Chains of an exactly solvable model, compared with its closed form.

    Each replica starts from real data of its own.
    """

    says: str
    config: dict[str, Any]
    replicas: Annotated[int, Field(ge=20)]
    generations: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    """Generations in which the mean over replicas is compared."""
    most_z: float = 4.0
    """The statement holds if |z| of every comparison is below it."""
    wrong: dict[str, Any] = Field(default_factory=dict)
    """Keys of another config, whose law is wrong for these chains and must be rejected."""
    least_z: float = 6.0
    """It is rejected if |z| of one comparison is above this."""
    shifted: float = 1.0
    """Factor on the closed form; any value but 1 makes a claim that must fail."""


class Claim(Section):
    """A published claim and the statements that decide whether it holds here."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    family: str
    source: str
    claims: str
    substitutions: list[str] = Field(default_factory=list)
    limits: list[str] = Field(default_factory=list)
    """What the evidence does not show."""
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
        """Claims by name; InputError if one names an unknown protocol or arm."""
        claims: dict[str, Claim] = {}
        for path in sorted((self.folder / "catalog").glob("*.yaml")):
            tree = read_yaml(path)
            sections = tree if isinstance(tree, list) else [tree]
            for section in sections:
                claim = _validated(section, path, Claim)
                if claim.name in claims:
                    what = f"the claim {claim.name!r} is there twice"
                    raise InputError(Problem(str(path), what, "rename one"))

                self._check(claim, f"{path}: {claim.name}")
                claims[claim.name] = claim
        return claims

    def chosen(self, names: Sequence[str]) -> list[Claim]:
        """Return the claims, or families of claims, of these names; all if there are no names."""
        claims = list(self.claims.values())
        if not names:
            return claims

        families = {claim.family for claim in claims}
        for name in names:
            if name not in self.claims and name not in families:
                remedy = nearest(name, [*self.claims, *families])
                raise InputError(Problem("NAME", f"there is no claim {name!r}", remedy))
        return [claim for claim in claims if claim.name in names or claim.family in names]

    def _check(self, claim: Claim, where: str) -> None:
        """Raise InputError unless the claim's protocol and the arms of its terms exist."""
        name = claim.protocol
        if name is None:
            return
        if name not in self.protocols:
            what = f"there is no protocol {name!r}"
            raise InputError(Problem(where, what, nearest(name, self.protocols)))

        arms = self.protocols[name].arms
        for statement in claim.must:
            for term in statement.terms:
                if term.arm not in arms:
                    what = f"there is no arm {term.arm!r}"
                    raise InputError(Problem(where, what, nearest(term.arm, arms)))


def _validated(tree: Any, path: Path, form: type[S]) -> S:
    """Return a section of a file as a `form`; InputError with every problem."""
    try:
        return form.model_validate(tree)
    except ValidationError as error:
        problems = [
            problem_of(str(path), tree, form, details)
            for details in error.errors(include_url=False)
        ]
        raise InputError(problems) from error
