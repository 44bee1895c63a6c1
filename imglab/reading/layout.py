"""What a folder means: its splits, its classes, and the files that belong to neither."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from imglab.errors import InputError, Problem
from imglab.reading.folder import Folder
from imglab.reading.parts import Layout, Part, Parts, names_of
from imglab.reading.splits import Role, may_be_class, split_role
from imglab.reading.tree import Tree, list_tree

Splits = Literal["auto", "none"]


def read_layout(
    root: Path,
    wanted: Callable[[Path], bool],
    where: str,
    *,
    splits: Splits = "auto",
    classes: bool = True,
) -> Layout:
    """Find the splits of a folder and, with `classes`, the class folders in them.

    wanted   says of a file whether it is of the kind that is read, by its name
    splits   `none`: folders named `train` and `test` are classes like all others
    classes  whether folders stand for classes; otherwise no file is left out for lying beside them

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
    if base is not top:
        parts.notes.append(f"all lie in {str(base.path.relative_to(root))!r}")
        outside = [path for path in files if base.path not in path.parents]
        parts.leave_out(f"beside {base.path.name}/", outside)
    if tree.read_twice:
        parts.notes.append(f"read twice, through links: {names_of(tree.read_twice)}")
    return Layout(parts.train, parts.test, tuple(parts.left_out), others, tuple(parts.notes), tree)


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
        roles = self._roles(base, self._names_in(base))
        if "train" in roles and len(roles) > 1:
            return self._of_splits(base, roles)

        by_class = self._splits_below_classes(base)
        if by_class is not None:
            return by_class

        self._refuse_half_a_split(base)
        part, strays = self._part(base)
        parts = Parts(part)
        parts.leave_out("beside the class folders", strays)
        if part.labels is not None:
            names = [name for name in roles.values() if name in base.folders]
            parts.notes += [f"{name!r}, a class, is also a name of splits" for name in names]
        elif self._classes and base.folders:
            parts.notes.append("most lie in no class folder, so there are no classes")
        return parts

    def _names_in(self, base: Folder) -> list[str]:
        """Return the names of all folders in a folder, also of those without wanted files."""
        return [path.name for path in self._tree.folders if path.parent == base.path]

    def _roles(self, base: Folder, names: Sequence[str]) -> dict[Role, str]:
        """Return the folders that name splits, by the split; InputError for two of one split."""
        roles: dict[Role, str] = {}
        for name in sorted(names, key=lambda each: (each not in base.folders, each)):
            role = self._role(name)
            if role is None:
                continue

            # Of two folders, one may be empty.
            if role in roles and name in base.folders:
                what = f"{str(base.path)!r} has two {role} parts: {roles[role]!r} and {name!r}"
                remedy = "rename or move one, or set modality.source.splits to none"
                raise InputError(Problem(self._where, what, remedy))
            roles.setdefault(role, name)
        return roles

    def _of_splits(self, base: Folder, roles: Mapping[Role, str]) -> Parts:
        """Read the folders of splits; what lies beside them is left out."""
        folders = {
            role: base.folders.get(name, Folder(base.path / name)) for role, name in roles.items()
        }
        if self._classes:
            folders = _unwrapped_parts(folders)
        chosen = self._test_role(folders)

        # A class of one part may have no folder in another.
        train, strays = self._part(folders["train"])
        test, test_strays = self._part(folders[chosen], has_classes=train.labels is not None)
        parts = Parts(train, test)
        if chosen == "validation":
            parts.notes.append(f"{roles[chosen]}/ is the test part")
        parts.leave_out(f"beside the class folders of {roles['train']}/", strays)
        parts.leave_out(f"beside the class folders of {roles[chosen]}/", test_strays)

        for role, folder in folders.items():
            if role not in ("train", chosen):
                parts.leave_out(f"in {roles[role]}/", folder.files())
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

    def _splits_below_classes(self, base: Folder) -> Parts | None:
        """Read folders that each hold splits, as in cat/train/ and cat/test/; None if they do not.

        The folders are the classes.
        """
        if base.direct or not base.folders or self._splits == "none":
            return None
        of_class = {}
        for name, folder in base.folders.items():
            roles = self._roles(folder, list(folder.folders))
            if folder.direct or "train" not in roles or len(roles) < 2:
                return None
            of_class[name] = {role: folder.folders[inner] for role, inner in roles.items()}

        chosen: Role = "validation"
        if all("test" in roles for roles in of_class.values()):
            chosen = "test"
        if any(chosen not in roles for roles in of_class.values()):
            return None
        files = {
            role: {path: name for name in of_class for path in of_class[name][role].files()}
            for role in ("train", chosen)
        }
        train, test = (_of_classes(role, base, files[role]) for role in ("train", chosen))
        parts = Parts(train, test)
        parts.notes.append("each class folder holds its own splits")
        rest = [p for p in base.files() if p not in files["train"] and p not in files[chosen]]
        parts.leave_out("in other splits", rest)
        return parts

    def _refuse_half_a_split(self, base: Folder) -> None:
        """Raise InputError for a part that stands alone, or beside what may be classes."""
        halves = [name for name in base.folders if self._role(name) is not None]
        if len(halves) == len(base.folders) == 1 and not base.direct:
            what = f"{str(base.path)!r} has only one of train/ and test/: {halves[0]!r}"
            remedy = "add the other, or give the path of this one"
            raise InputError(Problem(self._where, what, remedy))

        unclear = [name for name in halves if not may_be_class(name)]
        if unclear:
            what = f"{str(base.path)!r} has {unclear[0]!r}, a name of a split, but no training part"
            remedy = "move the others into train/, or set modality.source.splits to none"
            raise InputError(Problem(self._where, what, remedy))

    def _part(self, folder: Folder, *, has_classes: bool = False) -> tuple[Part, list[Path]]:
        """Return the files of a folder with their classes, and those that lie beside the classes.

        A few files beside several class folders are strays. If there are as many as in the folders,
        or only one folder, there are no classes, and all files are read.

        has_classes  whether a single folder is a class too, because the other part has classes
        """
        name = folder.path.name
        files = folder.files()
        direct = folder.direct
        is_flat = not folder.folders or len(direct) >= len(files) - len(direct)
        has_one = len(folder.folders) == 1 and bool(direct) and not has_classes
        if not self._classes or is_flat or has_one:
            return Part(name, folder.path, tuple(files), None), []

        members = [path for path in files if path.parent != folder.path]
        depth = len(folder.path.parts)
        labels = tuple(path.parts[depth] for path in members)
        return Part(name, folder.path, tuple(members), labels), direct

    def _role(self, name: str) -> Role | None:
        if self._splits == "none":
            return None
        return split_role(name)


def _of_classes(name: str, base: Folder, labels: Mapping[Path, str]) -> Part:
    files = sorted(labels)
    return Part(name, base.path, tuple(files), tuple(labels[path] for path in files))


def _unwrapped_parts(folders: Mapping[Role, Folder]) -> dict[Role, Folder]:
    """Pass through one folder around the classes in every part, as in train/train/cat/."""
    unwrapped = dict(folders)
    while len(unwrapped["train"].folders) == 1:
        inner = {role: folder.only_folder() for role, folder in unwrapped.items()}
        entered = {role: folder for role, folder in inner.items() if folder is not None}
        if len(entered) < len(folders) or not all(each.folders for each in entered.values()):
            return dict(folders)
        unwrapped = entered

    if not unwrapped["train"].folders:
        return dict(folders)
    return unwrapped
