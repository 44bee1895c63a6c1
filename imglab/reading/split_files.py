"""Files that are named after splits, as train.txt and val.txt, or train_1.png and test_1.png."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from imglab.reading.parts import Layout, Part, Parts
from imglab.reading.splits import Role, file_roles, test_role

NUMBER = re.compile(r"\d+")


def parts_by_files(parts: Parts) -> None:
    """Take files for the parts that their names mean, where all of them name one, and several do.

    Files that only describe the others, as README, are left out. Nothing is done where no class has
    files of both parts: what is never trained on cannot be tested.
    """
    if parts.test is not None:
        return
    whole = parts.train
    role_of = _roles_of(whole.files)
    if role_of is None:
        return

    chosen = test_role(role_of.values())
    train, test = (
        _only(whole, role, [row for row, path in enumerate(whole.files) if role_of[path] == role])
        for role in ("train", chosen)
    )
    if whole.labels is not None and not set(train.labels or ()) & set(test.labels or ()):
        note = f"the files are named after train and {chosen}, but no class has both: no split"
        parts.notes.append(note)
        return

    parts.train = train
    parts.test = test
    parts.leave_out(
        "of neither part", [path for path in whole.files if role_of[path] not in ("train", chosen)]
    )
    parts.notes.append("the files are named after the parts")
    if chosen == "validation":
        parts.notes.append(f"{parts.test.files[0].name} is the test part")


def split_by_files(layout: Layout) -> Layout:
    """Return how a folder is read with the parts that names of its files mean (`parts_by_files`).

    It was read without them, since something else might have told the parts apart.
    """
    parts = Parts(layout.train, layout.test, list(layout.left_out), list(layout.notes))
    parts_by_files(parts)
    left_out = tuple(parts.left_out)
    return replace(
        layout, train=parts.train, test=parts.test, left_out=left_out, notes=tuple(parts.notes)
    )


def _roles_of(files: Sequence[Path]) -> dict[Path, Role | None] | None:
    """Return the split of each file; None unless the names of all mean one, and several do.

    What follows a dot may be more than a suffix, as in train.clean.txt beside test.txt.
    """
    names = [path.stem for path in files]
    for stems in (names, [name.partition(".")[0] for name in names]):
        numberless = [NUMBER.sub("0", stem) for stem in stems]
        roles = file_roles(sorted(set(numberless)))
        if roles is not None:
            return {path: roles[stem] for path, stem in zip(files, numberless, strict=True)}
    return None


def _only(part: Part, name: str, rows: list[int]) -> Part:
    """Return a part with these of its files, under another name."""
    labels = None
    if part.labels is not None:
        labels = tuple(part.labels[row] for row in rows)
    return Part(name, part.folder, tuple(part.files[row] for row in rows), labels)
