"""Where the page of one or several runs is written. No torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from imglab.errors import InputError, Problem
from imglab.store.listing import is_group, is_run

PAGE = "report.html"
COMPARISON = "comparison.html"
MOST = 50
"""Runs, sweeps and side-by-side runs of one page at most."""


def page_place(asked: Sequence[Path], parts: Sequence[Path], out: Path | None) -> Path:
    """Return the file of the page of `parts`, which were asked for as the paths `asked`.

    One run has its page in its directory, and several have one beside them, `comparison.html`.
    InputError if `out` is the page of a run of its own, or if one page cannot hold so many.
    """
    if len(parts) > MOST:
        what = f"{len(parts)} runs do not fit one page, which holds {MOST}"
        raise InputError(Problem(str(asked[0]), what, f"imglab view {asked[0]}"))
    if len(parts) == 1:
        return out or parts[0] / PAGE

    if out is None:
        if len(asked) == 1:
            return asked[0] / COMPARISON
        return _common_parent(parts) / COMPARISON
    if out.name == PAGE and (is_run(out.parent) or is_group(out.parent)):
        remedy = f"choose another --out, e.g. {out.parent.parent / COMPARISON}"
        raise InputError(Problem(str(out), "is the page of that run alone", remedy))
    return out


def _common_parent(folders: Sequence[Path]) -> Path:
    """Return the innermost folder that holds all of these, relative where they are."""
    common = Path(os.path.commonpath([folder.absolute() for folder in folders]))
    if common in (folder.absolute() for folder in folders):
        common = common.parent
    if common.is_relative_to(Path.cwd()):
        return common.relative_to(Path.cwd())
    return common
