"""Text-to-image transformers of any architecture, fed as their own pipeline feeds them.

Each architecture reads prompts in its own way (two or three encoders, masks, positions, sizes, a
guidance number). The pipeline itself knows how: it is called as for drawing, with a stand-in for
its network that captures what it is given beside noise.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn

from imglab import seeds
from imglab.errors import InputError, Problem, first_line
from imglab.images.diffusion.noising import Noising
from imglab.images.latents import NAME, LatentDenoiser, Latents
from imglab.modality import Spec
from imglab.training.memory import is_out_of_memory

PLAIN = {"use_resolution_binning": False, "clean_caption": False}
"""Arguments that ask for images of exactly the given size, and for prompts as they are."""

BF16 = 2**-7
"""By how much a time may be off that a pipeline gives in bf16."""


class CapturedInputsDenoiser(LatentDenoiser):
    """A transformer that works on latents and reads prompts. A label is a prompt's number."""

    def __init__(
        self,
        pipeline: DiffusionPipeline,
        prompts: Sequence[str],
        size: tuple[int, int],
        *arguments: Any,
    ) -> None:
        """Take the pipeline, its prompts and (height, width); all else goes to `LatentDenoiser`."""
        super().__init__(*arguments, conditional=True, null_label=len(prompts))
        self._pipeline = pipeline
        self._prompts = [*prompts, ""]
        self._size = size

    def predict(
        self, network: nn.Module, noisy: Tensor, times: Tensor, labels: Tensor | None
    ) -> Tensor:
        """Return the prediction, given the prompts that the labels stand for.

        A variance that the network has learned is ignored.
        """
        assert labels is not None
        prompts = [self._prompts[label] for label in labels.tolist()]
        inputs = capture_inputs(self._pipeline, prompts, self._size)

        network_times = times * inputs.time_scale

        keys = {
            **inputs.keys,
            inputs.latents: _packed(noisy) if inputs.packed else noisy,
            inputs.time: network_times.to(inputs.keys[inputs.time].dtype),
            "return_dict": False,
        }
        predicted: Tensor = network(**keys)[0]

        if inputs.packed:
            return _unpacked(predicted, noisy.shape)
        return predicted[:, : noisy.shape[1]]


class CapturedInputs:
    """What a pipeline gives its network.

    keys        the arguments by name
    latents     the name of the argument that is noise
    time        the name of the argument that is the time
    time_scale  what a time of the scheduler is multiplied by
    packed      whether squares of 2 x 2 latents are rows of their own
    """

    def __init__(self, keys: Mapping[str, Any], scheduler: Any) -> None:
        """Take the arguments at the first of the scheduler's times.

        Raises ValueError where the time among them is not the scheduler's, on a known scale.
        """
        self.keys = keys
        self.latents = next(iter(keys))
        self.time = "timestep"
        self.packed = keys[self.latents].dim() == 3

        scale = float(keys["timestep"].flatten()[0]) / float(scheduler.timesteps[0])
        steps = scheduler.config.num_train_timesteps
        scales = [each for each in (1.0, 1 / steps) if abs(scale / each - 1) < BF16]
        if not scales or not _are_noise_levels(scheduler):
            raise ValueError("it gives its network times in a way of its own")
        self.time_scale = scales[0]


class _Captured(Exception):
    """Leaves a pipeline with what it gave its network."""

    def __init__(self, keys: dict[str, Any]) -> None:
        super().__init__("captured")
        self.keys = keys


