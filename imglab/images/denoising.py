"""What all diffusion models share: fitting a network that removes noise, and drawing with it."""

from __future__ import annotations

import inspect
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

import torch
from accelerate import Accelerator
from accelerate.utils.memory import should_reduce_batch_size
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from imglab import distributed, seeds
from imglab.config.section import LoraSettings
from imglab.errors import Stopped
from imglab.images.settings import DenoiserSettings, TrainingSettings
from imglab.images.watermark import embed
from imglab.progress import Progress, Stage
from imglab.samples import Samples, TrainingSet
from imglab.training.lora import merged, with_adapters
from imglab.training.steps import (
    Batches,
    check_batch,
    check_norm,
    divided,
    fit_state,
    gathered,
    mean_loss,
    new_accelerator,
    prepared,
    restore_fit,
    set_learning_rate,
    step_count,
    unwrapped,
)

NO_MEMORY = "there is no memory for one image at a time; what was finished is kept. Use smaller images or a smaller model"
NO_MOMENTS = "there is no memory for what AdamW keeps of each weight; use a smaller model, or lora"
MIDDLING = 128
log = logging.getLogger(__name__)


class Denoiser(ABC):
    """A network that predicts noise, in the space that it works in: pixels, or an autoencoder's latents.

    network  the part that is trained
    noising  how noise is added in training, and whether noise, velocity or the image is predicted
    shape    of what the network works on, for one image
    told     whether the network is told labels
    nobody   the label that stands for none, where there is one
    """

    by_block: ClassVar[bool] = True
    """Whether the network's blocks of layers are used as a whole alone."""

    def __init__(
        self,
        network: nn.Module,
        noising: DDPMScheduler,
        shape: tuple[int, ...],
        *,
        told: bool = False,
        nobody: int | None = None,
    ) -> None:
        self.network, self.noising, self.shape = network, noising, shape
        self.told, self.nobody = told, nobody

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    @abstractmethod
    def encode(self, images: Tensor, noise: Tensor) -> Tensor:
        """Bring images in [-1, 1], float32 [N, C, H, W], into its space; `noise`, of its shape, for a random code."""

    @abstractmethod
    def decode(self, found: Tensor) -> Tensor:
        """Bring what was drawn in its space back to images in [-1, 1]."""

    @abstractmethod
    def predict(
        self, network: nn.Module, noisy: Tensor, times: Tensor, labels: Tensor | None
    ) -> Tensor:
        """Return the prediction of `network`, its own or that one wrapped; `labels` may hold `nobody`."""


def autocast(settings: DenoiserSettings, device: torch.device) -> Any:
    """Return the context in which the network runs."""
    return torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16")


def fit_denoiser(
    denoiser: Denoiser,
    train: TrainingSet,
    plan: TrainingSettings,
    settings: DenoiserSettings,
    *,
    seed: int,
    lora: LoraSettings | None = None,
    resume: dict[str, Tensor] | None = None,
) -> Stage[int]:
    """Train the denoiser's network in place until the budget is spent; return how many images it has seen.

    What stays is the moving average of the weights. Of several processes each trains on its part of every batch, and
    all see the noise of the whole batch, so that the steps are those of one process up to rounding. Where memory runs
    out, a batch is worked on in parts, which gives the same step (but for dropout, where a network has it).
    """
    accelerator = new_accelerator()
    steps = step_count(plan, len(train), plan.images)
    network = denoiser.network.train().to(memory_format=torch.channels_last)
    if lora is not None:
        network = with_adapters(network, lora, seed)
    undivided, network = network, divided(network, by_block=denoiser.by_block)
    learned = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    fused = accelerator.device.type in ("cpu", "cuda")
    optimizer = torch.optim.AdamW(
        learned.values(), lr=plan.learning_rate, weight_decay=1e-2, fused=fused
    )
    if settings.compile is True:
        network.compile()
    network, optimizer = prepared(accelerator, network, optimizer)
    average = EMAModel(
        learned.values(),
        decay=settings.ema,
        use_ema_warmup=True,
        foreach=not distributed.is_sharded(),
    )
    average.to(accelerator.device)
    batches = Batches(train, plan.batch, seed)

    averaged = {f"average.{at}": tensor for at, tensor in enumerate(average.shadow_params)}
    weights = {**{f"network.{name}": weight for name, weight in learned.items()}, **averaged}
    first = 0
    if resume is not None:
        first = restore_fit(resume, weights, list(learned.values()), optimizer)
        average.optimization_step = first
    check_batch(plan.batch)
    parts = 1
    for step in range(first, steps):
        generator = seeds.generator(seed, "noise", step, device=accelerator.device)
        whole = _Step.of(batches[step], denoiser, settings, generator)
        set_learning_rate(optimizer, step / steps, plan)
        with seeds.isolated(seed, "dropout", step):
            loss, parts = _backward(
                accelerator, denoiser, network, optimizer, whole, settings, parts
            )
        check_norm(accelerator.clip_grad_norm_(learned.values(), 1.0), step * plan.batch)
        try:
            optimizer.step()
        except RuntimeError as error:  # in the first, which makes its moments
            if not should_reduce_batch_size(error):
                raise
            raise Stopped(NO_MOMENTS) from error
        average.step(learned.values())
        state = partial(fit_state, step + 1, weights, optimizer)
        yield Progress("fit", (step + 1) * plan.batch, steps * plan.batch, mean_loss(loss), state)

    average.copy_to(learned.values())
    network = gathered(unwrapped(accelerator, network), undivided)
    _forget_compiled(network)
    if lora is not None:
        network = merged(network)
    network.eval()
    return steps * plan.batch


