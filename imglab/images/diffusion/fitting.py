"""Training a denoiser: which noise a step adds to its images, and what the network predicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn

from imglab import seeds
from imglab.config.section import LoraSettings
from imglab.images.diffusion.denoiser import Denoiser
from imglab.images.settings import DenoiserSettings, TrainingSettings
from imglab.progress import Stage
from imglab.samples import Samples, TrainingSet
from imglab.training.devices import device
from imglab.training.fit import Batch, Fitted, fit
from imglab.training.recipe import Recipe


def fit_denoiser(
    denoiser: Denoiser,
    train: TrainingSet,
    plan: TrainingSettings,
    settings: DenoiserSettings,
    *,
    seed: int,
    lora: LoraSettings | None = None,
    resume: dict[str, Tensor] | None = None,
) -> Stage[Fitted]:
    """Train the denoiser's network in place until the budget of images is spent.

    The fitted weights are the moving average of the trained ones.
    """
    recipe = replace(
        Recipe.from_plan(plan, examples=plan.images, unit="images"),
        ema=settings.ema,
        bf16=settings.precision == "bf16",
        compile=settings.compile is True,
        channels_last=True,
        shard_blocks=denoiser.shard_blocks,
        lora=lora,
    )

    objective = Denoising(denoiser, settings, seed, device())
    return fit(denoiser.network, objective, train, recipe, seed=seed, resume=resume)


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


@dataclass(frozen=True)
class Denoising:
    """Trains a network to predict the noise that was added to images (Ho et al. 2020)."""

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
        """Draw a time for each image, int64 [n].

        They are spread evenly over the batch: the same expectation as independent times have, and
        less variance.
        """
        last: int = self.denoiser.noising.config.num_train_timesteps
        spread = (torch.arange(n, device=self.device) + self._chance(n, generator)) / n
        return (spread * last).long().clamp(max=last - 1)

    def _labels(self, samples: Samples, hidden: Tensor) -> Tensor:
        """Return the labels, with `null_label` in place of the hidden ones where there is one."""
        assert samples.condition is not None
        labels = samples.condition.to(self.device)
        if self.denoiser.null_label is None:
            return labels
        return torch.where(hidden, self.denoiser.null_label, labels)

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the mean squared error of what the network predicts."""
        noise = batch["noise"]
        times = batch["times"]
        # An autoencoder works in its own precision.
        with torch.no_grad(), torch.autocast(noise.device.type, enabled=False):
            clean = self.denoiser.encode(batch["images"].float() / 127.5 - 1, batch["code_noise"])

        noising = self.denoiser.noising
        noisy: Tensor = noising.add_noise(clean, noise, times)
        predicted = self.denoiser.predict(network, noisy, times, batch.get("labels"))
        target = _target(noising, clean, noise, times)
        return nn.functional.mse_loss(predicted.float(), target)


def _target(noising: DDPMScheduler, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
    """Return what the network should predict, by the prediction type of the noising."""
    prediction = noising.config.prediction_type
    if prediction == "sample":
        return clean
    if prediction == "flow":
        return noise - clean

    if prediction == "v_prediction":
        velocity: Tensor = noising.get_velocity(clean, noise, times)
        return velocity
    return noise
