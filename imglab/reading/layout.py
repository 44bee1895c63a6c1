"""What a folder means: its splits, its classes, and the files that belong to neither."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from imglab.errors import InputError, Problem
from imglab.reading.class_folders import (
    NO_CLASSES,
    are_shards,
    composed,
    splits_in_classes,
    unwrapped_parts,
    without_annotations,
)
from imglab.reading.folder import Folder
from imglab.reading.parts import Layout, Part, Parts, names_of
from imglab.reading.split_files import parts_by_files
from imglab.reading.splits import (
    Role,
    file_roles,
    may_be_class,
    roles_in,
    split_role,
    without_unions,
)
from imglab.reading.tree import Tree, list_tree

Splits = Literal["auto", "none"]


def read_layout(
    root: Path,
    wanted: Callable[[Path], bool],
    where: str,
    *,
    splits: Splits = "auto",
    classes: bool = True,
    split_files: bool = True,
) -> Layout:
    """Find the splits of a folder and, with `classes`, the class folders in them.

    wanted       says of a file whether it is of the kind that is read, by its name
    splits       `none`: folders named `train` and `test` are classes like all others
    classes      whether folders stand for classes; otherwise no file is left out for lying beside
                 them
    split_files  whether files may be named after splits where folders are not

    A folder that holds nothing but one folder around the splits or the classes is passed through.
    Raises InputError, at the config's key `where`, for a folder that cannot be listed, and for
    splits that are not complete or not clear.
    """
    tree = list_tree(root, where)
    files = [path for path in tree.files if wanted(path)]
    others = tuple(path for path in tree.files if not wanted(path))
    reader = _Reader(tree, where, classes, splits)

    top = Folder.of(root, files)
    base = reader.unwrapped(top)
    parts = reader.parts(base)
    if splits == "auto" and split_files:
        parts_by_files(parts)
    if base is not top:
        parts.notes.append(f"all lie in {str(base.path.relative_to(root))!r}")
        outside = [path for path in files if base.path not in path.parents]
        parts.leave_out(f"beside {base.path.name}/", outside)
    backslashes = sum("\\" in path.name for path in files)
    if backslashes:
        what = f"{backslashes:,} have a backslash in their names in the place of folders"
        parts.notes.append(f"{what}: unpack the archive again, with unzip")
    if tree.read_twice:
        parts.notes.append(f"read twice, through links: {names_of(tree.read_twice)}")
    return Layout(
        parts.train,
        parts.test,
        tuple(parts.left_out),
        others,
        tuple(parts.notes),
        tree,
        parts.validation,
    )


class _Reader:
    """Reads the folders of one tree."""

    def __init__(self, tree: Tree, where: str, classes: bool, splits: Splits) -> None:
        self._tree = tree
        self._where = where
        self._classes = classes
        self._splits = splits

    def unwrapped(self, top: Folder) -> Folder:
        """Pass through folders that hold nothing but one folder around splits or classes."""
        folder = top
        while len(folder.folders) == 1:
            ((name, inner),) = folder.folders.items()
            if self._role(name) is not None:
                return folder
            if len(folder.direct) >= inner.count():
                return top
            folder = inner

        if folder.folders:
            return folder
        return top

    def parts(self, base: Folder) -> Parts:
        """Return the training and the test part, and what is in neither."""
        inner, annotations = without_annotations(base)
        if self._classes and inner is not base:
            parts = self.parts(inner)
            for why, paths in annotations.items():
                parts.leave_out(why, paths)
            return parts

        roles = self._roles(base, self._names_in(base))
        if "train" in roles and len(roles) > 1:
            return self._of_splits(base, roles)

        if self._classes and self._splits == "auto" and not base.is_mostly_direct():
            of_class = {
                name: self._roles(folder, list(folder.folders))
                for name, folder in base.folders.items()
            }
            by_class = splits_in_classes(base, of_class, self._where)
            if by_class is not None:
                return by_class

        self._refuse_half_a_split(base)
        part, strays = self._part(base)
        parts = Parts(part)
        for why, paths in strays.items():
            parts.leave_out(why, paths)
        if part.labels is not None:
            names = [name for name in roles.values() if name in base.folders]
            parts.notes += [f"{name!r}, a class, is also a name of splits" for name in names]
        elif self._classes and are_shards(base.folders):
            parts.notes.append(NO_CLASSES)
        elif self._classes and base.folders and base.direct:
            note = "most lie in no class folder"
            if len(base.folders) == 1:
                note = f"some lie beside the only folder, {next(iter(base.folders))!r}"
            parts.notes.append(f"{note}, so there are no classes")
        return parts

    def _names_in(self, base: Folder) -> list[str]:
        """Return the names of all folders in a folder, also of those without wanted files."""
        return [path.name for path in self._tree.folders if path.parent == base.path]

    def _roles(self, base: Folder, names: Sequence[str]) -> dict[Role, str]:
        """Return the folders that name splits, by the split; InputError for two of one split."""
        roles: dict[Role, str] = {}
        role_of = self._role_of(base, names)
        for name in sorted(names, key=lambda each: (each not in base.folders, each)):
            role = role_of[name]
            if role is None:
                continue

            # Of two folders, one may be empty.
            if role in roles and name in base.folders:
                what = f"{str(base.path)!r} has two {role} parts: {roles[role]!r} and {name!r}"
                remedy = f"{self._no_splits()}, or rename or move one"
                raise InputError(Problem(self._where, what, remedy))
            roles.setdefault(role, name)
        return roles

    def _role_of(self, base: Folder, names: Sequence[str]) -> dict[str, Role | None]:
        """Return the split that each folder's name means, beside the others: `a_train`, `a_test`.

        InputError where all of them hold words for splits, and what they mean is not clear.
        """
        roles = without_unions({name: self._role(name) for name in names}, base.folders)
        if self._splits == "none" or {"train"} < set(roles.values()) - {None}:
            return roles

        of_words = {name: roles_in(name) for name in base.folders}
        meant = set().union(*of_words.values())
        if not all(of_words.values()) or "train" not in meant or len(meant) < 2:
            return roles
        shared = file_roles(list(base.folders))
        if shared is None or len({*shared.values()} - {None}) < len(shared):
            what = f"{str(base.path)!r} has folders named after splits, which is not clear: "
            what += ", ".join(map(repr, list(base.folders)[:4]))
            remedy = f"{self._no_splits()}, or name two of them train and test"
            raise InputError(Problem(self._where, what, remedy))
        return {**roles, **shared}

    def _of_splits(self, base: Folder, roles: Mapping[Role, str]) -> Parts:
        """Read the folders of splits; what lies beside them is left out."""
        folders = {
            role: base.folders.get(name, Folder(base.path / name)) for role, name in roles.items()
        }
        if self._classes:
            folders = unwrapped_parts(folders)
        chosen = self._test_role(folders)

        # A class of one part may have no folder in another.
        train, strays = self._part(folders["train"])
        test, test_strays = self._part(folders[chosen], has_classes=train.labels is not None)
        parts = Parts(train, test)
        if chosen == "validation":
            parts.notes.append(f"{roles[chosen]}/ is the test part")
        if self._classes and are_shards(without_annotations(folders["train"])[0].folders):
            parts.notes.append(NO_CLASSES)
        names = (roles["train"], roles[chosen])
        if any(split_role(name) is None for name in names):  # other words might tell classes apart
            parts.notes.append(f"split by {names[0]}/ and {names[1]}/ ({self._no_splits()})")
        for name, of_part in ((roles["train"], strays), (roles[chosen], test_strays)):
            for why, paths in of_part.items():
                parts.leave_out(f"{why} of {name}/", paths)

        for role, folder in folders.items():
            if role not in ("train", chosen):
                parts.leave_out(f"in {roles[role]}/", folder.files())
                parts.validation = Part(roles[role], folder.path, tuple(folder.files()), None)
        outside = [*base.direct]
        for name, folder in base.folders.items():
            if name not in roles.values():
                outside += folder.files()
        parts.leave_out(f"beside {roles['train']}/ and {roles[chosen]}/", sorted(outside))
        return parts

    def _test_role(self, folders: Mapping[Role, Folder]) -> Role:
        """Return which split is for testing: the test part, unless only the other has classes."""
        if "test" not in folders:
            return "validation"
        if not self._classes or "validation" not in folders:
            return "test"

        has_classes = {
            role: self._part(folder)[0].labels is not None for role, folder in folders.items()
        }
        if has_classes["train"] and has_classes["validation"] and not has_classes["test"]:
            return "validation"
        return "test"

    def _refuse_half_a_split(self, base: Folder) -> None:
        """Raise InputError for a part that stands alone, or beside what may be classes."""
        halves = [name for name in base.folders if self._role(name) is not None]
        if len(halves) == len(base.folders) == 1 and not base.direct:
            what = f"{str(base.path)!r} has only one of train/ and test/: {halves[0]!r}"
            remedy = "add the other, or give the path of this one"
            raise InputError(Problem(self._where, what, remedy))

        unclear = [name for name in halves if not may_be_class(name)]
        if unclear:
            other = "test" if self._role(unclear[0]) == "train" else "train"
            what = f"{str(base.path)!r} has {unclear[0]!r}, a name of a split, but no {other} part"
            remedy = f"{self._no_splits()}, or move the others into {other}/"
            raise InputError(Problem(self._where, what, remedy))

    def _part(
        self, folder: Folder, *, has_classes: bool = False
    ) -> tuple[Part, dict[str, list[Path]]]:
        """Return the files of a folder with their classes, and those that are neither, by the why.

        A few files beside several class folders are strays. If there are as many as in the folders,
        or only one folder, there are no classes, and all files are read.

        has_classes  whether a single folder is a class too, because the other part has classes
        """
        name = folder.path.name
        aside: dict[str, list[Path]] = {}
        if self._classes:
            folder, aside = without_annotations(folder)
        files = folder.files()
        direct = folder.direct
        is_flat = not folder.folders or folder.is_mostly_direct() or are_shards(folder.folders)
        has_one = len(folder.folders) == 1 and bool(direct) and not has_classes
        if not self._classes or is_flat or has_one:
            return Part(name, folder.path, tuple(files), None), aside

        members = [path for path in files if path.parent != folder.path]
        depth = len(folder.path.parts)
        labels = tuple(composed(path.parts[depth]) for path in members)
        aside["beside the class folders"] = direct
        return Part(name, folder.path, tuple(members), labels), aside

    def _no_splits(self) -> str:
        """Say how folders that are named after splits are read like all others."""
        effect = "read all as one"
        if self._classes:
            effect = "make them classes"
        return f"set modality.source.splits to none to {effect}"

    def _role(self, name: str) -> Role | None:
        if self._splits == "none":
            return None
        return split_role(name)
