"""Arrays as other tools write them, brought to uint8 images and to numbered labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from imglab.images.arrays import NEARLY_BLACK, TWELVE_BITS

CHANNELS = (1, 3)
NEAR = 0.05
"""How far floats may lie beyond the ends of [0, 1] or [-1, 1], which then are cut there."""

FORMS = "uint8 [N, H, W], [N, H, W, 1 or 3] or [N, 1 or 3, H, W]"
SCALED = "floats that fill [0, 1] or [-1, 1]"


class NotImages(ValueError):
    """The array does not hold images, or not for sure."""


def looks_like_images(array: Any) -> bool:
    """Say whether an array has the form of images, whatever its numbers are."""
    return array.ndim in (3, 4) and array.dtype.kind in "buif" and 0 not in array.shape[1:]


def as_images(
    arrays: Mapping[str, Any], *, is_drawn: bool = False
) -> tuple[dict[str, Any], list[str]]:
    """Return arrays of images as uint8 [N, H, W] or [N, H, W, 1 or 3], and what was done to them.

    The numbers of all arrays are judged together: one part may lack the extremes of another.

    is_drawn  whether a model may have drawn them: bytes are then brightness, however dark

    Raises NotImages where the form or the range is not clear.
    """
    placed = {}
    notes = []
    for name, array in arrays.items():
        channels_last = _channels_last(name, array)
        if channels_last is not array:
            notes.append("channels stood first")
        placed[name] = channels_last

    low = min((float(array.min()) for array in placed.values() if array.size), default=0.0)
    high = max((float(array.max()) for array in placed.values() if array.size), default=0.0)
    if all(array.dtype == np.uint8 for array in placed.values()) and (is_drawn or high != 1):
        if not is_drawn:
            _check_bright(arrays, high)
        return placed, notes[:1]
    offset, scale, what = _scaling(arrays, low, high)
    scaled = {}
    for name, array in placed.items():
        bytes_of = np.rint((array.astype(np.float32) - offset) * scale).clip(0, 255)
        scaled[name] = bytes_of.astype(np.uint8)
    return scaled, [*notes[:1], what]


def _channels_last(name: str, array: Any) -> Any:
    """Return an array with its channels last; NotImages where it is not clear where they are."""
    form = f"{name} must be {FORMS}, not {array.dtype} {list(array.shape)}"
    if array.ndim == 2:
        raise NotImages(f"{form}: if each row is an image, use numpy.reshape")
    if not looks_like_images(array):
        raise NotImages(form)
    first = array.shape[1] in CHANNELS
    last = array.shape[-1] in CHANNELS
    if array.ndim == 3:
        if first or last:  # one picture in colour, or channels without a side
            raise NotImages(f"{form}: a side has {min(array.shape[1:])} pixels; is it one picture?")
        return array

    if first and last:
        raise NotImages(
            f"{form}: either side may be the channels; use numpy.moveaxis to put them last"
        )
    if first:
        return np.moveaxis(array, 1, -1)
    if not last:
        what = f"{form}: neither its second side nor its last is 1 or 3"
        if 4 in (array.shape[1], array.shape[-1]):
            what = f"{form}: put transparency on white and store three channels"
        raise NotImages(what)
    return array


def _check_bright(names: Iterable[str], high: float, black: float = NEARLY_BLACK) -> None:
    """Raise NotImages where no number of whole ones is above `black`: all would be nearly black."""
    if 0 < high <= black:
        what = f"no number of {' and '.join(names)} is above {high:g}: all would be nearly black"
        raise NotImages(f"{what}; scale them first, e.g. multiply by {int(black * 16 / high)}")


def _scaling(arrays: Mapping[str, Any], low: float, high: float) -> tuple[float, float, str]:
    """Return what to subtract, what to multiply by, and what to say; NotImages if not clear."""
    dtypes = {str(array.dtype) for array in arrays.values()}
    form = f"{' and '.join(arrays)} must be uint8, or {SCALED}; not {', '.join(sorted(dtypes))}"
    if len(dtypes) > 1:
        raise NotImages(f"{form}, which differ")
    if not (np.isfinite(low) and np.isfinite(high)):
        raise NotImages(f"{form} that are not all finite")

    (dtype,) = {array.dtype for array in arrays.values()}
    if dtype.kind == "b":
        return 0.0, 255.0, "scaled from true and false"
    if dtype.kind in "ui":
        if low >= 0 and high == 1:
            return 0.0, 255.0, "scaled from 0 and 1"
        if low >= 0 and high <= 255:
            _check_bright(arrays, high)
            return 0.0, 1.0, f"numbers 0 to 255 were {dtype}"
        if dtype == np.uint16:
            _check_bright(arrays, high, TWELVE_BITS - 1)
            return 0.0, 1 / 257, "scaled from 16 bits to 8"
        raise NotImages(f"{form} from {low:g} to {high:g}")

    if low == high:
        raise NotImages(f"{form} that are all {low:g}")
    if low >= -NEAR and 0.5 < high <= 1 + NEAR:
        return 0.0, 255.0, "scaled from [0, 1]"
    if -1 - NEAR <= low < -0.5 and high <= 1 + NEAR:
        return -1.0, 127.5, "scaled from [-1, 1]"
    if low >= 0 and 1 + NEAR < high <= 255 and all(_are_whole(each) for each in arrays.values()):
        _check_bright(arrays, high)
        return 0.0, 1.0, "whole numbers 0 to 255 were floats"
    raise NotImages(f"{form} from {low:g} to {high:g}: scale them to 0..255 and round them")


def _are_whole(array: Any) -> bool:
    return bool((array == np.rint(array)).all())


def label_problems(name: str, count: int, labels: Any) -> Iterator[str]:
    """Yield what is wrong with the labels of `count` images."""
    form = f"{name} has {count} images but labels of shape {list(labels.shape)}"
    if labels.shape not in ((count,), (count, 1)) and not _is_one_hot(labels, count):
        if labels.ndim == 2 and len(labels) == count:
            form += ": several classes for an image, which is not supported; store one number each"
        yield form
    elif labels.dtype.kind not in "biufSU":
        yield f"labels of {name} must be numbers or words, not {labels.dtype}"
    elif labels.dtype.kind == "f" and not np.isfinite(labels).all():
        yield f"labels of {name} are not all finite"
    elif labels.dtype.kind == "f" and not _are_whole(labels):
        yield f"labels of {name} are not whole numbers: a class is a whole number or a word"


def as_columns(labels: Sequence[Any]) -> list[Any]:
    """Return labels as columns [N]; rows of one-hot codes become the numbers of their ones."""
    return [_column(each) for each in labels]


def _column(labels: Any) -> Any:
    if labels.ndim == 2 and labels.shape[1] > 1:
        return labels.argmax(1)
    column = labels.reshape(-1)
    if column.dtype.kind == "S":
        return np.char.decode(column, "utf-8", "replace")
    return column


def _is_one_hot(labels: Any, count: int) -> bool:
    if labels.ndim != 2 or len(labels) != count or labels.shape[1] < 2:
        return False
    if labels.dtype.kind not in "buif":
        return False
    return bool(((labels == 0) | (labels == 1)).all() and (labels.sum(1) == 1).all())
