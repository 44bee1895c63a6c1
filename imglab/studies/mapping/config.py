"""A map's config: the keys of one chain, the keys to map it over, seeds and a criterion. No torch.

A config of a chain alone is a map's, too: every other key has a default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator

from imglab.config import kinds
from imglab.config.load import validate_config
from imglab.config.merge import changed_tree, merged
from imglab.config.presets import read_config
from imglab.config.schema import RunConfig
from imglab.config.section import Seed
from imglab.config.shared_problems import SharedProblems
from imglab.errors import InputError, Problem, nearest
from imglab.studies.mapping.axes import Axis, Range, RangeKey, make_axis
from imglab.studies.mixing.criterion import CONTROL, CRITERIA, GATE, MANY_RUNS
from imglab.studies.mixing.search import FEWEST_SEEDS
from imglab.studies.profile.trend import FEWEST
from imglab.studies.sweeps.config import CONTROL_CHANGES, Seeded
from imglab.studies.sweeps.warning_config import Event
from imglab.studies.varied_chain import DATA_SEED, check_alike, study_and_chain

MOST_AXES = 3
LEVELS = 3
"""Values of a third key that has a range."""


def _criterion(value: Any) -> Any:
    """Check the name of a criterion; a mapping is an event, which must not come."""
    if isinstance(value, str) and value not in CRITERIA:
        raise ValueError(f"{value!r} is not known ({nearest(value, CRITERIA)})")
    if value == MANY_RUNS:
        raise ValueError(f"{value!r} compares runs of several sizes: use `imglab scale`")
    return value


class _Keys(Seeded):
    """The keys that a map has beside those of its chain."""

    seeds: Annotated[list[Seed], Field(max_length=1000)] = Field(default_factory=lambda: [0, 1, 2])
    over: Annotated[dict[str, RangeKey], Field(max_length=20)] = Field(default_factory=dict)
    """Ranges of keys: `[LOW, HIGH]`, or `between` or `values`, and `spacing`."""
    criterion: Annotated[str | Event, BeforeValidator(_criterion)] = GATE
    """When a chain holds: `gate`, `control`, a definition of collapse that does not apply, or an
    event (`metric`, `threshold`, `relative_to`, `direction`) that its last generation is not in."""
    halvings: Annotated[int, Field(ge=2, le=12)] = 4
    """How often each search halves the range of the first key."""
    columns: Annotated[int, Field(ge=2, le=33)] = 5
    """Values of the second key, of which all but the first three are placed where the boundary
    bends most."""
    new_data: bool = False
    """Whether each seed draws real data of its own (`modality.data_seed`)."""

    @field_validator("seeds")
    @classmethod
    def _enough(cls, seeds: list[int]) -> list[int]:
        if len(seeds) < FEWEST_SEEDS:
            raise ValueError(f"the interval of a boundary needs {FEWEST_SEEDS} seeds")
        return seeds


@dataclass(frozen=True)
class MapConfig:
    """What is mapped.

    tree   the config of a chain, with its defaults
    axes   one to three: the boundary is searched along the first; the second has `columns`
           positions, the third `levels`
    """

    name: str
    tree: Mapping[str, Any]
    axes: tuple[Axis, ...]
    seeds: tuple[int, ...]
    criterion: str | Event
    halvings: int
    columns: int
    new_data: bool
    where: str

    @property
    def levels(self) -> list[float]:
        """Positions along the third axis; one where there is no third axis."""
        if len(self.axes) < MOST_AXES:
            return [0.0]
        return evenly(len(self.axes[2].values) or LEVELS)

    def config(
        self, position: float, column: float, level: float, seed: int, *, control: bool = False
    ) -> RunConfig:
        """Return the chain at a position of each axis; or the one on real data alone beside it."""
        tree = dict(self.tree)
        for axis, at in zip(self.axes, (position, column, level), strict=False):
            tree = merged(tree, axis.change(at), self.where)
        if control:
            tree = merged(tree, CONTROL_CHANGES, self.where)
        if self.new_data:
            tree = merged(tree, {f"modality.{DATA_SEED}": seed}, self.where)
        return validate_config({**tree, "seed": seed, "name": "cell"}, self.where)

    def corners(self) -> dict[str, RunConfig]:
        """Return the chains at the corners of the map, by their numbers; InputError for wrong ones.

        The config of a corner is that of the first seed.
        """
        shared = SharedProblems(self.where, "corners", 2 ** len(self.axes))
        corners = {}
        for ends in product([0.0, 1.0], repeat=len(self.axes)):
            numbers = zip(self.axes, ends, strict=True)
            label = ", ".join(f"{axis.key} {axis.number(at)}" for axis, at in numbers)
            position, column, level = (*ends, 0.0, 0.0)[:3]
            attempt = partial(self.config, position, column, level, self.seeds[0])
            config = shared.run(label, f"{self.where}: {label}", attempt)
            if config is not None:
                corners[label] = config
        shared.finish()
        return corners

    @property
    def needs_controls(self) -> bool:
        """Whether a chain can only be judged beside one on real data alone.

        A definition of collapse compares with the first model of real data.
        """
        if self.criterion == CONTROL:
            return True
        judged_by_rows = self.criterion == GATE or isinstance(self.criterion, Event)
        regime = self.config(1.0, 0.0, 0.0, self.seeds[0]).regime
        return not judged_by_rows and not kinds.bound_regime(regime).begins_with_real()


def evenly(count: int) -> list[float]:
    """Return positions from 0 to 1 at equal distances; a single one is 0."""
    return [at / max(1, count - 1) for at in range(count)]


def load_map(path: Path, over: Sequence[str] = (), changes: Sequence[str] = ()) -> MapConfig:
    """Read the config of a map, or of a chain, and apply `key.sub=value` changes.

    over  the keys of the axes, the searched one first; (): those under `over:`, in their order

    Raises InputError with every problem.
    """
    tree = read_config(path)
    if isinstance(tree, dict):
        tree.setdefault("name", path.stem)
    tree = changed_tree(tree, changes, str(path))

    several = next((key for key in ("arms", "chains", "factors") if key in (tree or ())), None)
    if several is not None:
        what = "is a config of several runs"
        raise InputError(Problem(f"{path}: {several}", what, "give the config of one chain"))
    return validate_map(tree, over, str(path))


def validate_map(tree: Mapping[str, Any], over: Sequence[str], where: str) -> MapConfig:
    """Validate the config of a map; InputError holds every problem."""
    keys, chain = study_and_chain(_Keys, tree, where)

    base = validate_config(chain, where)
    full = base.model_dump(mode="json")
    axes = _axes(keys, list(over) or list(keys.over), full, where)
    parts = (tuple(keys.seeds), keys.criterion, keys.halvings, keys.columns, keys.new_data)
    asked = MapConfig(keys.name, full, axes, *parts, where)
    _check_length(asked, base)
    _check_data(asked)
    asked.corners()
    return asked


def _axes(
    keys: _Keys, over: Sequence[str], tree: Mapping[str, Any], where: str
) -> tuple[Axis, ...]:
    """Return the axes; InputError with the problems of all of them."""
    if not 1 <= len(over) <= MOST_AXES or len(set(over)) < len(over):
        what = f"names {len(over)} keys"
        remedy = "one to three different keys, e.g. regime.real_fraction,modality.n_train"
        raise InputError(Problem("--over", what, remedy))

    shared = SharedProblems(where, "over", len(over))
    axes = []
    for number, key in enumerate(over):
        place = f"{where}: over.{key}"
        asked: Range | None = keys.over.get(key)
        attempt = partial(make_axis, key, asked, tree, place, searched=number == 0)
        axis = shared.run(key, place, attempt)
        if axis is not None:
            axes.append(axis)
    shared.finish()
    return tuple(axes)


def _check_length(asked: MapConfig, base: RunConfig) -> None:
    """Raise InputError for chains that are too short for the criterion."""
    needed = FEWEST
    if asked.criterion in (GATE, CONTROL) or isinstance(asked.criterion, Event):
        needed = 2
    if base.generations < needed:
        what = f"the criterion needs {needed} generations"
        raise InputError(Problem(f"{asked.where}: generations", what, f"generations: {needed}"))
    if asked.criterion in (GATE, CONTROL) and asked.tree["measure"].get("gate") == "none":
        what = f"{asked.criterion!r} asks for the thresholds of measure.gate, which is none"
        raise InputError(Problem(f"{asked.where}: criterion", what, "leave measure.gate out"))


def _check_data(asked: MapConfig) -> None:
    """Raise InputError unless chains are scored alike, and seeds can draw data of their own."""
    if asked.new_data and DATA_SEED not in asked.tree["modality"]:
        what = f"this kind of data has no {DATA_SEED}"
        raise InputError(Problem(f"{asked.where}: new_data", what, "leave it out"))
    check_alike(asked.tree, [axis.key for axis in asked.axes], asked.where)
