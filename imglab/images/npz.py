"""Real images from a NumPy archive (`.npz`), which may come from a stranger."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from imglab.config.paths import missing_path
from imglab.errors import InputError, Problem, first_line
from imglab.images.arrays import channels_first
from imglab.images.image_files import UNREADABLE, raise_unless_content
from imglab.images.labelled import LabelledImages, SourceImages, class_names
from imglab.images.npz_arrays import (
    FORMS,
    NotImages,
    as_columns,
    as_images,
    label_problems,
    looks_like_images,
)
from imglab.images.source_settings import NpzSource
from imglab.reading import LeftOut

T = TypeVar("T")

WHERE = "modality.source.path"
IMAGES = ("train_images", "test_images")

LARGEST_RATIO = 200
"""Unpacked size over file size that an archive may have: deflate shrinks empty images a
thousandfold, and other images about tenfold."""

ALWAYS_ALLOWED = 1 << 28
"""Bytes to which any archive may unpack, whatever its ratio."""


SPLITS = {"train": ("train",), "test": ("test", "val", "valid", "validation")}
"""Words for the parts, the preferred one first."""

PART_IMAGES = ("{}_images", "x_{}", "{}_x", "{}_data", "{}_imgs", "images_{}", "{}")
PART_LABELS = ("{}_labels", "y_{}", "{}_y", "{}_targets", "labels_{}", "{}_label")
"""Names of the arrays of a part, in any case."""

ALL_IMAGES = ("images", "arr_0", "samples", "x", "data", "imgs", "image")
ALL_LABELS = ("labels", "arr_1", "y", "targets", "label", "classes")
"""Names of the arrays of an archive without parts, in any case."""


def read_npz(source: NpzSource, *, is_drawn: bool = False) -> SourceImages:
    """Read the arrays of an archive; InputError names every array that is missing or wrong.

    is_drawn  whether a model may have drawn the images (`as_images`)
    """
    path = source.path
    names = _names(path)
    chosen = _choose(path, names)
    arrays = _load(path, [name for pair in chosen.values() for name in pair if name])
    return _source(path, chosen, arrays, names, is_drawn=is_drawn)


def read_any_npz(path: str) -> SourceImages:
    """Read an archive whose one array of images may have any name; others are read by `read_npz`.

    A model may have drawn the images. A further array with a number or a word for each image holds
    the labels.
    """
    names = _names(path)
    if _parts(names) or set(IMAGES) & set(names) or {"mu", "sigma"} <= set(names):
        return read_npz(NpzSource(path=path), is_drawn=True)

    arrays = _load(path, names)
    of_images = [name for name in names if looks_like_images(arrays[name])]
    if len(of_images) != 1:
        forms = [f"{name}: {array.dtype} {list(array.shape)}" for name, array in arrays.items()]
        what = f"has {len(of_images)} arrays of images ({FORMS})"
        remedy = "store one of them; scale floats to 0..255 and put the channels last"
        raise InputError(Problem(WHERE, f"{path!r} {what}: {', '.join(forms)}", remedy))

    count = len(arrays[of_images[0]])
    labels = [name for name in names if name not in of_images and arrays[name].ndim in (1, 2)]
    of_labels = ""
    if len(labels) == 1 and not next(label_problems("", count, arrays[labels[0]]), ""):
        of_labels = labels[0]
    return _source(path, {"train": (of_images[0], of_labels)}, arrays, names, is_drawn=True)


def _choose(path: str, names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return the arrays of images and of labels of each part; InputError where there are none."""
    parts = _parts(names)
    if len(parts) == 2:
        return parts
    if {"mu", "sigma"} <= set(names):
        what = f"{path!r} holds statistics of images (mu, sigma), not the images"
        raise InputError(Problem(WHERE, what, "give an archive of images"))

    # Without parts there is one array of images, which is then split at random.
    images = _named(names, ALL_IMAGES)
    if images and not parts:
        return {"train": (images, _named(names, ALL_LABELS))}

    # What is damaged, or pickled, is a better reason than what is missing.
    _load(path, [name for name, _ in parts.values()])
    problems = []
    used = {name for pair in parts.values() for name in pair}
    others = [name for name in names if name not in used]
    remedy = f"rename one of: {', '.join(others)}"
    if "train" in parts and not others:
        remedy = f"call {parts['train'][0]!r} images, of which a part is then held out"
    for part, wanted in zip(SPLITS, IMAGES, strict=True):
        if part not in parts:
            problems.append(Problem(WHERE, f"{path!r} has no array {wanted!r}", remedy))
    raise InputError(problems)


