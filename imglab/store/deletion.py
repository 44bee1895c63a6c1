"""Deleting a run directory as a whole. No torch."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from imglab.errors import InputError, Problem
from imglab.store import locks
from imglab.store.listing import is_run, study_of


def delete_run(run: Path) -> None:
    """Delete a run directory; it first gets another name, so that no half of it can be opened.

    Raises InputError if it is not a run, if a process writes it, or if it is part of a study, such
    as a sweep, a map or claims, whose other runs would lose their comparison.
    """
    check_deletable(run)
    busy = Problem(str(run), "another process is writing this run", "stop it first")
    with locks.held(run / locks.RUN, busy):
        place = Path(tempfile.mkdtemp(prefix=".deleted-", dir=run.parent))
        run.rename(place / run.name)
    shutil.rmtree(place)


def check_deletable(run: Path) -> None:
    """Raise InputError if `run` is not a run directory that stands for itself."""
    if run.is_symlink() or not is_run(run):
        raise InputError(Problem(str(run), "is not a run directory", "nothing was deleted"))
    study = study_of(run)
    if study is not None:
        what = f"is part of {study.name}"
        raise InputError(Problem(str(run), what, f"remove {study} as a whole"))
