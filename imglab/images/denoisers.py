"""The networks inside pretrained pipelines, as `Denoiser`s: UNets on pixels or latents, DiT, UNets that read text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import (
    DDPMScheduler,
    DiffusionPipeline,
    DiTTransformer2DModel,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    ModelMixin,
    UNet2DConditionModel,
    UNet2DModel,
)
from diffusers.models.embeddings import LabelEmbedding
from torch import Tensor, nn

from imglab.errors import InputError, Problem
from imglab.images.captured_inputs import Flow, captured_inputs_denoiser
from imglab.images.denoising import Denoiser
from imglab.images.diffusion import PixelDenoiser, shape_of
from imglab.images.latents import NAME, LatentDenoiser, Latents
from imglab.modality import Spec

ARCHITECTURES = "one with a UNet2DModel, a DiT, or a UNet or transformer that reads text"
TEXT_TO_IMAGE = "choose a text-to-image pipeline of Stable Diffusion's kind"
PREDICTIONS = ("epsilon", "v_prediction", "sample")


class DitDenoiser(LatentDenoiser):
    """A transformer that works on latents and is told classes (Peebles and Xie 2023)."""

    by_block = False  # its end uses the first block's embedding of labels


class TextDenoiser(LatentDenoiser):
    """A UNet that works on latents and reads prompts: Stable Diffusion 1, 2 and XL. A label is a prompt's number."""

    def __init__(self, pipeline: DiffusionPipeline, prompts: Sequence[str], *given: Any) -> None:
        super().__init__(*given, told=True, nobody=len(prompts))
        self._pipeline, self._prompts = pipeline, [*prompts, ""]

    def predict(
        self, network: nn.Module, noisy: Tensor, times: Tensor, labels: Tensor | None
    ) -> Tensor:
        """Return the prediction, given the prompts that the labels stand for."""
        assert labels is not None
        with torch.no_grad():
            read, added = self._read([self._prompts[label] for label in labels.tolist()], noisy)
        predicted: Tensor = network(
            noisy, times, encoder_hidden_states=read, added_cond_kwargs=added
        ).sample
        return predicted

    def _read(self, prompts: list[str], noisy: Tensor) -> tuple[Tensor, dict[str, Tensor] | None]:
        pipeline = self._pipeline
        found = pipeline.encode_prompt(
            prompts, device=noisy.device, num_images_per_prompt=1, do_classifier_free_guidance=False
        )
        read = found[0].float()
        if not reads_twice(pipeline):
            return read, None
        pooled = found[2].float()
        if pipeline.config.force_zeros_for_empty_prompt:
            silent = torch.tensor([not prompt for prompt in prompts], device=read.device)
            read, pooled = (
                read.masked_fill(silent[:, None, None], 0),
                pooled.masked_fill(silent[:, None], 0),
            )
        height, width = (side * self._latents.times_smaller for side in noisy.shape[-2:])
        ids = torch.tensor(
            [[height, width, 0, 0, height, width]] * len(prompts), device=read.device
        )
        return read, {"text_embeds": pooled, "time_ids": ids.float()}


def reads_twice(pipeline: DiffusionPipeline) -> bool:
    """Say whether a pipeline has two text encoders and is told sizes, as Stable Diffusion XL."""
    return getattr(pipeline, "text_encoder_2", None) is not None


def reads_text(pipeline: DiffusionPipeline) -> bool:
    """Say whether a pipeline draws from prompts."""
    return getattr(pipeline, "tokenizer", None) is not None


def autoencoder_of(pipeline: DiffusionPipeline) -> Any:
    """Return the autoencoder in whose latents a pipeline works; None: it works on pixels."""
    return pipeline.components.get("vqvae") or pipeline.components.get("vae")


def trained_part(pipeline: DiffusionPipeline) -> str:
    """Return the name of the part that a fit trains: `unet` or `transformer`; InputError for other architectures."""
    transformers = ModelMixin if reads_text(pipeline) else DiTTransformer2DModel
    for name, kinds in (
        ("unet", (UNet2DModel, UNet2DConditionModel)),
        ("transformer", transformers),
    ):
        if isinstance(getattr(pipeline, name, None), kinds):
            return name
    what = f"a {type(pipeline).__name__} is of an architecture that the lab does not train"
    raise InputError(Problem(NAME, what, ARCHITECTURES))


def denoiser_of(pipeline: DiffusionPipeline, spec: Spec, prompt: str) -> Denoiser:
    """Return the denoiser of a pipeline for data of this kind; InputError where the two do not fit.

    prompt  around the name of a condition, for pipelines that read text
    """
    network = getattr(pipeline, trained_part(pipeline))
    noising = _noising(pipeline)
    if reads_text(pipeline) or isinstance(network, UNet2DConditionModel):
        if spec.conditions is None:
            remedy = "use modality.source.kind: captioned_folder, or data with classes"
            raise InputError(
                Problem(
                    NAME, "reads prompts, and the data have neither captions nor classes", remedy
                )
            )
        prompts = [prompt.replace("{}", name) for name in spec.conditions]
        if isinstance(network, UNet2DConditionModel):
            return _text_denoiser(pipeline, network, noising, spec, prompts)
        return captured_inputs_denoiser(pipeline, noising, spec, prompts)
    autoencoder = autoencoder_of(pipeline)
    latents = None if autoencoder is None else Latents(autoencoder)
    if isinstance(network, DiTTransformer2DModel):
        assert latents is not None
        known = nobody = network.config.num_embeds_ada_norm
        shape = (network.config.in_channels, network.config.sample_size, network.config.sample_size)
        for part in network.modules():
            if isinstance(part, LabelEmbedding):
                part.dropout_prob = (
                    0.0  # labels are hidden by `label_dropout`, from a generator of ours
                )
        found: Denoiser = DitDenoiser(latents, network, noising, shape, told=True, nobody=nobody)
    else:
        known, shape = network.config.num_class_embeds, shape_of(network)
        # One embedding more than there are classes is for none of them, as the lab makes it; others are not known.
        nobody = known - 1 if known and known == len(spec.conditions or ()) + 1 else None
        told = known is not None
        if latents is None:
            found = PixelDenoiser(network, noising, shape, told=told, nobody=nobody)
        else:
            found = LatentDenoiser(latents, network, noising, shape, told=told, nobody=nobody)
    _check_shape(shape, latents, autoencoder, spec)
    drawn, predicted = shape[0], network.config.out_channels or shape[0]
    if predicted not in (drawn, 2 * drawn):
        what = f"predicts {predicted} channels of {drawn}, which is neither noise nor noise and its variance"
        raise InputError(Problem(NAME, what, "choose another pipeline"))
    if found.told and not spec.conditions:
        raise InputError(
            Problem(
                NAME, "is told classes, which the data do not have", "choose an unconditional one"
            )
        )
    if found.told and known is not None and len(spec.conditions or ()) > known:
        what = f"knows {known} classes, the data have {len(spec.conditions or ())}"
        raise InputError(Problem(NAME, what, "choose some of them: modality.classes"))
    return found


