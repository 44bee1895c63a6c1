"""Real images from folders of image files, by class or with captions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from imglab.config.paths import missing_path
from imglab.errors import InputError, Problem
from imglab.images.arrays import stack_images
from imglab.images.captions import read_captions
from imglab.images.captions_beside import CaptionFiles
from imglab.images.image_formats import NO_READER, is_image
from imglab.images.image_reading import open_images
from imglab.images.labelled import LabelledImages, SourceImages, class_names
from imglab.images.labels import Described, described
from imglab.images.source_settings import CaptionedFolderSource, FolderSource
from imglab.reading import (
    Failure,
    Layout,
    LeftOut,
    Part,
    annotations_of,
    as_problems,
    by_suffix,
    composed,
    read_layout,
)

WHERE = "modality.source.path"


def read_folder(source: FolderSource, size: int | None, *, is_drawn: bool = False) -> SourceImages:
    """Read a folder of images, whose subfolders are the classes (`imglab.reading`).

    is_drawn  whether a model may have drawn them (`open_images`)

    Raises InputError for a folder without images, for classes in one part only, and for images that
    cannot be read.
    """
    description = described(_layout(source, classes=True), splits=source.splits == "auto")
    layout = description.layout
    parts = _parts(layout)
    _check_classes(parts)

    # Name the classes before any image is opened.
    names: tuple[str, ...] | None = None
    if all(part.labels is not None for part in parts):
        names = class_names(sorted({name for part in parts for name in part.labels or ()}), WHERE)

    labels: list[list[int] | None] = [None for _ in parts]
    if names is not None:
        numbers = {name: number for number, name in enumerate(names)}
        labels = [[numbers[name] for name in part.labels or ()] for part in parts]
    images = _read_parts([part.files for part in parts], labels, size, source.tolerate, is_drawn)
    return replace(
        images,
        classes=names,
        left_out=(*_left_out(layout, description.read), *images.left_out),
        notes=(*layout.notes, *_notes_on_classes(description, names), *images.notes),
    )


def read_captioned_folder(
    source: CaptionedFolderSource,
    size: int | None,
    *,
    is_drawn: bool = False,
    files: CaptionFiles | None = None,
) -> SourceImages:
    """Read a folder of images with captions, which become the prompts.

    is_drawn  as for `read_folder`
    files     of captions that were read already
    """
    layout = _without_annotations(_layout(source, classes=False))
    captions = read_captions(layout, source, WHERE, files or CaptionFiles())
    layout = captions.layout
    prompts = tuple(sorted({text for part in captions.parts for text in part.values()}))
    numbers = {prompt: number for number, prompt in enumerate(prompts)}

    labels = [[numbers[text] for text in part.values()] for part in captions.parts]
    allowed = source.tolerate - len(captions.without) - len(captions.missing)
    images = _read_parts([tuple(part) for part in captions.parts], labels, size, allowed, is_drawn)
    left_out = [*captions.others, *_left_out(layout, set(captions.files))]
    if captions.without:
        left_out.append(LeftOut("images", "no caption", tuple(captions.without)))
    return replace(
        images,
        prompts=prompts,
        columns=tuple(captions.columns),
        left_out=(*left_out, *images.left_out),
        notes=(*layout.notes, *captions.notes, *images.notes),
    )


def _layout(source: FolderSource | CaptionedFolderSource, *, classes: bool) -> Layout:
    root = Path(source.path)
    if not root.is_dir():
        raise InputError(missing_path(source.path, WHERE, "give a folder of images"))

    layout = read_layout(
        root, is_image, WHERE, splits=source.splits, classes=classes, split_files=classes
    )
    if not classes:  # what holds no image may still hold captions, whose problems say more
        return layout
    empty = [part for part in _parts(layout) if not part.files]
    if empty:
        others = ", ".join(map(str, _left_out(layout)))
        remedy = "expected .png, .jpg, ..."
        if others:
            remedy = f"{remedy}; there are {others}"
        places = [root] if layout.test is None else [root / part.name for part in empty]
        raise InputError(
            Problem(WHERE, f"{str(place)!r} holds no image", remedy) for place in places
        )
    return layout


def _without_annotations(layout: Layout) -> Layout:
    """Leave out masks and the like: the captions are those of the images beside them."""
    masks = annotations_of(path for part in _parts(layout) for path in part.files)
    if not masks:
        return layout
    train, test = (
        part and replace(part, files=tuple(path for path in part.files if path not in masks))
        for part in (layout.train, layout.test)
    )
    assert train is not None
    left_out = (*layout.left_out, LeftOut("files", "beside the images", tuple(sorted(masks))))
    return replace(layout, train=train, test=test, left_out=left_out)


def _parts(layout: Layout) -> list[Part]:
    if layout.test is None:
        return [layout.train]
    return [layout.train, layout.test]


def _check_classes(parts: Sequence[Part]) -> None:
    """Raise InputError where the training images have classes and the test images have none."""
    if len(parts) < 2 or parts[0].labels is None or parts[1].labels is not None:
        return
    train, test = parts
    what = f"{train.name}/ holds class folders and {test.name}/ does not"
    remedy = (
        f"sort its images into the same folders, or give the path of {train.name}/, of which a "
        "part is then held out"
    )
    raise InputError(Problem(WHERE, what, remedy))


def _left_out(layout: Layout, used: Collection[Path] = frozenset()) -> tuple[LeftOut, ...]:
    """Return what of a folder is not read.

    used  files that are not images and are read all the same: those of captions
    """
    others = by_suffix([path for path in layout.others if path not in used], NO_READER)
    hidden = layout.tree.hidden
    looped = layout.tree.looped
    left_out = [*layout.left_out, *others]
    if hidden:
        left_out.append(LeftOut("hidden or system files", "", hidden))
    if looped:
        left_out.append(LeftOut("links", "to a folder around them", looped))
    return tuple(left_out)


def _notes_on_classes(description: Described, names: Sequence[str] | None) -> list[str]:
    """Name class folders without images, and classes that only one part has."""
    if names is None:
        return []
    layout = description.layout
    parts = _parts(layout)
    notes = []
    folders = {part.folder for part in parts}
    empty = {composed(path.name) for path in layout.tree.folders if path.parent in folders}
    without = sorted(empty - set(names) - {part.name for part in parts})
    if without and not description.are_listed:
        notes.append(f"no image in: {', '.join(without[:3])}")

    for part, other in zip(parts, parts[::-1], strict=True):
        only = sorted(set(part.labels or ()) - set(other.labels or ()))
        if only:
            notes.append(f"only in {part.name}/: {', '.join(only[:3])}")
    return notes


def _none_left(broken: Sequence[Failure]) -> list[Problem]:
    """Return the problems of a part whose images are all broken."""
    none = Problem(WHERE, "no image is left of a part", "give more images")
    return [*as_problems(broken, WHERE, "remove or replace it"), none]


def _read_parts(
    parts: Sequence[Sequence[Path]],
    labels: Sequence[Sequence[int] | None],
    size: int | None,
    tolerate: int,
    is_drawn: bool,
) -> SourceImages:
    """Read the images of each part; InputError names all unreadable files."""
    opened = open_images(
        [path for paths in parts for path in paths],
        size,
        tolerate=max(0, tolerate),
        where=WHERE,
        is_drawn=is_drawn,
    )
    arrays = opened.arrays
    is_read = opened.is_read
    sets = []
    files: list[Path] = []
    for paths, of_part in zip(parts, labels, strict=True):
        rows = [row for row in range(len(paths)) if is_read[row]]
        is_read = is_read[len(paths) :]
        names = [paths[row] for row in rows]
        if not names:
            raise InputError(_none_left([e for e in opened.failures if e.path in set(paths)]))

        tensor = stack_images(arrays[: len(rows)], [str(path) for path in names])
        del arrays[: len(rows)]  # free their memory before the next part is stacked
        numbers: Tensor | None = None
        if of_part is not None:
            numbers = torch.tensor([of_part[row] for row in rows])
        sets.append(LabelledImages(tensor, numbers))
        files += names

    test = None
    if len(sets) == 2:
        test = sets[1]
    return SourceImages(
        sets[0], test, None, paths=tuple(files), left_out=opened.left_out, notes=opened.notes
    )
