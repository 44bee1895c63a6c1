"""Text-to-image transformers of any architecture: what a pipeline gives its network beside noise is recorded.

Each architecture reads prompts in its own way (two or three encoders, masks, positions, sizes, a guidance number). The
pipeline itself knows: it is called as for drawing, with something in the network's place that keeps what it is given.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NoReturn

import torch
from accelerate.utils.memory import should_reduce_batch_size
from diffusers import DDPMScheduler, DiffusionPipeline
from torch import Tensor, nn

from imglab import seeds
from imglab.errors import InputError, Problem, first_line
from imglab.images.latents import NAME, LatentDenoiser, Latents
from imglab.modality import Spec

PLAIN = {"use_resolution_binning": False, "clean_caption": False}
"""Images of just the size that is asked for; prompts as they are."""
BF16 = 2**-7
"""How far a time may be off that a pipeline tells in bf16."""


class Flow:
    """Noise as rectified flow adds it: a straight line from the image to noise (Liu et al. 2022, 2209.03003)."""

    def __init__(self, steps: int) -> None:
        self.config = SimpleNamespace(num_train_timesteps=steps, prediction_type="flow")

    def add_noise(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Return images with a share (t + 1) / steps of noise; `times` int64 [N] in [0, steps)."""
        share = (times + 1) / self.config.num_train_timesteps
        return torch.lerp(clean, noise, share.to(clean.dtype)[:, None, None, None])


class CapturedInputsDenoiser(LatentDenoiser):
    """A transformer that works on latents and reads prompts. A label is a prompt's number."""

    def __init__(
        self,
        pipeline: DiffusionPipeline,
        prompts: Sequence[str],
        size: tuple[int, int],
        *given: Any,
    ) -> None:
        super().__init__(*given, told=True, nobody=len(prompts))
        self._pipeline, self._prompts, self._size = pipeline, [*prompts, ""], size

    def predict(
        self, network: nn.Module, noisy: Tensor, times: Tensor, labels: Tensor | None
    ) -> Tensor:
        """Return the prediction, given the prompts that the labels stand for; a learned variance is left alone."""
        assert labels is not None
        given = record(
            self._pipeline, [self._prompts[label] for label in labels.tolist()], self._size
        )
        now = times + 1 if isinstance(self.noising, Flow) else times
        told = (now * given.times).to(given.keys[given.time].dtype)
        latents = _packed(noisy) if given.packed else noisy
        keys = {**given.keys, given.latents: latents, given.time: told, "return_dict": False}
        predicted: Tensor = network(**keys)[0]
        return _unpacked(predicted, noisy.shape) if given.packed else predicted[:, : noisy.shape[1]]


class Given:
    """What a pipeline gave its network.

    keys     the arguments by name
    latents  names the one that is noise
    time     names the one that is the time
    times    what a time of the scheduler is multiplied by
    packed   whether squares of 2 x 2 latents are rows of their own
    """

    def __init__(self, keys: Mapping[str, Any], scheduler: Any) -> None:
        """Keep what was given at the first of the scheduler's times; ValueError where that is none of them."""
        self.keys, self.latents, self.time = keys, next(iter(keys)), "timestep"
        told = float(keys["timestep"].flatten()[0]) / float(scheduler.timesteps[0])
        steps = scheduler.config.num_train_timesteps
        rounded = [known for known in (1.0, 1 / steps) if abs(told / known - 1) < BF16]
        if not rounded or not _are_noise_levels(scheduler):
            raise ValueError("it tells its network times in a way of its own")
        self.times = rounded[0]
        self.packed = keys[self.latents].dim() == 3


class _Recorded(Exception):
    def __init__(self, keys: dict[str, Any]) -> None:
        super().__init__("recorded")
        self.keys = keys


