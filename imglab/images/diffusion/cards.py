"""Model cards: what a `model/` folder is and how to draw from it without imglab."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imglab.images.diffusion.settings import DiffusionSettings, PipelineSettings

UNCONDITIONAL = """\
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained("{folder}")
images = pipeline(batch_size=16, num_inference_steps={steps}).images
images[0].save("sample.png")
"""

CONDITIONAL = """\
import torch
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained("{folder}")
unet, scheduler = pipeline.unet, pipeline.scheduler
labels = torch.arange({classes})
scheduler.set_timesteps({steps})
images = torch.randn(len(labels), {shape})
with torch.inference_mode():
    for time in scheduler.timesteps:
        images = scheduler.step(unet(images, time, class_labels=labels).sample, time, images).prev_sample
pipeline.numpy_to_pil((images / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy())[0].save("sample.png")
"""  # noqa: E501 (a card's bytes stay as they are)


def diffusion_card(
    settings: DiffusionSettings,
    shape: tuple[int, ...],
    classes: int | None,
    training: Mapping[str, Any],
) -> str:
    """Return the text of a card for a diffusion model.

    classes  how many there are if it is class-conditional
    """
    listing = UNCONDITIONAL
    kind = "unconditional"
    if classes:
        listing = CONDITIONAL
        kind = f"class-conditional ({classes} classes)"

    sides = ", ".join(map(str, shape))
    code = listing.format(folder="model", steps=settings.steps, classes=classes, shape=sides)

    return (
        "---\nlibrary_name: diffusers\ntags: [imglab, model-collapse]\n---\n\n"
        f"# A {kind} diffusion model of an imglab chain\n\n"
        f"Fitted on {training.get('samples_seen', 0):,} images seen, {settings.prediction}, with\n"
        f"a moving average of the weights (decay {settings.ema}). "
        f"The chain drew with sampling_bias {settings.sampling_bias}; "
        "the code below draws without.\n\n"
        f"```python\n{code}```\n"
    )


FROM_PIPELINE = """\
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained("{folder}")
images = pipeline({arguments}).images
images[0].save("sample.png")
"""


def pipeline_card(kind: str, settings: PipelineSettings, training: Mapping[str, Any]) -> str:
    """Return the text of a card for a fine-tuned pipeline, whose class is called `kind`."""
    arguments = "batch_size=4"
    if kind == "DiTPipeline":
        arguments = "class_labels=[0]"
    if "Text" in kind or "StableDiffusion" in kind:
        arguments = 'prompt="..."'

    code = FROM_PIPELINE.format(folder="model", arguments=arguments)
    merged = ", adapters merged" if settings.lora else ""
    seen = f"{training.get('samples_seen', 0):,} images seen in the last fit"

    return (
        "---\nlibrary_name: diffusers\ntags: [imglab, model-collapse]\n---\n\n"
        f"# A {kind} fine-tuned in an imglab chain\n\n"
        f"From `{Path(settings.name).name}`; {seen}{merged}.\n\n"
        f"```python\n{code}```\n"
    )
