"""Finished runs, read from their files. No torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from imglab.errors import InputError, Problem

MANIFEST = "manifest.json"
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
    found = _read_json(path, ("format_version", "packages", "data"))
    if found["format_version"] != FORMAT_VERSION:
        made = found["packages"].get("imglab", "another version") if isinstance(found["packages"], dict) else "?"
        what = f"has format {found['format_version']}, made by imglab {made}; this version reads {FORMAT_VERSION}"
        raise InputError(Problem(str(path), what, "use that version"))
    return found


def read_generation(run: Path, g: int) -> dict[str, Any]:
    """Return the metrics of generation g; InputError where the file is damaged."""
    return _read_json(generation_folder(run, g) / "metrics.json", ("generation", "floor", "reasons", "extractor"))


def _read_json(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(Problem(str(path), f"cannot be read: {error}", "the file is damaged")) from None
    missing = [key for key in keys if not isinstance(found, dict) or key not in found]
    if missing:
        raise InputError(Problem(str(path), f"has no {missing[0]!r}", "the file is damaged"))
    return dict(found)
