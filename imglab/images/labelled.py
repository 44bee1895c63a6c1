"""Images with labels: the form into which every source of real images is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from imglab.errors import InputError, Problem
from imglab.reading import Columns, LeftOut
from imglab.safe_text import is_text


@dataclass(frozen=True)
class LabelledImages:
    """Images uint8 [N, C, H, W], with labels and groups, int64 [N], or None for what they lack."""

    images: Tensor
    labels: Tensor | None
    groups: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: Tensor | slice) -> LabelledImages:
        labels, groups = (
            None if numbers is None else numbers[rows] for numbers in (self.labels, self.groups)
        )
        return LabelledImages(self.images[rows], labels, groups)

    @classmethod
    def joined(cls, parts: Sequence[LabelledImages]) -> LabelledImages:
        """Join sets of images of one shape; labels or groups that a set lacks are left out."""
        images = torch.cat([part.images for part in parts])
        labels = _joined([part.labels for part in parts])
        groups = _joined([part.groups for part in parts])
        return cls(images, labels, groups)


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    present = [part for part in parts if part is not None]
    if len(present) < len(parts):
        return None
    return torch.cat(present)


@dataclass(frozen=True)
class SourceImages:
    """All images of a source, before they are brought to one form and split.

    test      images of the source's own test split; None if it has none
    classes   names of the classes that the labels count; None if there are no classes
    prompts   captions that the labels count; None if there are no captions
    groups    names of the groups that those of the images count; None if there are none
    paths     file of each image, the training images first; empty where they have none
    left_out  what of the source was not read
    notes     what a person should know of the reading, each a short phrase
    columns   of each table of captions
    """

    train: LabelledImages
    test: LabelledImages | None
    classes: tuple[str, ...] | None
    prompts: tuple[str, ...] | None = None
    paths: tuple[Path, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
    columns: tuple[Columns, ...] = ()
    groups: tuple[str, ...] | None = None

    def joined(self) -> LabelledImages:
        """Join the two parts; labels are left out where one has none.

        The parts must be of one shape, which those who join them check.
        """
        if self.test is None:
            return self.train
        return LabelledImages.joined([self.train, self.test])


def form_text(shape: tuple[int, ...]) -> str:
    """Write the shape of an image, (C, H, W), for people: `28 x 28 grey`."""
    colour = "grey" if shape[0] == 1 else "rgb"
    return f"{shape[2]} x {shape[1]} {colour}"


def class_names(names: Iterable[Any], where: str) -> tuple[str, ...]:
    """Return the names of classes as text; of several names for one class, the first.

    Raises InputError, at the config's key `where`, for each name that UTF-8 cannot encode: the name
    of a folder may be such a name.
    """
    several = list(names)
    texts = tuple(_class_name(name) for name in several)
    if len(set(texts)) < len(texts):  # of two classes, e.g. the two cranes of ImageNet
        texts = tuple(map(_all_names, several))

    bad = [text for text in texts if not is_text(text)]
    if bad:
        what = "cannot be the name of a class: it is not UTF-8"
        raise InputError(Problem(where, f"{text!r} {what}", "rename it") for text in bad)
    return texts


def _class_name(name: Any) -> str:
    """Return a name as text; ImageNet and others give a tuple of synonyms."""
    if isinstance(name, tuple | list) and name:
        name = name[0]
    return str(name)


def _all_names(name: Any) -> str:
    if isinstance(name, tuple | list):
        return ", ".join(map(str, name))
    return str(name)