class _Recorder(nn.Module):
    """Stands in a network's place, with all that the network says of itself."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.__dict__["network"] = network

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["network"], name)

    def forward(self, *given: Any, **keys: Any) -> NoReturn:
        bound = inspect.signature(type(self.__dict__["network"]).forward).bind(None, *given, **keys)
        raise _Recorded(dict(list(bound.arguments.items())[1:]))


@torch.no_grad()
def record(pipeline: DiffusionPipeline, prompts: list[str], size: tuple[int, int]) -> Given:
    """Return what a pipeline gives its transformer for these prompts, without guidance, at (height, width) pixels."""
    made = copy.copy(pipeline)
    made.scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config)
    made.transformer = _Recorder(pipeline.transformer)
    drawing = {
        "num_inference_steps": 2,
        "guidance_scale": 1.0,
        "generator": seeds.generator("recorded"),
    }
    try:
        made(
            prompt=prompts,
            height=size[0],
            width=size[1],
            output_type="latent",
            **drawing,
            **plain_keys(made),
        )
    except _Recorded as recorded:
        return Given(_in_fp32(recorded.keys), made.scheduler)
    raise ValueError("it draws without its transformer")


def _are_noise_levels(scheduler: Any) -> bool:
    """Say whether the times of rectified flow are its shares of noise, as `Flow` adds it."""
    if "flow" not in type(scheduler).__name__.lower():
        return True
    shares = scheduler.sigmas[: len(scheduler.timesteps)] * scheduler.config.num_train_timesteps
    return torch.allclose(scheduler.timesteps.cpu().float(), shares.cpu().float(), rtol=1e-3)


def _in_fp32(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _in_fp32(inner) for name, inner in value.items()}
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value


def plain_keys(pipeline: DiffusionPipeline) -> dict[str, bool]:
    """Return those arguments of `PLAIN` that a pipeline takes."""
    known = inspect.signature(type(pipeline).__call__).parameters
    return {key: value for key, value in PLAIN.items() if key in known}


def captured_inputs_denoiser(
    pipeline: DiffusionPipeline, noising: DDPMScheduler | Flow, spec: Spec, prompts: Sequence[str]
) -> CapturedInputsDenoiser:
    """Return the denoiser of a pipeline whose transformer reads prompts; InputError where the lab cannot train it."""
    kind, autoencoder = type(pipeline).__name__, getattr(pipeline, "vae", None)
    config: Any = getattr(autoencoder, "config", {})
    channels, height, width = spec.shape
    if not {"scaling_factor", "block_out_channels", "latent_channels"} <= set(config):
        what = f"a {kind} has no autoencoder of Stable Diffusion's kind"
        raise InputError(Problem(NAME, what, "choose another pipeline"))
    latents = Latents(autoencoder)
    shape = (
        config.latent_channels,
        height // latents.times_smaller,
        width // latents.times_smaller,
    )
    remedy = f"set modality.size to a multiple of {2 * latents.times_smaller}"
    if channels != config.in_channels:
        what = f"draws images of {config.in_channels} channels, the data have {channels}"
        raise InputError(Problem(NAME, what, "set modality.colour"))
    try:
        given = record(pipeline, [""], (height, width))
        found = tuple(given.keys[given.latents].shape[1:])
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        if should_reduce_batch_size(error):
            raise
        what = f"cannot be asked what it reads: {first_line(error)}"
        raise InputError(Problem(NAME, what, f"choose another pipeline, or {remedy}")) from error
    packed = (
        tuple(_packed(torch.empty(1, *shape)).shape[1:])
        if not any(side % 2 for side in shape[1:])
        else None
    )
    if found != (packed if given.packed else shape):
        what = f"works on {' x '.join(map(str, found))} for images of {width} x {height}, not on {shape}"
        raise InputError(Problem(NAME, what, remedy))
    return CapturedInputsDenoiser(
        pipeline, prompts, (height, width), latents, pipeline.transformer, noising, shape
    )


def _packed(latents: Tensor) -> Tensor:
    """Make rows of squares: [N, C, H, W] -> [N, H / 2 * W / 2, 4 C]."""
    n, channels, height, width = latents.shape
    squares = latents.view(n, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return squares.reshape(n, height // 2 * (width // 2), channels * 4)


def _unpacked(rows: Tensor, shape: torch.Size) -> Tensor:
    """Make images of rows of squares again, of the shape [N, C, H, W]."""
    n, channels, height, width = shape
    squares = rows.view(n, height // 2, width // 2, channels, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return squares.reshape(shape)
