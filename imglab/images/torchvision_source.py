"""Real images from the dataset classes of torchvision."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import Tensor

from imglab.errors import InputError, Problem, first_line, nearest
from imglab.failures import raise_if_unavailable
from imglab.images.arrays import channels_first, image_array, stack_images
from imglab.images.labelled import LabelledImages, SourceImages, class_names
from imglab.images.source_settings import TorchvisionSource

SPLIT_PARAMETERS = {"train", "split"}
"""Parameters by which a dataset class is asked for its training or its test part."""

UNKNOWN_VALUE = re.compile(r"Unknown value '(.*?)' for argument .*Valid values are \{(.*?)\}")
"""What torchvision says of a wrong option."""

TRANSPOSED = ("EMNIST",)
"""Classes whose images torchvision reads with rows for columns, as their files have them."""

PLACEHOLDER = "N/A"
"""Name of class 0 where torchvision counts classes from 1, as those of EMNIST's letters. A class
without images leaves metrics of classes undefined."""

UNOPENED = (
    OSError,
    RuntimeError,
    ValueError,
    AssertionError,
    TypeError,
    ImportError,
    EOFError,
    UnpicklingError,
)
"""Exceptions of torchvision's classes for wrong options and for missing or damaged files."""


def read_torchvision(source: TorchvisionSource, size: int | None) -> SourceImages:
    """Open the training and the test part of a dataset class.

    size  side to which images are resized that come one by one; None: keep their own size
    """
    train_set, test_set = _open(source)
    train = _images(train_set, size)
    test = _images(test_set, size)
    assert train.labels is not None
    assert test.labels is not None

    numbers = torch.cat([train.labels, test.labels]).unique()
    names = getattr(train_set, "classes", None)
    if not names:
        names = numbers.tolist()
        train = replace(train, labels=torch.searchsorted(numbers, train.labels))
        test = replace(test, labels=torch.searchsorted(numbers, test.labels))
    elif int(numbers.min()) < 0 or int(numbers.max()) >= len(names):
        what = f"{source.name} names {len(names)} classes but has the label {int(numbers.max())}"
        raise InputError(Problem("modality.source.name", what, "use another source"))
    elif names[0] == PLACEHOLDER and int(numbers.min()) > 0:
        names = names[1:]
        train, test = (_from_zero(part) for part in (train, test))
    classes = class_names(names, "modality.source.name")
    if source.name not in TRANSPOSED:
        return SourceImages(train, test, classes)

    train, test = (replace(part, images=part.images.transpose(-1, -2)) for part in (train, test))
    note = f"turned upright: torchvision reads {source.name} with rows and columns exchanged"
    return SourceImages(train, test, classes, notes=(note,))


def _from_zero(part: LabelledImages) -> LabelledImages:
    """Return a part whose labels count from 1 with labels that count from 0."""
    assert part.labels is not None
    return replace(part, labels=part.labels - 1)


def _open(source: TorchvisionSource) -> list[Any]:
    """Return the training and the test part, as torchvision's datasets."""
    from torchvision import datasets

    parameters = _parameters(source.name)
    if not SPLIT_PARAMETERS & set(parameters):
        usable = [name for name in datasets.__all__ if SPLIT_PARAMETERS & set(_parameters(name))]
        what = f"torchvision has no split dataset {source.name!r}"
        remedy = nearest(source.name, usable)
        if parameters:
            what = f"{source.name} of torchvision has no training and test part"
            remedy = "save its images into a folder for each class, and use kind: folder"
        raise InputError(Problem("modality.source.name", what, remedy))

    splits: list[dict[str, Any]] = [{"split": source.train_split}, {"split": source.test_split}]
    if "train" in parameters:
        splits = [{"train": True}, {"train": False}]

    options: dict[str, Any] = dict(source.options)
    if "download" in parameters:
        options = {"download": source.download, **options}

    dataset = getattr(datasets, source.name)
    try:
        return [dataset(source.root, **split, **options) for split in splits]
    except UNOPENED as error:
        raise_if_unavailable(error, Path(source.root))
        raise InputError(_unopened(source, error)) from error


def _unopened(source: TorchvisionSource, error: Exception) -> Problem:
    """Return the problem of a dataset that did not open: the key that is wrong, or its files."""
    what = f"{source.name} could not be opened: {first_line(error)}"
    of_source = "modality.source"

    unknown = UNKNOWN_VALUE.search(str(error))
    if unknown:
        keys = {source.train_split: "train_split", source.test_split: "test_split"}
        key = keys.get(unknown[1], "options")
        if "split" in source.options:
            key = "options"
        return Problem(f"{of_source}.{key}", what, f"one of: {unknown[2]}")
    names = re.findall("'([a-z_]+)'", str(error))
    if isinstance(error, TypeError) and names:
        remedy = f"set it to {{{', '.join(f'{name}: ...' for name in names)}}}"
        if "unexpected" in str(error):
            remedy = "remove it"
        return Problem(f"{of_source}.options", what, remedy)
    if isinstance(error, ImportError) or "pip install" in str(error):
        return Problem(f"{of_source}.name", what, "install what it asks for")

    remedy = f"put the files under {source.root!r}, or set download: true if there is a network"
    return Problem(f"{of_source}.root", what, remedy)


def _parameters(name: str) -> Mapping[str, Any]:
    """Return the parameters of a dataset class; none where torchvision has no such class.

    A class that passes further keywords on has those of its base classes, too: so has EMNIST, whose
    `split` is not the part for training, the parameter `train`.
    """
    from torchvision import datasets

    dataset = getattr(datasets, name, None)
    if not inspect.isclass(dataset):
        return {}

    parameters: dict[str, Any] = {}
    for each in inspect.getmro(dataset):
        if "__init__" not in vars(each):
            continue
        signature = inspect.signature(vars(each)["__init__"]).parameters
        parameters = {**signature, **parameters}
        if not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in signature.values()):
            break
    return parameters


def _images(dataset: Any, size: int | None) -> LabelledImages:
    """Return the images of a part: at once where it holds one array, else one by one."""
    data = getattr(dataset, "data", None)
    targets = getattr(dataset, "targets", None)
    if isinstance(data, (np.ndarray, Tensor)) and data.ndim in (3, 4) and targets is not None:
        of_data = torch.as_tensor(targets).long()
        if of_data.ndim == 1:  # QMNIST has further columns, of which an item names the class
            return LabelledImages(channels_first(data), of_data)

    names = [f"{type(dataset).__name__}[{index}]" for index in range(len(dataset))]
    arrays = []
    labels = []
    for index, name in enumerate(names):
        array, label = _item(dataset, index, name, size)
        arrays.append(array)
        labels.append(label)
    return LabelledImages(stack_images(arrays, names), torch.tensor(labels))


def _item(dataset: Any, index: int, name: str, size: int | None) -> tuple[Any, int]:
    """Return an image as an array and its class; InputError, about `name`, if it is not one."""
    try:
        image, label = dataset[index]
        return image_array(image, size), int(label)
    except (OSError, ValueError, TypeError) as error:
        raise_if_unavailable(error, Path(name))
        what = f"is not an image with a class: {first_line(error)}"
        raise InputError(Problem(name, what, "use another source")) from error
