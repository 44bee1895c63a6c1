"""Finished runs, read from their files. No torch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imglab.errors import InputError, Problem

MANIFEST = "manifest.json"
CHAINS = "chains.json"
"""Names the chains of a side-by-side run, in its directory."""
SWEEP = "sweep.json"
"""Names the arms, seeds and contrasts of a sweep, in its directory."""
FORK = "fork.json"
"""Says where a fork comes from, in its directory."""
FORMAT_VERSION = 1
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


def chains_of(folder: Path) -> list[str] | None:
    """Return the names of a side-by-side run's chains, each a run directory in `folder`; None where it is none."""
    path = folder / CHAINS
    if not path.is_file():
        return None
    names = read_json(path, ("chains",))["chains"]
    if not isinstance(names, list) or not names or not all(map(is_chain_name, names)):
        raise InputError(Problem(str(path), "has no list of names under 'chains'", "the file is damaged"))
    return names


def run_folders(folder: Path) -> list[Path]:
    """Return the run directories that `folder` stands for: itself, or those in it that have begun, if any has."""
    if (folder / SWEEP).is_file():
        described = read_json(folder / SWEEP, ("arms", "seeds"))
        each = [folder / str(arm) / f"seed-{seed}" for arm in described["arms"] for seed in described["seeds"]]
        return [run for run in each if finished(run, 0)] or each
    chains = chains_of(folder)
    if chains is None:
        return [folder]
    found = [folder / name for name in chains]
    return [chain for chain in found if finished(chain, 0)] or found


def is_chain_name(name: object) -> bool:
    """Say whether this can name a chain, and so a directory."""
    return isinstance(name, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", name) is not None


def spread_generations(generations: Sequence[int], most: int) -> list[int]:
    """Choose at most so many generations, closer together at the start; the first and the last among them."""
    if len(generations) <= most:
        return list(generations)
    last = len(generations) - 1
    places = {round((last + 1) ** (at / (most - 1))) - 1 for at in range(most)}
    return [generations[place] for place in sorted(places | {0, last})]


def parse_generation(text: str) -> tuple[Path, int]:
    """Return what `RUN@G` names: a run directory and one of its finished generations; InputError otherwise."""
    folder, _, number = text.rpartition("@")
    if not folder or not number.isdecimal():
        raise InputError(Problem(text, "is not RUN@G", "e.g. runs/image_digits@3"))
    run, g = Path(folder), int(number)
    if not (run / "config.yaml").is_file():
        chains = chains_of(run)
        remedy = f"e.g. {run}/{chains[0]}@{g}" if chains else "give what --out named"
        raise InputError(Problem(str(run), "is not a run directory: it has no config.yaml", remedy))
    read_environment(run)
    done = count_finished(run)
    if g >= done:
        finished_ones = f"generations 0 to {done - 1} are finished" if done else "none is finished"
        raise InputError(Problem(text, f"there is no finished generation {g}", finished_ones))
    return run, g


def metric_value(row: Mapping[str, Any], metric: str) -> float | None:
    """Return a number of a generation's metrics; dots lead into tables, e.g. `word_survival.1`. None: undefined."""
    found: Any = row
    for key in metric.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return float(found) if isinstance(found, int | float) else None


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """Return the metrics of all finished generations; InputError where `run` is no run directory or has none."""
    if not (run / "config.yaml").is_file():
        raise InputError(Problem(str(run), "is not a run directory: it has no config.yaml", "give what --out named"))
    read_environment(run)
    rows = [read_generation(run, g) for g in range(count_finished(run))]
    if not rows:
        raise InputError(Problem(str(run), "has no finished generation yet", "run it first"))
    return rows


def read_environment(run: Path) -> dict[str, Any]:
    """Return environment.json; InputError where it is damaged or of a format that this version does not know."""
    path = run / "environment.json"
    found = read_json(path, ("format_version", "packages", "data"))
    if found["format_version"] != FORMAT_VERSION:
        made = found["packages"].get("imglab", "another version") if isinstance(found["packages"], dict) else "?"
        what = f"has format {found['format_version']}, made by imglab {made}; this version reads {FORMAT_VERSION}"
        raise InputError(Problem(str(path), what, "use that version"))
    return found


def read_generation(run: Path, g: int) -> dict[str, Any]:
    """Return the metrics of generation g; InputError where the file is damaged."""
    return read_json(generation_folder(run, g) / "metrics.json", ("generation", "floor", "reasons", "extractor"))


def read_json(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    """Return the object in a JSON file; InputError where it cannot be read or lacks one of `keys`."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(Problem(str(path), f"cannot be read: {error}", "the file is damaged")) from None
    missing = [key for key in keys if not isinstance(found, dict) or key not in found]
    if missing:
        raise InputError(Problem(str(path), f"has no {missing[0]!r}", "the file is damaged"))
    return dict(found)
