"""Which chains claims ask for, and where each of them is kept. No torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imglab.config.schema import RunConfig
from imglab.errors import InputError, Problem
from imglab.studies.claims.claim import Claim
from imglab.studies.claims.protocol import Profile, Protocol
from imglab.studies.sweeps.statistics import FEWEST

CHAINS = "chains"
"""Folder of scored chains, each a run directory."""
SOLVED = "solved"
"""Folder of unscored chains, a file for each arm."""
LATE_KEYS = {"generations", "name", "threads", "tracker"}
"""Keys of a config that change nothing in the generations of a chain."""


@dataclass
class Plan:
    """The chains of a protocol that claims ask for.

    size   the profile whose size they have
    seeds  how many seeds at least; None: those of the profile
    """

    protocol: Protocol
    size: Profile
    data: Path
    seeds: int | None = None
    arms: dict[str, None] = field(default_factory=dict)
    """Names of arms, in the order in which claims first name them."""
    kept: set[int] = field(default_factory=lambda: {0})
    """The generations that claims name: of unscored chains, the others are not kept."""

    def add(self, claim: Claim) -> None:
        """Plan the arms that a claim names, as long as it needs them."""
        for arm in arms_of(claim):
            self.arms[arm] = None
        self.kept |= generations_of(claim)

    @property
    def generations(self) -> int:
        """How many generations a chain has."""
        return max(self.kept) + 1

    def chains(self, arms: Sequence[str]) -> Iterator[tuple[tuple[str, int], RunConfig]]:
        """Yield ((arm, seed), config) for each chain of these arms."""
        for arm, seed, config in self.protocol.configs(self.size, arms, self.data, self.seeds):
            yield (arm, seed), config.model_copy(update={"generations": self.generations})

    def place(self, arm: str, config: RunConfig) -> str:
        """Return where a chain is kept, below the folder of the claims."""
        if self.protocol.scored:
            return f"{CHAINS}/{_hash_of(config, LATE_KEYS)}"

        # The seeds of an arm stand in one file, and so may not be part of its name.
        tree = config.model_dump(mode="json", exclude={"name", "threads", "tracker"})
        for key in ("seed", *self.protocol.replicates):
            *sections, last = key.split(".")
            part = tree
            for section in sections:
                part = part[section]
            part.pop(last, None)
        return f"{SOLVED}/{_hash_of_tree([arm, tree, sorted(self.kept)])}.json"


def generations_of(claim: Claim) -> set[int]:
    """Return the generations that a claim names."""
    return {term.generation for statement in claim.must for term in statement.terms}


def arms_of(claim: Claim) -> list[str]:
    """Return the arms that a claim and its null run name."""
    arms = [term.arm for statement in claim.must for term in statement.terms]
    if claim.absent is not None:
        arms += [*claim.absent.arms.values()]
    return list(dict.fromkeys(arms))


def check_seeds(claims: Sequence[Claim], seeds: int | None) -> None:
    """Raise InputError for fewer seeds than any verdict on these claims needs."""
    if seeds is None or not claims:
        return

    replicas = [statement.replicas for claim in claims for statement in claim.theory]
    fewest = FEWEST
    if all(claim.theory for claim in claims):
        fewest = min(replicas)
    if seeds < fewest:
        what = f"{seeds} is less than the {fewest} that a verdict needs"
        raise InputError(Problem("--seeds", what, f"at least {fewest}"))


def _hash_of(config: RunConfig, left_out: set[str]) -> str:
    return _hash_of_tree(config.model_dump(mode="json", exclude=left_out))


def _hash_of_tree(tree: object) -> str:
    """Return a name that equal trees share, 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:16]
