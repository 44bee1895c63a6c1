"""Finished runs, read from their files. No torch."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from imglab import files
from imglab.errors import InputError, Problem

MANIFEST = "manifest.json"
CHAINS = "chains.json"
"""Names the chains of a side-by-side run, in its directory."""
SWEEP = "sweep.json"
"""Names the arms, seeds and contrasts of a sweep, in its directory."""
FORK = "fork.json"
"""Says where a fork comes from, in its directory."""
FORK_PARENT = "fork_parent.json"
"""The same of the run that it comes from, where that is a fork itself."""
OWN = (
    "config.yaml",
    "environment.json",
    "events.jsonl",
    CHAINS,
    SWEEP,
    FORK,
    FORK_PARENT,
    "summary.json",
    "shared",
    "marks",
)
"""What is read of a run's directory, beside its generations."""
WRITTEN = (".files.json", ".lock", "damaged", "report.html", "report_files", "tracking")
"""What is only written there: a link in place of one would lead outside."""
DEEPEST = 16
"""Folders of a run within each other at most."""
LARGEST = sys.float_info.max
DAMAGED = "the file is damaged"
LINK = "is a link or no file, which a run does not make"
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
    found = {int(number): path for number, path in numbered.items() if number.isdecimal() and len(number) < 6}
    return sorted(g for g, path in found.items() if g < MOST and path == generation_folder(run, g))


def finished_ones(run: Path) -> list[int]:
    """Return the numbers of the generations that are finished, gaps or not, in order."""
    return [g for g in generations_in(run) if finished(run, g)]


def check_gaps(run: Path) -> None:
    """Raise InputError where a generation is finished and one before it is not: no run leaves that behind."""
    done = finished_ones(run)  # before it is counted: a run that goes on may finish more meanwhile
    count = count_finished(run)
    if done and done[-1] > count:
        path = generation_folder(run, count) / MANIFEST
        problem = Problem(str(path), f"is missing, and generation {done[-1]} is finished", f"imglab verify {run}")
        raise InputError(problem)


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
        return [folder / arm / f"seed-{seed}" for arm in described["arms"] for seed in described["seeds"]]
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


def check_links(folder: Path) -> None:
    """Raise InputError where what is read of a run is a link, which may lead anywhere, or a pipe, which never ends."""
    wrong = islice(linked(folder), 5)
    if problems := [Problem(str(path), what, "put the file itself there") for path, what in wrong]:
        raise InputError(problems)