class _StandIn(nn.Module):
    """Stands in a network's place, with the network's own attributes, and captures a call."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        # Not as a submodule: its attributes are to be those of the network.
        self.__dict__["network"] = network

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["network"], name)

    def forward(self, *arguments: Any, **keys: Any) -> NoReturn:
        signature = inspect.signature(type(self.__dict__["network"]).forward)
        bound = signature.bind(None, *arguments, **keys).arguments
        raise _Captured(dict(list(bound.items())[1:]))


@torch.no_grad()
def capture_inputs(
    pipeline: DiffusionPipeline, prompts: list[str], size: tuple[int, int]
) -> CapturedInputs:
    """Return what a pipeline gives its transformer for these prompts, without guidance.

    size  (height, width) of the images, in pixels
    """
    drawing = copy.copy(pipeline)
    drawing.scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config)
    drawing.transformer = _StandIn(pipeline.transformer)

    try:
        drawing(
            prompt=prompts,
            height=size[0],
            width=size[1],
            output_type="latent",
            num_inference_steps=2,
            guidance_scale=1.0,
            generator=seeds.generator("recorded"),
            **plain_keys(drawing),
        )
    except _Captured as captured:
        return CapturedInputs(_in_fp32(captured.keys), drawing.scheduler)
    raise ValueError("it draws without its transformer")


def _are_noise_levels(scheduler: Any) -> bool:
    """Say whether the times of rectified flow are its shares of noise, as `Flow` adds it."""
    if "flow" not in type(scheduler).__name__.lower():
        return True
    shares = scheduler.sigmas[: len(scheduler.timesteps)] * scheduler.config.num_train_timesteps
    return torch.allclose(scheduler.timesteps.cpu().float(), shares.cpu().float(), rtol=1e-3)


def _in_fp32(value: Any) -> Any:
    """Return tensors of floats, alone or within mappings, as float32; all else as it is."""
    if isinstance(value, Mapping):
        return {name: _in_fp32(inner) for name, inner in value.items()}
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.float()
    return value


def plain_keys(pipeline: DiffusionPipeline) -> dict[str, bool]:
    """Return those arguments of `PLAIN` that a pipeline takes."""
    parameters = inspect.signature(type(pipeline).__call__).parameters
    return {key: value for key, value in PLAIN.items() if key in parameters}


def captured_inputs_denoiser(
    pipeline: DiffusionPipeline, noising: Noising, spec: Spec, prompts: Sequence[str]
) -> CapturedInputsDenoiser:
    """Return the denoiser of a pipeline whose transformer reads prompts.

    Raises InputError where the lab cannot train it.
    """
    autoencoder = getattr(pipeline, "vae", None)
    config: Any = getattr(autoencoder, "config", {})
    if not {"scaling_factor", "block_out_channels", "latent_channels"} <= set(config):
        what = f"a {type(pipeline).__name__} has no autoencoder of Stable Diffusion's kind"
        raise InputError(Problem(NAME, what, "choose another pipeline"))

    latents = Latents(autoencoder)
    channels, height, width = spec.shape
    if channels != config.in_channels:
        what = f"draws images of {config.in_channels} channels, the data have {channels}"
        raise InputError(Problem(NAME, what, "set modality.colour"))

    scale = latents.downsampling
    shape = (config.latent_channels, height // scale, width // scale)
    _check_inputs(pipeline, shape, (height, width), scale)
    return CapturedInputsDenoiser(
        pipeline, prompts, (height, width), latents, pipeline.transformer, noising, shape
    )


def _check_inputs(
    pipeline: DiffusionPipeline, shape: tuple[int, int, int], size: tuple[int, int], scale: int
) -> None:
    """Raise InputError unless a pipeline gives its transformer latents of this shape.

    size   (height, width) of the images, in pixels
    scale  how many times smaller a side of the latents is
    """
    remedy = f"set modality.size to a multiple of {2 * scale}"
    try:
        inputs = capture_inputs(pipeline, [""], size)
        latents = tuple(inputs.keys[inputs.latents].shape[1:])
    # A pipeline of another architecture may fail in any of these ways.
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        what = f"cannot be asked what it reads: {first_line(error)}"
        raise InputError(Problem(NAME, what, f"choose another pipeline, or {remedy}")) from error

    expected: tuple[int, ...] | None = shape
    if inputs.packed:
        expected = _packed_shape(shape)
    if latents != expected:
        sides = " x ".join(map(str, latents))
        what = f"works on {sides} for images of {size[1]} x {size[0]}, not on {shape}"
        raise InputError(Problem(NAME, what, remedy))


def _packed_shape(shape: tuple[int, int, int]) -> tuple[int, ...] | None:
    """Return the shape of packed latents; None where their sides are odd."""
    if any(side % 2 for side in shape[1:]):
        return None
    return tuple(_packed(torch.empty(1, *shape)).shape[1:])


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
