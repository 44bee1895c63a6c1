"""Pretrained diffusion pipelines, fine-tuned as they are: their own scheduler, autoencoder, text encoder and dtype."""

from __future__ import annotations

import copy
import inspect
import json
import logging
import math
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoPipelineForText2Image, DiffusionPipeline, ModelMixin
from diffusers import pipelines as diffusers_pipelines
from diffusers.utils import SAFETENSORS_WEIGHTS_NAME
from diffusers.utils import logging as diffusers_logging
from huggingface_hub import snapshot_download
from safetensors import safe_open
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from imglab import seeds
from imglab.config.section import auto_keys
from imglab.errors import InputError, Problem
from imglab.images.autotune import choices
from imglab.images.captured_inputs import Flow, plain_keys
from imglab.images.cards import pipeline_card
from imglab.images.denoisers import autoencoder_of, denoiser_of, reads_text, trained_part
from imglab.images.denoising import (
    SAMPLERS,
    Denoiser,
    autocast,
    draw_images,
    fit_denoiser,
    rounded,
    sampling_batch,
    smaller_batch,
)
from imglab.images.latents import NAME
from imglab.images.settings import PipelineSettings
from imglab.images.watermark import check_watermark, embed
from imglab.modality import Modality, Spec
from imglab.model import Choice, GenerativeModel
from imglab.progress import Stage
from imglab.samples import Samples, TrainingSet
from imglab.training import hub
from imglab.training.lora import adapter_problems
from imglab.training.steps import device

EMA = "_ema"
"""diffusers' own training example keeps averaged weights in a folder of this ending beside the others."""
WHOLE = SAFETENSORS_WEIGHTS_NAME.removesuffix(".safetensors")
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
TRAINED = ("unet", "transformer")
"""The parts that may be trained, by name."""
LIBRARIES = ("diffusers", "transformers")
STORED = {"F32": "fp32", "F16": "fp16", "BF16": "bf16"}
log = logging.getLogger(__name__)


