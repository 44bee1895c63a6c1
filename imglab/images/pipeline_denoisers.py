"""The networks inside pretrained pipelines, as `Denoiser`s.

UNets on pixels or latents, DiT, and UNets that read text; transformers that read text are in
`captured_inputs`.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    DDPMScheduler,
    DiffusionPipeline,
    DiTTransformer2DModel,
    ModelMixin,
    UNet2DConditionModel,
    UNet2DModel,
)

from imglab.errors import InputError, Problem
from imglab.images.captured_inputs import captured_inputs_denoiser
from imglab.images.diffusion.denoiser import Denoiser, PixelDenoiser
from imglab.images.diffusion.drawing import is_flow
from imglab.images.diffusion.networks import hide_no_labels, shape_of
from imglab.images.diffusion.noising import Flow, FlowOfImages, Noising, VariancePreserving
from imglab.images.latents import NAME, LatentDenoiser, Latents
from imglab.images.text_denoiser import ARCHITECTURES, text_denoiser
from imglab.modality import Spec

PREDICTIONS = ("epsilon", "v_prediction", "sample")


class DitDenoiser(LatentDenoiser):
    """A class-conditional transformer that works on latents (Peebles and Xie 2023)."""

    # Its end uses the embedding of labels that lies in its first block.
    shard_blocks = False


def reads_text(pipeline: DiffusionPipeline) -> bool:
    """Say whether a pipeline draws from prompts."""
    return getattr(pipeline, "tokenizer", None) is not None


def autoencoder_of(pipeline: DiffusionPipeline) -> Any:
    """Return the autoencoder in whose latents a pipeline works; None: it works on pixels."""
    return pipeline.components.get("vqvae") or pipeline.components.get("vae")


def trained_part(pipeline: DiffusionPipeline) -> str:
    """Return the name of the part that a fit trains: `unet` or `transformer`.

    Raises InputError for other architectures.
    """
    unets = (UNet2DModel, UNet2DConditionModel)
    if isinstance(getattr(pipeline, "unet", None), unets):
        return "unet"

    # Any transformer that reads text can be trained, through what its pipeline gives it.
    transformers = DiTTransformer2DModel
    if reads_text(pipeline):
        transformers = ModelMixin
    if isinstance(getattr(pipeline, "transformer", None), transformers):
        return "transformer"

    what = f"a {type(pipeline).__name__} has an architecture that the lab does not train"
    raise InputError(Problem(NAME, what, ARCHITECTURES))


def denoiser_of(pipeline: DiffusionPipeline, spec: Spec, prompt: str) -> Denoiser:
    """Return the denoiser of a pipeline for data of this kind.

    prompt  stands around the name of a condition, for pipelines that read text
    Raises InputError where pipeline and data do not fit.
    """
    network = getattr(pipeline, trained_part(pipeline))
    noising = _noising(pipeline)
    if reads_text(pipeline) or isinstance(network, UNet2DConditionModel):
        prompts = _prompts(spec, prompt)
        if isinstance(network, UNet2DConditionModel):
            return text_denoiser(pipeline, network, noising, spec, prompts)
        return captured_inputs_denoiser(pipeline, noising, spec, prompts)

    if isinstance(network, DiTTransformer2DModel):
        denoiser = _dit_denoiser(pipeline, network, noising)
        classes = network.config.num_embeds_ada_norm
    else:
        denoiser = _unet_denoiser(pipeline, network, noising, spec)
        classes = network.config.num_class_embeds

    _check_shape(denoiser.shape, autoencoder_of(pipeline), spec)
    _check_prediction(denoiser.shape[0], network.config.out_channels)
    if denoiser.conditional:
        _check_classes(spec, classes)
    return denoiser


def _prompts(spec: Spec, prompt: str) -> list[str]:
    """Return the prompt of each condition; InputError where the data have none."""
    if spec.conditions is None:
        what = "reads prompts, but the data have neither captions nor classes"
        remedy = "use modality.source.kind: captioned_folder, or data with classes"
        raise InputError(Problem(NAME, what, remedy))
    return [prompt.replace("{}", name) for name in spec.conditions]


def _dit_denoiser(
    pipeline: DiffusionPipeline, network: DiTTransformer2DModel, noising: Noising
) -> Denoiser:
    hide_no_labels(network)
    config = network.config
    shape = (config.in_channels, config.sample_size, config.sample_size)
    latents = Latents(autoencoder_of(pipeline))
    null_label = config.num_embeds_ada_norm
    return DitDenoiser(latents, network, noising, shape, conditional=True, null_label=null_label)


def _unet_denoiser(
    pipeline: DiffusionPipeline, network: UNet2DModel, noising: Noising, spec: Spec
) -> Denoiser:
    # One embedding more than there are classes stands for none of them, as the lab makes it. What
    # other embeddings stand for is not known.
    embeddings = network.config.num_class_embeds
    null_label = None
    if embeddings and embeddings == len(spec.conditions or ()) + 1:
        null_label = embeddings - 1

    labels: dict[str, Any] = {"conditional": embeddings is not None, "null_label": null_label}
    autoencoder = autoencoder_of(pipeline)
    if autoencoder is None:
        return PixelDenoiser(network, noising, shape_of(network), **labels)
    latents = Latents(autoencoder)
    return LatentDenoiser(latents, network, noising, shape_of(network), **labels)


def _check_shape(shape: tuple[int, ...], autoencoder: Any, spec: Spec) -> None:
    """Raise InputError unless a network draws images of the data's shape.

    shape  of what the network works on, for one image
    """
    if autoencoder is not None:
        scale = Latents(autoencoder).downsampling
        shape = (autoencoder.config.in_channels, shape[1] * scale, shape[2] * scale)
    if shape == tuple(spec.shape):
        return

    drawn, data = (
        f"{width} x {height} with {channels} channels"
        for channels, height, width in (shape, tuple(spec.shape))
    )
    colour = {1: "grey", 3: "rgb"}.get(shape[0], "keep")
    remedy = f"modality.size: {shape[1]}, modality.colour: {colour}"
    raise InputError(Problem(NAME, f"draws images of {drawn}, the data are {data}", remedy))


def _check_prediction(channels: int, predicted: int | None) -> None:
    """Raise InputError unless a network predicts noise, or noise and its variance."""
    if predicted not in (None, channels, 2 * channels):
        what = f"predicts {predicted} channels of {channels}"
        problem = f"{what}, which is neither noise nor noise and its variance"
        raise InputError(Problem(NAME, problem, "choose another pipeline"))


def _check_classes(spec: Spec, classes: int) -> None:
    """Raise InputError unless the data have classes that a conditional network knows."""
    if not spec.conditions:
        what = "is class-conditional, but the data have no classes"
        raise InputError(Problem(NAME, what, "choose an unconditional pipeline"))
    if len(spec.conditions) > classes:
        what = f"knows {classes} classes, the data have {len(spec.conditions)}"
        raise InputError(Problem(NAME, what, "choose some of them: modality.classes"))


def _noising(pipeline: DiffusionPipeline) -> Noising:
    """Return how a pipeline's scheduler adds noise; InputError where the lab cannot."""
    scheduler = pipeline.scheduler
    config = dict(scheduler.config)
    if is_flow(scheduler):
        if not config.get("invert_sigmas"):
            return Flow(config["num_train_timesteps"])
    elif config.get("use_flow_sigmas"):
        flows = {"flow_prediction": Flow, "sample": FlowOfImages}
        if config.get("prediction_type") in flows:
            return flows[config["prediction_type"]](config["num_train_timesteps"])

    # A scheduler of the DDPM family may have betas of its own.
    elif "beta_schedule" in config and config.get("prediction_type", "epsilon") in PREDICTIONS:
        noising = DDPMScheduler.from_config(config, clip_sample=False)
        expected = getattr(scheduler, "alphas_cumprod", noising.alphas_cumprod)
        if torch.allclose(expected.cpu().float(), noising.alphas_cumprod, rtol=1e-3, atol=1e-6):
            return VariancePreserving(noising)

    what = f"its {type(scheduler).__name__} adds noise in a way that the lab does not train"
    remedy = "choose a pipeline of the DDPM family, or one of rectified flow"
    raise InputError(Problem(NAME, what, remedy))
