"""The catalogue: protocols (chains at a size) and claims about them, each a short declarative file.

A protocol is a sweep at one or more profiles. A claim names a protocol and says what must hold of
its arms. Several claims share a protocol, and protocols share chains whose configs are equal. No
torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from imglab.config.problems import problem_of
from imglab.config.section import Section
from imglab.config.yaml import read_yaml
from imglab.errors import InputError, Problem, nearest
from imglab.studies.claims.claim import Claim, NullRun, Statement, Term, TheoryStatement
from imglab.studies.claims.protocol import Profile, ProfileSettings, Protocol

__all__ = [
    "Catalog",
    "Claim",
    "Profile",
    "ProfileSettings",
    "Protocol",
    "Statement",
    "Term",
    "TheoryStatement",
]

SOLVABLE = "solvable"
"""Names all claims about solvable chains, whatever their families are."""
MOST_NEAR = 5
"""Names that are offered in place of an unknown one."""
SHIPPED = Path(__file__).parent
S = TypeVar("S", bound=Section)


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

    @cached_property
    def family_sizes(self) -> Counter[str]:
        """How many claims of each family intervals decide: those that share a chance of error."""
        decided = (each for each in self.claims.values() if each.must and not each.is_measurement)
        return Counter(claim.family for claim in decided)

    def chosen(self, names: Sequence[str]) -> list[Claim]:
        """Return the claims, or families of claims, of these names; all if there are no names.

        `solvable` stands for all claims about solvable chains.
        """
        claims = list(self.claims.values())
        if not names:
            return claims

        groups = {claim.name: self._groups(claim) for claim in claims}
        every_group = {group for of_claim in groups.values() for group in of_claim}
        for name in names:
            if name not in every_group:
                remedy = _near(name, every_group)
                raise InputError(Problem("NAME", f"there is no claim {name!r}", remedy))
        return [claim for claim in claims if not groups[claim.name].isdisjoint(names)]

    def _groups(self, claim: Claim) -> set[str]:
        """Return the names by which a claim is chosen."""
        groups = {claim.name, claim.family}
        if claim.protocol is None or not self.protocols[claim.protocol].scored:
            groups.add(SOLVABLE)
        return groups

    def size_of(self, claim: Claim, profile: Profile, *, by_name: bool = False) -> Profile | None:
        """Return the size at which a profile runs a claim; None: it does not."""
        if claim.protocol is None:
            return "quick"
        return self.protocols[claim.protocol].size_for(profile, by_name=by_name)

    def _check(self, claim: Claim, where: str) -> None:
        """Raise InputError unless the claim's protocol and the arms of its terms exist."""
        name = claim.protocol
        if name is None:
            return
        if name not in self.protocols:
            what = f"there is no protocol {name!r}"
            raise InputError(Problem(where, what, nearest(name, self.protocols)))

        arms = self.protocols[name].arms
        named = [term.arm for statement in claim.must for term in statement.terms]
        for arm in [*named, *_arms_of(claim.absent)]:
            if arm not in arms:
                what = f"there is no arm {arm!r}"
                raise InputError(Problem(where, what, nearest(arm, arms)))


def _near(name: str, choices: Iterable[str]) -> str:
    """Name the few choices that are near to `name`, as a whole or in one of their words.

    Unlike `nearest` it never lists all of them: there are a hundred.
    """
    options = sorted(choices)
    near = get_close_matches(name, options, n=MOST_NEAR, cutoff=0.8)
    if not near:
        near = [each for each in options if get_close_matches(name, each.split("_"), cutoff=0.8)]
    if not near:
        near = get_close_matches(name, options, n=1, cutoff=0.6)
    if not near:
        return "`imglab claims --list` names all of them"

    *others, last = [repr(each) for each in near[:MOST_NEAR]]
    return f"did you mean {' or '.join(filter(None, [', '.join(others), last]))}?"


def _arms_of(null: NullRun | None) -> list[str]:
    if null is None:
        return []
    return [*null.arms, *null.arms.values()]


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
