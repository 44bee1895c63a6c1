"""Finished runs, read from their files. No torch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from imglab.errors import InputError, Problem
from imglab.store import files
from imglab.store.files import DAMAGED, MISMATCH, read_json, read_signed
from imglab.store.groups import chains_of
from imglab.store.head import check_gaps
from imglab.store.layout import (
    FIRST_CALIBRATED,
    KNOWN_FORMATS,
    MANIFEST,
    MOST,
    SINCE_FORMAT_4,
    count_finished,
    generation_folder,
)
from imglab.store.links import check_links
from imglab.store.metric_order import FIRST

BOOKKEEPING = {"generation", "n_real", "n_synthetic", "n_train", "real_share", "token_budget"}
"""Numbers in metrics.json that are not metrics."""

LARGEST = sys.float_info.max

MOST_FILES = 10_000
"""Files that a manifest may list. A model in shards and its tokenizer are some hundred."""

BY_DECILE = "_by_decile"
"""How the names of metrics that are lists of ten end."""

GATE_VERDICTS = ("good", "poor", "unknown")
"""What the gate can say of generation 0."""


def metric_names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the scalar metrics that any row has, the common ones first."""
    defined = {name: None for row in rows for name, value in row.items() if _is_metric(name, value)}
    undefined = {name for row in rows for name in row["reasons"] if name in row}

    common = [name for name in FIRST if name in defined or name in undefined]
    return common + [name for name in defined if name not in FIRST]


def metric_value(row: Mapping[str, Any], metric: str) -> float | None:
    """Return a number of a generation's metrics; None: undefined.

    Dots in the name lead into tables, e.g. `word_survival.1`.
    """
    value: Any = row
    for key in metric.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return float(value) if is_number(value) else None


def is_number(value: object) -> bool:
    """Say whether a value of a JSON file can be drawn: a finite number, and not a truth value."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and -LARGEST <= value <= LARGEST
    )


def parse_generation(text: str) -> tuple[Path, int]:
    """Return what `RUN@G` names: a run directory and one of its finished generations.

    InputError if there is no such run or no such finished generation.
    """
    folder, _, number = text.rpartition("@")
    if not folder or not number.isdecimal() or len(number) > len(str(MOST)):
        raise InputError(Problem(text, "is not RUN@G", "e.g. runs/image_digits@3"))

    run = Path(folder)
    g = int(number)
    if not (run / "config.yaml").is_file():
        chains = chains_of(run)
        remedy = f"e.g. {run}/{chains[0]}@{g}" if chains else "give what --out named"
        raise InputError(Problem(str(run), "is not a run directory: it has no config.yaml", remedy))

    check_links(run)
    read_environment(run)
    done = count_finished(run)
    if g >= done:
        finished = f"generations 0 to {done - 1} are finished" if done else "none is finished"
        raise InputError(Problem(text, f"there is no finished generation {g}", finished))
    return run, g


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """Return the metrics of all finished generations.

    InputError if `run` is not a run directory, or has no finished generation.
    """
    if not (run / "config.yaml").is_file():
        what = "is not a run directory: it has no config.yaml"
        raise InputError(Problem(str(run), what, "give what --out named"))

    check_links(run)
    read_environment(run)
    check_gaps(run)
    rows = [read_generation(run, g) for g in range(count_finished(run))]
    if not rows:
        raise InputError(Problem(str(run), "has no finished generation yet", "run it first"))
    return rows


def _name_missing(row: dict[str, Any], missing: Sequence[str]) -> None:
    """Give the metrics that an older run does not have the value None, with the reason."""
    reason = f"made before format {FIRST_CALIBRATED}"
    for name in missing:
        row[name] = None
        row["reasons"].setdefault(name, reason)


def read_environment(run: Path) -> dict[str, Any]:
    """Return environment.json; InputError if it is damaged or its format is unknown here."""
    path = run / "environment.json"
    environment = read_json(path, ("format_version", "packages", "data"))
    _check_format(path, environment)

    for key in ("packages", "data"):
        if not _is_table(environment[key], lambda value: isinstance(value, str)):
            what = f"has no table of names and texts under {key!r}"
            raise InputError(Problem(str(path), what, DAMAGED))
    return read_signed(path, ())


def read_format(run: Path) -> int:
    """Return the format of a run; InputError if it is unknown here."""
    return int(read_environment(run)["format_version"])


def _check_format(path: Path, environment: Mapping[str, Any]) -> None:
    version = environment["format_version"]
    if version in KNOWN_FORMATS:
        return

    imglab = "?"
    if isinstance(environment["packages"], dict):
        imglab = environment["packages"].get("imglab", "another version")
    readable = f"{KNOWN_FORMATS[0]} to {KNOWN_FORMATS[-1]}"
    what = f"has format {version}, made by imglab {imglab}; this version reads {readable}"
    raise InputError(Problem(str(path), what, "use that version"))


def read_manifest(run: Path, g: int) -> dict[str, Any]:
    """Return the manifest of generation g; InputError if it is damaged.

    The paths in it may be a stranger's.
    """
    path = generation_folder(run, g) / MANIFEST
    keys = ("generation", "files", "shared", "config", "environment", "previous")
    manifest = read_signed(path, keys)
    for key in ("files", "shared"):
        if not isinstance(manifest[key], dict):
            raise InputError(Problem(str(path), f"lists nothing under {key!r}", DAMAGED))
        if len(manifest[key]) > MOST_FILES:
            what = f"lists {len(manifest[key])} files, more than a generation has"
            raise InputError(Problem(str(path), what, DAMAGED))
    return manifest


def read_generation(run: Path, g: int) -> dict[str, Any]:
    """Return the metrics of generation g; InputError if they are damaged or not its manifest's."""
    path = generation_folder(run, g) / "metrics.json"
    row = read_json(path, ("generation", "floor", "reasons", "extractor"))
    if read_manifest(run, g)["files"].get(path.name) != files.sha256_file(path):
        raise InputError(Problem(str(path), MISMATCH, f"imglab verify {run}"))

    wrong = next(_wrong_metrics(row, g), None)
    if wrong is not None:
        raise InputError(Problem(str(path), f"{wrong!r} has a value of the wrong kind", DAMAGED))

    missing = [name for name in SINCE_FORMAT_4 if name not in row]
    if missing and read_format(run) < FIRST_CALIBRATED:
        _name_missing(row, missing)
    return row


