"""Folders that stand for classes, splits inside them, and folders around or beside that do not."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from imglab.errors import InputError, Problem
from imglab.reading.folder import Folder
from imglab.reading.parts import Part, Parts
from imglab.reading.splits import ANNOTATIONS, CONTAINERS, Role, test_role


def composed(name: str) -> str:
    """Return the name of a class in one of the two ways in which Unicode writes accents.

    macOS writes the other one, so that a part that was made there would have classes of its own.
    """
    return unicodedata.normalize("NFC", name)


SHARD = re.compile(
    r"(.*\b|.*_)(batch|chunk|shard|(images?|imgs?|photos)([\W_]*(pack|part|piece|volume))?)"
    r"[\W_]*\d+",
    re.IGNORECASE,
)
"""Names of folders of which several are one: a whole that was cut into pieces. Parts and volumes
are pieces where they are said to be of images, and else may be classes."""

NO_CLASSES = (
    "the folders are numbered pieces of one, so there are no classes (rename them to make them "
    "classes)"
)


def are_shards(names: Collection[str]) -> bool:
    """Say whether folders are numbered pieces of one, as images_part_1 and images_part_2.

    >>> are_shards(["images_001", "images_002"]), are_shards(["part 1", "part 2"])
    (True, False)
    """
    numberless = {re.sub(r"\d+\Z", "", name) for name in names}
    return len(names) > 1 and len(numberless) == 1 and all(map(SHARD.fullmatch, names))


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


def annotations_of(files: Iterable[Path]) -> set[Path]:
    """Return those of the files that lie in masks/ and the like beside a folder such as images/."""
    several = list(files)
    holders = {path.parent for path in several}
    folders = {folder for holder in holders for folder in (holder, *holder.parents)}
    parents = {folder.parent for folder in folders if folder.name.lower() in CONTAINERS}
    aside = {
        folder
        for folder in folders
        if folder.name.lower() in ANNOTATIONS and folder.parent in parents
    }
    within = {holder for holder in holders if not aside.isdisjoint((holder, *holder.parents))}
    return {path for path in several if path.parent in within}


def unwrapped_parts(folders: Mapping[Role, Folder]) -> dict[Role, Folder]:
    """Pass through one folder around the classes in every part, as in train/train/cat/."""
    unwrapped = _without_namesakes(folders)
    while len(unwrapped["train"].folders) == 1:
        inner = {role: folder.only_folder() for role, folder in unwrapped.items()}
        entered = {role: folder for role, folder in inner.items() if folder is not None}
        flat = [each for each in entered.values() if not each.folders]
        same = len({each.path.name for each in entered.values()}) == 1
        if len(entered) < len(folders) or not entered["train"].folders or (flat and same):
            return _without_namesakes(folders)
        unwrapped = entered

    if not unwrapped["train"].folders:
        return _without_namesakes(folders)
    return unwrapped


def _without_namesakes(folders: Mapping[Role, Folder]) -> dict[Role, Folder]:
    """Pass through a folder of the name of its part in all parts, as in train/train/1.png."""
    inner = {role: folder.only_folder() for role, folder in folders.items()}
    entered = {role: folder for role, folder in inner.items() if folder is not None}
    is_namesake = {
        role: folder.path.name == folders[role].path.name for role, folder in entered.items()
    }
    if len(entered) < len(folders) or not all(is_namesake.values()):
        return dict(folders)
    return entered


def splits_in_classes(
    base: Folder, roles: Mapping[str, Mapping[Role, str]], where: str
) -> Parts | None:
    """Read class folders that hold splits, as in cat/train/ and cat/test/; None if none does.

    roles  the folders of splits in each class folder, by the split

    InputError, at the config's key `where`, where most images of one class are in no split: they
    may be for testing.
    """
    whole = [name for name, of_class in roles.items() if "train" in of_class and len(of_class) > 1]
    if not whole:
        return None

    without = [
        name
        for name, folder in base.folders.items()
        if not roles[name] or folder.is_mostly_direct()
    ]
    if without:
        what = f"{str(base.path / whole[0])!r} holds splits, and images of {without[0]!r} "
        what += "are in none"
        remedy = "sort its images into train/ and test/, or set modality.source.splits to none"
        raise InputError(Problem(where, what, remedy))

    chosen = test_role({role for of_class in roles.values() for role in of_class})
    files: dict[Role, dict[Path, str]] = {"train": {}, chosen: {}}
    for name, of_class in roles.items():
        for role in files.keys() & of_class.keys():
            inner = base.folders[name].folders[of_class[role]]
            files[role].update(dict.fromkeys(inner.files(), name))

    train, test = (_of_classes(role, base, files[role]) for role in ("train", chosen))
    parts = Parts(train, test)
    parts.notes.append("each class folder holds its own splits")
    rest = [p for p in base.files() if p not in files["train"] and p not in files[chosen]]
    parts.leave_out("in neither part", [path for path in rest if path not in base.direct])
    parts.leave_out("beside the class folders", base.direct)
    return parts


def _of_classes(name: str, base: Folder, labels: Mapping[Path, str]) -> Part:
    """Return the part of these files, with the names of their classes."""
    files = sorted(labels)
    names = tuple(composed(labels[path]) for path in files)
    return Part(name, base.path, tuple(files), names)
