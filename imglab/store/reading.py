"""Finished runs, read from their files. No torch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from imglab.errors import InputError, Problem
from imglab.store import files
from imglab.store.files import DAMAGED, read_json, read_signed
from imglab.store.groups import chains_of
from imglab.store.layout import (
    FORMAT_VERSION,
    MANIFEST,
    MOST,
    count_finished,
    finished_ones,
    generation_folder,
)
from imglab.store.links import check_links

FIRST = (
    "fid",
    "kid",
    "precision",
    "recall",
    "density",
    "coverage",
    "vendi",
    "nearest_distance",
    "duplicate_share",
)
"""Metrics of every modality, in the order of the table; those of one kind of data follow."""


BOOKKEEPING = {"generation", "n_real", "n_synthetic", "n_train", "real_share", "token_budget"}


def metric_names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the scalar metrics that any row has, the common ones first."""
    found = {name: None for row in rows for name, value in row.items() if _is_metric(name, value)}
    missing = {name for row in rows for name in row["reasons"] if name in row}
    return [name for name in FIRST if name in found or name in missing] + [
        name for name in found if name not in FIRST
    ]


def _is_metric(name: str, value: Any) -> bool:
    return is_number(value) and name not in BOOKKEEPING and not name.endswith("_se")


LARGEST = sys.float_info.max


def check_gaps(run: Path) -> None:
    """Raise InputError where a generation is finished and one before it is not: no run leaves that behind."""
    done = finished_ones(run)  # before it is counted: a run that goes on may finish more meanwhile
    count = count_finished(run)
    if done and done[-1] > count:
        path = generation_folder(run, count) / MANIFEST
        problem = Problem(
            str(path), f"is missing, and generation {done[-1]} is finished", f"imglab verify {run}"
        )
        raise InputError(problem)


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
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and -LARGEST <= value <= LARGEST
    )


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """Return the metrics of all finished generations; InputError where `run` is no run directory or has none."""
    if not (run / "config.yaml").is_file():
        raise InputError(
            Problem(
                str(run), "is not a run directory: it has no config.yaml", "give what --out named"
            )
        )
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
        made = (
            found["packages"].get("imglab", "another version")
            if isinstance(found["packages"], dict)
            else "?"
        )
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
    sizes = {
        "generation": (g, g),
        "n_real": (0, LARGEST),
        "n_synthetic": (0, LARGEST),
        "n_train": (1, LARGEST),
    }
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
    yield from (
        f"floor.{name}"
        for name, value in floor.items()
        if name != "reason" and not _is_floor(value)
    )


def _is_floor(value: object) -> bool:
    if not isinstance(value, dict):
        return value is None
    return (
        is_number(value.get("mean"))
        and "sd" in value
        and (value["sd"] is None or is_number(value["sd"]))
    )


def _is_table(value: object, usable: Callable[[Any], bool]) -> bool:
    return isinstance(value, dict) and all(map(usable, value.values()))


def read_manifest(run: Path, g: int) -> dict[str, Any]:
    """Return the manifest of generation g; InputError where it is damaged. The paths in it may be a stranger's."""
    path = generation_folder(run, g) / MANIFEST
    found = read_signed(
        path, ("generation", "files", "shared", "config", "environment", "previous")
    )
    for key in ("files", "shared"):
        if not isinstance(found[key], dict):
            raise InputError(Problem(str(path), f"lists nothing under {key!r}", DAMAGED))
    return found