def _is_metric(name: str, value: Any) -> bool:
    return is_number(value) and name not in BOOKKEEPING and not name.endswith("_se")


def _wrong_metrics(row: Mapping[str, Any], g: int) -> Iterator[str]:
    """Name the values that tables, figures and the page could not use as generation g's metrics."""
    for key in ("extractor", "reference"):
        if not isinstance(row.get(key), str):
            yield key

    ranges = {
        "generation": (g, g),
        "n_real": (0, LARGEST),
        "n_synthetic": (0, LARGEST),
        "n_train": (1, LARGEST),
        "real_share": (-LARGEST, LARGEST),
    }

    for key, (least, most) in ranges.items():
        if not (is_number(row.get(key)) and least <= row[key] <= most):
            yield key

    if not _is_table(row["reasons"], lambda value: isinstance(value, str)):
        yield "reasons"
    if not _is_table(row.get("origins", {}), is_number):
        yield "origins"
    headline = row.get("headline", [])
    if not isinstance(headline, list) or not all(isinstance(name, str) for name in headline):
        yield "headline"

    if not _is_gate(row.get("generation0")):
        yield "generation0"

    if not isinstance(row["floor"], dict):
        yield "floor"
        return
    for name, value in row["floor"].items():
        of_lists = name.endswith(BY_DECILE)
        if not name.endswith("reason") and not _is_floor(value, of_lists=of_lists):
            yield f"floor.{name}"


def _is_gate(value: object) -> bool:
    """Say whether a value is what the gate says of generation 0; only generation 0 has it."""
    if not isinstance(value, dict):
        return value is None
    for reasons in (value.get("reasons"), value.get("not_asked", [])):
        if not isinstance(reasons, list) or not all(isinstance(each, str) for each in reasons):
            return False
    return value.get("verdict") in GATE_VERDICTS


def _is_floor(value: object, *, of_lists: bool) -> bool:
    """Say whether a value is a metric's floor: of a number, or of a list of them (deciles)."""
    if not isinstance(value, dict):
        return value is None
    if of_lists:
        means = value.get("mean")
        return isinstance(means, list) and all(map(is_number, means))
    if not is_number(value.get("mean")) or "sd" not in value:
        return False
    return value["sd"] is None or is_number(value["sd"])


def _is_table(value: object, usable: Callable[[Any], bool]) -> bool:
    return isinstance(value, dict) and all(map(usable, value.values()))
