"""A feature extractor for images without labels, trained on the real images themselves."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from imglab import seeds
from imglab.images.extractor_settings import SelfSupervisedSettings
from imglab.images.labelled import LabelledImages
from imglab.images.network_fitting import BATCH, fit, fitted_once
from imglab.images.networks import ARCHITECTURES, apply, scaled
from imglab.modality import Extractor
from imglab.training.devices import device

WIDTH = 64
"""Numbers in which views are compared."""
TEMPERATURE = 0.2
"""Scale of the cosines of two views, in the loss."""
SMALLEST = 0.6
"""Side of the smallest crop, as a share of the image's side."""
NOISE = 0.2
"""Largest standard deviation of the noise on a view, for images in [-1, 1]."""


class SelfSupervised(Extractor):
    """A small convolutional network that tells which views are of the same image (SimCLR).

    A view is a crop with noise. No view is turned, mirrored, faded or blurred, so that the features
    may depend on all of these. Deterministic: the same images, settings and thread count give the
    same weights.
    """

    def __init__(self, settings: SelfSupervisedSettings, *, file: str = "self_supervised") -> None:
        """`file` is the name of the weights' file in shared/, without its ending."""
        self._settings = settings
        self._architecture = ARCHITECTURES["standard"]
        self._file = file
        self._network: nn.Module | None = None
        self._hash = ""

    @property
    def name(self) -> str:
        """`self_supervised@` and the first digits of the weights' sha256."""
        return f"self_supervised@{self._hash}"

    def prepare(self, real: LabelledImages, shared: Path) -> None:
        """Train on the real training set, once, and store the weights in the folder `shared`."""
        with seeds.isolated(self._settings.seed, "self-supervised", "weights"):
            network = self._architecture.build(real.images.shape[1], WIDTH)

        path = shared / f"{self._file}.safetensors"
        self._hash = fitted_once(network, path, lambda network: self._train(network, real.images))
        self._network = network

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """Return the features, float32 [N, D]."""
        network = self._network
        if network is None:
            raise RuntimeError("the extractor has not been prepared")
        return apply(lambda batch: self._architecture.embed(network, batch), images)

    def _train(self, network: nn.Module, real: Tensor) -> None:
        """Train on pairs of views of real images, uint8 [N, C, H, W]."""
        where = device()
        pairs = max(2, min(BATCH // 2, len(real)))

        def loss_of(network: nn.Module, step: int) -> Tensor:
            generator = seeds.generator(self._settings.seed, "self-supervised", step)
            rows = torch.randint(len(real), (pairs,), generator=generator)
            images = scaled(real[rows])
            views = torch.cat([_view(images, generator), _view(images, generator)])
            return contrastive_loss(network(views.to(where)))

        fit(network, loss_of, steps=max(1, self._settings.images // (2 * pairs)))


def contrastive_loss(views: Tensor) -> Tensor:
    """Return the NT-Xent loss of 2 N views [2 N, D], where row i + N shows the image of row i.

    It is the cross entropy of finding the other view of an image among all others by their cosines
    (Chen et al. 2020, equation 1).
    """
    directions = nn.functional.normalize(views, dim=1)
    cosines = directions @ directions.T / TEMPERATURE
    itself = torch.eye(len(views), dtype=torch.bool, device=views.device)
    partners = torch.arange(len(views), device=views.device).roll(len(views) // 2)
    return nn.functional.cross_entropy(cosines.masked_fill(itself, float("-inf")), partners)


def _view(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return a random crop of each image, at the image's own size, with noise."""
    n = len(images)
    side = SMALLEST + (1 - SMALLEST) * torch.rand(n, generator=generator)
    right, down = (torch.rand(2, n, generator=generator) * 2 - 1) * (1 - side)
    zero = torch.zeros(n)

    # Affine maps [N, 2, 3] from places in the crop to places in the image, both in [-1, 1].
    maps = torch.stack([torch.stack([side, zero, right], 1), torch.stack([zero, side, down], 1)], 1)
    grid = nn.functional.affine_grid(maps, list(images.shape), align_corners=False)
    crops = nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)

    strength = NOISE * torch.rand(n, 1, 1, 1, generator=generator)
    return crops + strength * torch.randn(images.shape, generator=generator)