def _parts(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return the arrays of images and of labels ("" if none) of the parts that names mean."""
    parts = {}
    for part, words in SPLITS.items():
        for word in words:
            images = _named(names, [form.format(word) for form in PART_IMAGES])
            if images:
                labels = _named(names, [form.format(word) for form in PART_LABELS])
                parts[part] = (images, labels)
                break
    return parts


def _named(names: Sequence[str], wanted: Sequence[str]) -> str:
    """Return the first wanted name that there is, in any case; "" if there is none."""
    lower = {name.lower(): name for name in reversed(names)}
    return next((lower[each] for each in wanted if each in lower), "")


def _source(
    path: str,
    chosen: Mapping[str, tuple[str, str]],
    arrays: Mapping[str, Any],
    names: Sequence[str],
    *,
    is_drawn: bool,
) -> SourceImages:
    """Make images and labels of the chosen arrays; InputError names every one that is wrong."""
    problems = []
    images: dict[str, Any] = {}
    notes: list[str] = []
    try:
        images, notes = as_images(
            {name: arrays[name] for name, _ in chosen.values()}, is_drawn=is_drawn
        )
    except NotImages as error:
        problems.append(Problem(WHERE, str(error)))
    for name, labels in chosen.values():
        if labels and arrays[name].ndim:
            texts = label_problems(name, len(arrays[name]), arrays[labels])
            problems += [Problem(WHERE, text) for text in texts]
    if not problems and len({image.shape[1:] for image in images.values()}) > 1:
        problems.append(Problem(WHERE, f"{' and '.join(images)} differ in shape"))
    if problems:
        raise InputError(problems)

    classes, numbers = _labels([arrays.get(labels) for _, labels in chosen.values()])
    sets = [
        LabelledImages(channels_first(image), of_part)
        for image, of_part in zip(images.values(), numbers, strict=True)
    ]
    test = None
    if len(sets) == 2:
        test = sets[1]
    left_out = _unused(path, names, {name for pair in chosen.values() for name in pair})
    return SourceImages(sets[0], test, classes, left_out=left_out, notes=tuple(notes))


def _labels(
    columns: Sequence[Any | None],
) -> tuple[tuple[str, ...] | None, Sequence[Tensor | None]]:
    """Return the classes and the labels of each part; none unless all parts have labels."""
    if any(column is None for column in columns):
        return None, [None] * len(columns)
    return _numbered(as_columns(columns))


def _unused(path: str, names: Sequence[str], used: set[str]) -> tuple[LeftOut, ...]:
    """Return the arrays that are not read."""
    others = [name for name in names if name not in used]
    if not others:
        return ()
    return (LeftOut("arrays", ", ".join(others), tuple(Path(path, name) for name in others)),)


def _names(name: str) -> list[str]:
    """Return the names of all arrays; InputError for what is not an archive of arrays."""
    return _read(name, lambda archive: list(archive.files))


def _load(name: str, wanted: Sequence[str]) -> dict[str, Any]:
    """Return arrays by name."""

    def load(archive: Any) -> dict[str, Any]:
        arrays = {key: archive[key] for key in wanted}
        for key, array in arrays.items():
            if not isinstance(array, np.ndarray):
                raise ValueError(f"its member {key!r} is not an array")
        return arrays

    return _read(name, load)


def _read(name: str, step: Callable[[Any], T]) -> T:
    """Return what a step reads of an archive."""
    path = Path(name)
    if not path.is_file():
        remedy = "give the path of an .npz file"
        raise InputError(missing_path(name, WHERE, remedy, "file"))

    unpacked = 0
    try:
        unpacked = _checked_size(path)
        with np.load(path, allow_pickle=False) as archive:
            return step(archive)
    except (*UNREADABLE, RuntimeError) as error:  # RuntimeError: a member is encrypted
        if not _asks_for_more(error, unpacked):
            raise_unless_content(error, path)
        what = f"{name!r} is not a readable .npz: {first_line(error)}"
        remedy = "write it again with numpy.savez"
        if "Object arrays" in str(error):
            remedy += ", images as one array of numbers and words as numpy.array(words, dtype=str)"
        raise InputError(Problem(WHERE, what, remedy)) from error


def _asks_for_more(error: BaseException, unpacked: int) -> bool:
    """Say whether memory is too little only because a header names more than its archive holds."""
    if not isinstance(error, MemoryError) or len(error.args) != 2:
        return False

    # As numpy's own MemoryError names them.
    shape, dtype = error.args
    asked: int = math.prod(shape) * dtype.itemsize
    return asked > unpacked


def _checked_size(path: Path) -> int:
    """Return the bytes of all arrays; ValueError for a bomb, before anything is unpacked."""
    packed = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())

    if unpacked > max(ALWAYS_ALLOWED, LARGEST_RATIO * packed):
        raise ValueError(
            f"its {packed:,} bytes would unpack to {unpacked:,}, more than {LARGEST_RATIO} times "
            "as many"
        )
    return unpacked


def _numbered(columns: Sequence[Any]) -> tuple[tuple[str, ...], list[Tensor]]:
    """Return the names of the classes, and the number of the class for each label, int64 [N]."""
    try:
        values: Any = np.unique(np.concatenate(columns))
        names = class_names(values.tolist(), WHERE)
        labels = [torch.from_numpy(np.searchsorted(values, column)).long() for column in columns]
    except (TypeError, ValueError, SystemError) as error:
        # There are numbers beside words, or code points that are not characters.
        what = f"the labels cannot be used as classes: {first_line(error)}"
        raise InputError(Problem(WHERE, what, "number the classes")) from error
    return names, labels
