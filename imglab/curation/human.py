"""Asking a person which samples to keep."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from imglab.curation.context import Context, required
from imglab.errors import InputError, Problem, Stopped
from imglab.failures import raise_if_unavailable
from imglab.modality import Exporter
from imglab.samples import Samples
from imglab.store import files
from imglab.store.drawn import hash_samples
from imglab.store.files import read_signed

MARKS = "marks.csv"
NAMES = ".names.json"
YES = {"1", "yes", "y", "keep"}
NO = {"0", "no", "n", "drop"}


def human(samples: Samples, context: Context) -> Tensor:
    """Ask a person: export the samples and a list to mark, stop, and go on when all are marked."""
    folder = context.annotations
    if folder is None:
        what = "`human` needs a run directory"
        raise InputError(Problem("curate.kind", what, "run it with --out"))

    path = folder / MARKS
    if not path.exists():
        _ask(samples, context, folder)
    asked = read_signed(folder / NAMES, ("names", "samples"))
    if asked["samples"] != hash_samples(samples):
        what = "holds marks of other samples: the generation was made again and differs"
        remedy = "move it away, and mark the samples that are drawn now"
        raise InputError(Problem(str(folder), what, remedy))

    marks = _read_marks(path, asked["names"])
    unmarked = marks.count("")
    if unmarked:
        raise Stopped(
            f"waiting for marks: {unmarked} of {len(marks)} samples of generation "
            f"{context.generation} are not marked; write 1 (keep) or 0 (drop) beside each in "
            f"{path} and run the same command again"
        )

    accepted = [row for row, mark in enumerate(marks) if mark in YES]
    if not accepted:  # said now, while the marks can still be changed
        what = "keeps no sample, so that nothing is left to train on"
        raise InputError(Problem(str(path), what, "mark some with 1"))
    return torch.tensor(accepted, dtype=torch.int64)


def _ask(samples: Samples, context: Context, folder: Path) -> None:
    """Export the samples into `folder`, beside a list on which a person marks them."""
    folder.mkdir(parents=True, exist_ok=True)
    names = required(context.modality, Exporter).export(samples, folder)
    files.write_signed(folder / NAMES, {"names": names, "samples": hash_samples(samples)})

    buffer = io.StringIO()
    rows = [("file", "keep"), *((name, "") for name in names)]
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    files.write_bytes(folder / MARKS, buffer.getvalue().encode())


def _read_marks(path: Path, names: Sequence[str]) -> list[str]:
    """Return the marks in the order of the samples' file names; "" where there is none yet.

    Raises InputError where the list cannot be read, a mark is unknown or a line is missing.
    """
    try:
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except (OSError, ValueError, csv.Error) as error:
        raise_if_unavailable(error, path)
        problem = Problem(str(path), f"cannot be read: {error}", "remove it to get a new one")
        raise InputError(problem) from error

    remedy = "one line for each file; remove the list to get a new one"
    marks: dict[str, str] = {}
    for line, row in enumerate(rows[1:], 2):
        if not row:
            continue
        where = f"{path}, line {line}"
        name = row[0].strip()
        mark = "".join(row[1:2]).strip().lower()

        if mark and mark not in YES | NO:
            what = f"{mark!r} is not a mark"
            raise InputError(Problem(where, what, "1 (keep) or 0 (drop)"))
        if name in marks:
            raise InputError(Problem(where, f"names {name!r} twice", remedy))
        if name not in names:
            raise InputError(Problem(where, f"{name!r} is not the file of a sample", remedy))
        marks[name] = mark

    missing = [name for name in names if name not in marks]
    if missing:
        what = f"marks {len(marks)} of {len(names)} samples: {missing[0]} is missing"
        raise InputError(Problem(str(path), what, remedy))
    return [marks[name] for name in names]
