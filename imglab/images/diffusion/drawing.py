"""Drawing images with a denoiser: samplers, guidance, and batches that fit into memory."""

from __future__ import annotations

import copy
import inspect
import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from imglab import seeds
from imglab.errors import Stopped
from imglab.images.diffusion.denoiser import Denoiser, autocast, memory_format
from imglab.images.diffusion.karras import KarrasSampler
from imglab.images.diffusion.noising import Noising
from imglab.images.diffusion.settings import DenoiserSettings
from imglab.images.watermark import embed
from imglab.samples import Samples
from imglab.training.devices import forget_compiled
from imglab.training.memory import is_out_of_memory
from imglab.training.threads import Threads
from imglab.training.trainer import NO_MEMORY

SAMPLERS = {
    "ddim": "DDIMScheduler",
    "ddpm": "DDPMScheduler",
    "dpm-solver++": "DPMSolverMultistepScheduler",
    "heun": "HeunDiscreteScheduler",
}
"""Schedulers of diffusers by the name of their sampler."""

DEFAULT_BATCH = 128
"""Images drawn at a time where `sampling_batch` is `auto` and no run has measured it."""

CPU_ROWS = 64
"""Images that a thread draws at a time: what it computes of them stays in its cache."""

DrawBatch: TypeAlias = Callable[[list[torch.Generator], Tensor | None], Tensor]
"""Draws one image for each generator, given their labels: returns images in [-1, 1]."""

log = logging.getLogger(__name__)


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
    """Yield images: noise of (seed, i), denoised by `sampler` in so many steps.

    They are rounded once, to uint8. Where memory runs out, it goes on with smaller batches, which
    give the same samples.

    sampler  a scheduler of diffusers, or a `KarrasSampler`
    """
    if denoiser.conditional and conditions is None:
        raise ValueError("a class-conditional model needs conditions")
    if not denoiser.conditional:
        conditions = None

    def draw(generators: list[torch.Generator], labels: Tensor | None) -> Tensor:
        # A scheduler of diffusers counts its steps.
        fresh = copy.deepcopy(sampler)
        return _denoise(denoiser, fresh, settings, steps, generators, labels)

    draw_batch: DrawBatch = draw
    if denoiser.device.type == "cpu" and settings.compile is not True:
        draw_batch = in_threads(draw)

    # The memory layout in which it was fitted: others round differently.
    denoiser.network.to(memory_format=memory_format(settings))
    if settings.compile is True:
        denoiser.network.compile()
    try:
        yield from draw_in_batches(draw_batch, settings, indices, conditions=conditions, seed=seed)
    finally:
        forget_compiled(denoiser.network)


def in_threads(draw: DrawBatch) -> DrawBatch:
    """Return what draws the same images on a CPU, each thread a few of them at a time."""
    threads = Threads(torch.device("cpu"))

    def shared_out(generators: list[torch.Generator], labels: Tensor | None) -> Tensor:
        @torch.inference_mode()
        def part(rows: range) -> Tensor:
            some = slice(rows.start, rows.stop)
            if labels is None:
                return draw(generators[some], None)
            return draw(generators[some], labels[some])

        return torch.cat(threads.map(part, threads.shares(range(len(generators)), CPU_ROWS)))

    return shared_out


def draw_in_batches(
    draw: DrawBatch,
    settings: DenoiserSettings,
    indices: range,
    *,
    conditions: Tensor | None,
    seed: int,
) -> Iterator[Samples]:
    """Yield images in batches, which become smaller where memory runs out; mark them if asked to.

    Each image is drawn from a generator of (seed, i), and rounded once, to uint8.
    """
    first = 0
    batch = sampling_batch(settings)
    mark = settings.watermark

    while first < len(indices):
        part = slice(first, first + batch)
        generators = [seeds.generator(seed, index) for index in indices[part]]
        labels = None
        if conditions is not None:
            labels = conditions[part]

        try:
            images = rounded(draw(generators, labels))
        except RuntimeError as error:
            batch = _smaller_batch(error, len(generators))
            continue

        if mark is not None:
            images = embed(images, key=mark.key, strength=mark.strength)
        yield Samples.drawn(images, labels)
        first += len(generators)


