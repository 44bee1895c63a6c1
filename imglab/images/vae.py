"""A variational autoencoder of fully connected layers, the image model of the first study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import AfterValidator, BaseModel, Field
from torch import Tensor, nn

from imglab import seeds
from imglab.errors import InputError, Problem
from imglab.images.settings import VaeSettings, VaeTrainingSettings
from imglab.images.watermark import check_watermark, embed
from imglab.measures import Measures
from imglab.modality import Modality
from imglab.model import WEIGHTS, GenerativeModel
from imglab.samples import Samples
from imglab.training.devices import device
from imglab.training.folders import LARGEST_SIZE, fill_network
from imglab.training.recipe import Recipe
from imglab.training.torch_model import TorchModel

BATCH = 1024
"""Images drawn, or encoded, at a time."""


class Vae(nn.Module):
    """Encoder and decoder; pixels are probabilities (Kingma and Welling 2014, appendix C.1)."""

    def __init__(self, pixels: int, settings: VaeSettings) -> None:
        super().__init__()
        widths = [pixels, *settings.hidden]
        self.encoder = _layers(widths)
        self.mean = nn.Linear(widths[-1], settings.latent)
        self.log_variance = nn.Linear(widths[-1], settings.latent)
        self.decoder = nn.Sequential(
            *_layers([settings.latent, *reversed(settings.hidden)]), nn.Linear(widths[1], pixels)
        )

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of the latents, [N, L] each, of images [N, P] in [0, 1]."""
        hidden = self.encoder(images)
        return self.mean(hidden), self.log_variance(hidden)

    def bound(self, images: Tensor, noise: Tensor) -> Tensor:
        """Return the evidence lower bound of each image, [N], in nats.

        images  [N, P] in [0, 1]
        noise   standard normal, [N, L]
        """
        mean, log_variance = self.encode(images)
        logits = self.decoder(mean + (log_variance / 2).exp() * noise)
        surprise = nn.functional.binary_cross_entropy_with_logits(logits, images, reduction="none")
        divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1)
        return -(surprise.sum(1) + divergence)

    def forward(self, images: Tensor, noise: Tensor) -> Tensor:
        """Return the loss: the mean negative bound."""
        return -self.bound(images, noise).mean()