def linked(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield what of a run, or of the runs in it, is a link or no file, or lies too deep; and what is wrong with it."""
    plain = True
    for top in sorted(folder.iterdir()) if folder.is_dir() else ():
        if top.name in OWN or top.name in WRITTEN or top.name.startswith("generation_"):
            for found in _linked(top, None if top.name in WRITTEN else DEEPEST):
                plain = False
                yield found
    if plain and ((folder / SWEEP).is_file() or (folder / CHAINS).is_file()):
        arms: dict[Path, bool] = {}
        for run in all_run_folders(folder):
            if run.parent != folder and run.parent not in arms:
                arms[run.parent] = not run.parent.is_symlink()
                yield from () if arms[run.parent] else [(run.parent, LINK)]
            if run.is_symlink():
                yield run, LINK
            elif arms.get(run.parent, True):
                yield from linked(run)


def _linked(path: Path, deeper: int | None) -> Iterator[tuple[Path, str]]:
    """Look at a path and, with `deeper`, at so many folders below it."""
    if path.is_symlink() or not (path.is_file() or path.is_dir()):
        yield path, LINK
    elif deeper == 0 and path.is_dir():
        yield path, "lies deeper than a run makes folders"
    elif deeper and path.is_dir():
        with os.scandir(path) as entries:
            names = sorted(entry.name for entry in entries if not entry.is_file(follow_symlinks=False))
        for name in names:  # plain files, most of what there is, need no second look
            yield from _linked(path / name, deeper - 1)


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
    if not folder or not number.isdecimal() or len(number) > len(str(MOST)):
        raise InputError(Problem(text, "is not RUN@G", "e.g. runs/image_digits@3"))
    run, g = Path(folder), int(number)
    if not (run / "config.yaml").is_file():
        chains = chains_of(run)
        remedy = f"e.g. {run}/{chains[0]}@{g}" if chains else "give what --out named"
        raise InputError(Problem(str(run), "is not a run directory: it has no config.yaml", remedy))
    check_links(run)
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
    return float(found) if is_number(found) else None


def is_number(value: object) -> bool:
    """Say whether a value of a JSON file is a number that can be drawn: finite, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -LARGEST <= value <= LARGEST


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """Return the metrics of all finished generations; InputError where `run` is no run directory or has none."""
    if not (run / "config.yaml").is_file():
        raise InputError(Problem(str(run), "is not a run directory: it has no config.yaml", "give what --out named"))
    check_links(run)
    read_environment(run)
    check_gaps(run)
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
    for key in ("packages", "data"):
        if not _is_table(found[key], lambda value: isinstance(value, str)):
            raise InputError(Problem(str(path), f"has no names and texts under {key!r}", DAMAGED))
    return read_signed(path, ())


def read_generation(run: Path, g: int) -> dict[str, Any]:
    """Return the metrics of generation g; InputError where the file is damaged, or not the one of its manifest."""
    path = generation_folder(run, g) / "metrics.json"
    found = read_json(path, ("generation", "floor", "reasons", "extractor"))
    if read_manifest(run, g)["files"].get(path.name) != files.sha256_file(path):
        raise InputError(Problem(str(path), "is not as it was written", f"imglab verify {run}"))
    wrong = next(_wrong_metrics(found, g), None)
    if wrong is not None:
        raise InputError(Problem(str(path), f"{wrong!r} is not what it has to be", DAMAGED))
    return found


def _wrong_metrics(row: Mapping[str, Any], g: int) -> Iterator[str]:
    """Name what cannot be read as the metrics of generation g: tables, figures and the page rely on these."""
    texts = ("extractor", "reference")
    yield from (key for key in texts if not isinstance(row.get(key), str))
    sizes = {"generation": (g, g), "n_real": (0, LARGEST), "n_synthetic": (0, LARGEST), "n_train": (1, LARGEST)}
    for key, (least, most) in sizes.items():
        if not (is_number(row.get(key)) and least <= row[key] <= most):
            yield key
    if not is_number(row.get("real_share")):
        yield "real_share"
    if not _is_table(row["reasons"], lambda value: isinstance(value, str)):
        yield "reasons"
    if not _is_table(row.get("origins", {}), is_number):
        yield "origins"
    headline = row.get("headline", [])
    if not isinstance(headline, list) or not all(isinstance(name, str) for name in headline):
        yield "headline"
    floor = row["floor"]
    if not isinstance(floor, dict):
        yield "floor"
        return
    yield from (f"floor.{name}" for name, value in floor.items() if name != "reason" and not _is_floor(value))


def _is_floor(value: object) -> bool:
    if not isinstance(value, dict):
        return value is None
    return is_number(value.get("mean")) and "sd" in value and (value["sd"] is None or is_number(value["sd"]))


def _is_table(value: object, usable: Callable[[Any], bool]) -> bool:
    return isinstance(value, dict) and all(map(usable, value.values()))


def read_manifest(run: Path, g: int) -> dict[str, Any]:
    """Return the manifest of generation g; InputError where it is damaged. The paths in it may be a stranger's."""
    path = generation_folder(run, g) / MANIFEST
    found = read_signed(path, ("generation", "files", "shared", "config", "environment", "previous"))
    for key in ("files", "shared"):
        if not isinstance(found[key], dict):
            raise InputError(Problem(str(path), f"lists nothing under {key!r}", DAMAGED))
    return found


def read_signed(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    """Return the object in a file of `files.write_signed`, unsigned again; InputError where a byte is changed."""
    found = read_json(path, (*keys, "self"))
    rest = {key: value for key, value in found.items() if key != "self"}
    try:
        same = files.signed_bytes(rest) == path.read_bytes()
    except ValueError:  # a number that JSON does not have, or half a character
        same = False
    if not same:
        raise InputError(Problem(str(path), "is not as it was written", DAMAGED))
    return rest


def read_json(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    """Return the object in a JSON file; InputError where it cannot be read or lacks one of `keys`."""
    try:
        if path.exists() and not path.is_file():  # a pipe would never end
            raise OSError("it is not a file")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise InputError(Problem(str(path), f"cannot be read: {error}", DAMAGED)) from None
    missing = [key for key in keys if not isinstance(found, dict) or key not in found]
    if missing:
        raise InputError(Problem(str(path), f"has no {missing[0]!r}", DAMAGED))
    return dict(found)
