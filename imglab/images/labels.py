"""Parts and classes of images that files beside them name, where folders do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from imglab.images.annotations import annotated_classes
from imglab.images.captions_beside import CaptionFiles
from imglab.reading import Layout, Part
from imglab.reading.listed_classes import ListedClasses, listed_classes
from imglab.reading.listed_parts import split_by_lists
from imglab.reading.lists import FileList, read_lists
from imglab.reading.parts import names_of
from imglab.reading.summary import LeftOut

FIRST = 30
WORDS = 3
"""Rows of a list of which most hold so many words, where it is one of captions."""


@dataclass(frozen=True)
class Described:
    """A folder of images as the files beside them describe it.

    read          of these files
    are_listed    whether classes come from them, not from folders
    """

    layout: Layout
    read: frozenset[Path]
    are_listed: bool = False


def described(layout: Layout, *, splits: bool) -> Described:
    """Return a folder with the parts and classes that lists, tables and boxes name.

    splits  whether lists may name parts

    Folders come first: where they tell parts or classes apart, no list is asked. Lists name no
    parts where no class has files of both: what is never trained on cannot be tested.
    """
    whole = _described(layout, splits=splits)
    train = set(whole.layout.train.labels or ())
    if layout.test is not None or whole.layout.test is None or not train:
        return whole
    if train & set(whole.layout.test.labels or ()):
        return whole

    unsplit = _described(layout, splits=False)
    note = "lists name parts, but no class is in both: no split"
    notes = (*unsplit.layout.notes, note)
    return replace(unsplit, layout=replace(unsplit.layout, notes=notes))


def _described(layout: Layout, *, splits: bool) -> Described:
    of_parts = [part for part in (*_parts(layout), layout.validation) if part is not None]
    images = [path for part in of_parts for path in part.files]
    root = layout.tree.root
    lists, unreadable = read_lists(root, images, layout.others)
    read: set[Path] = set()
    if splits:
        layout, read = split_by_lists(layout, lists)
    hints = tuple(map(_hint, filter(_holds_captions, lists)))
    layout = replace(layout, notes=(*layout.notes, *hints, *unreadable))

    unlabelled = [part for part in _parts(layout) if part.labels is None]
    if len({label for part in _parts(layout) for label in part.labels or ()}) < 2:
        unlabelled = _parts(layout)
    if not unlabelled:
        return Described(layout, frozenset(read))

    candidates = listed_classes(lists, layout.others)
    if unlabelled == [layout.test] and layout.validation is not None:
        swapped = _by_validation(layout, candidates)
        unlabelled = [part for part in _parts(swapped) if part.labels is None]
        layout = swapped
    if not _fitting(candidates, unlabelled):
        candidates += annotated_classes(root, images, layout.others, CaptionFiles())
    return _with_classes(layout, unlabelled, candidates, read)


def _holds_captions(each: FileList) -> bool:
    """Say whether most of the first rows are a name and a text, without names of columns."""
    first = [rows[0] for rows in list(each.rows.values())[:FIRST]]
    texts = [row for row in first if len(row) == 1 and len(row[0].split()) >= WORDS]
    return not each.columns and 2 * len(texts) > len(first)


def _hint(each: FileList) -> str:
    remedy = "write file_name and text, parted by a tab, into a first line"
    return f"{each.path.name} may hold captions: {remedy}, and rename it to metadata.tsv"


def _by_validation(layout: Layout, candidates: Sequence[ListedClasses]) -> Layout:
    """Return a layout whose test part is that for validation, if only of this lists name classes.

    The test part of many contests has no classes.
    """
    validation = layout.validation
    assert layout.test is not None
    assert validation is not None
    is_named = [bool(_fitting(candidates, [part])) for part in (layout.test, validation)]
    if is_named != [False, True]:
        return layout
    others = [each for each in layout.left_out if set(each.paths) != set(validation.files)]
    test = LeftOut("files", f"in {layout.test.name}/, without classes", layout.test.files)
    note = f"{validation.name}/ is the test part"
    return replace(layout, test=validation, left_out=(test, *others), notes=(*layout.notes, note))


def _with_classes(
    layout: Layout,
    unlabelled: Sequence[Part],
    candidates: Sequence[ListedClasses],
    read: set[Path],
) -> Described:
    """Return a folder with the classes of the candidate that gives each image one, if one does."""
    fitting = _fitting(candidates, unlabelled)
    notes = []
    are_listed = False
    if fitting and all(_are_alike(each, fitting[0]) for each in fitting):
        chosen = fitting[0]
        named = {part.name: set(part.labels or ()) for part in _parts(layout)}
        labels = {
            path: next(iter(chosen.classes[path])) for part in unlabelled for path in part.files
        }
        known_names = set().union(*named.values())
        strange = sorted(set(labels.values()) - known_names)
        placeholder = _placeholder(layout, labels)
        if placeholder:
            notes.append(f"classes of {chosen.name} are not used: {placeholder}")
        elif len(unlabelled) == len(_parts(layout)) or not strange:
            notes.append(f"classes are those of {chosen.name}")
            layout = _labelled(layout, unlabelled, labels)
            are_listed = True
            read = {*read, *(path for each in fitting for path in each.paths)}
        else:
            notes.append(
                f"classes of {chosen.name} are not used: {strange[0]!r} is not in training"
            )
    elif fitting:
        shown = ", ".join(each.name for each in fitting[:3])
        notes.append(f"several files name classes, and none is used: {shown}")
    else:
        files = [path for part in unlabelled for path in part.files]
        notes += list(filter(None, (_why_not(each, files) for each in candidates)))[:2]
    layout = replace(layout, notes=(*layout.notes, *notes))
    return Described(layout, frozenset(read), are_listed)


def _placeholder(layout: Layout, labels: Mapping[Path, str]) -> str:
    """Say that all test images have one class where training has several; "" where not so.

    Contests keep the classes of their test part to themselves, and fill the column all the same.
    """
    if layout.test is None or len(layout.test.files) < 2:
        return ""
    train, test = (
        {labels.get(path, "") for path in part.files} for part in (layout.train, layout.test)
    )
    if len(test) > 1 or len(train) < 2:
        return ""
    what = f"all {len(layout.test.files):,} images of the test part have {min(test)!r}"
    return f"{what}, which may stand for none"


def _fitting(candidates: Sequence[ListedClasses], parts: Sequence[Part]) -> list[ListedClasses]:
    """Return those that give each image of the parts one class, and not all the same."""
    files = [path for part in parts for path in part.files]
    fitting = []
    for each in candidates:
        if not each.lacking(files):
            count = len({label for path in files for label in each.classes[path]})
            if 1 < count <= max(2, len(each.classes) / 2):  # else they are names, or captions
                fitting.append(each)
    return fitting


def _are_alike(one: ListedClasses, other: ListedClasses) -> bool:
    """Say whether two give the images the same classes, under whatever names."""
    shared = one.classes.keys() & other.classes.keys()
    pairs = {(min(one.classes[p]), min(other.classes[p])) for p in shared}
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def _why_not(each: ListedClasses, files: Sequence[Path]) -> str:
    """Say why the classes of a file are not used; "" where it names one alone."""
    lacking = each.lacking(files)
    if not lacking:
        count = len({label for path in files for label in each.classes[path]})
        if count < 2:
            return ""
        return f"classes of {each.name} are not used: {count:,} for {len(files):,} images"
    several = sum(len(each.classes.get(path, ())) > 1 for path in lacking)
    what = f"{len(lacking):,} of {len(files):,} images have none"
    if several:
        what = f"{len(lacking):,} of {len(files):,} images have several or none"
    return f"classes of {each.name} are not used: {what}, e.g. {names_of(lacking[:1])}"


def _labelled(layout: Layout, parts: Sequence[Part], labels: dict[Path, str]) -> Layout:
    """Return a layout in which the parts have these classes."""

    def of(part: Part | None) -> Part | None:
        if part is None or part not in parts:
            return part
        return replace(part, labels=tuple(labels[path] for path in part.files))

    train = of(layout.train)
    assert train is not None
    return replace(layout, train=train, test=of(layout.test))


def _parts(layout: Layout) -> list[Part]:
    if layout.test is None:
        return [layout.train]
    return [layout.train, layout.test]
