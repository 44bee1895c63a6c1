"""Training a denoiser: which noise a step adds to its images, and what the network predicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from imglab import seeds
from imglab.config.section import LoraSettings
from imglab.images.diffusion.denoiser import Denoiser, memory_format
from imglab.images.diffusion.noising import wide
from imglab.images.diffusion.settings import DenoiserSettings
from imglab.images.model_settings import TrainingSettings
from imglab.model import GenerativeModel
from imglab.progress import Stage
from imglab.samples import Samples, TrainingSet
from imglab.training.batches import WEIGHT
from imglab.training.devices import device
from imglab.training.fit import Fitted, fit
from imglab.training.recipe import Recipe
from imglab.training.trainer import Batch


def fit_denoiser(
    denoiser: Denoiser,
    train: TrainingSet,
    plan: TrainingSettings,
    settings: DenoiserSettings,
    *,
    seed: int,
    lora: LoraSettings | None = None,
    resume: dict[str, Tensor] | None = None,
    around: Callable[[Any], GenerativeModel] | None = None,
) -> Stage[Fitted]:
    """Train the denoiser's network in place until the budget of images is spent.

    The fitted weights are the moving average of the trained ones. `around` is that of `fit`.
    """
    recipe = replace(
        Recipe.from_plan(plan, examples=plan.images, unit="images"),
        ema=settings.ema,
        bf16=settings.precision == "bf16",
        compile=settings.compile is True,
        half_life=settings.half_life,
        channels_last=memory_format(settings) is torch.channels_last,
        shard_blocks=denoiser.shard_blocks,
        lora=lora,
    )

    objective = Denoising(denoiser, settings, seed, device())
    return fit(
        denoiser.network,
        objective,
        train,
        recipe,
        seed=seed,
        resume=resume,
        around=around,
        in_threads=True,
    )


def trial_steps(
    denoiser: Denoiser,
    train: TrainingSet,
    plan: TrainingSettings,
    settings: DenoiserSettings,
    lora: LoraSettings | None,
) -> Callable[[], object]:
    """Return a function that takes the next step of a fit, to be timed; it spoils the network."""
    endless = plan.model_copy(update={"epochs": None, "images": plan.batch * 1_000_000})
    return partial(next, fit_denoiser(denoiser, train, endless, settings, seed=0, lora=lora))


MIN_SNR = 5.0
"""Largest weight of the clean image's error (Hang et al. 2023)."""


@dataclass(frozen=True)
class Denoising:
    """Trains a network to predict what its noising asks for of noisy images (Ho et al. 2020)."""

    denoiser: Denoiser
    settings: DenoiserSettings
    seed: int
    device: torch.device

    def batch(self, samples: Samples, step: int) -> Batch:
        """Return images and labels as the step sees them, with noise and times.

        All of it is drawn from (seed, step), in this order whatever the settings are.
        """
        n = len(samples)
        generator = seeds.generator(self.seed, "noise", step, device=self.device)
        noise = torch.randn(n, *self.denoiser.shape, generator=generator, device=self.device)
        times = self._times(n, generator)
        hidden = self._chance(n, generator) < self.settings.label_dropout

        images = samples.data.to(self.device)
        if self.settings.flip:
            turned = self._chance(n, generator) < 0.5
            images = torch.where(turned[:, None, None, None], images.flip(-1), images)

        # Pixels need no random code.
        code_noise = noise
        if self.denoiser.shape != tuple(images.shape[1:]):
            code_noise = torch.randn(noise.shape, generator=generator, device=self.device)

        batch = {"images": images, "noise": noise, "code_noise": code_noise, "times": times}
        if self.denoiser.conditional:
            batch["labels"] = self._labels(samples, hidden)
        return batch

    def _chance(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n numbers in [0, 1)."""
        return torch.rand(n, generator=generator, device=self.device)

    def _times(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw a time for each image, [n].

        They are spread evenly over the batch: the same expectation as independent times have, and
        less variance.
        """
        spread = (torch.arange(n, device=self.device) + self._chance(n, generator)) / n
        return self.denoiser.noising.times(spread, self.settings.noise_levels)

    def _labels(self, samples: Samples, hidden: Tensor) -> Tensor:
        """Return the labels, with `null_label` in place of the hidden ones where there is one."""
        assert samples.condition is not None
        labels = samples.condition.to(self.device)
        if self.denoiser.null_label is None:
            return labels
        return torch.where(hidden, self.denoiser.null_label, labels)

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the mean squared error of what the network predicts, weighted where asked for."""
        noise = batch["noise"]
        times = batch["times"]
        # An autoencoder works in its own precision.
        with torch.no_grad(), torch.autocast(noise.device.type, enabled=False):
            clean = self.denoiser.encode(batch["images"].float() / 127.5 - 1, batch["code_noise"])

        noising = self.denoiser.noising
        noisy: Tensor = noising.add_noise(clean, noise, times)
        predicted = self.denoiser.predict(network, noisy, times, batch.get("labels"))
        target = noising.target(clean, noise, times)
        weights = noising.weights(times)
        if self.settings.loss_weight == "min_snr":
            weights = noising.min_snr(times, most=MIN_SNR)
        weights = _product(weights, batch.get(WEIGHT))
        if weights is None:
            return nn.functional.mse_loss(predicted.float(), target)
        return (wide(weights, target) * (predicted.float() - target) ** 2).mean()


def _product(one: Tensor | None, two: Tensor | None) -> Tensor | None:
    """Return the product of the weights that there are; None: there are none."""
    if one is None or two is None:
        return two if one is None else one
    return one * two
