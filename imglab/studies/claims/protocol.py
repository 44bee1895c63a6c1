"""Protocols: the chains that claims are about, at the sizes of the profiles. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field

from imglab.config.load import validate_config
from imglab.config.merge import flattened, merged
from imglab.config.schema import RunConfig
from imglab.config.section import Section, Seed
from imglab.config.sections import GateSettings
from imglab.studies.sweeps.config import CONTROL, CONTROL_CHANGES
from imglab.studies.sweeps.statistics import FEWEST

DATA = "DATA"
"""Stands in protocols for the folder of torchvision data sets that the user names."""

MOST_SEEDS = 10_000
"""Seeds that a number may stand for."""

Profile = Literal["quick", "cores", "full"]
PROFILES: tuple[Profile, ...] = get_args(Profile)
PROFILE_MEANINGS: Mapping[Profile, str] = {
    "quick": "the solvable chains and the digits, an hour on two cores in all",
    "cores": "all that two cores can decide, 150 minutes a family",
    "full": "one GPU",
}
SIZES: Mapping[Profile, tuple[Profile, ...]] = {
    "quick": ("quick",),
    "cores": ("cores", "quick"),
    "full": ("full", "cores", "quick"),
}
"""The sizes that a profile runs a protocol at: the first of these that it has."""


def _counted(value: object) -> object:
    """Let a number stand for so many seeds, from 0 on."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MOST_SEEDS:
        return list(range(value))
    return value


class ProfileSettings(Section):
    """The size at which a protocol runs."""

    cost: str
    """What it costs as measured, in plain words."""
    seeds: Annotated[list[Seed], BeforeValidator(_counted), Field(min_length=FEWEST)]
    set: dict[str, Any] = Field(default_factory=dict)
    """Keys that differ from the protocol's base."""
    arms: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Keys that arms change at this size, in addition to what they always change."""

    def more_seeds(self, number: int | None) -> list[int]:
        """Return its seeds, and the next whole numbers until there are `number` of them."""
        seeds = list(self.seeds)
        candidate = 0
        while number is not None and len(seeds) < number:
            if candidate not in seeds:
                seeds.append(candidate)
            candidate += 1
        return seeds


class FirstModels(Section):
    """What generation 0 must reach as the mean over the seeds of each arm.

    It stands in place of each chain's own gate, which chooses among seeds where it is applied to
    every one of them.
    """

    why: str
    """Why these thresholds and no others."""
    gate: GateSettings = GateSettings()
    """Thresholds as in `measure.gate`; what is left out is not asked for."""
    without: list[str] = Field(default_factory=list)
    """Arms of which it is not asked, since what they are about begins with generation 0."""
    at_least: dict[str, float] = Field(default_factory=dict)
    """The least value of other metrics, by name; a dotted name lies in a table."""


class Protocol(Section):
    """Chains that claims are about."""

    about: str
    needs: list[str] = Field(default_factory=list)
    """Names of torchvision data sets without which the claims are blocked."""
    scored: bool = True
    """Whether the samples are compared with real data. Chains of solvable models need not be: the
    models' own metrics are exact, and a chain takes milliseconds."""
    replicates: list[str] = Field(default_factory=list)
    """Keys that are the seed in every chain, e.g. the seed of the real data. Without any, the
    results are conditional on one data set."""
    first: FirstModels | None = None
    """What generation 0 must reach; where it is left out, each chain's own gate decides."""
    base: dict[str, Any]
    arms: Annotated[dict[str, dict[str, Any] | None], Field(min_length=1)]
    """The keys that each arm changes; `control`, real data alone, may be left empty."""
    profiles: Annotated[dict[Profile, ProfileSettings], Field(min_length=1)]

    def size_for(self, profile: Profile, *, by_name: bool = False) -> Profile | None:
        """Return the size at which a profile runs it; None: not at all.

        by_name  whether a claim about it was asked for by name, which the quick profile then runs
                 although it takes longer
        """
        sizes = SIZES[profile]
        if by_name and profile == "quick":
            sizes = ("quick", "cores")
        return next((size for size in sizes if size in self.profiles), None)

    def configs(
        self, profile: Profile, arms: Sequence[str], data: Path, seeds: int | None = None
    ) -> Iterator[tuple[str, int, RunConfig]]:
        """Yield (arm, seed, config) of these arms.

        data   the folder of torchvision's data
        seeds  how many seeds at least; None: those of the profile
        """
        size = self.profiles[profile]
        for arm in arms:
            changes = {**size.set, **self._changes(arm), **size.arms.get(arm, {})}
            for seed in size.more_seeds(seeds):
                yield arm, seed, self._config(changes, f"arms.{arm}", seed, data)

    def _changes(self, arm: str) -> Mapping[str, Any]:
        """Return the keys that an arm changes at every size."""
        changes = self.arms[arm]
        if not changes and arm == CONTROL:
            return CONTROL_CHANGES
        return changes or {}

    def _config(self, changes: Mapping[str, Any], where: str, seed: int, data: Path) -> RunConfig:
        tree = merged({**self.base, "name": "claim", "seed": seed}, changes, where)
        values: dict[str, Any] = dict.fromkeys(self.replicates, seed)
        values |= {key: str(data) for key, value in flattened(tree) if value == DATA}
        return validate_config(merged(tree, values, where), where)
