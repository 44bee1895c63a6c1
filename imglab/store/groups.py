"""The runs that a sweep or a side-by-side run consists of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from imglab.config.schema import is_chain_name
from imglab.errors import InputError, Problem
from imglab.store.files import DAMAGED, read_signed
from imglab.store.layout import CHAINS, MOST, SWEEP, finished_ones


def chains_of(folder: Path) -> list[str] | None:
    """Return the names of a side-by-side run's chains, each a run directory in `folder`; None where it is none."""
    path = folder / CHAINS
    if not path.is_file():
        return None
    names = read_signed(path, ("chains",))["chains"]
    if not isinstance(names, list) or not names or not all(map(is_chain_name, names)):
        raise InputError(Problem(str(path), "has no list of names under 'chains'", DAMAGED))
    return names


def run_folders(folder: Path) -> list[Path]:
    """Return the run directories that `folder` stands for: itself, or those in it that have begun, if any has."""
    each = all_run_folders(folder)
    return [run for run in each if finished_ones(run)] or each


def all_run_folders(folder: Path) -> list[Path]:
    """Return the run directories that `folder` stands for, those too that have not begun."""
    if (folder / SWEEP).is_file():
        described = read_sweep_file(folder)
        return [
            folder / arm / f"seed-{seed}"
            for arm in described["arms"]
            for seed in described["seeds"]
        ]
    chains = chains_of(folder)
    return [folder] if chains is None else [folder / name for name in chains]


def read_sweep_file(folder: Path) -> dict[str, Any]:
    """Return what names a sweep's arms and seeds; InputError where a name could lead out of its directory."""
    path = folder / SWEEP
    found = read_signed(path, ("arms", "seeds", "contrasts"))
    for key, usable in (("arms", is_chain_name), ("seeds", lambda seed: type(seed) is int)):
        named = found[key]
        if not isinstance(named, list) or not named or not all(map(usable, named)):
            raise InputError(Problem(str(path), f"has no list of {key}", DAMAGED))
    if len(found["arms"]) * len(found["seeds"]) > MOST:
        raise InputError(Problem(str(path), f"names more than {MOST} runs", DAMAGED))
    return found
