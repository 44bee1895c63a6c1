"""A variational autoencoder of fully connected layers: the second image model, and the one of the first study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from imglab import seeds
from imglab.errors import InputError, Problem
from imglab.images.settings import VaeSettings
from imglab.images.watermark import check_watermark, embed
from imglab.measures import Measures
from imglab.modality import Modality
from imglab.model import GenerativeModel
from imglab.progress import Progress, Stage
from imglab.samples import Samples, TrainingSet
from imglab.training import hub
from imglab.training.steps import (
    Batches,
    batch_shard,
    check_norm,
    device,
    divided,
    fit_state,
    gathered,
    mean_loss,
    new_accelerator,
    prepared,
    restore_fit,
    set_learning_rate,
    step_count,
)

BATCH = 1024


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
        """Return the evidence lower bound of each image, [N], in nats; noise [N, L] is standard normal."""
        mean, log_variance = self.encode(images)
        logits = self.decoder(mean + (log_variance / 2).exp() * noise)
        surprise = nn.functional.binary_cross_entropy_with_logits(
            logits, images, reduction="none"
        ).sum(1)
        divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1)
        return -(surprise + divergence)

    def forward(self, images: Tensor, noise: Tensor) -> Tensor:
        """Return the loss: the mean negative bound."""
        return -self.bound(images, noise).mean()


class VaeModel(GenerativeModel):
    """Learns images through a few latent numbers; draws the decoder's expected pixels."""

    def __init__(
        self,
        settings: VaeSettings,
        modality: Modality | None = None,
        *,
        network: Vae | None = None,
        shape: tuple[int, ...] = (),
        training: Mapping[str, Any] | None = None,
    ) -> None:
        """Make a model for `modality`, or around the fitted `network` for images of `shape`."""
        self._settings = settings
        self._network = network
        self._shape = shape
        self._training = dict(training or {})
        if modality is not None:
            self._shape = modality.spec.shape
            if len(self._shape) != 3 or modality.spec.dtype != torch.uint8:
                problem = Problem(
                    "model.kind",
                    "this autoencoder draws images",
                    "use it with modality.kind: image",
                )
                raise InputError(problem)
            check_watermark(settings.watermark, self._shape)

    @property
    def network(self) -> Vae:
        """The fitted network."""
        if self._network is None:
            raise ValueError("the model has not been fitted")
        return self._network

    @property
    def training(self) -> Mapping[str, Any]:
        """Images seen in the fit, and whether the budget was given in images or epochs."""
        return self._training

    def fit(
        self,
        train: TrainingSet,
        *,
        start: GenerativeModel | None,
        seed: int,
        resume: dict[str, Tensor] | None = None,
    ) -> Stage[GenerativeModel]:
        """Raise the evidence lower bound of batches of `train` until the budget of images is spent."""
        plan = self._settings.training if start is None else self._settings.fine_tuning
        steps = step_count(plan, len(train), plan.images)
        accelerator = new_accelerator()
        with seeds.isolated(seed, "weights"):
            network = Vae(_pixels(train.shape), self._settings)
        if start is not None:
            network.load_state_dict(self.check_start(start).network.state_dict())
        learner = divided(network.train())
        fused, weights = (
            accelerator.device.type in ("cpu", "cuda"),
            dict(learner.named_parameters()),
        )
        optimizer = torch.optim.Adam(weights.values(), lr=plan.learning_rate, fused=fused)
        joined, optimizer = prepared(accelerator, learner, optimizer)
        batches, first = Batches(train, plan.batch, seed), 0
        if resume is not None:
            first = restore_fit(resume, weights, list(weights.values()), optimizer)
        for step in range(first, steps):
            images = _scaled(batches[step].data).to(accelerator.device)
            noise = torch.randn(
                len(images), self._settings.latent, generator=seeds.generator(seed, "noise", step)
            )
            rows, weight = batch_shard(len(images))
            loss = joined(images[rows], noise.to(accelerator.device)[rows]) * weight
            set_learning_rate(optimizer, step / steps, plan)
            optimizer.zero_grad()
            accelerator.backward(loss)
            gradients = [weight.grad for weight in weights.values() if weight.grad is not None]
            check_norm(nn.utils.get_total_norm(gradients), step * plan.batch)
            optimizer.step()
            state = partial(fit_state, step + 1, weights, optimizer)
            seen, told = (step + 1) * plan.batch, mean_loss(float(loss.detach()))
            yield Progress("fit", seen, steps * plan.batch, told, state)
        training = {
            "samples_seen": steps * plan.batch,
            "budget": "epochs" if plan.epochs else "images",
        }
        gathered(learner, network)
        return VaeModel(
            self._settings, network=network.eval(), shape=train.shape, training=training
        )

    def check_start(self, start: GenerativeModel) -> VaeModel:
        """Raise ValueError unless `start` is an autoencoder of these layers for this shape of image."""
        if not isinstance(start, VaeModel):
            raise ValueError(f"an autoencoder cannot start from a {type(start).__name__}")
        theirs, ours = start._settings, self._settings
        if (theirs.latent, theirs.hidden) != (ours.latent, ours.hidden):
            what = f"hidden {theirs.hidden}, latent {theirs.latent} instead of {ours.hidden}, {ours.latent}"
            raise ValueError(f"its network is another one: {what}")
        if self._shape and start._shape != self._shape:
            raise ValueError(f"it draws images of {start._shape} instead of {self._shape}")
        return start

    @torch.inference_mode()
    def draw(self, indices: range, *, conditions: Tensor | None, seed: int) -> Iterator[Samples]:
        """Yield the decoder's expected images of latents of (seed, i), rounded once to uint8."""
        for at in range(0, len(indices), BATCH):
            part = indices[at : at + BATCH]
            latents = (
                seeds.normal((self._settings.latent,), part, seed=seed)
                * self._settings.sampling_bias**0.5
            )
            shares = self.network.decoder(latents.to(_device_of(self.network))).sigmoid().cpu()
            images = (shares * 255).round().to(torch.uint8).unflatten(1, self._shape)
            mark = self._settings.watermark
            yield Samples.drawn(images if mark is None else embed(images, **mark.model_dump()))

    @torch.inference_mode()
    def metrics(self, samples: Samples, *, generation0: GenerativeModel, seed: int) -> Measures:
        """Look at the samples with generation 0's encoder.

        latent_sigma  standard deviation of the encoded means over the samples, mean over latents (Shumailov et al.
                      2024 follow it: .674 in generation 0, .433 in generation 4, on MNIST)
        """
        if not isinstance(generation0, VaeModel):
            return Measures(
                {"latent_sigma": None}, {"latent_sigma": "generation 0's model is no autoencoder"}
            )
        means = torch.cat(
            [generation0.network.encode(batch)[0].cpu() for batch in generation0._batches(samples)]
        )
        if len(means) < 2:
            return Measures({"latent_sigma": None}, {"latent_sigma": "a spread needs two samples"})
        sigma, error = mean_deviation(means)
        return Measures({"latent_sigma": sigma, "latent_sigma_se": error})

    @torch.inference_mode()
    def log_density(self, samples: Samples) -> Tensor:
        """Return the evidence lower bound of each image, float64 [N], with noise of its place among them."""
        bounds, done = [], 0
        for batch in self._batches(samples):
            noise = seeds.normal((self._settings.latent,), range(done, done + len(batch)), seed=0)
            bounds.append(self.network.bound(batch, noise.to(batch.device)).double().cpu())
            done += len(batch)
        return torch.cat(bounds)

    def _batches(self, samples: Samples) -> Iterator[Tensor]:
        for images in samples.data.split(BATCH):
            yield _scaled(images).to(_device_of(self.network))

    def weights(self) -> Mapping[str, Tensor]:  # noqa: D102
        return {name: tensor.cpu() for name, tensor in self.network.state_dict().items()}

    def description(self) -> Mapping[str, Any]:  # noqa: D102
        return {
            "kind": "vae",
            "settings": self._settings.model_dump(),
            "shape": list(self._shape),
            "training": self._training,
        }

    @classmethod
    def restore(cls, description: Mapping[str, Any], path: Path) -> VaeModel:  # noqa: D102
        settings, shape = VaeSettings(**description["settings"]), tuple(description["shape"])
        with torch.device("meta"):
            network = Vae(_pixels(shape), settings)
        network = hub.filled(network, path / "model.safetensors").to(device())
        return cls(settings, network=network, shape=shape, training=description["training"])


def _layers(widths: list[int]) -> nn.Sequential:
    pairs = pairwise(widths)
    return nn.Sequential(
        *(layer for before, after in pairs for layer in (nn.Linear(before, after), nn.ReLU()))
    )


def _scaled(images: Tensor) -> Tensor:
    """uint8 [N, C, H, W] as float32 [N, P] in [0, 1]."""
    return images.flatten(1).float() / 255


def _pixels(shape: tuple[int, ...]) -> int:
    return torch.Size(shape).numel()


def _device_of(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


def mean_deviation(values: Tensor) -> tuple[float, float]:
    """Return the mean over columns of the standard deviation of [N, L] values, and its standard error.

    The error is that of the delta method: it takes in that columns may be correlated.
    """
    moved = values.double() - values.double().mean(0)
    each = moved.std(0)
    influence = (
        (moved.square() - each.square()) / (2 * each.clamp(min=torch.finfo(torch.float64).tiny))
    ).mean(1)
    return float(each.mean()), float(influence.std() / len(moved) ** 0.5)
