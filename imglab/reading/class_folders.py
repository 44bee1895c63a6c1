"""Folders that stand for classes, and folders around them or beside them that do not."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from pathlib import Path

from imglab.reading.folder import Folder
from imglab.reading.parts import Part
from imglab.reading.splits import ANNOTATIONS, CONTAINERS, Role


def of_classes(name: str, base: Folder, labels: Mapping[Path, str]) -> Part:
    """Return the part of these files, with the names of their classes."""
    files = sorted(labels)
    names = tuple(composed(labels[path]) for path in files)
    return Part(name, base.path, tuple(files), names)


def composed(name: str) -> str:
    """Return the name of a class in one of the two ways in which Unicode writes accents.

    macOS writes the other one, so that a part that was made there would have classes of its own.
    """
    return unicodedata.normalize("NFC", name)


def without_annotations(folder: Folder) -> tuple[Folder, dict[str, list[Path]]]:
    """Enter a folder such as images/, which is no class, and leave out masks/ and the like beside.

    Nothing is done where other folders or files lie beside it.
    """
    inside = [name for name in folder.folders if name.lower() in CONTAINERS]
    beside = [name for name in folder.folders if name.lower() in ANNOTATIONS]
    if len(inside) != 1 or folder.direct or len(inside) + len(beside) < len(folder.folders):
        return folder, {}
    files = [path for name in beside for path in folder.folders[name].files()]
    return folder.folders[inside[0]], {f"beside {inside[0]}/": files}


def unwrapped_parts(folders: Mapping[Role, Folder]) -> dict[Role, Folder]:
    """Pass through one folder around the classes in every part, as in train/train/cat/."""
    unwrapped = dict(folders)
    while len(unwrapped["train"].folders) == 1:
        inner = {role: folder.only_folder() for role, folder in unwrapped.items()}
        entered = {role: folder for role, folder in inner.items() if folder is not None}
        flat = [each for each in entered.values() if not each.folders]
        same = len({each.path.name for each in entered.values()}) == 1
        if len(entered) < len(folders) or not entered["train"].folders or (flat and same):
            return dict(folders)
        unwrapped = entered

    if not unwrapped["train"].folders:
        return dict(folders)
    return unwrapped