class VaeModel(TorchModel[Vae]):
    """Learns images through a few latent numbers; draws the decoder's expected pixels."""

    sampling_batch = BATCH

    def __init__(self, settings: VaeSettings, modality: Modality | None = None) -> None:
        """Make a model, for images like those of `modality`."""
        self._settings = settings
        self.recipe = _recipe(settings.training)
        self.fine_tuning = _recipe(settings.fine_tuning)

        if modality is not None:
            spec = modality.spec
            if len(spec.shape) != 3 or spec.dtype != torch.uint8:
                what = "this autoencoder draws images"
                raise InputError(Problem("model.kind", what, "use it with modality.kind: image"))
            check_watermark(settings.watermark, spec.shape)
            self._shape = spec.shape

    def new_network(self, shape: tuple[int, ...]) -> Vae:
        """Return an autoencoder of images of this shape."""
        return Vae(torch.Size(shape).numel(), self._settings)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of the latents of an image."""
        return (self._settings.latent,)

    def training_noise(self, batch: Samples, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Draw the noise of the latents, [N, L]."""
        return {"latents": torch.randn(len(batch), *self.noise_shape, generator=generator)}

    def loss(self, network: Vae, batch: Samples, noise: Mapping[str, Tensor]) -> Tensor:
        """Return the mean negative evidence lower bound of a batch of images, in nats."""
        loss: Tensor = network(_scaled(batch.data), noise["latents"])
        return loss

    def sample_batch(self, network: Vae, noise: Tensor, conditions: Tensor | None) -> Tensor:
        """Return the expected images of latents drawn from N(0, sampling_bias), rounded once."""
        latents = noise * self._settings.sampling_bias**0.5
        probabilities = network.decoder(latents).sigmoid().cpu()
        images: Tensor = (probabilities * 255).round().to(torch.uint8).unflatten(1, self._shape)

        mark = self._settings.watermark
        if mark is None:
            return images
        return embed(images, key=mark.key, strength=mark.strength)

    @torch.inference_mode()
    def metrics(self, samples: Samples, *, generation0: GenerativeModel, seed: int) -> Measures:
        """Look at the samples with generation 0's encoder.

        latent_sigma  standard deviation of the encoded means over the samples, mean over latents
                      (Shumailov et al. 2024 follow it: .674 in generation 0, .433 in generation
                      4, on MNIST)
        """
        if not isinstance(generation0, VaeModel):
            reason = "generation 0's model is no autoencoder"
            return Measures({"latent_sigma": None}, {"latent_sigma": reason})

        encoder = generation0.network
        batches = _batches(encoder, samples)
        means = torch.cat([encoder.encode(images)[0].cpu() for images in batches])
        if len(means) < 2:
            return Measures({"latent_sigma": None}, {"latent_sigma": "a spread needs two samples"})
        sigma, error = mean_deviation(means)
        return Measures({"latent_sigma": sigma, "latent_sigma_se": error})

    @torch.inference_mode()
    def log_density(self, samples: Samples) -> Tensor:
        """Return the evidence lower bound of each image, in nats, float64 [N].

        The noise of image i is that of (0, i).
        """
        bounds = []
        first = 0
        for images in _batches(self.network, samples):
            noise = seeds.normal(self.noise_shape, range(first, first + len(images)), seed=0)
            bound = self.network.bound(images, noise.to(images.device))
            bounds.append(bound.double().cpu())
            first += len(images)
        return torch.cat(bounds)

    def description(self) -> Mapping[str, Any]:
        """Return the settings, the shape of an image and how the fit went."""
        return {
            "kind": "vae",
            "settings": self._settings.model_dump(),
            "shape": list(self._shape),
            "training": self._training,
        }

    @classmethod
    def restore(cls, description: Mapping[str, Any], path: Path) -> VaeModel:  # noqa: D102
        fitted = VaeDescription.model_validate(description)
        model = cls(fitted.settings)
        with torch.device("meta"):
            network = model.new_network(fitted.shape)
        network = fill_network(network, path / WEIGHTS).to(device())
        return model._around(network, fitted.shape, fitted.training)


def _possible_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    if torch.Size(shape).numel() > LARGEST_SIZE:
        raise ValueError(f"no image has the shape {shape}")
    return shape


Side = Annotated[int, Field(ge=1, le=65_536)]


class VaeDescription(BaseModel):
    """What imglab.json says of an autoencoder."""

    settings: VaeSettings
    shape: Annotated[tuple[Side, Side, Side], AfterValidator(_possible_shape)]
    training: dict[str, Any]


def _recipe(plan: VaeTrainingSettings) -> Recipe:
    """Return how a plan trains: by Adam, whose gradients are not scaled down."""
    recipe = Recipe.from_plan(plan, examples=plan.images, unit="images")
    return replace(recipe, weight_decay=0.0, max_norm=float("inf"))


def _layers(widths: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers)


def _scaled(images: Tensor) -> Tensor:
    """Return images, uint8 [N, C, H, W], as float32 [N, P] in [0, 1]."""
    return images.flatten(1).float() / 255


def _batches(network: Vae, samples: Samples) -> Iterator[Tensor]:
    """Yield images as float32 [B, P] in [0, 1], on the network's device."""
    place = next(network.parameters()).device
    for images in samples.data.split(BATCH):
        yield _scaled(images).to(place)


def mean_deviation(values: Tensor) -> tuple[float, float]:
    """Return the mean over columns of the standard deviation of [N, L] values, and its error.

    The standard error is that of the delta method: it takes into account that columns may be
    correlated.
    """
    centred = values.double() - values.double().mean(0)
    deviations = centred.std(0)

    scale = 2 * deviations.clamp(min=torch.finfo(torch.float64).tiny)
    influence = ((centred.square() - deviations.square()) / scale).mean(1)
    error = influence.std() / len(centred) ** 0.5
    return float(deviations.mean()), float(error)
