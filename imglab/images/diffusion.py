"""A diffusion model on diffusers' UNet2DModel: fit on accelerate, draw with a few-step solver."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMPipeline, DDPMScheduler, DPMSolverMultistepScheduler, UNet2DModel
from diffusers.utils import SAFETENSORS_WEIGHTS_NAME
from torch import Tensor, nn

from imglab import seeds
from imglab.config.section import auto_keys
from imglab.errors import InputError, Problem
from imglab.images.autotune import choices
from imglab.images.cards import diffusion_card
from imglab.images.denoising import SAMPLERS, Denoiser, draw_images, fit_denoiser
from imglab.images.settings import DiffusionSettings
from imglab.images.watermark import check_watermark
from imglab.modality import Modality, Spec
from imglab.model import Choice, GenerativeModel
from imglab.progress import Stage
from imglab.samples import Samples, TrainingSet
from imglab.training import hub
from imglab.training.steps import device

TIMESTEPS = 1000


class PixelDenoiser(Denoiser):
    """A network that works on the pixels themselves. A variance that was learned beside the noise is left alone."""

    def encode(self, images: Tensor, noise: Tensor) -> Tensor:  # noqa: D102
        return images

    def decode(self, found: Tensor) -> Tensor:  # noqa: D102
        return found

    def predict(  # noqa: D102
        self, network: nn.Module, noisy: Tensor, times: Tensor, labels: Tensor | None
    ) -> Tensor:
        predicted: Tensor = network(noisy, times, class_labels=labels).sample
        return predicted[:, : noisy.shape[1]]


class DiffusionModel(GenerativeModel):
    """Learns images by denoising them (Ho et al. 2020; v-prediction: Salimans and Ho 2022).

    What is kept and drawn from is the moving average of the weights; a later generation starts from it.
    """

    def __init__(
        self,
        settings: DiffusionSettings,
        modality: Modality | None = None,
        *,
        unet: UNet2DModel | None = None,
        classes: int | None = None,
        training: Mapping[str, Any] | None = None,
    ) -> None:
        """Make a model for `modality`, or around the fitted `unet`, with `classes` if it is conditional."""
        self._settings = settings
        self._unet = unet
        self._classes = classes
        self._training = dict(training or {})
        self._shape: tuple[int, ...] | None = None
        if modality is not None:
            self._shape = modality.spec.shape
            self._classes = _check_fit(settings, modality.spec)
            check_watermark(settings.watermark, self._shape)

    @property
    def unet(self) -> UNet2DModel:
        """The fitted network."""
        if self._unet is None:
            raise ValueError("the model has not been fitted")
        return self._unet

    @property
    def conditional(self) -> bool:
        """Whether it is class-conditional."""
        return self._settings.class_conditional

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
        """Denoise batches of `train` until the budget of images is spent."""
        plan = self._settings.training if start is None else self._settings.fine_tuning
        with seeds.isolated(seed, "weights"):
            unet = _new_unet(self._settings, train.shape, self._classes)
        if start is not None:
            unet.load_state_dict(self.check_start(start).unet.state_dict())
        fitting = fit_denoiser(
            self._denoiser(unet), train, plan, self._settings, seed=seed, resume=resume
        )
        seen = yield from fitting
        training = {"samples_seen": seen, "budget": "epochs" if plan.epochs else "images"}
        return DiffusionModel(self._settings, unet=unet, classes=self._classes, training=training)

    def choices(self, train: TrainingSet, *, fits: int) -> Mapping[str, Choice]:
        """Measure precision, compiling and the sampling batch, where they are `auto`."""
        if not auto_keys(self._settings):
            return {}
        with seeds.isolated("trial", "weights"):
            unet = _new_unet(self._settings, train.shape, self._classes)
        plans = chain([self._settings.training], repeat(self._settings.fine_tuning, fits - 1))
        return choices(self._denoiser(unet), train, self._settings, plans)

    def _denoiser(self, unet: UNet2DModel) -> PixelDenoiser:
        told = self._classes is not None
        return PixelDenoiser(
            unet, _noising(self._settings), shape_of(unet), told=told, nobody=self._classes
        )

    def check_start(self, start: GenerativeModel) -> DiffusionModel:
        """Raise ValueError unless the network of `start` has this model's layers and draws its kind of image."""
        if not isinstance(start, DiffusionModel):
            raise ValueError(f"a diffusion model cannot start from a {type(start).__name__}")
        theirs = start.unet.config
        with torch.device("meta"):
            ours = _new_unet(
                self._settings, self._shape or shape_of(start.unet), self._classes
            ).config
        ours, theirs = (json.loads(json.dumps(dict(config))) for config in (ours, theirs))
        different = [
            key for key in ours if not key.startswith("_") and ours[key] != theirs.get(key)
        ]
        if different:
            each = ", ".join(f"{key} {theirs.get(key)} instead of {ours[key]}" for key in different)
            raise ValueError(f"its network is another one: {each}")
        return start

    def draw(self, indices: range, *, conditions: Tensor | None, seed: int) -> Iterator[Samples]:
        """Yield images: noise of (seed, i), denoised in `steps` steps, rounded once to uint8."""
        settings, denoiser = self._settings, self._denoiser(self.unet)
        sampler = _sampler(settings)
        yield from draw_images(
            denoiser, sampler, settings, settings.steps, indices, conditions=conditions, seed=seed
        )

    def write_weights(self, path: Path) -> None:
        """Write a `DDPMPipeline` that opens with `DiffusionPipeline.from_pretrained`."""
        DDPMPipeline(self.unet, _sampler(self._settings)).save_pretrained(path)

    def description(self) -> Mapping[str, Any]:  # noqa: D102
        return {
            "kind": "diffusion",
            "settings": self._settings.model_dump(),
            "classes": self._classes,
            "training": self._training,
        }

    def card(self) -> str:  # noqa: D102
        return diffusion_card(self._settings, shape_of(self.unet), self._classes, self._training)

    @classmethod
    def restore(cls, description: Mapping[str, Any], path: Path) -> DiffusionModel:  # noqa: D102
        settings, classes = DiffusionSettings(**description["settings"]), description["classes"]
        saved = json.loads((path / "unet" / "config.json").read_text())
        # Not `from_pretrained`: it would record the path in the config, and so in the next save.
        with torch.device("meta"):
            unet = _new_unet(settings, _shape_in(saved), classes)
        own = json.loads(json.dumps(dict(unet.config)))
        different = [
            key for key, value in saved.items() if not key.startswith("_") and value != own.get(key)
        ]
        if different:
            raise ValueError(f"its network has another {different[0]} than its settings")
        unet = hub.filled(unet, path / "unet" / SAFETENSORS_WEIGHTS_NAME)
        return cls(
            settings, unet=unet.to(device()), classes=classes, training=description["training"]
        )


