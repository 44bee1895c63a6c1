"""Real images from a NumPy archive (`.npz`), which may come from a stranger."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from imglab.errors import InputError, Problem, first_line, nearest
from imglab.images.arrays import channels_first
from imglab.images.image_files import UNREADABLE
from imglab.images.labelled import LabelledImages, SourceImages, class_names
from imglab.images.source_settings import NpzSource

WHERE = "modality.source.path"
IMAGES = ("train_images", "test_images")
LABELS = ("train_labels", "test_labels")

LARGEST_RATIO = 200
"""Unpacked size over file size that an archive may have: deflate shrinks empty images a
thousandfold, and other images about tenfold."""

ALWAYS_ALLOWED = 1 << 28
"""Bytes to which any archive may unpack, whatever its ratio."""


def read_npz(source: NpzSource) -> SourceImages:
    """Read the arrays of an archive; InputError names every array that is missing or wrong."""
    arrays, names = _open(source.path)

    problems = list(_problems(source.path, arrays, names))
    if not problems:
        shapes = {arrays[name].shape[1:] for name in IMAGES}
        if len(shapes) > 1:
            problems.append(Problem(WHERE, "train_images and test_images differ in shape"))
    if problems:
        raise InputError(problems)

    classes, labels = _classes(arrays)
    sets = [
        LabelledImages(channels_first(arrays[name]), of_set)
        for name, of_set in zip(IMAGES, labels, strict=True)
    ]
    return SourceImages(sets[0], sets[1], classes)


def read_any_npz(path: str) -> SourceImages:
    """Read an archive whose one array of images may have any name, e.g. `arr_0` or `samples`.

    A further array with a number or a word for each image holds the labels. An archive of
    `train_images` and `test_images` is read as `read_npz` reads it.
    """
    arrays, names = _open(path, wanted=None)
    if set(IMAGES) & set(names):
        return read_npz(NpzSource(path=path))

    of_images = [name for name in names if _is_image_array(arrays[name])]
    if len(of_images) != 1:
        forms = [f"{name}: {array.dtype} {list(array.shape)}" for name, array in arrays.items()]
        what = f"has {len(of_images)} arrays of images (uint8 [N, H, W] or [N, H, W, 1 or 3])"
        remedy = "store one of them; scale floats to 0..255 and put the channels last"
        raise InputError(Problem(WHERE, f"{path!r} {what}: {', '.join(forms)}", remedy))

    images = arrays[of_images[0]]
    labels = [
        array for name, array in arrays.items() if name not in of_images and array.ndim in (1, 2)
    ]
    if len(labels) != 1 or next(_label_problems("images", len(images), labels[0]), None):
        return SourceImages(LabelledImages(channels_first(images), None), None, None)
    classes, numbers = _numbered(labels)
    return SourceImages(LabelledImages(channels_first(images), numbers[0]), None, classes)


def _open(
    name: str, wanted: Sequence[str] | None = (*IMAGES, *LABELS)
) -> tuple[dict[str, Any], list[str]]:
    """Return the wanted arrays, by name, and the names of all arrays; None: all are wanted."""
    path = Path(name)
    if not path.is_file():
        raise InputError(
            Problem(WHERE, f"there is no file {name!r}", "give the path of an .npz file")
        )

    try:
        _check_unpacked_size(path)
        with np.load(path, allow_pickle=False) as archive:
            names = list(archive.files)
            keys = names if wanted is None else [key for key in wanted if key in names]
            arrays = {key: archive[key] for key in keys}
        for key, array in arrays.items():
            if not isinstance(array, np.ndarray):
                raise ValueError(f"its member {key!r} is not an array")
    except (*UNREADABLE, RuntimeError) as error:  # RuntimeError: a member is encrypted
        what = f"{name!r} is not a readable .npz: {first_line(error)}"
        raise InputError(Problem(WHERE, what, "write it again with numpy.savez")) from error
    return arrays, names


def _check_unpacked_size(path: Path) -> None:
    """Raise ValueError for a decompression bomb, before anything is unpacked."""
    packed = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())

    if unpacked > max(ALWAYS_ALLOWED, LARGEST_RATIO * packed):
        raise ValueError(
            f"its {packed:,} bytes would unpack to {unpacked:,}, more than {LARGEST_RATIO} times "
            "as many"
        )


def _problems(path: str, arrays: Mapping[str, Any], names: list[str]) -> Iterator[Problem]:
    """Yield what is wrong with the images and with the labels of each part."""
    for images_name, labels_name in zip(IMAGES, LABELS, strict=True):
        images = arrays.get(images_name)
        if images is None:
            what = f"{path!r} has no array {images_name!r}"
            yield Problem(WHERE, what, nearest(images_name, names))
            continue

        if not _is_image_array(images):
            form = f"{images.dtype} {list(images.shape)}"
            what = f"{images_name} must be uint8 [N, H, W] or [N, H, W, 1 or 3], not {form}"
            yield Problem(WHERE, what)
            continue

        labels = arrays.get(labels_name)
        if labels is not None:
            yield from _label_problems(images_name, len(images), labels)


def _is_image_array(images: Any) -> bool:
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        return False
    if images.ndim == 4 and images.shape[-1] not in (1, 3):
        return False
    return 0 not in images.shape[1:]


def _label_problems(name: str, count: int, labels: Any) -> Iterator[Problem]:
    if labels.shape not in ((count,), (count, 1)):
        what = f"{name} has {count} images but labels of shape {list(labels.shape)}"
        yield Problem(WHERE, what)
    elif labels.dtype.kind not in "biufSU":
        yield Problem(WHERE, f"labels of {name} must be numbers or words, not {labels.dtype}")
    elif labels.dtype.kind == "f" and not np.isfinite(labels).all():
        yield Problem(WHERE, f"labels of {name} are not all finite")


def _classes(arrays: Mapping[str, Any]) -> tuple[tuple[str, ...] | None, list[Tensor | None]]:
    """Return the names of the classes, and the labels int64 [N] of the training and test images.

    There are no classes unless both parts have labels.
    """
    columns = [arrays[name].reshape(-1) for name in LABELS if name in arrays]
    if len(columns) < len(LABELS):
        return None, [None, None]
    classes, labels = _numbered(columns)
    return classes, [*labels]


def _numbered(columns: Sequence[Any]) -> tuple[tuple[str, ...], list[Tensor]]:
    """Return the names of the classes, and the number of the class for each label, int64 [N]."""
    columns = [column.reshape(-1) for column in columns]
    try:
        values: Any = np.unique(np.concatenate(columns))
        names = class_names(values.tolist(), WHERE)
        labels = [torch.from_numpy(np.searchsorted(values, column)).long() for column in columns]
    except (TypeError, ValueError, SystemError) as error:
        # There are numbers beside words, or code points that are not characters.
        what = f"the labels cannot be used as classes: {first_line(error)}"
        raise InputError(Problem(WHERE, what, "number the classes")) from error
    return names, labels