def trial_steps(
    denoiser: Denoiser,
    train: TrainingSet,
    plan: TrainingSettings,
    settings: DenoiserSettings,
    lora: LoraSettings | None,
) -> Callable[[], object]:
    """Return what takes one step of a fit after the other, to be timed; the network is spoiled by it."""
    long = plan.model_copy(update={"epochs": None, "images": plan.batch * 1_000_000})
    return partial(next, fit_denoiser(denoiser, train, long, settings, seed=0, lora=lora))


def _forget_compiled(network: nn.Module) -> None:
    """Take back `Module.compile`: what was compiled cannot be copied, and is for training alone."""
    network._compiled_call_impl = None


@dataclass(frozen=True)
class _Step:
    """What a step trains on, a row for each image: all that is random in it is drawn for the whole batch at once."""

    images: Tensor
    labels: Tensor | None
    noise: Tensor
    code_noise: Tensor
    times: Tensor
    share: float = 1.0

    @classmethod
    def of(
        cls,
        batch: Samples,
        denoiser: Denoiser,
        settings: DenoiserSettings,
        generator: torch.Generator,
    ) -> _Step:
        device, n, last = generator.device, len(batch), denoiser.noising.config.num_train_timesteps
        noise = torch.randn(n, *denoiser.shape, generator=generator, device=device)
        # Times spread evenly over the batch: the same expectation as independent ones, less variance.
        spread = (
            torch.arange(n, device=device) + torch.rand(n, generator=generator, device=device)
        ) / n
        times = (spread * last).long().clamp(max=last - 1)
        hidden = torch.rand(n, generator=generator, device=device) < settings.label_dropout
        labels = None
        if denoiser.told:
            assert batch.condition is not None
            labels = batch.condition.to(device)
            labels = (
                labels if denoiser.nobody is None else torch.where(hidden, denoiser.nobody, labels)
            )
        images = batch.data.to(device)
        if settings.flip:
            turned = torch.rand(n, generator=generator, device=device) < 0.5
            images = torch.where(turned[:, None, None, None], images.flip(-1), images)
        code_noise = noise  # pixels have none
        if denoiser.shape != tuple(images.shape[1:]):
            code_noise = torch.randn(noise.shape, generator=generator, device=device)
        return cls(images, labels, noise, code_noise, times)

    def rows(self, rows: slice) -> _Step:
        """Return a part of the batch; `share` says which share of it."""
        labels = None if self.labels is None else self.labels[rows]
        images, noise, code_noise, times = (
            column[rows] for column in (self.images, self.noise, self.code_noise, self.times)
        )
        return _Step(images, labels, noise, code_noise, times, share=len(images) / len(self.images))


