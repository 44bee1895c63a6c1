"""Pretrained diffusion pipelines, fine-tuned as they are.

A pipeline keeps its own scheduler, autoencoder, text encoder and dtype.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from itertools import repeat
from pathlib import Path
from typing import Annotated, Any

import torch
from diffusers import DiffusionPipeline, ModelMixin
from pydantic import BaseModel, Field
from torch import Tensor

from imglab import seeds
from imglab.config.section import auto_keys
from imglab.errors import InputError, Problem
from imglab.images.diffusion.autotune import choices
from imglab.images.diffusion.cards import pipeline_card
from imglab.images.diffusion.denoiser import Denoiser, memory_format
from imglab.images.diffusion.drawing import draw_images
from imglab.images.diffusion.fitting import fit_denoiser
from imglab.images.diffusion.settings import PipelineSettings
from imglab.images.latents import NAME
from imglab.images.model_settings import TrainingSettings
from imglab.images.pipeline_adapters import (
    AdaptedNetwork,
    open_adapted,
    restore_dtypes,
    with_network,
)
from imglab.images.pipeline_denoisers import denoiser_of, reads_text, trained_part
from imglab.images.pipeline_drawing import (
    default_bias,
    draw_from_prompts,
    sampler_of,
    settings_problems,
    steps_of,
)
from imglab.images.pipeline_folder import open_pipeline, save_pipeline
from imglab.images.watermark import check_watermark
from imglab.modality import Modality, Spec
from imglab.model import Choice, GenerativeModel
from imglab.progress import Stage
from imglab.samples import Samples, TrainingSet
from imglab.training import hub
from imglab.training.devices import device
from imglab.training.lora import adapter_problems
from imglab.training.moving import joined_training, moved_network

MOST_ADAPTERS = 10_000
"""Adapters of a pipeline that is opened, at most."""


class PipelineModel(GenerativeModel):
    """A pipeline of diffusers around a network that is fine-tuned.

    It draws from text, from classes or from noise alone. Weights are trained in fp32 and kept in
    the pipeline's dtype, in which it draws.
    """

    def __init__(
        self,
        settings: PipelineSettings,
        modality: Modality | None = None,
        *,
        pipeline: DiffusionPipeline | None = None,
        spec: Spec | None = None,
        training: Mapping[str, Any] | None = None,
        adapted: AdaptedNetwork | None = None,
    ) -> None:
        """Open the pipeline that the settings name for `modality`, or take a fitted one.

        pipeline  a fitted pipeline, for data like `spec`
        adapted   what its network was merged from, if that is adapters and another network
        """
        if modality is not None:
            spec = modality.spec
            if len(spec.shape) != 3 or spec.dtype != torch.uint8:
                what = "a pipeline draws images"
                raise InputError(Problem("model.kind", what, "use it with modality.kind: image"))
            check_watermark(settings.watermark, spec.shape)
            pipeline = open_pipeline(settings).to(device())

        assert pipeline is not None
        assert spec is not None
        self._settings = settings
        self._pipeline = pipeline
        self._spec = spec
        self._training = dict(training or {})
        self._adapted = adapted

        with hub.opening(settings.name, NAME):
            denoiser = self._denoiser(pipeline)
        problems = adapter_problems(settings.lora, denoiser.network)
        problems += settings_problems(settings, denoiser, pipeline.scheduler)
        if problems:
            raise InputError(problems)

    @property
    def pipeline(self) -> DiffusionPipeline:
        """The pipeline."""
        return self._pipeline

    @property
    def network(self) -> ModelMixin:
        """The part of the pipeline that is trained."""
        network: ModelMixin = getattr(self._pipeline, trained_part(self._pipeline))
        return network

    @property
    def conditional(self) -> bool:
        """Whether it is class-conditional, or reads prompts."""
        return self._denoiser(self._pipeline).conditional

    @property
    def pretrained(self) -> PipelineModel:
        """The model itself: its weights come with its name."""
        return self

    @property
    def training(self) -> Mapping[str, Any]:
        """How many images the fit saw, and whether its budget was in images or epochs."""
        return self._training

    def choices(self, train: TrainingSet, *, fits: int) -> Mapping[str, Choice]:
        """Measure layout, precision, compiling and the sampling batch, where they are `auto`."""
        settings = self._settings
        if not auto_keys(settings):
            return {}
        pipeline = with_network(self._pipeline, copy.deepcopy(self.network).float())
        plans = repeat(settings.fine_tuning, fits)
        return choices(self._denoiser(pipeline), train, settings, plans, lora=settings.lora)

    def _denoiser(self, pipeline: DiffusionPipeline) -> Denoiser:
        return denoiser_of(pipeline, self._spec, self._settings.prompt)

    def fit(
        self,
        train: TrainingSet,
        *,
        start: GenerativeModel | None,
        seed: int,
        resume: dict[str, Tensor] | None = None,
    ) -> Stage[GenerativeModel]:
        """Denoise batches of `train` until the budget of images is spent.

        Of the pipeline's parts one network is trained; the others stay as they are.
        """
        settings = self._settings
        before = self if start is None else self.check_start(start)
        network = copy.deepcopy(before.network).float()
        plan: TrainingSettings = settings.fine_tuning
        lora = settings.lora

        # New weights are trained whole.
        if start is None:
            plan = settings.training
            lora = None
            with seeds.isolated(seed, "weights"):
                network.load_state_dict(type(network).from_config(network.config).state_dict())

        pipeline = with_network(before.pipeline, network)
        fitted = yield from fit_denoiser(
            self._denoiser(pipeline), train, plan, settings, seed=seed, lora=lora, resume=resume
        )
        restore_dtypes(network, like=before.network)
        adapted = None
        if fitted.adapters is not None:
            adapted = (before._adapted or AdaptedNetwork(before.network)).after(fitted.adapters)
        model = {"pipeline": pipeline, "spec": self._spec, "training": fitted.training}
        return PipelineModel(settings, **model, adapted=adapted)

    def check_start(self, start: GenerativeModel) -> PipelineModel:
        """Raise ValueError unless `start` is a pipeline of the same layers."""
        if not isinstance(start, PipelineModel):
            raise ValueError(f"a pipeline cannot start from a {type(start).__name__}")

        expected = {name: each.shape for name, each in self.network.state_dict().items()}
        shapes = {name: each.shape for name, each in start.network.state_dict().items()}
        if shapes != expected:
            raise ValueError("architecture differs: its weights have other names or shapes")
        return start

    def moved_away(self, other: GenerativeModel, w: float) -> PipelineModel:
        """Return a pipeline with the weights (1 + w) self - w other (`imglab.remedies.neon`)."""
        network = moved_network(self.network, self.check_start(other).network, w)
        pipeline = with_network(self._pipeline, network)
        training = joined_training(self.training, other.training)
        return PipelineModel(self._settings, pipeline=pipeline, spec=self._spec, training=training)

    def check_weights(self) -> None:
        """Do nothing: a fit reads the weights of its training set, whatever the settings are."""

    @torch.inference_mode()
    def draw(self, indices: range, *, conditions: Tensor | None, seed: int) -> Iterator[Samples]:
        """Yield images: noise of (seed, i), denoised by the pipeline's scheduler.

        They are rounded once, to uint8.
        """
        settings = self._settings
        pipeline = self._pipeline
        if reads_text(pipeline):
            yield from self._draw_from_text(indices, conditions, seed)
            return

        denoiser = self._denoiser(pipeline)
        if settings.sampling_bias is None and denoiser.null_label is not None:
            settings = settings.model_copy(update={"sampling_bias": default_bias(pipeline)})
        yield from draw_images(
            denoiser,
            sampler_of(settings, pipeline),
            settings,
            steps_of(settings, pipeline),
            indices,
            conditions=conditions,
            seed=seed,
        )

    def _draw_from_text(
        self, indices: range, conditions: Tensor | None, seed: int
    ) -> Iterator[Samples]:
        if conditions is None:
            raise ValueError("a model that reads prompts needs conditions")
        # The memory layout in which it was fitted: others round differently.
        self.network.to(memory_format=memory_format(self._settings))
        yield from draw_from_prompts(
            self._pipeline,
            self._settings,
            indices,
            names=self._spec.conditions or (),
            shape=self._spec.shape,
            conditions=conditions,
            seed=seed,
        )

    def write_weights(self, path: Path) -> None:
        """Write the pipeline, which opens with `DiffusionPipeline.from_pretrained`.

        Adapters lie beside it, in its folder `adapters`.
        """
        if self._adapted is None:
            save_pipeline(self._pipeline, path)
            return
        save_pipeline(with_network(self._pipeline, self._adapted.base), path)
        self._adapted.save(path, self._settings.name, self._settings.revision)

    def description(self) -> Mapping[str, Any]:  # noqa: D102
        conditions = self._spec.conditions
        adapters = {}
        if self._adapted is not None:
            adapters["adapters"] = len(self._adapted.adapters)
        return {
            "kind": "pipeline",
            "settings": self._settings.model_dump(),
            "shape": list(self._spec.shape),
            "conditions": None if conditions is None else list(conditions),
            "training": self._training,
            **adapters,
        }

    def card(self) -> str:  # noqa: D102
        return pipeline_card(
            type(self._pipeline).__name__,
            self._settings,
            self._training,
            part=trained_part(self._pipeline),
            adapters=self.description().get("adapters", 0),
        )

    @classmethod
    def restore(cls, description: Mapping[str, Any], path: Path) -> PipelineModel:  # noqa: D102
        fitted = PipelineDescription.model_validate(description)
        saved = {"name": str(path), "revision": None, "variant": None, "dtype": "own"}
        settings = fitted.settings.model_copy(update=saved)
        pipeline = open_pipeline(settings, str(path)).to(device())
        adapted = None
        if fitted.adapters:
            lora = fitted.settings.lora
            pipeline, adapted = open_adapted(pipeline, lora, path, fitted.adapters)
        spec = Spec(fitted.shape, torch.uint8, fitted.conditions)
        model = {"pipeline": pipeline, "spec": spec, "training": fitted.training}
        return cls(fitted.settings, **model, adapted=adapted)


class PipelineDescription(BaseModel):
    """What imglab.json says of a fine-tuned pipeline.

    adapters  how many lie in its folder `adapters`, and are merged into its network in this order
    """

    settings: PipelineSettings
    shape: tuple[int, int, int]
    conditions: tuple[str, ...] | None
    training: dict[str, Any]
    adapters: Annotated[int, Field(ge=0, le=MOST_ADAPTERS)] = 0
