"""A diffusion model on diffusers' UNet2DModel: fit on accelerate, draw with a few-step solver."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from diffusers import DDIMScheduler, DDPMPipeline, DDPMScheduler, DPMSolverMultistepScheduler, UNet2DModel
from diffusers.training_utils import EMAModel
from diffusers.utils import SAFETENSORS_WEIGHTS_NAME
from safetensors.torch import load_file
from torch import Tensor, nn

from imglab import seeds
from imglab.errors import InputError, Problem
from imglab.images.cards import diffusion_card
from imglab.images.settings import DiffusionSettings
from imglab.images.watermark import check_watermark, embed
from imglab.modality import GenerativeModel, Modality, Progress, Spec, Stage
from imglab.samples import Samples, TrainingSet
from imglab.training import Batches, device, fit_state, restore_fit, set_pace, step_count

TIMESTEPS = 1000


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
        steps = step_count(plan, len(train), plan.images)
        accelerator = Accelerator()
        with seeds.isolated(seed, "weights"):
            unet = _new_unet(self._settings, train.shape, self._classes)
        if start is not None:
            unet.load_state_dict(self.check_start(start).unet.state_dict())
        unet.to(memory_format=torch.channels_last)
        average = EMAModel(unet.parameters(), decay=self._settings.ema, use_ema_warmup=True, foreach=True)
        fused = accelerator.device.type in ("cpu", "cuda")
        optimizer = torch.optim.AdamW(unet.parameters(), lr=plan.learning_rate, weight_decay=1e-2, fused=fused)
        unet, optimizer = accelerator.prepare(unet.train(), optimizer)
        average.to(accelerator.device)
        noising = _noising(self._settings)
        batches = Batches(train, plan.batch, seed)

        weights = _weights(unet, average)
        first = 0
        if resume is not None:
            first = restore_fit(resume, weights, list(unet.parameters()), optimizer)
            average.optimization_step = first
        for step in range(first, steps):
            batch = batches[step]
            loss = self._loss(
                unet, noising, batch.data, batch.condition, seeds.generator(seed, "noise", step), accelerator.device
            )
            set_pace(optimizer, step / steps, plan)
            optimizer.zero_grad()
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(unet.parameters(), 1.0)
            optimizer.step()
            average.step(unet.parameters())
            state = partial(fit_state, step + 1, weights, optimizer)
            yield Progress("fit", (step + 1) * plan.batch, steps * plan.batch, float(loss.detach()), state)

        fitted = accelerator.unwrap_model(unet)
        average.copy_to(fitted.parameters())
        training = {"samples_seen": steps * plan.batch, "budget": "epochs" if plan.epochs else "images"}
        return DiffusionModel(self._settings, unet=fitted.eval(), classes=self._classes, training=training)

    def _loss(
        self,
        unet: nn.Module,
        noising: DDPMScheduler,
        images: Tensor,
        labels: Tensor | None,
        generator: torch.Generator,
        device: torch.device,
    ) -> Tensor:
        clean = images.float() / 127.5 - 1
        noise = torch.randn(clean.shape, generator=generator)
        # Times spread evenly over the batch: the same expectation as independent ones, less variance.
        spread = (torch.arange(len(clean)) + torch.rand(len(clean), generator=generator)) / len(clean)
        times = (spread * TIMESTEPS).long().clamp(max=TIMESTEPS - 1)
        hidden = torch.rand(len(clean), generator=generator) < self._settings.label_dropout
        noisy = noising.add_noise(clean, noise, times)
        velocity = self._settings.prediction == "v_prediction"
        target = noising.get_velocity(clean, noise, times) if velocity else noise
        if labels is not None:
            labels = torch.where(hidden, self._classes or 0, labels).to(device)
        noisy, times, target = noisy.to(device), times.to(device), target.to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=self._settings.precision == "bf16"):
            predicted = unet(noisy, times, class_labels=labels if self._classes else None).sample
        return nn.functional.mse_loss(predicted.float(), target)

    def check_start(self, start: GenerativeModel) -> DiffusionModel:
        """Raise ValueError unless the network of `start` has this model's layers and draws its kind of image."""
        if not isinstance(start, DiffusionModel):
            raise ValueError(f"a diffusion model cannot start from a {type(start).__name__}")
        theirs = start.unet.config
        with torch.device("meta"):
            ours = _new_unet(self._settings, self._shape or _shape_of(start.unet), self._classes).config
        ours, theirs = (json.loads(json.dumps(dict(config))) for config in (ours, theirs))
        different = [key for key in ours if not key.startswith("_") and ours[key] != theirs.get(key)]
        if different:
            each = ", ".join(f"{key} {theirs.get(key)} instead of {ours[key]}" for key in different)
            raise ValueError(f"its network is another one: {each}")
        return start

    @torch.inference_mode()
    def draw(self, indices: range, *, conditions: Tensor | None, seed: int) -> Iterator[Samples]:
        """Yield images: noise of (seed, i), denoised in `steps` steps, rounded once to uint8."""
        unet = self.unet
        if self._classes and conditions is None:
            raise ValueError("a class-conditional model needs conditions")
        labels = conditions if self._classes else None
        shape = _shape_of(unet)
        for at in range(0, len(indices), self._settings.sampling_batch):
            part = slice(at, at + self._settings.sampling_batch)
            generators = [seeds.generator(seed, index) for index in indices[part]]
            noise = torch.stack([torch.randn(shape, generator=generator) for generator in generators])
            classes = None if labels is None else labels[part]
            images = self._denoise(noise, None if classes is None else classes.to(unet.device), generators)
            data = ((images / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).cpu()
            mark = self._settings.watermark
            yield Samples.drawn(data if mark is None else embed(data, **mark.model_dump()), classes)

    def _denoise(self, noise: Tensor, labels: Tensor | None, generators: list[torch.Generator]) -> Tensor:
        sampler = _sampler(self._settings)
        sampler.set_timesteps(self._settings.steps)
        images = noise.to(self.unet.device)
        for time in sampler.timesteps:
            images = sampler.step(self._predict(images, time, labels), time, images, generator=generators).prev_sample
        return images

    def _predict(self, images: Tensor, time: Tensor, labels: Tensor | None) -> Tensor:
        bf16 = self._settings.precision == "bf16"
        with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
            if labels is None or self._settings.sampling_bias == 1:
                return self.unet(images, time, class_labels=labels).sample.float()  # type: ignore[no-any-return]
            both = torch.cat([labels, torch.full_like(labels, self._classes or 0)])
            told, untold = self.unet(images.repeat(2, 1, 1, 1), time, class_labels=both).sample.float().chunk(2)
        guidance = 1 / self._settings.sampling_bias - 1
        return told + guidance * (told - untold)  # type: ignore[no-any-return]

    def save(self, path: Path) -> None:
        """Write a `DDPMPipeline` that opens with `DiffusionPipeline.from_pretrained`, a card and `imglab.json`."""
        DDPMPipeline(self.unet, _sampler(self._settings)).save_pretrained(path)
        described = {
            "kind": "diffusion",
            "settings": self._settings.model_dump(),
            "classes": self._classes,
            "training": self._training,
        }
        (path / "imglab.json").write_text(json.dumps(described, indent=1) + "\n")
        (path / "README.md").write_text(
            diffusion_card(self._settings, _shape_of(self.unet), self._classes, self._training)
        )

    @classmethod
    def load(cls, path: Path) -> DiffusionModel:
        """Open what `save` wrote."""
        described = json.loads((path / "imglab.json").read_text())
        saved = json.loads((path / "unet" / "config.json").read_text())
        # Not `from_pretrained`: it would record the path in the config, and so in the next save.
        with seeds.isolated("weights"):
            unet = UNet2DModel(**{key: value for key, value in saved.items() if not key.startswith("_")})
        unet.load_state_dict(load_file(path / "unet" / SAFETENSORS_WEIGHTS_NAME))
        settings = DiffusionSettings(**described["settings"])
        return cls(
            settings, unet=unet.eval().to(device()), classes=described["classes"], training=described["training"]
        )


def _weights(unet: nn.Module, average: EMAModel) -> dict[str, Tensor]:
    """Return what a checkpoint keeps of a fit: the network and the moving average, as they change."""
    averaged = {f"average.{at}": tensor for at, tensor in enumerate(average.shadow_params)}
    return {**{f"unet.{name}": tensor for name, tensor in unet.state_dict().items()}, **averaged}


def _check_fit(settings: DiffusionSettings, spec: Spec) -> int | None:
    """Check that the network fits the images; return the number of classes if it is conditional on them."""
    problems = []
    if len(spec.shape) != 3 or spec.dtype != torch.uint8:
        raise InputError(Problem("model.kind", "a diffusion model draws images", "use it with modality.kind: image"))
    halvings = len(settings.channels) - 1
    if any(side % 2**halvings for side in spec.shape[1:]):
        size = f"{spec.shape[2]} x {spec.shape[1]}"
        what = f"{len(settings.channels)} levels halve the image {halvings} times, but it is {size}"
        problems.append(
            Problem("model.channels", what, f"use fewer levels, or a modality.size that {2**halvings} divides")
        )
    if settings.class_conditional and spec.conditions is None:
        problems.append(Problem("model.class_conditional", "the data have no classes", "set it to false"))
    if problems:
        raise InputError(problems)
    return len(spec.conditions) if settings.class_conditional and spec.conditions else None


def _new_unet(settings: DiffusionSettings, shape: tuple[int, ...], classes: int | None) -> UNet2DModel:
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
        sampler = {"ddim": DDIMScheduler, "ddpm": DDPMScheduler}[settings.sampler]
        return sampler(**schedule, timestep_spacing="trailing", clip_sample=True)
    # The noise predicted at the last steps says next to nothing about the image: unbounded, the first step explodes.
    bounded = {"thresholding": True, "sample_max_value": 1.0} if settings.prediction == "epsilon" else {}
    return DPMSolverMultistepScheduler(**schedule, timestep_spacing="trailing", **bounded)


def _schedule(settings: DiffusionSettings) -> dict[str, Any]:
    return {
        "num_train_timesteps": TIMESTEPS,
        "beta_schedule": settings.schedule,
        "prediction_type": settings.prediction,
    }


def _shape_of(unet: UNet2DModel) -> tuple[int, int, int]:
    size = unet.config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    return unet.config.in_channels, height, width
