"""Which files of a person's folder are the texts: its training part and its test part."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from imglab.config.paths import missing_path
from imglab.errors import InputError, Problem
from imglab.reading import (
    Layout,
    LeftOut,
    Tree,
    by_suffix,
    list_tree,
    read_layout,
    split_role,
)
from imglab.reading.layout import Splits
from imglab.reading.parts import names_of
from imglab.reading.splits import ABOUT
from imglab.text.gate import ALSO_PLAIN, CODE, PLAIN, ROWS, kind_of

SAVED = ("dataset_dict", "dataset_info", "state")
"""Names of the JSON beside data that the package `datasets` saved."""

NEVER_TEXTS = frozenset({"readme", "license", "licence"})
"""Names of plain files that are no text among others, in lower case."""

MOST_OTHERS = 4
"""Kinds of files that are named where none is text."""


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
    texts = _texts(tree)
    if all(path.stem in SAVED for path in texts):
        _refuse_arrow(tree, where)
    if not texts:
        what = f"the folder {name!r} holds no {PLAIN} file, nor one of {', '.join(ROWS)}"
        kinds = ", ".join(map(str, by_suffix(tree.files, {})[:MOST_OTHERS]))
        remedy = "give a folder of text files"
        if kinds:
            remedy = f"it holds {kinds}; rename plain texts to NAME.txt"
        raise InputError(Problem(where, what, remedy))

    def is_wanted(path: Path) -> bool:
        return path in texts and not (held_out and path.resolve() in held_out)

    if held_out is not None and not _has_splits(tree):
        splits = "none"
    layout = read_layout(
        root, is_wanted, where, splits=splits, classes=False, split_files=held_out is None
    )
    others = [path for path in layout.others if not held_out or path.resolve() not in held_out]
    left_out = _left_out(others, {kind_of(path) for path in texts})
    return _of_layout(layout, left_out, is_held_out=held_out is not None)


def _refuse_arrow(tree: Tree, where: str) -> None:
    """Raise InputError where a folder is one that `datasets` saved, in the form of Arrow."""
    arrow = [path for path in tree.files if path.suffix.lower() == ".arrow"]
    if arrow:
        what = f"the folder {str(tree.root)!r} holds {arrow[0].name}, as save_to_disk writes it"
        remedy = f"datasets.load_from_disk({str(arrow[0].parent)!r}).to_parquet('NEW.parquet')"
        raise InputError(Problem(where, what, remedy))


def _texts(tree: Tree) -> set[Path]:
    """Return the files that are read: plain texts, else rows, else other plain files, else code.

    What only describes other files, as a README does, is not the text where there is another.
    """
    files = [path for path in tree.files if path.is_file()]
    texts = [path for path in files if path.stem.lower() not in ABOUT]
    for suffixes in ((PLAIN,), ROWS, ALSO_PLAIN, CODE):
        if any(kind_of(path) in suffixes for path in texts):
            chosen = texts
            if suffixes == (PLAIN,):  # about.txt may be one of a person's texts
                chosen = [path for path in files if path.stem.lower() not in NEVER_TEXTS]
            return {path for path in chosen if kind_of(path) in suffixes}
    return {path for path in files if kind_of(path) in (PLAIN, *ROWS)}


def _has_splits(tree: Tree) -> bool:
    """Say whether folders name a training part and another."""
    roles = {split_role(path.name) for path in tree.folders} - {None}
    return "train" in roles and len(roles) > 1


def _left_out(others: list[Path], kinds: Collection[str]) -> list[LeftOut]:
    """Return what of a folder is not read, and why.

    kinds  suffixes of what is read
    """
    about = [
        path
        for path in others
        if path.stem.lower() in ABOUT and kind_of(path) in (PLAIN, *ROWS, *kinds)
    ]
    reasons = {}
    if PLAIN in kinds:
        reasons = dict.fromkeys(ROWS, f"since there are {PLAIN} files")
    left_out = list(by_suffix([path for path in others if path not in about], reasons))
    if about:
        why = f"taken for a description of the others: {names_of(about)}"
        left_out.append(LeftOut("files", why, tuple(about)))
    return left_out


def _of_layout(layout: Layout, after: list[LeftOut], *, is_held_out: bool) -> TextFiles:
    tree = layout.tree
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
