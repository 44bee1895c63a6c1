"""Which files of a person's folder are the texts: its training part and its test part."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from imglab.config.paths import missing_path
from imglab.errors import InputError, Problem
from imglab.reading import (
    Layout,
    LeftOut,
    Part,
    Tree,
    by_suffix,
    file_roles,
    list_tree,
    read_layout,
    split_role,
)
from imglab.reading.layout import Splits
from imglab.text.gate import PLAIN, ROWS, kind_of


@dataclass(frozen=True)
class TextFiles:
    """The files to read.

    train     sorted
    test      of the test part, sorted; None if there is none
    left_out  what was passed over
    notes     what else a person should know, each a short phrase
    """

    train: list[Path]
    test: list[Path] | None = None
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()


def text_files(
    name: str, where: str, splits: Splits = "auto", held_out: Collection[Path] | None = None
) -> TextFiles:
    """Return the file of this name, or the text files below the folder of this name.

    These are its plain texts or, where it has none, its files of rows. Folders named after splits
    are its parts (`imglab.reading`).

    held_out  resolved paths of the test text, if it is named elsewhere: they are in no part
    """
    root = Path(name)
    if root.is_file():
        return TextFiles([path for path in [root] if path.resolve() not in (held_out or ())])
    if not root.is_dir():
        remedy = "give a text file or a folder"
        raise InputError(missing_path(name, where, remedy, "file or folder"))

    tree = list_tree(root, where)
    suffixes = _suffixes(tree)
    if not suffixes:
        what = f"the folder {name!r} holds no {PLAIN} file, nor one of {', '.join(ROWS)}"
        raise InputError(Problem(where, what, "give a folder of text files"))

    def is_wanted(path: Path) -> bool:
        is_text = kind_of(path) in suffixes and path.is_file()
        return is_text and not (held_out and path.resolve() in held_out)

    if held_out is not None and not _has_splits(tree):
        splits = "none"
    layout = read_layout(root, is_wanted, where, splits=splits, classes=False)
    if splits == "auto" and held_out is None and layout.test is None and not layout.left_out:
        layout = _split_by_files(layout)
    others = [path for path in layout.others if not held_out or path.resolve() not in held_out]
    return _of_layout(layout, others, is_held_out=held_out is not None)


def _suffixes(tree: Tree) -> tuple[str, ...]:
    """Return the suffixes of the files that are read; none if there is no text."""
    for suffixes in ((PLAIN,), ROWS):
        if any(kind_of(path) in suffixes and path.is_file() for path in tree.files):
            return suffixes
    return ()


def _has_splits(tree: Tree) -> bool:
    """Say whether folders name a training part and another."""
    roles = {split_role(path.name) for path in tree.folders} - {None}
    return "train" in roles and len(roles) > 1


def _split_by_files(layout: Layout) -> Layout:
    """Take files that are named after splits, as train.txt and val.txt, for the parts."""
    files = layout.train.files
    folder = layout.train.folder
    stems = {path: path.name.partition(".")[0] for path in files}
    roles = file_roles(sorted(set(stems.values())))
    if roles is None or any(path.parent != folder for path in files):
        return layout

    parts = {
        role: tuple(path for path in files if roles[stems[path]] == role)
        for role in ("train", "test", "validation")
    }
    chosen = "test"
    if not parts["test"]:
        chosen = "validation"
    left_out = [path for path in files if path not in (*parts["train"], *parts[chosen])]
    after = list(layout.left_out)
    if left_out:
        after.append(LeftOut("files", "of neither part", tuple(left_out)))

    notes = [*layout.notes, "the files are named after the parts"]
    if chosen == "validation":
        notes.append(f"{parts[chosen][0].name} is the test part")
    return replace(
        layout,
        train=Part("train", folder, parts["train"], None),
        test=Part(chosen, folder, parts[chosen], None),
        left_out=tuple(after),
        notes=tuple(notes),
    )


def _of_layout(layout: Layout, others: list[Path], *, is_held_out: bool) -> TextFiles:
    tree = layout.tree
    after = list(by_suffix(others, {}))
    if tree.hidden:
        after.append(LeftOut("hidden or system files", "", tree.hidden))
    if tree.looped:
        after.append(LeftOut("links", "to a folder around them", tree.looped))
    if layout.test is None:
        # Without splits nothing lies beside what is meant.
        aside = [path for each in layout.left_out for path in each.paths]
        return TextFiles(sorted([*layout.train.files, *aside]), None, tuple(after))

    train = list(layout.train.files)
    test = list(layout.test.files)
    left_out = (*layout.left_out, *after)
    if not is_held_out:
        return TextFiles(train, test, left_out, layout.notes)
    if test:
        why = f"in {layout.test.name}/, since test_path names the test text"
        left_out = (LeftOut("files", why, tuple(test)), *left_out)
    return TextFiles(train, None, left_out)
