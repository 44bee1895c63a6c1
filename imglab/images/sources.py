"""Where real images come from: the digits of scikit-learn, torchvision, folders, `.npz` files."""

from __future__ import annotations

import numpy as np
import torch

from imglab.images.folders import read_captioned_folder, read_folder
from imglab.images.labelled import LabelledImages, SourceImages
from imglab.images.npz import read_npz
from imglab.images.settings import ImageSettings
from imglab.images.source_settings import (
    CaptionedFolderSource,
    DigitsSource,
    NpzSource,
    TorchvisionSource,
)
from imglab.images.torchvision_source import read_torchvision

GREYS_OF_DIGITS = 16
"""Largest grey value in scikit-learn's scans."""


def read_source(settings: ImageSettings) -> SourceImages:
    """Read the source that the settings name; InputError holds every problem of the source."""
    source = settings.source
    if isinstance(source, DigitsSource):
        return _read_digits()
    if isinstance(source, NpzSource):
        return read_npz(source)

    # Images that come one by one are resized as they are read, so that all have one size.
    if isinstance(source, TorchvisionSource):
        return read_torchvision(source, settings.size)
    if isinstance(source, CaptionedFolderSource):
        return read_captioned_folder(source, settings.size)
    return read_folder(source, settings.size)


def _read_digits() -> SourceImages:
    from sklearn.datasets import load_digits

    digits = load_digits()
    greys = np.rint(digits.images * (255 / GREYS_OF_DIGITS)).astype(np.uint8)
    images = torch.from_numpy(greys)[:, None]
    labels = torch.from_numpy(digits.target).long()
    return SourceImages(LabelledImages(images, labels), None, tuple("0123456789"))
