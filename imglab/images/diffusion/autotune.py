"""What `auto` stands for in a diffusion model's section.

It is measured on this machine, with the model's own network and batch.
"""

from __future__ import annotations

import copy
import math
import statistics
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeAlias

import torch

from imglab import seeds
from imglab.config.section import LoraSettings
from imglab.errors import first_line
from imglab.images.diffusion.denoiser import Denoiser, memory_format
from imglab.images.diffusion.drawing import guided
from imglab.images.diffusion.fitting import trial_steps
from imglab.images.diffusion.settings import DenoiserSettings
from imglab.images.model_settings import TrainingSettings
from imglab.model import Choice
from imglab.progress import report
from imglab.samples import TrainingSet
from imglab.training.devices import device
from imglab.training.memory import is_out_of_memory
from imglab.training.recipe import Recipe

TIMED = 4
"""Steps of which the median counts, after two that do not."""

FASTER = 1.1
"""How many times faster a choice must be to be taken over the exact, or the plain, one."""

LAYOUTS = ("nchw", "channels_last")

WORTH_A_TRIAL = 300.0
"""Seconds of plain training below which compiling is not tried: warming up alone takes a minute."""

SAMPLING_BATCHES = (64, 128, 256, 512, 1024, 2048)

SLOWER = 1.05
"""A larger batch must make an image at least so many times cheaper."""

StepTimer: TypeAlias = Callable[[DenoiserSettings], tuple[float, float]]
"""Gives the seconds of the first step, and the median of later ones, under other settings."""


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
    chosen: dict[str, Choice] = {}
    plans = list(fits)
    timer = partial(_step_seconds, denoiser, train, plans[0], lora)

    # Each choice is measured with those before it.
    if settings.layout == "auto":
        report("trying layouts")
        chosen["layout"] = _layout(timer, settings)
        settings = settings.model_copy(update={"layout": chosen["layout"].value})

    if settings.precision == "auto":
        report("trying precisions")
        chosen["precision"] = _precision(timer, settings)
        settings = settings.model_copy(update={"precision": chosen["precision"].value})

    if settings.compile == "auto":
        report("trying to compile")
        chosen["compile"] = _compile(timer, settings, len(plans), _steps(plans, len(train)))
        settings = settings.model_copy(update={"compile": chosen["compile"].value})

    if settings.sampling_batch == "auto":
        chosen["sampling_batch"] = _sampling_batch(denoiser, settings)
    return chosen


def _layout(timer: StepTimer, settings: DenoiserSettings) -> Choice:
    """Choose the layout of the fastest step, in any precision that is open."""
    precisions = [settings.precision]
    if settings.precision == "auto":
        precisions = ["fp32", "bf16"]

    seconds = {}
    for name in LAYOUTS:
        tried = []
        for precision in precisions:
            update = {"layout": name, "precision": precision, "compile": False}
            tried.append(timer(settings.model_copy(update=update))[1])
        seconds[name] = min(tried)

    best, other = sorted(LAYOUTS, key=seconds.__getitem__)
    speed = seconds[other] / seconds[best]
    return Choice(best, f"a step in {best} is {speed:.2f} times as fast as in {other}")


def _precision(timer: StepTimer, settings: DenoiserSettings) -> Choice:
    seconds = {}
    for name in ("fp32", "bf16"):
        plain = settings.model_copy(update={"precision": name, "compile": False})
        seconds[name] = timer(plain)[1]

    speed = seconds["fp32"] / seconds["bf16"]
    why = f"a step in bf16 is {speed:.2f} times as fast as in fp32"
    return Choice("bf16" if speed >= FASTER else "fp32", why)


def _steps(plans: Iterable[TrainingSettings], images: int) -> int:
    """Return how many steps all fits take together, each of so many images."""
    recipes = [Recipe.from_plan(plan, examples=plan.images, unit="images") for plan in plans]
    return sum(recipe.steps(images) for recipe in recipes)


def _compile(timer: StepTimer, settings: DenoiserSettings, fits: int, steps: int) -> Choice:
    """Choose whether to compile, for so many fits that take so many steps in all."""
    plain = timer(settings.model_copy(update={"compile": False}))[1] * steps
    if plain < WORTH_A_TRIAL:
        what = f"all fits together take about {plain:.0f} s"
        return Choice(False, f"{what}: warming up would cost more than it saves")

    try:
        first, each = timer(settings.model_copy(update={"compile": True}))
    # A compiler that is missing or fails raises anything.
    except Exception as error:
        what = f"{type(error).__name__}: {first_line(error)[:200]}"
        return Choice(False, f"compiling failed: {what}")

    compiled = first * fits + each * steps
    why = (
        f"all fits: about {plain:.0f} s as they are, {compiled:.0f} s compiled "
        f"(each warms up for {first:.0f} s)"
    )
    return Choice(plain / compiled >= FASTER, why)


def _step_seconds(
    denoiser: Denoiser,
    train: TrainingSet,
    plan: TrainingSettings,
    lora: LoraSettings | None,
    settings: DenoiserSettings,
) -> tuple[float, float]:
    """Return the seconds of the first step and the median of those after the second."""
    trial = copy.copy(denoiser)
    trial.network = copy.deepcopy(denoiser.network)
    step = trial_steps(trial, train, plan, settings, lora)
    with warnings.catch_warnings():
        # The compiler's remarks are meant for its own users.
        warnings.simplefilter("ignore")
        seconds = [_seconds(step) for _ in range(TIMED + 2)]
    return seconds[0], statistics.median(seconds[2:])


@torch.inference_mode()
def _sampling_batch(denoiser: Denoiser, settings: DenoiserSettings) -> Choice:
    denoiser.network.eval().to(device()).to(memory_format=memory_format(settings))
    best = 0
    cheapest = math.inf

    for number, batch in enumerate(SAMPLING_BATCHES):
        report("trying sampling batches", number, len(SAMPLING_BATCHES))
        each = _image_seconds(denoiser, settings, batch)
        if each is None:
            best = best or _largest(denoiser, settings, batch // 2)
            return Choice(best, f"{2 * best} images at a time do not fit into memory")

        if each * SLOWER > cheapest:
            what = f"{batch} images at a time are no cheaper"
            return Choice(best, f"{what}: {each * 1e3:.2g} ms an image and step")

        best = batch
        cheapest = each
    return Choice(best, "the largest that was tried is the cheapest")


def _largest(denoiser: Denoiser, settings: DenoiserSettings, batch: int) -> int:
    """Return the largest batch that fits into memory: this one, or halved as often as it takes."""
    while batch > 1 and _image_seconds(denoiser, settings, batch) is None:
        batch //= 2
    return batch


def _image_seconds(denoiser: Denoiser, settings: DenoiserSettings, batch: int) -> float | None:
    """Return the seconds of an image and step in batches of this size.

    None where memory runs out.
    """
    place = device()
    try:
        noise = torch.randn(batch, *denoiser.shape, generator=seeds.generator("trial")).to(place)
        labels = None
        if denoiser.conditional:
            labels = torch.zeros(batch, dtype=torch.int64, device=place)
        time = torch.tensor(1, device=place)
        step = partial(guided, denoiser, settings, noise, time, labels)

        # The first one warms up.
        _seconds(step)
        return statistics.median(_seconds(step) for _ in range(3)) / batch
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began
