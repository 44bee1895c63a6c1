"""Images in the rows of tables, and in data sets of the Hugging Face hub."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from imglab.errors import InputError, Problem, first_line, nearest
from imglab.images.arrays import stack_images
from imglab.images.image_files import UNREADABLE, read_image
from imglab.images.labelled import LabelledImages, SourceImages
from imglab.training.hub import load_hub

COLUMNS = ("image", "img")
"""Usual names of columns of images."""

LABEL = "label"
"""Usual name of the column of classes."""


def read_hub_images(
    name: str, column: str | None, size: int | None, where: str, *, labelled: bool = True
) -> SourceImages:
    """Read the training split of a data set of the hub, or of a local folder in its form.

    column    of the images; None: `image` or `img`
    size      side to which the images are resized; None: as they are
    where     what an InputError calls the section that names the data set
    labelled  whether the classes are read, which are the names in a column `label`
    """
    rows = load_hub(name, split="train", where=f"{where}.hub")
    key = _image_column(rows, column, where)
    arrays = read_image_rows(stored_rows(rows, key), size, of=f"{where}.hub", roots=hub_roots(name))
    if not arrays:
        raise InputError(Problem(f"{where}.hub", f"{name!r} holds no images"))

    images = stack_images(arrays, [f"row {row}" for row in range(len(arrays))])
    if not labelled:
        return SourceImages(LabelledImages(images, None), None, None)
    labels, classes = _classes(rows, where)
    return SourceImages(LabelledImages(images, labels), None, classes)


def _image_column(rows: Any, column: str | None, where: str) -> str:
    """Return the column of the images: the one asked for, or the first of the usual ones."""
    names: Sequence[str] = rows.column_names
    images = [name for name in names if type(rows.features[name]).__name__ == "Image"]
    if column is not None and column not in names:
        what = f"there is no column {column!r}"
        raise InputError(Problem(f"{where}.column", what, nearest(column, names)))

    chosen = column or next((name for name in COLUMNS if name in images), None)
    if chosen not in images:
        what = f"the column {column!r} holds no images"
        if column is None:
            what = "there is no column of images called image or img"
        remedy = f"columns of images: {', '.join(images) or 'none'}"
        raise InputError(Problem(f"{where}.column", what, remedy))
    return chosen


def _classes(rows: Any, where: str) -> tuple[Tensor | None, tuple[str, ...] | None]:
    """Return the class of each row, int64 [N], and the names of the classes; None: there are none.

    Raises InputError where some rows have a class and others none.
    """
    kind = rows.features.get(LABEL)
    named: list[str | None] = []
    if type(kind).__name__ == "ClassLabel":
        names_of = dict(enumerate(kind.names))
        named = [names_of.get(number) for number in rows[LABEL]]
    elif getattr(kind, "dtype", None) in ("string", "large_string"):
        named = [text or None for text in rows[LABEL]]

    names = sorted({name for name in named if name is not None})
    if not names:
        return None, None
    without = named.count(None)
    if without:
        what = f"{without} of {len(named)} rows have no class in the column {LABEL!r}"
        remedy = "leave these rows out; or classes: none, for a set without classes"
        raise InputError(Problem(where, what, remedy))
    return torch.tensor([names.index(str(name)) for name in named]), tuple(names)


def stored_rows(rows: Any, key: str) -> list[Any]:
    """Return the values of a column; images as they are stored, to be decoded with our care."""
    if type(rows.features[key]).__name__ == "Image":
        from datasets import Image

        rows = rows.cast_column(key, Image(decode=False))
    return list(rows[key])


def hub_roots(name: str) -> list[Path]:
    """Return the folders in which a data set of the hub keeps files: the cache, and its own."""
    import datasets

    return [Path(datasets.config.HF_CACHE_HOME).resolve(), Path(name).resolve()]


def read_image_rows(
    values: Iterable[Mapping[str, Any] | None],
    size: int | None,
    *,
    of: str,
    roots: Sequence[Path] = (),
) -> list[Any]:
    """Read images as `datasets` stores them, with bytes or a path, to uint8 [H, W] or [H, W, 3].

    of     what an InputError calls the table
    roots  folders in which files may lie that rows name: a stranger's table names none of others
    Raises InputError with every row that is no image.
    """
    arrays = []
    problems = []
    for row, value in enumerate(values):
        try:
            arrays.append(read_image(_content(value, roots), size))
        except UNREADABLE as error:
            what = f"row {row} cannot be read as an image: {first_line(error)}"
            problems.append(Problem(of, what, "remove or replace it"))
    if problems:
        raise InputError(problems)
    return arrays


def _content(value: Mapping[str, Any] | None, roots: Sequence[Path]) -> Path | io.BytesIO:
    """Return where the bytes of an image are: in the table, or in a file beside a hub data set."""
    if value is None:
        raise ValueError("it is empty")
    if value["bytes"] is not None:
        return io.BytesIO(value["bytes"])
    if not roots:
        raise ValueError("its bytes are not in the file")
    path = Path(value["path"]).resolve()
    if not any(root in path.parents for root in roots):
        raise ValueError("its file lies outside the data set")
    return path
