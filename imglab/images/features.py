"""Feature extractors for images that need no training: pixels, and Inception-v3."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from tempfile import TemporaryDirectory

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from imglab import seeds
from imglab.config.paths import missing_path
from imglab.errors import InputError, Problem, first_line
from imglab.images.extractor_settings import InceptionSettings
from imglab.images.image_files import UNREADABLE
from imglab.images.labelled import LabelledImages
from imglab.modality import Extractor as Extractor  # its name here in version 0.1
from imglab.store import files
from imglab.training.devices import device

HASH_LENGTH = 12
"""Digits of the weights' sha256 in the name of an extractor."""

INCEPTION_BATCH = 32
INCEPTION_KEY = "modality.extractor.weights"
INCEPTION_HASH = "6726825d"
REMEDY = "give the path of torch-fidelity's weights-inception-2015-12-05-6726825d.pth"

NOT_WEIGHTS = (*UNREADABLE, RuntimeError, AttributeError, UnpicklingError, SafetensorError)
"""Exceptions that come of a file that does not hold the network's weights."""


class Pixels(Extractor):
    """The pixels themselves, scaled to [0, 1]."""

    name = "pixels"

    def features(self, images: Tensor) -> Tensor:
        """Return float32 [N, C H W]."""
        return images.flatten(1).float() / 255


class Inception(Extractor):
    """Inception-v3 as in the FID papers: torch-fidelity's port of the TensorFlow weights.

    Its 2,048 pooled features are the feature. Grey images are repeated to three channels. The port
    itself resizes to 299 x 299 (TensorFlow 1 bilinear, without antialiasing), as published scores
    do.
    """

    def __init__(self, settings: InceptionSettings) -> None:
        self._network: nn.Module | None = None
        self._hash = ""
        if settings.weights is None:
            return

        path = Path(settings.weights)
        if not path.is_file():
            raise InputError(missing_path(settings.weights, INCEPTION_KEY, REMEDY, "file"))
        self._open(path)

    @property
    def name(self) -> str:
        """`inception@` and the first digits of the weights' sha256."""
        return f"inception@{self._hash}"

    def prepare(self, real: LabelledImages, shared: Path) -> None:
        """Download the weights, unless the settings give their path."""
        if self._network is None:
            self._open(_download())

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """Return the pooled features, float32 [N, 2048]."""
        if self._network is None:
            raise RuntimeError("the extractor has not been prepared")

        where = next(self._network.parameters()).device
        batches = in_colour(images).split(INCEPTION_BATCH)
        pooled = [self._network(batch.to(where)).flatten(1).cpu() for batch in batches]
        return torch.cat(pooled)

    def _open(self, path: Path) -> None:
        try:
            if path.suffix == ".safetensors":
                weights = load_file(path)
            else:
                weights = torch.load(path, weights_only=True)  # runs no code of the file
            network = _inception(weights)
        except NOT_WEIGHTS as error:
            what = f"{str(path)!r} does not hold Inception-v3's weights: {first_line(error)}"
            raise InputError(Problem(INCEPTION_KEY, what, REMEDY)) from error

        self._network = network.to(device())
        self._hash = files.sha256_file(path)[:HASH_LENGTH]


def _inception(weights: dict[str, Tensor]) -> nn.Module:
    """Return the port with these weights.

    The port's loader unpickles any file that it is given, so it is given a file of our own.
    """
    from torchmetrics.image.fid import NoTrainInceptionV3

    with TemporaryDirectory() as folder, seeds.isolated("inception"):
        path = Path(folder) / "weights.pth"
        torch.save(weights, path)
        return NoTrainInceptionV3("inception-v3-compat", ["2048"], str(path), antialias=False)


def _download() -> Path:
    """Return the path of the weights in torch's cache, where they are downloaded once."""
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(URL_INCEPTION_V3).name
    if path.exists():
        return path

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(
            URL_INCEPTION_V3, str(path), hash_prefix=INCEPTION_HASH, progress=False
        )
    except (OSError, RuntimeError) as error:
        what = f"Inception's weights could not be downloaded: {error}"
        raise InputError(Problem(INCEPTION_KEY, what, REMEDY)) from error
    return path


def in_colour(images: Tensor) -> Tensor:
    """Repeat grey images [N, 1, H, W] to three channels; leave others as they are."""
    if images.shape[1] == 1:
        return images.expand(-1, 3, -1, -1)
    return images