def _backward(
    accelerator: Accelerator,
    denoiser: Denoiser,
    network: nn.Module,
    optimizer: Any,
    whole: _Step,
    settings: DenoiserSettings,
    parts: int,
) -> tuple[float, int]:
    """Leave this process's gradient of the batch's mean loss; return its weighted part of the loss, and the parts.

    Where memory runs out it begins again with twice as many parts.
    """
    n, world = len(whole.images), distributed.world_size()
    mine = distributed.shard(n)
    while True:
        edges = [mine.start + len(mine) * part // parts for part in range(parts + 1)]
        optimizer.zero_grad()
        try:
            total = 0.0
            for first, end in pairwise(edges):
                part = whole.rows(slice(first, end))
                with accelerator.no_sync(network) if end < mine.stop else nullcontext():
                    # Of several processes the gradients are averaged: each counts for its share of the batch.
                    loss = _loss(denoiser, network, part, settings) * (part.share * world)
                    accelerator.backward(loss)
                total += float(loss.detach())
            return total, parts
        except RuntimeError as error:
            if not should_reduce_batch_size(error):
                raise
            if parts >= len(mine) or world > 1:
                raise Stopped(
                    NO_MEMORY if world == 1 else f"{error}; use a smaller batch"
                ) from error
            parts = min(2 * parts, len(mine))
            log.warning(
                "out of memory in a fit: batches of %d are worked on in %d parts from here on",
                n,
                parts,
            )


def _loss(
    denoiser: Denoiser, network: nn.Module, step: _Step, settings: DenoiserSettings
) -> Tensor:
    with torch.no_grad():
        clean = denoiser.encode(step.images.float() / 127.5 - 1, step.code_noise)
    noisy: Tensor = denoiser.noising.add_noise(clean, step.noise, step.times)
    with autocast(settings, noisy.device):
        predicted = denoiser.predict(network, noisy, step.times, step.labels)
    return nn.functional.mse_loss(predicted.float(), _target(denoiser.noising, clean, step))


def _target(noising: DDPMScheduler, clean: Tensor, step: _Step) -> Tensor:
    if noising.config.prediction_type == "sample":
        return clean
    if noising.config.prediction_type == "flow":
        return step.noise - clean
    if noising.config.prediction_type == "v_prediction":
        velocity: Tensor = noising.get_velocity(clean, step.noise, step.times)
        return velocity
    return step.noise


@torch.inference_mode()
def draw_images(
    denoiser: Denoiser,
    sampler: Any,
    settings: DenoiserSettings,
    steps: int,
    indices: range,
    *,
    conditions: Tensor | None,
    seed: int,
) -> Iterator[Samples]:
    """Yield images: noise of (seed, i), denoised by `sampler` in so many steps, rounded once to uint8.

    Where memory runs out, it goes on with smaller batches: the same samples.
    """
    if denoiser.told and conditions is None:
        raise ValueError("a class-conditional model needs conditions")
    denoiser.network.to(
        memory_format=torch.channels_last
    )  # as it was fitted in: other layouts round differently
    if settings.compile is True:
        denoiser.network.compile()
    try:
        yield from _batches(denoiser, sampler, settings, steps, indices, conditions, seed)
    finally:
        _forget_compiled(denoiser.network)


def _batches(
    denoiser: Denoiser,
    sampler: Any,
    settings: DenoiserSettings,
    steps: int,
    indices: range,
    conditions: Tensor | None,
    seed: int,
) -> Iterator[Samples]:
    at, batch, mark = 0, sampling_batch(settings), settings.watermark
    while at < len(indices):
        part = slice(at, at + batch)
        generators = [seeds.generator(seed, index) for index in indices[part]]
        labels = conditions[part] if denoiser.told and conditions is not None else None
        try:
            found = rounded(_denoise(denoiser, sampler, settings, steps, generators, labels))
        except RuntimeError as error:
            batch = smaller_batch(error, len(generators))
            continue
        yield Samples.drawn(found if mark is None else embed(found, **mark.model_dump()), labels)
        at += len(generators)


def sampling_batch(settings: DenoiserSettings) -> int:
    """Return how many images are drawn at a time; a run measures what is `auto`, others take a middling number."""
    return MIDDLING if settings.sampling_batch == "auto" else settings.sampling_batch


def smaller_batch(error: RuntimeError, drawn: int) -> int:
    """Return the batch to go on with where memory ran out for `drawn` images; raise any other error again."""
    if not should_reduce_batch_size(error):
        raise error
    if drawn == 1:
        raise Stopped(NO_MEMORY) from error
    log.warning("out of memory in drawing: batches of %d images from here on", drawn // 2)
    return drawn // 2


def rounded(images: Tensor) -> Tensor:
    """Round images in [-1, 1] once to uint8, on the CPU."""
    return ((images / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).cpu()


def _denoise(
    denoiser: Denoiser,
    sampler: Any,
    settings: DenoiserSettings,
    steps: int,
    generators: list[torch.Generator],
    labels: Tensor | None,
) -> Tensor:
    device = denoiser.device
    noise = torch.stack(
        [torch.randn(denoiser.shape, generator=generator) for generator in generators]
    )
    sampler.set_timesteps(steps, device=device)
    images = noise.to(device) * sampler.init_noise_sigma
    draws = "generator" in inspect.signature(sampler.step).parameters
    extra = {"generator": generators} if draws else {}
    labels = None if labels is None else labels.to(device)
    for time in sampler.timesteps:
        predicted = guided(
            denoiser, settings, sampler.scale_model_input(images, time), time, labels
        )
        images = sampler.step(predicted, time, images, **extra).prev_sample
    return denoiser.decode(images)


def guided(
    denoiser: Denoiser,
    settings: DenoiserSettings,
    images: Tensor,
    time: Tensor,
    labels: Tensor | None,
) -> Tensor:
    """Return the prediction at a time, led away from that for no label where `sampling_bias` is below 1."""
    times = time.to(images.device).expand(len(images))
    images = images.to(next(denoiser.network.parameters()).dtype)
    bias = settings.sampling_bias or 1.0
    with autocast(settings, images.device):
        if labels is None or denoiser.nobody is None or bias == 1:
            return denoiser.predict(denoiser.network, images, times, labels).float()
        both = torch.cat([labels, torch.full_like(labels, denoiser.nobody)])
        twice = denoiser.predict(denoiser.network, images.repeat(2, 1, 1, 1), times.repeat(2), both)
    told, untold = twice.float().chunk(2)
    return told + (1 / bias - 1) * (told - untold)


SAMPLERS = {
    "ddim": DDIMScheduler,
    "ddpm": DDPMScheduler,
    "dpm-solver++": DPMSolverMultistepScheduler,
}
"""The samplers that a config may name."""