def sampling_batch(settings: DenoiserSettings) -> int:
    """Return how many images are drawn at a time.

    A run measures what is `auto` before generation 0; outside of a run a default is taken.
    """
    if settings.sampling_batch == "auto":
        return DEFAULT_BATCH
    return settings.sampling_batch


def _smaller_batch(error: RuntimeError, drawn: int) -> int:
    """Return the batch to go on with where memory ran out; raise any other error again.

    drawn  images in the batch for which memory ran out
    """
    if not is_out_of_memory(error):
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
    """Return images in [-1, 1], one for each generator."""
    codes = _noise(denoiser, generators)
    if labels is not None:
        labels = labels.to(denoiser.device)

    predict = partial(guided, denoiser, settings, labels=labels)
    if isinstance(sampler, KarrasSampler):
        fresh = partial(_noise, denoiser, generators)
        codes = sampler.draw(partial(_clean, denoiser.noising, predict), codes, steps, fresh)
    else:
        codes = _scheduled(sampler, predict, codes, steps, generators)
    return denoiser.decode(codes)


def _noise(denoiser: Denoiser, generators: list[torch.Generator]) -> Tensor:
    """Return standard normal noise, from each image's own generator."""
    noise = [torch.randn(denoiser.shape, generator=generator) for generator in generators]
    return torch.stack(noise).to(denoiser.device)


def _scheduled(
    scheduler: Any,
    predict: Callable[[Tensor, Tensor], Tensor],
    noise: Tensor,
    steps: int,
    generators: list[torch.Generator],
) -> Tensor:
    """Return what a scheduler of diffusers draws with what is predicted of codes at a time."""
    scheduler.set_timesteps(steps, device=noise.device)
    is_plain = is_flow(scheduler)
    codes = noise
    if not is_plain:
        codes = noise * scheduler.init_noise_sigma

    # Some samplers add noise in each step.
    randomness = {}
    if "generator" in inspect.signature(scheduler.step).parameters:
        randomness["generator"] = generators

    for time in scheduler.timesteps:
        scaled = codes
        if not is_plain:
            scaled = scheduler.scale_model_input(codes, time)
        codes = scheduler.step(predict(scaled, time), time, codes, **randomness).prev_sample
    return codes


def is_flow(scheduler: Any) -> bool:
    """Say whether a scheduler is of rectified flow: it scales neither noise nor what is read."""
    from diffusers import FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler

    flows = (FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler)
    return isinstance(scheduler, flows)


def _clean(
    noising: Noising,
    predict: Callable[[Tensor, Tensor], Tensor],
    codes: Tensor,
    sigma: Tensor,
) -> Tensor:
    """Return what is clean in codes with noise of deviation `sigma`, of any objective."""
    time, a = noising.at(sigma)
    noisy = a * codes
    return noising.clean(noisy, predict(noisy, time), a, sigma * a)


def guided(
    denoiser: Denoiser,
    settings: DenoiserSettings,
    codes: Tensor,
    time: Tensor,
    labels: Tensor | None,
) -> Tensor:
    """Return the prediction at a time, float32, of the shape of `codes`.

    Where `sampling_bias` is below 1 and there is a label for none, it is led away from the
    prediction for none: p + (1 / bias - 1) (p - p_none), by classifier-free guidance (Ho and
    Salimans 2022).
    """
    network = denoiser.network
    times = time.to(codes.device).expand(len(codes))
    codes = codes.to(next(network.parameters()).dtype)
    bias = settings.sampling_bias or 1.0

    with autocast(settings, codes.device):
        if labels is None or denoiser.null_label is None or bias == 1:
            return denoiser.predict(network, codes, times, labels).float()
        both = torch.cat([labels, torch.full_like(labels, denoiser.null_label)])
        predicted = denoiser.predict(network, codes.repeat(2, 1, 1, 1), times.repeat(2), both)

    labelled, unlabelled = predicted.float().chunk(2)
    return labelled + (1 / bias - 1) * (labelled - unlabelled)
