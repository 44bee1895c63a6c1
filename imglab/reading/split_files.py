"""Files that are named after splits, as train.txt and val.txt, or train_1.png and test_1.png."""

from __future__ import annotations

import re

from imglab.reading.parts import Part, Parts
from imglab.reading.splits import file_roles

NUMBER = re.compile(r"\d+")


def parts_by_files(parts: Parts) -> None:
    """Take files for the parts that their names mean, where all of them name one, and several do.

    Files that only describe the others, as README, are left out.
    """
    if parts.test is not None:
        return
    whole = parts.train
    stems = {path: NUMBER.sub("0", path.stem) for path in whole.files}
    roles = file_roles(sorted(set(stems.values())))
    if roles is None:
        return

    role_of = {path: roles[stem] for path, stem in stems.items()}
    chosen = "test"
    if "test" not in role_of.values():
        chosen = "validation"
    parts.train, parts.test = (
        _only(whole, role, [row for row, path in enumerate(whole.files) if role_of[path] == role])
        for role in ("train", chosen)
    )
    parts.leave_out(
        "of neither part", [path for path in whole.files if role_of[path] not in ("train", chosen)]
    )
    parts.notes.append("the files are named after the parts")
    if chosen == "validation":
        parts.notes.append(f"{parts.test.files[0].name} is the test part")


def _only(part: Part, name: str, rows: list[int]) -> Part:
    """Return a part with these of its files, under another name."""
    labels = None
    if part.labels is not None:
        labels = tuple(part.labels[row] for row in rows)
    return Part(name, part.folder, tuple(part.files[row] for row in rows), labels)