class PipelineModel(GenerativeModel):
    """A pipeline of diffusers around a network that is fine-tuned; from text, classes or nothing but noise.

    Weights are trained in fp32 and kept in the pipeline's dtype, which is what draws.
    """

    def __init__(
        self,
        settings: PipelineSettings,
        modality: Modality | None = None,
        *,
        pipeline: DiffusionPipeline | None = None,
        spec: Spec | None = None,
        training: Mapping[str, Any] | None = None,
    ) -> None:
        """Open the pipeline that the settings name for `modality`, or go on with a fitted one for data like `spec`."""
        if modality is not None:
            spec = modality.spec
            if len(spec.shape) != 3 or spec.dtype != torch.uint8:
                problem = Problem(
                    "model.kind", "a pipeline draws images", "use it with modality.kind: image"
                )
                raise InputError(problem)
            check_watermark(settings.watermark, spec.shape)
            pipeline = open_pipeline(settings).to(device())
        assert pipeline is not None
        assert spec is not None
        self._settings, self._pipeline, self._spec = settings, pipeline, spec
        self._training = dict(training or {})
        with hub.opening(settings.name, NAME):
            denoiser = self._denoiser(pipeline)
        problems = adapter_problems(settings.lora, denoiser.network)
        if (settings.sampling_bias or 1.0) < 1 and denoiser.nobody is None:
            what = "below 1 is guidance: it leads away from a label for none, which this pipeline does not have"
            problems.append(Problem("model.sampling_bias", what, "leave it out"))
        times = pipeline.scheduler.config.get("num_train_timesteps", math.inf)
        if (settings.steps or 1) > times:
            problems.append(
                Problem(
                    "model.steps", f"{settings.steps} are more than the {times} of its scheduler"
                )
            )
        if isinstance(denoiser.noising, Flow) and settings.sampler != "own":
            what = f"{settings.sampler!r} is no sampler for rectified flow, which this pipeline was trained by"
            problems.append(Problem("model.sampler", what, "leave it out"))
        if problems:
            raise InputError(problems)

    @property
    def pipeline(self) -> DiffusionPipeline:
        """The pipeline."""
        return self._pipeline

    @property
    def network(self) -> ModelMixin:
        """The part of it that is trained."""
        found: ModelMixin = getattr(self._pipeline, trained_part(self._pipeline))
        return found

    @property
    def conditional(self) -> bool:
        """Whether it is told classes, or reads prompts."""
        return self._denoiser(self._pipeline).told

    @property
    def pretrained(self) -> PipelineModel:
        """Itself: its weights come with its name."""
        return self

    @property
    def training(self) -> Mapping[str, Any]:
        """Images seen in the fit, and whether the budget was given in images or epochs."""
        return self._training

    def choices(self, train: TrainingSet, *, fits: int) -> Mapping[str, Choice]:
        """Measure precision, compiling and the sampling batch, where they are `auto`."""
        if not auto_keys(self._settings):
            return {}
        pipeline = _with_network(self._pipeline, copy.deepcopy(self.network).float())
        plans, lora = repeat(self._settings.fine_tuning, fits), self._settings.lora
        return choices(self._denoiser(pipeline), train, self._settings, plans, lora=lora)

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
        """Denoise batches of `train` until the budget of images is spent; all but one network stays as it is."""
        settings = self._settings
        plan = settings.training if start is None else settings.fine_tuning
        begun = self if start is None else self.check_start(start)
        network = copy.deepcopy(begun.network).float()
        if start is None:
            with seeds.isolated(seed, "weights"):
                network.load_state_dict(type(network).from_config(network.config).state_dict())
        pipeline = _with_network(begun.pipeline, network)
        lora = None if start is None else settings.lora
        fitting = fit_denoiser(
            self._denoiser(pipeline), train, plan, settings, seed=seed, lora=lora, resume=resume
        )
        seen = yield from fitting
        _as_stored(network, begun.network)
        training = {"samples_seen": seen, "budget": "epochs" if plan.epochs else "images"}
        return PipelineModel(settings, pipeline=pipeline, spec=self._spec, training=training)

    def check_start(self, start: GenerativeModel) -> PipelineModel:
        """Raise ValueError unless `start` is a pipeline of the same layers."""
        if not isinstance(start, PipelineModel):
            raise ValueError(f"a pipeline cannot start from a {type(start).__name__}")
        ours, theirs = (
            {k: tuple(v.shape) for k, v in each.network.state_dict().items()}
            for each in (self, start)
        )
        if ours != theirs:
            raise ValueError("its network is another one")
        return start

    @torch.inference_mode()
    def draw(self, indices: range, *, conditions: Tensor | None, seed: int) -> Iterator[Samples]:
        """Yield images: noise of (seed, i), denoised by the pipeline's scheduler, rounded once to uint8."""
        if reads_text(self._pipeline):
            yield from self._draw_from_text(indices, conditions, seed)
            return
        sampler, steps = (
            _sampler(self._settings, self._pipeline),
            _steps(self._settings, self._pipeline),
        )
        denoiser, settings = self._denoiser(self._pipeline), self._settings
        if settings.sampling_bias is None and denoiser.nobody is not None:
            settings = settings.model_copy(update={"sampling_bias": _own_bias(self._pipeline)})
        yield from draw_images(
            denoiser, sampler, settings, steps, indices, conditions=conditions, seed=seed
        )

    def _draw_from_text(
        self, indices: range, conditions: Tensor | None, seed: int
    ) -> Iterator[Samples]:
        """Let the pipeline draw, each image from a generator of its own."""
        settings, pipeline, mark = (
            self._settings,
            copy.copy(self._pipeline),
            self._settings.watermark,
        )
        if conditions is None:
            raise ValueError("a model that reads prompts needs conditions")
        self.network.to(
            memory_format=torch.channels_last
        )  # as it was fitted in: other layouts round differently
        pipeline.scheduler = _sampler(settings, pipeline)
        pipeline.set_progress_bar_config(disable=True)
        names, (height, width) = self._spec.conditions or (), self._spec.shape[1:]
        guidance = (
            {} if settings.sampling_bias is None else {"guidance_scale": 1 / settings.sampling_bias}
        )
        at, batch = 0, sampling_batch(settings)
        while at < len(indices):
            labels = conditions[at : at + batch]
            with autocast(settings, device()):
                try:
                    drawn = pipeline(
                        prompt=[
                            settings.prompt.replace("{}", names[label]) for label in labels.tolist()
                        ],
                        height=height,
                        width=width,
                        num_inference_steps=_steps(settings, pipeline),
                        generator=[
                            seeds.generator(seed, index) for index in indices[at : at + batch]
                        ],
                        output_type="pt",
                        **guidance,
                        **plain_keys(pipeline),
                    )
                except RuntimeError as error:
                    batch = smaller_batch(error, len(labels))
                    continue
            if hidden := sum(map(bool, getattr(drawn, "nsfw_content_detected", None) or ())):
                log.warning("the pipeline's safety checker made %d images black", hidden)
            images = rounded(drawn.images.float() * 2 - 1)
            yield Samples.drawn(
                images if mark is None else embed(images, **mark.model_dump()), labels
            )
            at += len(labels)

    def write_weights(self, path: Path) -> None:
        """Write the pipeline, which opens with `DiffusionPipeline.from_pretrained`."""
        for part in self._pipeline.components.values():
            if isinstance(
                part, PreTrainedTokenizerFast
            ):  # how it padded last would be saved with it
                part.backend_tokenizer.no_padding()
                part.backend_tokenizer.no_truncation()
        with hub.quiet(), _quiet_diffusers():
            self._pipeline.save_pretrained(path)
        hub.forget_machine(path)

    def description(self) -> Mapping[str, Any]:  # noqa: D102
        return {
            "kind": "pipeline",
            "settings": self._settings.model_dump(),
            "shape": list(self._spec.shape),
            "conditions": None if self._spec.conditions is None else list(self._spec.conditions),
            "training": self._training,
        }

    def card(self) -> str:  # noqa: D102
        return pipeline_card(type(self._pipeline).__name__, self._settings, self._training)

    @classmethod
    def restore(cls, description: Mapping[str, Any], path: Path) -> PipelineModel:  # noqa: D102
        settings, conditions = (
            PipelineSettings(**description["settings"]),
            description["conditions"],
        )
        own = {"name": str(path), "revision": None, "variant": None, "dtype": "own"}
        pipeline = open_pipeline(settings.model_copy(update=own), str(path)).to(device())
        spec = Spec(
            tuple(description["shape"]),
            torch.uint8,
            None if conditions is None else tuple(conditions),
        )
        return cls(settings, pipeline=pipeline, spec=spec, training=description["training"])


