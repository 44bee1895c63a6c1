"""Model cards: what a `model/` folder is and how to draw from it without imglab."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imglab.images.diffusion.networks import part_of, shape_of
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


STEP_BY_STEP = """\
import torch
from diffusers import {network}, {scheduler}
from torchvision.utils import save_image

network = {network}.from_pretrained("{folder}", subfolder="{part}").eval()
scheduler = {scheduler}.from_pretrained("{folder}", subfolder="scheduler")
scheduler.set_timesteps({steps})
labels = {labels}
images = torch.randn(10, {shape}) * scheduler.init_noise_sigma
with torch.inference_mode():
    for time in scheduler.timesteps:
        scaled = scheduler.scale_model_input(images, time)
        predicted = network(scaled, time.expand(10), class_labels=labels).sample
        images = scheduler.step(predicted, time, images).prev_sample
save_image(torch.pixel_shuffle(images, {patch}) / 2 + 0.5, "sample.png")
"""


def diffusion_card(
    settings: DiffusionSettings,
    network: Any,
    scheduler: Any,
    classes: int | None,
    training: Mapping[str, Any],
    w: float = 0.0,
) -> str:
    """Return the text of a card for a diffusion model.

    network    of diffusers, as it is saved; `scheduler` likewise
    classes    how many there are if it is class-conditional
    w          strength of the guidance away from the network in `negative/`; 0: there is none
    """
    kind = "unconditional"
    if classes:
        kind = f"class-conditional ({classes} classes)"
    code = _listing(settings, network, scheduler, classes)
    average = f"decay {settings.ema}"
    if settings.half_life is not None:
        average = f"half-life {settings.half_life:.1%} of the steps"

    remedies = ""
    if w != 0:
        remedies += f", led away from the network in `negative/` with strength {w:g}"
    if settings.stop != 0:
        remedies += f", stopped early at time {settings.stop:g}"

    return (
        "---\nlibrary_name: diffusers\ntags: [imglab, model-collapse]\n---\n\n"
        f"# A {kind} diffusion model of an imglab chain\n\n"
        f"Fitted on {training.get('samples_seen', 0):,} images seen, {settings.prediction}, with\n"
        f"a moving average of the weights ({average}). "
        f"The chain drew with sampling_bias {settings.sampling_bias}{remedies}; "
        "the code below draws without.\n\n"
        f"```python\n{code}```\n"
    )


def _listing(settings: DiffusionSettings, network: Any, scheduler: Any, classes: int | None) -> str:
    """Return code that draws: by a plain pipeline of diffusers where that is possible."""
    part = part_of(settings)
    keys: dict[str, Any] = {
        "folder": "model",
        "steps": settings.steps,
        "classes": classes,
        "shape": ", ".join(map(str, shape_of(network))),
    }
    if part == "unet" and settings.patch == 1 and settings.prediction != "edm":
        listing = CONDITIONAL if classes else UNCONDITIONAL
        return listing.format(**keys)

    labels = "None"
    if classes:
        labels = f"torch.arange(10) % {classes}"
    elif part == "transformer":
        labels = "torch.zeros(10, dtype=torch.int64)"
    return STEP_BY_STEP.format(
        network=type(network).__name__,
        scheduler=type(scheduler).__name__,
        part=part,
        labels=labels,
        patch=settings.patch,
        **keys,
    )


FROM_PIPELINE = """\
from diffusers import DiffusionPipeline
{imports}
pipeline = DiffusionPipeline.from_pretrained("{folder}")
{merging}images = pipeline({arguments}).images
images[0].save("sample.png")
"""


MERGING = """\
for number in range({adapters}):
    adapted = PeftModel.from_pretrained(pipeline.{part}, f"{folder}/adapters/{{number:03d}}")
    pipeline.{part} = adapted.merge_and_unload()
"""


def pipeline_card(
    kind: str, settings: PipelineSettings, training: Mapping[str, Any], *, part: str, adapters: int
) -> str:
    """Return the text of a card for a fine-tuned pipeline, whose class is called `kind`.

    part      the part that was trained
    adapters  how many lie beside it
    """
    arguments = "batch_size=4"
    if kind == "DiTPipeline":
        arguments = "class_labels=[0]"
    if "Text" in kind or "StableDiffusion" in kind:
        arguments = 'prompt="..."'

    keys = {"imports": "", "merging": ""}
    merged = ", adapters merged" if settings.lora else ""
    if adapters:
        merged = f", {adapters} adapters beside their base" if adapters > 1 else ", with an adapter"
        merging = MERGING.format(adapters=adapters, part=part, folder="model")
        keys = {"imports": "from peft import PeftModel\n", "merging": merging}
    code = FROM_PIPELINE.format(folder="model", arguments=arguments, **keys)
    seen = f"{training.get('samples_seen', 0):,} images seen in the last fit"

    return (
        "---\nlibrary_name: diffusers\ntags: [imglab, model-collapse]\n---\n\n"
        f"# A {kind} fine-tuned in an imglab chain\n\n"
        f"From `{Path(settings.name).name}`; {seen}{merged}.\n\n"
        f"```python\n{code}```\n"
    )
