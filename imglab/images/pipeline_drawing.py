"""Drawing with pretrained pipelines: their scheduler, steps, guidance and prompts."""

from __future__ import annotations

import copy
import inspect
import logging
import math
from collections.abc import Iterator, Sequence
from typing import Any

import diffusers
import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from imglab.errors import Problem
from imglab.images.captured_inputs import plain_keys
from imglab.images.diffusion.denoiser import Denoiser, autocast
from imglab.images.diffusion.drawing import SAMPLERS, draw_in_batches
from imglab.images.diffusion.noising import Flow
from imglab.images.diffusion.settings import PipelineSettings
from imglab.images.pipeline_denoisers import autoencoder_of
from imglab.samples import Samples
from imglab.training.devices import device

log = logging.getLogger(__name__)


def draw_from_prompts(
    pipeline: DiffusionPipeline,
    settings: PipelineSettings,
    indices: range,
    *,
    names: Sequence[str],
    shape: tuple[int, ...],
    conditions: Tensor,
    seed: int,
) -> Iterator[Samples]:
    """Yield images that a pipeline draws from prompts, each from a generator of its own.

    names       of the conditions: the prompts, without what stands around them
    shape       [C, H, W] of an image
    conditions  the number of each image's name, int64 [n]
    """
    _, height, width = shape
    place = device()
    drawing = copy.copy(pipeline)
    drawing.scheduler = sampler_of(settings, pipeline)
    drawing.set_progress_bar_config(disable=True)

    options: dict[str, Any] = {"height": height, "width": width, **plain_keys(drawing)}
    options["num_inference_steps"] = steps_of(settings, drawing)
    if settings.sampling_bias is not None:
        options["guidance_scale"] = 1 / settings.sampling_bias

    def draw(generators: list[torch.Generator], labels: Tensor | None) -> Tensor:
        assert labels is not None
        prompts = [settings.prompt.replace("{}", names[label]) for label in labels.tolist()]
        with autocast(settings, place):
            drawn = drawing(prompt=prompts, generator=generators, output_type="pt", **options)

        hidden = sum(map(bool, getattr(drawn, "nsfw_content_detected", None) or ()))
        if hidden:
            log.warning("the pipeline's safety checker made %d images black", hidden)
        images: Tensor = drawn.images.float() * 2 - 1
        return images

    yield from draw_in_batches(draw, settings, indices, conditions=conditions, seed=seed)


def sampler_of(settings: PipelineSettings, pipeline: DiffusionPipeline) -> Any:
    """Return the scheduler that draws: the pipeline's own kind or the one that is named."""
    scheduler = pipeline.scheduler
    changes: dict[str, Any] = {}

    # What a network predicts of the variance is not trained.
    if str(scheduler.config.get("variance_type")).startswith("learned"):
        changes["variance_type"] = "fixed_small"
    if settings.sampler == "own":
        return type(scheduler).from_config(scheduler.config, **changes)

    # These are meant for pixels: latents have a larger range.
    if autoencoder_of(pipeline) is not None:
        changes |= {"clip_sample": False, "thresholding": False}
    if settings.spacing == "karras":
        changes["use_karras_sigmas"] = True
    return getattr(diffusers, SAMPLERS[settings.sampler]).from_config(scheduler.config, **changes)


def steps_of(settings: PipelineSettings, pipeline: DiffusionPipeline) -> int:
    """Return in how many steps an image is drawn; where nothing is set, in the pipeline's own."""
    if settings.steps is not None:
        return settings.steps
    steps: int = _default(pipeline, "num_inference_steps")
    return min(steps, int(pipeline.scheduler.config.get("num_train_timesteps", steps)))


def default_bias(pipeline: DiffusionPipeline) -> float:
    """Return the sampling bias that a pipeline's own guidance scale comes to.

    A scale of at most 1 means no guidance.
    """
    scale: float | None = _default(pipeline, "guidance_scale")
    if scale is None or scale <= 1:
        return 1.0
    return 1 / scale


def _default(pipeline: DiffusionPipeline, name: str) -> Any:
    """Return the default of an argument of a pipeline's call; None where it has no such one."""
    parameter = inspect.signature(type(pipeline).__call__).parameters.get(name)
    if parameter is None:
        return None
    return parameter.default


def settings_problems(
    settings: PipelineSettings, denoiser: Denoiser, scheduler: Any
) -> list[Problem]:
    """Return the problems of settings that a pipeline cannot meet."""
    problems = []
    if (settings.sampling_bias or 1.0) < 1 and denoiser.null_label is None:
        what = "below 1 is guidance, which needs a label for none; this pipeline does not have one"
        problems.append(Problem("model.sampling_bias", what, "leave it out"))

    times = scheduler.config.get("num_train_timesteps", math.inf)
    if (settings.steps or 1) > times:
        what = f"{settings.steps} are more than the {times} of its scheduler"
        problems.append(Problem("model.steps", what))

    if isinstance(denoiser.noising, Flow) and settings.sampler != "own":
        what = f"{settings.sampler!r} is not a sampler for rectified flow"
        problem = f"{what}, by which this pipeline was trained"
        problems.append(Problem("model.sampler", problem, "leave it out"))
    return problems