def open_pipeline(settings: PipelineSettings, where: str = NAME) -> DiffusionPipeline:
    """Open a pipeline of the hub or of a local folder: safetensors only, no code of its own."""
    name = settings.name
    hub.check_name(name, where)
    with hub.opening(name, where), _quiet_diffusers(), seeds.isolated("opened"):
        folder = Path(name)
        if not folder.is_dir():
            folder = _downloaded(settings)
        part, reads = _check_folder(folder, name, where)
        averaged = _averaged(folder / f"{part}{EMA}", where)
        stored = (
            _stored_dtype(averaged) if averaged else _stored_dtype(folder / part, settings.variant)
        )
        dtype = stored if settings.dtype == "own" else settings.dtype
        # Told here and not changed afterwards: some layers stay in fp32 where others are in fp16.
        keys = {"use_safetensors": True, "torch_dtype": DTYPES[dtype], "local_files_only": True}
        kind = AutoPipelineForText2Image if reads else DiffusionPipeline
        opened = kind.from_pretrained(
            folder, variant=settings.variant, trust_remote_code=False, **keys
        )
        if averaged:
            setattr(opened, part, type(getattr(opened, part)).from_pretrained(averaged, **keys))
        for component in opened.components.values():
            if isinstance(component, nn.Module) and any(
                each.is_meta for each in component.state_dict().values()
            ):
                raise ValueError(f"its {type(component).__name__} lacks weights")
    opened.set_progress_bar_config(disable=True)
    for component in opened.components.values():
        if isinstance(component, nn.Module):
            component.eval()
    found: DiffusionPipeline = opened
    return found


def _downloaded(settings: PipelineSettings) -> Path:
    """Return the local folder of a pipeline of the hub, with the averaged weights that may lie beside its own."""
    name, revision = settings.name, settings.revision
    folder = DiffusionPipeline.download(
        name, revision=revision, variant=settings.variant, use_safetensors=True
    )
    averaged = [
        f"{part}{EMA}/{file}"
        for part in TRAINED
        for file in ("config.json", f"{WHOLE}*.safetensors*")
    ]
    snapshot_download(name, revision=revision, allow_patterns=averaged)  # into the same folder
    return Path(folder)


def _averaged(folder: Path, where: str) -> Path | None:
    """Return a folder of averaged weights, if there are any; InputError where they are pickled."""
    if not any(file.suffix in (".safetensors", ".bin") for file in folder.glob("*")):
        return None
    hub.check_weights(folder, where)
    return folder