def _text_denoiser(
    pipeline: DiffusionPipeline,
    unet: UNet2DConditionModel,
    noising: DDPMScheduler | Flow,
    spec: Spec,
    prompts: Sequence[str],
) -> Denoiser:
    missing = [
        part
        for part in ("vae", "tokenizer", "encode_prompt")
        if getattr(pipeline, part, None) is None
    ]
    if missing:
        what = f"a {type(pipeline).__name__} has no {missing[0]}: it is of an architecture that the lab does not train"
        raise InputError(Problem(NAME, what, ARCHITECTURES))
    latents = Latents(pipeline.vae)
    channels, height, width = spec.shape
    multiple = latents.times_smaller * 2 ** (len(unet.config.block_out_channels) - 1)
    problems = []
    if channels != pipeline.vae.config.in_channels:
        what = (
            f"draws images of {pipeline.vae.config.in_channels} channels, the data have {channels}"
        )
        problems.append(Problem(NAME, what, "set modality.colour"))
    if height % multiple or width % multiple:
        what = f"draws images whose sides are multiples of {multiple} pixels, the data are {width} x {height}"
        problems.append(
            Problem(NAME, what, f"modality.size: {max(1, round(height / multiple)) * multiple}")
        )
    if {unet.config.in_channels, unet.config.out_channels} != {pipeline.vae.config.latent_channels}:
        problems.append(
            Problem(NAME, "takes more than noise, or predicts more (inpainting?)", TEXT_TO_IMAGE)
        )
    if more := _reads_more(pipeline, unet):
        problems.append(
            Problem(NAME, f"is told {more}, which the lab does not know how to", TEXT_TO_IMAGE)
        )
    if problems:
        raise InputError(problems)
    shape = (
        unet.config.in_channels,
        height // latents.times_smaller,
        width // latents.times_smaller,
    )
    return TextDenoiser(pipeline, prompts, latents, unet, noising, shape)


def _reads_more(pipeline: DiffusionPipeline, unet: UNet2DConditionModel) -> str | None:
    """Return what a UNet reads beside noise, times and a prompt as Stable Diffusion 1, 2 or XL do."""
    for part in ("controlnet", "adapter"):
        if getattr(pipeline, part, None) is not None:
            return f"more than a prompt (by its {part})"
    config = unet.config
    if config.time_cond_proj_dim is not None:
        return "how far to follow the prompt (time_cond_proj_dim)"
    known = "text_time" if reads_twice(pipeline) else None
    if config.addition_embed_type != known:
        return f"something of its own kind (addition_embed_type: {config.addition_embed_type})"
    for key in ("encoder_hid_dim_type", "class_embed_type", "num_class_embeds"):
        if config[key] is not None:
            return f"something of its own kind ({key}: {config[key]})"
    return None


def _check_shape(
    shape: tuple[int, ...], latents: Latents | None, autoencoder: Any, spec: Spec
) -> None:
    if latents is not None:
        times = latents.times_smaller
        shape = (autoencoder.config.in_channels, shape[1] * times, shape[2] * times)
    if shape == tuple(spec.shape):
        return
    each = [
        f"{found[2]} x {found[1]} with {found[0]} channels" for found in (shape, tuple(spec.shape))
    ]
    colour = {1: "grey", 3: "rgb"}.get(shape[0], "keep")
    remedy = f"modality.size: {shape[1]}, modality.colour: {colour}"
    raise InputError(Problem(NAME, f"draws images of {each[0]}, the data are {each[1]}", remedy))


def _noising(pipeline: DiffusionPipeline) -> DDPMScheduler | Flow:
    scheduler, config = pipeline.scheduler, dict(pipeline.scheduler.config)
    if isinstance(scheduler, (FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler)):
        if not config.get("invert_sigmas"):
            return Flow(config["num_train_timesteps"])
    elif "beta_schedule" in config and config.get("prediction_type", "epsilon") in PREDICTIONS:
        noising = DDPMScheduler.from_config(config, clip_sample=False)
        own = getattr(scheduler, "alphas_cumprod", noising.alphas_cumprod)
        if torch.allclose(own.cpu().float(), noising.alphas_cumprod, rtol=1e-3, atol=1e-6):
            return noising
    what = f"its {type(scheduler).__name__} adds noise in a way that the lab does not train"
    raise InputError(
        Problem(NAME, what, "choose a pipeline of the DDPM family, or one of rectified flow")
    )
