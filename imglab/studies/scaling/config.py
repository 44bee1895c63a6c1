"""A scaling study's config: the keys of one chain, a key with its sizes, arms, seeds. No torch.

A config of a chain alone is a study's, too, if the command names a key and its sizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from imglab.config.load import validate_config
from imglab.config.merge import changed_tree, merged
from imglab.config.presets import read_config
from imglab.config.schema import RunConfig, is_chain_name
from imglab.config.section import Section
from imglab.config.shared_problems import SharedProblems
from imglab.errors import InputError, Problem
from imglab.studies.mapping.axes import Axis, Number, Range, make_axis
from imglab.studies.sweeps.config import Seeded, SweepConfig
from imglab.studies.varied_chain import DATA_SEED, check_alike, study_and_chain

FEWEST_SIZES = 5
"""A law that levels off has three parameters."""
FEWEST_SEEDS = 5
"""As for the verdicts of sweeps."""
REAL = "real"
SAMPLES = "samples"
N_TRAIN = "modality.n_train"


MetricPath = Annotated[str, Field(pattern=r"^\w+(\.[\w+-]+|\[\d+\])*$", max_length=200)]


class Arm(Section):
    """One kind of data of which the error is followed over sizes."""

    over: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """The key that has the sizes. Default: that of the study."""
    generation: Annotated[int, Field(ge=0, lt=32_000)] | None = None
    """The generation whose error counts, the last one that runs. Default: the config's last."""
    changes: dict[str, Any] = Field(default_factory=dict)
    """Keys of the chain that it changes."""


class _Keys(Seeded):
    """The keys that a study has beside those of its chain."""

    sizes: Annotated[dict[str, list[Number]], Field(max_length=1)] = Field(default_factory=dict)
    """The key that is scaled, and at least five sizes."""
    metric: Annotated[str, Field(pattern=r"^\w+(\.[\w+-]+|\[\d+\])*$", max_length=200)] | None = (
        None
    )
    """The error, above 0; `excess_` before it subtracts its floor. Default: the first of
    perplexity, excess_risk, test_error, w2 and excess_fid that the chains have."""
    arms: Annotated[dict[str, Arm], Field(min_length=1, max_length=16)] | None = None
    """Kinds of data. Default: `real` (generation 0), `synthetic` (replace) and `mixed` (half
    real)."""


@dataclass(frozen=True)
class ScalingConfig:
    """What is run, as the arms of a sweep, and what is fitted to it.

    sizes        ascending
    cells        (kind of data, size) -> name of the arm of the sweep
    generations  kind of data -> generation whose error counts
    """

    key: str
    sizes: tuple[Number, ...]
    metric: str | None
    cells: Mapping[tuple[str, Number], str]
    generations: Mapping[str, int]
    sweep: SweepConfig


def load_scaling(
    path: Path, over: str | None = None, sizes: Sequence[Number] = (), changes: Sequence[str] = ()
) -> ScalingConfig:
    """Read the config of a scaling study, or of a chain, and apply `key.sub=value` changes.

    over, sizes  in place of those of the config

    Raises InputError with every problem.
    """
    tree = read_config(path)
    if isinstance(tree, dict):
        tree.setdefault("name", path.stem)
    tree = changed_tree(tree, changes, str(path))
    if isinstance(tree, dict):
        tree = _with_sizes(tree, over, sizes)
    return validate_scaling(tree, str(path))


def _with_sizes(tree: Mapping[str, Any], over: str | None, sizes: Sequence[Number]) -> Any:
    """Return a tree with the key and the sizes that the command names, if it does."""
    in_config = tree.get("sizes")
    if not isinstance(in_config, dict):
        in_config = {}
    key = over or next(iter(in_config), None)
    chosen = list(sizes) or in_config.get(key)
    if key is None or chosen is None:
        return tree
    return {**tree, "sizes": {key: chosen}}


