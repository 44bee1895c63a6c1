"""head.json: how many generations a run has finished, so that a copy that was cut off is noticed.

A run without the file was made before there was one, and nothing is known of its end. No torch.
"""

from __future__ import annotations

from pathlib import Path

from imglab.errors import InputError, Problem
from imglab.store import files
from imglab.store.files import DAMAGED
from imglab.store.layout import (
    HEAD,
    MANIFEST,
    MOST,
    count_finished,
    finished_ones,
    generation_folder,
)


def read_head(run: Path) -> int | None:
    """Return how many generations a run had finished when it last said so; None: it never did.

    InputError if the file is damaged.
    """
    path = run / HEAD
    if not path.exists():
        return None

    count = files.read_signed(path, ("finished",))["finished"]
    if type(count) is not int or not 0 <= count <= MOST:
        raise InputError(Problem(str(path), "says no number of generations", DAMAGED))
    return count


def write_head(run: Path, *, after: int = -1) -> None:
    """Write down how many generations of a run are finished; all up to `after` are."""
    files.write_signed(run / HEAD, {"finished": count_finished(run, after + 1)})


def catch_up(run: Path) -> None:
    """Write down the number of generations if the last manifest was written and the number not.

    A process that is killed between the two, or whose disk fills, leaves a run like that.
    """
    count = count_finished(run)
    if count and (read_head(run) or 0) < count:
        write_head(run, after=count - 1)


def check_gaps(run: Path) -> None:
    """Raise InputError if a generation is missing that the run had finished."""
    # A run that is going on may finish more between the two looks, so the count is the later one.
    done = finished_ones(run)
    count = count_finished(run)
    if done and done[-1] > count:
        path = generation_folder(run, count) / MANIFEST
        what = f"is missing, and generation {done[-1]} is finished"
        raise InputError(Problem(str(path), what, f"imglab verify {run}"))

    head = read_head(run)
    if head is not None and head > count_finished(run):
        what = f"is missing, and the run had finished {head} generations"
        path = generation_folder(run, count)
        raise InputError(Problem(str(path), what, f"imglab verify {run}"))