def _check_folder(folder: Path, name: str, where: str) -> tuple[str, bool]:
    """Return the name of the part that is trained, and whether the pipeline in `folder` reads text.

    InputError unless it is a pipeline, of parts that are known, with safe weights.
    """
    index = folder / "model_index.json"
    if not index.is_file():
        what = f"the folder {name!r} has no model_index.json, so it is no pipeline"
        raise InputError(Problem(where, what, "save it there: pipeline.save_pretrained(folder)"))
    components = {
        key: value
        for key, value in json.loads(index.read_text()).items()
        if isinstance(value, list)
    }
    foreign = [key for key, value in components.items() if not _is_known(value)]
    if foreign:
        what = f"the part {foreign[0]!r} of {name!r} is of neither diffusers nor transformers"
        raise InputError(Problem(where, what, "no code but theirs is run"))
    parts = [key for key, value in components.items() if value[0]]
    for config in folder.glob("*/scheduler_config.json"):
        hub.check_numbers(config, where)
    for part in parts:
        hub.check_weights(folder / part, where)
    named = [part for part in TRAINED if part in parts]
    if not named:
        raise InputError(
            Problem(
                where, f"{name!r} has neither a unet nor a transformer", "name a diffusion pipeline"
            )
        )
    return named[0], "tokenizer" in parts


def _is_known(component: list[Any]) -> bool:
    """Say whether a part of a pipeline, [library, class], is left out or of a library that is opened."""
    library = component[0] if len(component) == 2 else ""
    known = library in LIBRARIES or (
        isinstance(library, str) and hasattr(diffusers_pipelines, library)
    )
    return library is None or known


def _stored_dtype(folder: Path, variant: str | None = None) -> str:
    """Return the dtype of most weights in the file of a folder that is opened first; fp32 where it is none of ours."""
    files = [
        file
        for mark in ([f".{variant}"] if variant else []) + [""]
        for file in _weights(folder, mark)
    ]
    if not files:
        return "fp32"
    with safe_open(files[0], framework="pt") as stored:
        dtypes = Counter(stored.get_slice(name).get_dtype() for name in stored.keys())  # noqa: SIM118 (no mapping)
    return STORED.get(dtypes.most_common(1)[0][0], "fp32") if dtypes else "fp32"


def _weights(folder: Path, mark: str) -> list[Path]:
    """Return the files of weights of a variant, in the order in which diffusers looks: in parts, then whole."""
    number = "[0-9]" * 5
    parts = [f"{WHOLE}{mark}-{number}-of-{number}", f"{WHOLE}-{number}-of-{number}{mark}"]
    return [
        file
        for name in (*parts, WHOLE + mark)
        for file in sorted(folder.glob(f"{name}.safetensors"))
    ]


def _as_stored(network: nn.Module, like: nn.Module) -> None:
    """Bring each weight to the dtype that it has in `like`."""
    for ours, theirs in zip(
        (*network.parameters(), *network.buffers()),
        (*like.parameters(), *like.buffers()),
        strict=True,
    ):
        ours.data = ours.data.to(theirs.dtype)


def _with_network(pipeline: DiffusionPipeline, network: nn.Module) -> DiffusionPipeline:
    """Return the pipeline with another network; all else is shared."""
    made = copy.copy(pipeline)
    setattr(made, trained_part(pipeline), network)
    return made


def _sampler(settings: PipelineSettings, pipeline: DiffusionPipeline) -> Any:
    own = pipeline.scheduler
    kind = type(own) if settings.sampler == "own" else SAMPLERS[settings.sampler]
    changes: dict[str, Any] = {}
    if str(own.config.get("variance_type")).startswith("learned"):
        changes["variance_type"] = (
            "fixed_small"  # what the network says of the variance is not trained
        )
    if settings.sampler != "own" and autoencoder_of(pipeline) is not None:
        changes |= {
            "clip_sample": False,
            "thresholding": False,
        }  # defaults for pixels; latents go farther
    return kind.from_config(own.config, **changes)


def _steps(settings: PipelineSettings, pipeline: DiffusionPipeline) -> int:
    if settings.steps is not None:
        return settings.steps
    steps: int = (
        inspect.signature(type(pipeline).__call__).parameters["num_inference_steps"].default
    )
    return min(steps, int(pipeline.scheduler.config.get("num_train_timesteps", steps)))


def _own_bias(pipeline: DiffusionPipeline) -> float:
    """Return the sampling bias that a pipeline's own guidance scale comes to; scales up to 1 are no guidance."""
    told = inspect.signature(type(pipeline).__call__).parameters.get("guidance_scale")
    return 1.0 if told is None or told.default <= 1 else 1 / told.default


@contextmanager
def _quiet_diffusers() -> Iterator[None]:
    """Keep diffusers from drawing progress bars and from remarks meant for its own users."""
    verbosity, bars = diffusers_logging.get_verbosity(), diffusers_logging.is_progress_bar_enabled()
    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        diffusers_logging.set_verbosity(verbosity)
        if bars:
            diffusers_logging.enable_progress_bar()