def validate_scaling(tree: Mapping[str, Any], where: str) -> ScalingConfig:
    """Validate the config of a scaling study; InputError holds every problem."""
    keys, chain = study_and_chain(_Keys, tree, where)

    base = validate_config(chain, where).model_dump(mode="json")
    key, sizes = _sizes(keys, where)
    kinds_of_data = keys.arms or _default_arms(key)
    _check_names(kinds_of_data, where)
    check_alike(base, [arm.over or key for arm in kinds_of_data.values()], where)

    cells = {
        (name, size): f"{name}-{number}"
        for name in kinds_of_data
        for number, size in enumerate(sizes)
    }
    generations = {name: _generation(arm, base, where) for name, arm in kinds_of_data.items()}
    arms = _cell_configs(kinds_of_data, key, cells, base, generations, where)
    new_data = DATA_SEED in base["modality"]
    sweep = SweepConfig(keys.name, arms, tuple(keys.seeds), (), new_data=new_data)
    return ScalingConfig(key, sizes, keys.metric, cells, generations, sweep)


def _sizes(keys: _Keys, where: str) -> tuple[str, tuple[Number, ...]]:
    """Return the key that is scaled, and its sizes, ascending."""
    if not keys.sizes:
        what = "names no key and sizes"
        remedy = "give --over KEY --sizes 100,200,400,800,1600"
        raise InputError(Problem(f"{where}: sizes", what, remedy))

    ((key, sizes),) = keys.sizes.items()
    if len(set(sizes)) < FEWEST_SIZES or min(sizes) <= 0:
        what = f"has {len(set(sizes))} different sizes"
        remedy = f"at least {FEWEST_SIZES}, all above 0: a law that levels off has three parameters"
        raise InputError(Problem(f"{where}: sizes.{key}", what, remedy))
    if len(keys.seeds) < FEWEST_SEEDS:
        what = f"has {len(keys.seeds)} seeds"
        raise InputError(Problem(f"{where}: seeds", what, f"at least {FEWEST_SEEDS}"))
    return key, tuple(sorted(set(sizes)))


def _default_arms(key: str) -> dict[str, Arm]:
    """Return the kinds of data of a study that names none; real data scale with their number."""
    of_real = key
    if key == SAMPLES:
        of_real = N_TRAIN
    half = {"regime": {"kind": "mix", "real_fraction": 0.5}}
    return {
        REAL: Arm(over=of_real, generation=0, changes={"regime": "replace"}),
        "synthetic": Arm(changes={"regime": "replace"}),
        "mixed": Arm(changes=half),
    }


def _check_names(arms: Mapping[str, Arm], where: str) -> None:
    for name in arms:
        if not is_chain_name(name) or len(name) > 32:
            what = "is not a valid name for an arm"
            remedy = "use letters, digits, `-` and `_`, and begin with a letter"
            raise InputError(Problem(f"{where}: arms.{name}", what, remedy))


def _generation(arm: Arm, base: Mapping[str, Any], where: str) -> int:
    last = int(base["generations"]) - 1
    if arm.generation is None:
        return last
    if arm.generation > last:
        what = f"there is no generation {arm.generation}: chains have {last + 1}"
        raise InputError(Problem(f"{where}: arms", what, f"at most {last}"))
    return arm.generation


def _cell_configs(
    arms: Mapping[str, Arm],
    key: str,
    cells: Mapping[tuple[str, Number], str],
    base: Mapping[str, Any],
    generations: Mapping[str, int],
    where: str,
) -> dict[str, RunConfig]:
    """Return the config of each cell; InputError with the problems of all of them."""
    shared = SharedProblems(where, "cells", len(cells))
    configs: dict[str, RunConfig] = {}
    for (name, size), cell in cells.items():
        arm = arms[name]
        place = f"{where}: arms.{name}"
        changes = {**arm.changes, "generations": generations[name] + 1, "name": cell}
        attempt = partial(_cell_config, base, changes, arm.over or key, size, place)
        config = shared.run(f"arms.{name} at {size}", place, attempt)
        if config is not None:
            configs[cell] = config
    shared.finish()
    return configs


def _cell_config(
    base: Mapping[str, Any], changes: Mapping[str, Any], key: str, size: Number, place: str
) -> RunConfig:
    """Return the chain of a kind of data at a size; sizes of lists of numbers are multiples."""
    tree = merged(base, changes, place)
    axis: Axis = _axis(key, size, tree, place)
    return validate_config(merged(tree, axis.change(0.0), place), place)


def _axis(key: str, size: Number, tree: Mapping[str, Any], place: str) -> Axis:
    if key == SAMPLES and tree.get(SAMPLES) is None:
        tree = {**tree, SAMPLES: 1}  # as many as there are real ones, by default
    return make_axis(key, Range(values=[size]), tree, place, searched=False)
