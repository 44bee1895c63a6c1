"""A diffusion model on diffusers' UNet2DModel, drawn from with a few-step solver."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import BaseModel
from torch import Tensor

from imglab import seeds
from imglab.config.section import auto_keys
from imglab.errors import InputError, Problem
from imglab.images.diffusion.autotune import choices
from imglab.images.diffusion.away import AwayDenoiser
from imglab.images.diffusion.cards import diffusion_card
from imglab.images.diffusion.denoiser import Denoiser, PixelDenoiser, memory_format
from imglab.images.diffusion.drawing import draw_images
from imglab.images.diffusion.fitting import fit_denoiser
from imglab.images.diffusion.networks import (
    Size,
    config_differences,
    denoiser_around,
    empty_network,
    new_network,
    of_patches,
    open_network,
    part_of,
    plain_config,
    shape_of,
    size_problems,
)
from imglab.images.diffusion.schedules import new_noising, new_sampler, new_scheduler
from imglab.images.diffusion.settings import LATEST_STOP, DiffusionSettings
from imglab.images.watermark import check_watermark
from imglab.modality import Modality, Spec
from imglab.model import Choice, GenerativeModel
from imglab.progress import Stage
from imglab.samples import Samples, TrainingSet
from imglab.training.moving import joined_training, moved_network

if TYPE_CHECKING:
    from diffusers import ModelMixin


NEGATIVE = "negative"
"""Folder of the network that drawing is led away from, in a model folder that has one."""


class DiffusionModel(GenerativeModel):
    """Learns images by denoising them (Ho et al. 2020), with one of the objectives of `noising`.

    The fitted weights are a moving average of the trained ones; a later generation starts from
    the average.
    """

    def __init__(
        self,
        settings: DiffusionSettings,
        modality: Modality | None = None,
        *,
        network: ModelMixin | None = None,
        classes: int | None = None,
        training: Mapping[str, Any] | None = None,
        negative: ModelMixin | None = None,
        w: float = 0.0,
    ) -> None:
        """Make a model for `modality`, or around a fitted network.

        network   the fitted network
        classes   how many classes it knows, if it is class-conditional
        negative  a network of the same layers that drawing is led away from, with strength `w`
        """
        self._settings = settings
        self._network = network
        self._classes = classes
        self._training = dict(training or {})
        self._negative = negative
        self._w = w
        self._shape: tuple[int, ...] | None = None

        if modality is not None:
            self._shape = modality.spec.shape
            _check_spec(settings, modality.spec)
            check_watermark(settings.watermark, self._shape)
            if settings.class_conditional and modality.spec.conditions:
                self._classes = len(modality.spec.conditions)

    @property
    def network(self) -> ModelMixin:
        """The fitted network."""
        if self._network is None:
            raise ValueError("the model has not been fitted")
        return self._network

    @property
    def unet(self) -> ModelMixin:
        """The fitted network, as version 0.1 called it."""
        return self.network

    @property
    def conditional(self) -> bool:
        """Whether it is class-conditional."""
        return self._settings.class_conditional

    @property
    def training(self) -> Mapping[str, Any]:
        """How many images the fit saw, and whether its budget was in images or epochs."""
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
        settings = self._settings
        plan = settings.training if start is None else settings.fine_tuning
        with seeds.isolated(seed, "weights"):
            network = new_network(settings, train.shape, self._classes)
        if start is not None:
            network.load_state_dict(self.check_start(start).network.state_dict())

        denoiser = self._denoiser(network)
        fitted = yield from fit_denoiser(
            denoiser, train, plan, settings, seed=seed, resume=resume, around=self._around
        )
        return self._around(network, fitted.training)

    def _around(self, network: ModelMixin, training: Any = None) -> DiffusionModel:
        """Return the model of a network that is fitted to this model's settings."""
        return DiffusionModel(
            self._settings, network=network, classes=self._classes, training=training
        )

    def choices(self, train: TrainingSet, *, fits: int) -> Mapping[str, Choice]:
        """Measure layout, precision, compiling and the sampling batch, where they are `auto`."""
        settings = self._settings
        if not auto_keys(settings):
            return {}
        with seeds.isolated("trial", "weights"):
            network = new_network(settings, train.shape, self._classes)
        plans = chain([settings.training], repeat(settings.fine_tuning, fits - 1))
        return choices(self._denoiser(network), train, settings, plans)

    def _denoiser(self, network: ModelMixin) -> PixelDenoiser:
        settings = self._settings
        return denoiser_around(network, settings, new_noising(settings), self._classes)

    def check_start(self, start: GenerativeModel) -> DiffusionModel:
        """Raise ValueError unless `start` has this model's layers and draws its kind of image."""
        if not isinstance(start, DiffusionModel):
            raise ValueError(f"a diffusion model cannot start from a {type(start).__name__}")

        shape = self._shape or of_patches(shape_of(start.network), self._settings.patch)
        network = empty_network(self._settings, shape, self._classes)
        expected = plain_config(network.config)
        different = config_differences(expected, plain_config(start.network.config))
        if different:
            raise ValueError(f"architecture differs: {', '.join(different)}")
        return start

    def moved_away(self, other: GenerativeModel, w: float) -> DiffusionModel:
        """Return a model with the weights (1 + w) self - w other (`imglab.remedies.neon`)."""
        # A copy: what a remedy before this one leads drawing away from stays.
        model = copy.copy(self)
        model._network = moved_network(self.network, self.check_start(other).network, w)
        model._training = joined_training(self.training, other.training)
        return model

    def check_guidance(self) -> None:
        """Do nothing: what is predicted can be led away, whatever the settings are."""

    def guided_away(self, other: GenerativeModel, w: float) -> DiffusionModel:
        """Return the same model, led away from `other` (`imglab.remedies.negative_guidance`)."""
        if self._negative is not None:
            raise ValueError("drawing is led away from another network already")
        training = joined_training(self.training, other.training)
        model = self._around(self.network, training)
        model._negative = self.check_start(other).network
        model._w = w
        return model

    def check_stop(self, time: float) -> None:
        """Raise ValueError unless images are drawn on noise levels that can end at that time."""
        if not self._settings.on_karras_levels:
            raise ValueError("the sampler stops at whole times: set model.spacing: karras")
        if self._settings.stop + time > LATEST_STOP:
            what = f"model.stop: {self._settings.stop:g} and start {time:g} come to more than"
            raise ValueError(f"{what} {LATEST_STOP}: lower one of them")

    def stopped(self, time: float) -> DiffusionModel:
        """Return the same model, whose sampler stops at a time (`imglab.remedies.anneal`)."""
        model = copy.copy(self)
        model._settings = self._settings.model_copy(update={"stop": self._settings.stop + time})
        return model

    def check_weights(self) -> None:
        """Do nothing: a fit reads the weights of its training set, whatever the settings are."""

    def draw(self, indices: range, *, conditions: Tensor | None, seed: int) -> Iterator[Samples]:
        """Yield images: noise of (seed, i), denoised in `steps` steps, rounded once to uint8."""
        settings = self._settings
        denoiser: Denoiser = self._denoiser(self.network)
        if self._negative is not None:
            # In the layout of the other network: others round differently.
            self._negative.to(memory_format=memory_format(settings))
            denoiser = AwayDenoiser(denoiser, self._negative, self._w)
        yield from draw_images(
            denoiser,
            new_sampler(settings),
            settings,
            settings.steps,
            indices,
            conditions=conditions,
            seed=seed,
        )

    def write_weights(self, path: Path) -> None:
        """Write network and scheduler in the formats of diffusers.

        With a UNet it is a `DDPMPipeline` that opens with `DiffusionPipeline.from_pretrained`;
        `card` says how each draws.
        """
        from diffusers import DDPMPipeline, UNet2DModel

        scheduler = new_scheduler(self._settings)
        if self._negative is not None:
            self._negative.save_pretrained(path / NEGATIVE)
        if isinstance(self.network, UNet2DModel):
            DDPMPipeline(self.network, scheduler).save_pretrained(path)
            return
        self.network.save_pretrained(path / part_of(self._settings))
        scheduler.save_pretrained(path / "scheduler")

    def description(self) -> Mapping[str, Any]:  # noqa: D102
        guidance = {}
        if self._negative is not None:
            guidance["negative"] = self._w
        return {
            "kind": "diffusion",
            "settings": self._settings.model_dump(),
            "classes": self._classes,
            "training": self._training,
            **guidance,
        }

    def card(self) -> str:  # noqa: D102
        scheduler = new_scheduler(self._settings)
        fitted = (self.network, scheduler, self._classes, self._training, self._w)
        return diffusion_card(self._settings, *fitted)

    @classmethod
    def restore(cls, description: Mapping[str, Any], path: Path) -> DiffusionModel:  # noqa: D102
        fitted = DiffusionDescription.model_validate(description)
        negative = None
        if fitted.negative is not None:
            negative = open_network(fitted.settings, fitted.classes, path / NEGATIVE)
        return cls(
            fitted.settings,
            network=open_network(fitted.settings, fitted.classes, path / part_of(fitted.settings)),
            classes=fitted.classes,
            training=fitted.training,
            negative=negative,
            w=fitted.negative or 0.0,
        )


class DiffusionDescription(BaseModel):
    """What imglab.json says of a diffusion model.

    negative  strength of the guidance away from another network, if there is one
    """

    settings: DiffusionSettings
    classes: Size | None
    training: dict[str, Any]
    negative: float | None = None


def _check_spec(settings: DiffusionSettings, spec: Spec) -> None:
    """Raise InputError unless the network fits the data."""
    if len(spec.shape) != 3 or spec.dtype != torch.uint8:
        what = "a diffusion model draws images"
        raise InputError(Problem("model.kind", what, "use it with modality.kind: image"))

    problems = list(size_problems(settings, spec.shape))
    if settings.class_conditional and spec.conditions is None:
        what = "the data have no classes"
        problems.append(Problem("model.class_conditional", what, "set it to false"))

    if problems:
        raise InputError(problems)
