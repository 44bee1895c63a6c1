"""Finished runs, read from their files. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

MANIFEST = "manifest.json"


CHAINS = "chains.json"
"""Names the chains of a side-by-side run, in its directory."""


SWEEP = "sweep.json"
"""Names the arms, seeds and contrasts of a sweep, in its directory."""


FORK = "fork.json"
"""Says where a fork comes from, in its directory."""


FORK_PARENT = "fork_parent.json"
"""The same of the run that it comes from, where that is a fork itself."""


MOST = 32_000
"""Generations that a run may have."""


FORMAT_VERSION = 2
"""Of the run directory; written to environment.json and checked before a run is read or continued."""


def generation_folder(run: Path, g: int) -> Path:
    """Folder of generation g."""
    return run / f"generation_{g:03d}"


def finished(run: Path, g: int) -> bool:
    """Say whether generation g is complete: its manifest, written last, is there."""
    return (generation_folder(run, g) / MANIFEST).is_file()


def count_finished(run: Path) -> int:
    """How many generations are finished, from 0 on without a gap."""
    g = 0
    while finished(run, g):
        g += 1
    return g


def generations_in(run: Path) -> list[int]:
    """Return the numbers of the generations that have a folder, finished or not, in order."""
    numbered = {path.name.rpartition("_")[2]: path for path in run.glob("generation_*")}
    found = {
        int(number): path
        for number, path in numbered.items()
        if number.isdecimal() and len(number) < 6
    }
    return sorted(g for g, path in found.items() if g < MOST and path == generation_folder(run, g))


def finished_ones(run: Path) -> list[int]:
    """Return the numbers of the generations that are finished, gaps or not, in order."""
    return [g for g in generations_in(run) if finished(run, g)]


def spread_generations(generations: Sequence[int], most: int) -> list[int]:
    """Choose at most so many generations, closer together at the start; the first and the last among them."""
    if len(generations) <= most:
        return list(generations)
    last = len(generations) - 1
    places = {round((last + 1) ** (at / (most - 1))) - 1 for at in range(most)}
    return [generations[place] for place in sorted(places | {0, last})]