def _check_fit(settings: DiffusionSettings, spec: Spec) -> int | None:
    """Check that the network fits the images; return the number of classes if it is conditional on them."""
    problems = []
    if len(spec.shape) != 3 or spec.dtype != torch.uint8:
        raise InputError(
            Problem(
                "model.kind", "a diffusion model draws images", "use it with modality.kind: image"
            )
        )
    halvings = len(settings.channels) - 1
    if any(side % 2**halvings for side in spec.shape[1:]):
        size = f"{spec.shape[2]} x {spec.shape[1]}"
        what = f"{len(settings.channels)} levels halve the image {halvings} times, but it is {size}"
        problems.append(
            Problem(
                "model.channels",
                what,
                f"use fewer levels, or a modality.size that {2**halvings} divides",
            )
        )
    if settings.class_conditional and spec.conditions is None:
        problems.append(
            Problem("model.class_conditional", "the data have no classes", "set it to false")
        )
    if problems:
        raise InputError(problems)
    return len(spec.conditions) if settings.class_conditional and spec.conditions else None


def _new_unet(
    settings: DiffusionSettings, shape: tuple[int, ...], classes: int | None
) -> UNet2DModel:
    levels = len(settings.channels)
    down, up = ["DownBlock2D"] * levels, ["UpBlock2D"] * levels
    if settings.attention:
        down[-1], up[0] = "AttnDownBlock2D", "AttnUpBlock2D"
    return UNet2DModel(
        sample_size=shape[1] if shape[1] == shape[2] else list(shape[1:]),
        in_channels=shape[0],
        out_channels=shape[0],
        block_out_channels=tuple(settings.channels),
        layers_per_block=settings.layers_per_block,
        down_block_types=tuple(down),
        up_block_types=tuple(up),
        add_attention=settings.attention,
        norm_num_groups=8,
        num_class_embeds=None if classes is None else classes + 1,
    )


def _noising(settings: DiffusionSettings) -> DDPMScheduler:
    return DDPMScheduler(**_schedule(settings), clip_sample=False)


def _sampler(settings: DiffusionSettings) -> Any:
    schedule = _schedule(settings)
    if settings.sampler != "dpm-solver++":
        return SAMPLERS[settings.sampler](**schedule, timestep_spacing="trailing", clip_sample=True)
    # The noise predicted at the last steps says next to nothing about the image: unbounded, the first step explodes.
    bounded = (
        {"thresholding": True, "sample_max_value": 1.0} if settings.prediction == "epsilon" else {}
    )
    return DPMSolverMultistepScheduler(**schedule, timestep_spacing="trailing", **bounded)


def _schedule(settings: DiffusionSettings) -> dict[str, Any]:
    return {
        "num_train_timesteps": TIMESTEPS,
        "beta_schedule": settings.schedule,
        "prediction_type": settings.prediction,
    }


def shape_of(unet: UNet2DModel) -> tuple[int, int, int]:
    """Return the shape [C, H, W] of the images that a UNet was made for."""
    return _shape_in(unet.config)


def _shape_in(config: Mapping[str, Any]) -> tuple[int, int, int]:
    size = config["sample_size"]
    height, width = (size, size) if isinstance(size, int) else size
    return config["in_channels"], height, width
