"""Images with labels: the form into which every source of real images is read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from imglab.errors import InputError, Problem
from imglab.safe_text import is_text


@dataclass(frozen=True)
class LabelledImages:
    """Images uint8 [N, C, H, W] and their labels int64 [N], or None."""

    images: Tensor
    labels: Tensor | None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: Tensor | slice) -> LabelledImages:
        labels = None
        if self.labels is not None:
            labels = self.labels[rows]
        return LabelledImages(self.images[rows], labels)


@dataclass(frozen=True)
class SourceImages:
    """All images of a source, before they are brought to one form and split.

    test     images of the source's own test split; None if it has none
    classes  names of the classes that the labels count; None if there are no classes
    prompts  captions that the labels count; None if there are no captions
    """

    train: LabelledImages
    test: LabelledImages | None
    classes: tuple[str, ...] | None
    prompts: tuple[str, ...] | None = None


def class_names(names: Iterable[Any], where: str) -> tuple[str, ...]:
    """Return the names of classes as text.

    Raises InputError, at the config's key `where`, for each name that UTF-8 cannot encode: the name
    of a folder may be such a name.
    """
    texts = tuple(map(str, names))

    bad = [text for text in texts if not is_text(text)]
    if bad:
        what = "cannot be the name of a class: it is not UTF-8"
        raise InputError(Problem(where, f"{text!r} {what}", "rename it") for text in bad)
    return texts
