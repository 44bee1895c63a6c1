"""What `auto` stands for in a diffusion model's section: measured on this machine, with its network and batch."""

from __future__ import annotations

import copy
import math
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeAlias

import torch
from accelerate.utils.memory import should_reduce_batch_size

from imglab import seeds
from imglab.config.section import LoraSettings
from imglab.images.denoising import Denoiser, guided, trial_steps
from imglab.images.settings import DenoiserSettings, TrainingSettings
from imglab.model import Choice
from imglab.samples import TrainingSet
from imglab.training.steps import device, step_count

TIMED = 4
"""Steps of which the median counts, after one that does not."""
FASTER = 1.1
"""How many times faster something must be to be chosen over what is exact, or plain."""
WORTH_A_TRIAL = 300.0
"""Seconds of plain training below which compiling is not tried: warming up alone takes a good part of a minute."""
SAMPLING_BATCHES = (64, 128, 256, 512, 1024, 2048)
SLOWER = 1.05
"""A larger batch must make an image at least so many times cheaper."""
Timed: TypeAlias = Callable[[DenoiserSettings], tuple[float, float]]
"""Gives the seconds of the first step and the median of those that follow, under other settings."""


def choices(
    denoiser: Denoiser,
    train: TrainingSet,
    settings: DenoiserSettings,
    fits: Iterator[TrainingSettings],
    *,
    lora: LoraSettings | None = None,
) -> dict[str, Choice]:
    """Return what the keys that are `auto` become, and why.

    denoiser  around a network that may be spoiled
    fits      the plan of each fit of the run
    lora      how the fits adapt the network, if they do
    """
    found: dict[str, Choice] = {}
    plans = list(fits)
    steps = sum(step_count(plan, len(train), plan.images) for plan in plans)
    timed = partial(_step_seconds, denoiser, train, plans[0], lora)
    if settings.precision == "auto":
        found["precision"] = _precision(timed, settings)
        settings = settings.model_copy(update={"precision": found["precision"].value})
    if settings.compile == "auto":
        found["compile"] = _compile(timed, settings, len(plans), steps)
        settings = settings.model_copy(update={"compile": found["compile"].value})
    if settings.sampling_batch == "auto":
        found["sampling_batch"] = _sampling_batch(denoiser, settings)
    return found


def _precision(timed: Timed, settings: DenoiserSettings) -> Choice:
    seconds = {
        name: timed(settings.model_copy(update={"precision": name, "compile": False}))[1]
        for name in ("fp32", "bf16")
    }
    times = seconds["fp32"] / seconds["bf16"]
    return Choice(
        "bf16" if times >= FASTER else "fp32",
        f"a step in bf16 is {times:.2f} times as fast as in fp32",
    )


def _compile(timed: Timed, settings: DenoiserSettings, fits: int, steps: int) -> Choice:
    plain = timed(settings.model_copy(update={"compile": False}))[1] * steps
    if plain < WORTH_A_TRIAL:
        return Choice(
            False,
            f"all fits together take about {plain:.0f} s: warming up would cost more than it saves",
        )
    try:
        first, each = timed(settings.model_copy(update={"compile": True}))
    except Exception as error:  # a compiler that is missing or fails raises anything
        return Choice(
            False, f"compiling failed: {type(error).__name__}: {str(error).splitlines()[0][:200]}"
        )
    compiled = first * fits + each * steps
    told = f"all fits: about {plain:.0f} s as they are, {compiled:.0f} s compiled (each warms up for {first:.0f} s)"
    return Choice(plain / compiled >= FASTER, told)


def _step_seconds(
    denoiser: Denoiser,
    train: TrainingSet,
    plan: TrainingSettings,
    lora: LoraSettings | None,
    settings: DenoiserSettings,
) -> tuple[float, float]:
    """Return the seconds of the first step and the median of those that follow."""
    trial = copy.copy(denoiser)
    trial.network = copy.deepcopy(denoiser.network)
    step = trial_steps(trial, train, plan, settings, lora)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # the compiler has much to say that is meant for its own users
        first, *others = [_seconds(step) for _ in range(TIMED + 2)]
    return first, statistics.median(others[1:])


@torch.inference_mode()
def _sampling_batch(denoiser: Denoiser, settings: DenoiserSettings) -> Choice:
    denoiser.network.eval().to(device()).to(memory_format=torch.channels_last)
    best, cheapest = 0, math.inf
    for batch in SAMPLING_BATCHES:
        each = _image_seconds(denoiser, settings, batch)
        if each is None:
            best = best or _largest(denoiser, settings, batch // 2)
            return Choice(best, f"{2 * best} images at a time do not fit into memory")
        if each * SLOWER > cheapest:
            return Choice(
                best,
                f"{batch} images at a time are no cheaper: {each * 1e3:.2g} ms an image and step",
            )
        best, cheapest = batch, each
    return Choice(best, "the largest that was tried is the cheapest")


def _largest(denoiser: Denoiser, settings: DenoiserSettings, batch: int) -> int:
    """Return the largest batch that fits into memory: this one, or halved as often as it takes."""
    while batch > 1 and _image_seconds(denoiser, settings, batch) is None:
        batch //= 2
    return batch


def _image_seconds(denoiser: Denoiser, settings: DenoiserSettings, batch: int) -> float | None:
    """Return the seconds that an image and step takes in batches of this size; None where memory runs out."""
    try:
        images = torch.randn(batch, *denoiser.shape, generator=seeds.generator("trial")).to(
            device()
        )
        labels = (
            torch.zeros(batch, dtype=torch.int64, device=images.device) if denoiser.told else None
        )
        once = partial(
            guided, denoiser, settings, images, torch.tensor(1, device=images.device), labels
        )
        _seconds(once)
        return statistics.median(_seconds(once) for _ in range(3)) / batch
    except RuntimeError as error:
        if not should_reduce_batch_size(error):
            raise
        return None


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began
