"""UNets that read prompts, as Stable Diffusion 1, 2 and XL do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import DiffusionPipeline, UNet2DConditionModel
from torch import Tensor, nn

from imglab.errors import InputError, Problem
from imglab.images.diffusion.denoiser import Denoiser
from imglab.images.diffusion.noising import Noising
from imglab.images.latents import NAME, LatentDenoiser, Latents
from imglab.modality import Spec

ARCHITECTURES = "one with a UNet2DModel, a DiT, or a UNet or transformer that reads text"
TEXT_TO_IMAGE = "choose a text-to-image pipeline of Stable Diffusion's kind"


class TextDenoiser(LatentDenoiser):
    """A UNet that works on latents and reads prompts. A label is a prompt's number."""

    def __init__(
        self, pipeline: DiffusionPipeline, prompts: Sequence[str], *arguments: Any
    ) -> None:
        """Take the pipeline and its prompts; all else goes to `LatentDenoiser`."""
        super().__init__(*arguments, conditional=True, null_label=len(prompts))
        self._pipeline = pipeline
        self._prompts = [*prompts, ""]

    def predict(
        self, network: nn.Module, noisy: Tensor, times: Tensor, labels: Tensor | None
    ) -> Tensor:
        """Return the prediction, given the prompts that the labels stand for."""
        assert labels is not None
        with torch.no_grad():
            prompts = [self._prompts[label] for label in labels.tolist()]
            states, added = self._encode_prompts(prompts, noisy)
        predicted: Tensor = network(
            noisy, times, encoder_hidden_states=states, added_cond_kwargs=added
        ).sample
        return predicted

    def _encode_prompts(
        self, prompts: list[str], noisy: Tensor
    ) -> tuple[Tensor, dict[str, Tensor] | None]:
        """Return the prompts' states, and what Stable Diffusion XL reads besides."""
        pipeline = self._pipeline
        encoded = pipeline.encode_prompt(
            prompts, device=noisy.device, num_images_per_prompt=1, do_classifier_free_guidance=False
        )
        states = encoded[0].float()
        if not has_two_encoders(pipeline):
            return states, None

        pooled = encoded[2].float()
        if pipeline.config.force_zeros_for_empty_prompt:
            empty = torch.tensor([not prompt for prompt in prompts], device=states.device)
            states = states.masked_fill(empty[:, None, None], 0)
            pooled = pooled.masked_fill(empty[:, None], 0)

        # Original size, place of the crop, and size: the image as it is.
        height, width = (side * self._latents.downsampling for side in noisy.shape[-2:])
        sizes = [[height, width, 0, 0, height, width]] * len(prompts)
        ids = torch.tensor(sizes, device=states.device)
        return states, {"text_embeds": pooled, "time_ids": ids.float()}


def has_two_encoders(pipeline: DiffusionPipeline) -> bool:
    """Say whether a pipeline has two text encoders and reads sizes, as Stable Diffusion XL."""
    return getattr(pipeline, "text_encoder_2", None) is not None


def text_denoiser(
    pipeline: DiffusionPipeline,
    unet: UNet2DConditionModel,
    noising: Noising,
    spec: Spec,
    prompts: Sequence[str],
) -> Denoiser:
    """Return the denoiser of a pipeline with a UNet that reads text.

    Raises InputError where the lab cannot train it, or where it does not fit the data.
    """
    for part in ("vae", "tokenizer", "encode_prompt"):
        if getattr(pipeline, part, None) is None:
            what = f"a {type(pipeline).__name__} has no {part}"
            problem = f"{what}: it has an architecture that the lab does not train"
            raise InputError(Problem(NAME, problem, ARCHITECTURES))

    latents = Latents(pipeline.vae)
    problems = _size_problems(pipeline, unet, latents, spec)
    channels = {unet.config.in_channels, unet.config.out_channels}
    if channels != {pipeline.vae.config.latent_channels}:
        what = "takes more than noise, or predicts more (inpainting?)"
        problems.append(Problem(NAME, what, TEXT_TO_IMAGE))

    further = _further_input(pipeline, unet)
    if further:
        what = f"reads {further}, which the lab cannot give it"
        problems.append(Problem(NAME, what, TEXT_TO_IMAGE))
    if problems:
        raise InputError(problems)

    _, height, width = spec.shape
    scale = latents.downsampling
    shape = (unet.config.in_channels, height // scale, width // scale)
    return TextDenoiser(pipeline, prompts, latents, unet, noising, shape)


def _size_problems(
    pipeline: DiffusionPipeline, unet: UNet2DConditionModel, latents: Latents, spec: Spec
) -> list[Problem]:
    """Return the problems of the images' channels and sides."""
    problems = []
    channels, height, width = spec.shape
    expected = pipeline.vae.config.in_channels
    if channels != expected:
        what = f"draws images of {expected} channels, the data have {channels}"
        problems.append(Problem(NAME, what, "set modality.colour"))

    multiple = latents.downsampling * 2 ** (len(unet.config.block_out_channels) - 1)
    if height % multiple or width % multiple:
        what = f"draws images whose sides are multiples of {multiple} pixels"
        problem = f"{what}, the data are {width} x {height}"
        remedy = f"modality.size: {max(1, round(height / multiple)) * multiple}"
        problems.append(Problem(NAME, problem, remedy))
    return problems


def _further_input(pipeline: DiffusionPipeline, unet: UNet2DConditionModel) -> str | None:
    """Return what a UNet reads beside noise, times and a prompt, if anything.

    Stable Diffusion 1, 2 and XL read nothing else.
    """
    for part in ("controlnet", "adapter"):
        if getattr(pipeline, part, None) is not None:
            return f"more than a prompt (by its {part})"

    config = unet.config
    if config.time_cond_proj_dim is not None:
        return "how far to follow the prompt (time_cond_proj_dim)"
    addition = "text_time" if has_two_encoders(pipeline) else None
    if config.addition_embed_type != addition:
        return f"something of its own kind (addition_embed_type: {config.addition_embed_type})"

    for key in ("encoder_hid_dim_type", "class_embed_type", "num_class_embeds"):
        if config[key] is not None:
            return f"something of its own kind ({key}: {config[key]})"
    return None
