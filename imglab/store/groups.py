"""The runs that a sweep or a side-by-side run consists of. No torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from imglab.config.schema import is_chain_name
from imglab.errors import InputError, Problem
from imglab.store.files import DAMAGED, read_signed
from imglab.store.layout import CHAINS, MOST, SWEEP, finished_ones


def chains_of(folder: Path) -> list[str] | None:
    """Return the names of a side-by-side run's chains, each a run directory in `folder`.

    None if `folder` is not a side-by-side run.
    """
    path = folder / CHAINS
    if not path.is_file():
        return None

    names: list[str] = read_signed(path, ("chains",))["chains"]
    if not _is_list_of(is_chain_name, names):
        raise InputError(Problem(str(path), "has no list of names under 'chains'", DAMAGED))
    return names


def run_folders(folder: Path) -> list[Path]:
    """Return the run directories of a group that have begun, or all of them if none has.

    The group of a run that is not part of one is the run itself.
    """
    runs = all_run_folders(folder)
    begun = [run for run in runs if finished_ones(run)]
    return begun or runs


def all_run_folders(folder: Path) -> list[Path]:
    """Return the run directories of a group, whether or not they have begun."""
    if (folder / SWEEP).is_file():
        sweep = read_sweep_file(folder)
        return [folder / arm / f"seed-{seed}" for arm in sweep["arms"] for seed in sweep["seeds"]]

    chains = chains_of(folder)
    if chains is None:
        return [folder]
    return [folder / name for name in chains]


def read_sweep_file(folder: Path) -> dict[str, Any]:
    """Return the arms, seeds and contrasts of a sweep.

    InputError if a name could lead out of the sweep's directory, or if there are too many runs.
    """
    path = folder / SWEEP
    sweep = read_signed(path, ("arms", "seeds", "contrasts"))
    for key, is_valid in (("arms", is_chain_name), ("seeds", _is_seed)):
        if not _is_list_of(is_valid, sweep[key]):
            raise InputError(Problem(str(path), f"has no list of {key}", DAMAGED))

    if len(sweep["arms"]) * len(sweep["seeds"]) > MOST:
        raise InputError(Problem(str(path), f"names more than {MOST} runs", DAMAGED))
    return sweep


def _is_list_of(is_valid: Callable[[Any], bool], value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(is_valid, value))


def _is_seed(value: object) -> bool:
    # A truth value is an int, too.
    return type(value) is int
