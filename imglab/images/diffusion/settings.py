"""Keys of the sections of diffusion models, from scratch and pretrained. Read without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from imglab.config.section import Count, LoraSettings, PathName, Section, choice, newer_key
from imglab.images.model_settings import (
    FineTuningSettings,
    ImageWatermarkSettings,
    SamplingBias,
    TrainingSettings,
)

Channels = Annotated[
    list[Annotated[int, Field(ge=8, le=4096, multiple_of=8)]], Field(min_length=1, max_length=6)
]


CONTINUOUS = ("flow", "flow_image", "edm")
"""Objectives whose noise levels are not those of a schedule."""


KARRAS_ONLY = ("sde-dpm-solver++", "heun")
"""Samplers that draw on the noise levels of Karras et al. 2022 alone."""


LATEST_STOP = 3
"""The longest time before its end at which drawing may stop."""


class NoiseLevels(Section):
    """Log-normal distribution of the noise that training adds, relative to the image.

    Where an image a * clean + b * noise is trained on, ln(b / a) is normal.
    """

    mean: Annotated[float, Field(ge=-10, le=10)] = 0.0
    """Mean of ln(b / a)."""
    deviation: Annotated[float, Field(gt=0, le=10)] = 1.0
    """Standard deviation of ln(b / a)."""


class DenoiserSettings(Section):
    """Keys that the sections of all diffusion models have."""

    label_dropout: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the labels that are hidden in training. The model so learns to draw without a
    label too, which classifier-free guidance needs."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.995
    """Decay of the exponential moving average of the weights. The averaged weights are the fitted
    model; 0 turns averaging off."""
    half_life: Annotated[float, Field(gt=0, le=1)] | None = newer_key(None)
    """Half-life of the average as a share of the steps of a fit, in place of `ema`."""
    noise_levels: NoiseLevels | None = newer_key(None)
    """How much noise training adds. Default: ln(b / a) has mean 0 and deviation 1 for
    `flow` and `flow_image` (a logit-normal share of noise, Esser et al. 2024), -1.2 and 1.2 for
    `edm` (Karras et al. 2022); otherwise all times of the noise schedule alike."""
    loss_weight: Literal["none", "min_snr"] = newer_key("none")
    """Weight of the squared error at a noise level. `min_snr`: the clean image's error counts by
    the ratio of signal to noise, at most 5 times (Hang et al. 2023, 2303.09556)."""
    flip: bool = False
    """Flip half of the training images left to right, chosen at random."""
    training: TrainingSettings = TrainingSettings()
    """Plan of a fit from scratch."""
    fine_tuning: FineTuningSettings = FineTuningSettings()
    """Plan of a fit that starts from another model's weights."""
    sampling_bias: SamplingBias | None = 1.0
    """lambda: the model draws from about p(x | class)^(1 / lambda), by classifier-free guidance of
    weight 1 / lambda - 1. 1 means no guidance."""
    sampling_batch: Count | Literal["auto"] = 512
    """Images that are drawn at a time. `auto`: the fastest size, measured before generation 0."""
    watermark: ImageWatermarkSettings | None = None
    """Watermark of all drawn images; default: none."""
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    """Number format of the computation. `auto`: the faster one, measured before generation 0 and
    then recorded in config.yaml."""
    layout: Literal["nchw", "channels_last", "auto"] | None = newer_key(None)
    """Memory layout of images and weights. Default: `nchw` for bf16 on a CPU and on GPUs of CUDA,
    otherwise `channels_last`, recorded in config.yaml when the run begins; where precision is
    `auto`, so is the layout. `auto`: the faster one, measured before generation 0. Runs that began
    without this key, and models that are fitted outside of a run, have `channels_last`."""
    compile: bool | Literal["auto"] = False
    """Compile the network with `torch.compile`. `auto`: compile if a trial shows that the time for
    compiling is regained within the run."""


class UnetSettings(Section):
    """The UNet2DModel of diffusers; the model's section has its keys."""

    kind: Literal["unet"] = "unet"


class DitSettings(Section):
    """A transformer, the DiTTransformer2DModel of diffusers (Peebles and Xie 2023, 2212.09748).

    It reads square images of which each pixel, or each square of `patch` pixels, is a token.
    """

    kind: Literal["dit"] = "dit"
    layers: Annotated[int, Field(ge=1, le=64)] = 6
    """Number of transformer blocks."""
    width: Annotated[int, Field(ge=8, le=4096, multiple_of=8)] = 192
    """Size of a token's vector."""
    heads: Annotated[int, Field(ge=1, le=64)] = 3
    """Number of attention heads; it divides `width`."""

    @model_validator(mode="after")
    def _heads_divide(self) -> DitSettings:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self


if TYPE_CHECKING:
    DenoiserNetwork = UnetSettings | DitSettings
else:
    DenoiserNetwork = choice(UnetSettings, DitSettings)


class DiffusionSettings(DenoiserSettings):
    """A diffusion model from scratch: a network of diffusers that learns to take noise away."""

    kind: Literal["diffusion"] = "diffusion"
    network: DenoiserNetwork = newer_key(UnetSettings())
    """What predicts the noise: a U-Net (`unet`) or a transformer (`dit`)."""
    patch: Annotated[int, Field(ge=1, le=64)] = newer_key(1)
    """Side of the squares of pixels that become channels of one pixel before the network sees an
    image (space to depth): 2 turns 28 x 28 grey pixels into 14 x 14 with four channels."""
    channels: Channels = Field(default_factory=lambda: [32, 64])
    """Channels at each resolution of the U-Net; each resolution has half the side of the one
    before. `layers_per_block` and `attention` are of the U-Net too."""
    layers_per_block: Annotated[int, Field(ge=1, le=8)] = 1
    """Residual layers at each resolution."""
    attention: bool = False
    """Add self-attention at the lowest resolution."""
    class_conditional: bool = False
    """Train on the class labels, and draw images by class."""
    prediction: Literal["v_prediction", "epsilon", "flow", "flow_image", "edm"] = "v_prediction"
    """What the network predicts: velocity (`v_prediction`, Salimans and Ho 2022), noise
    (`epsilon`), the difference of noise and image on the straight line between them (`flow`,
    rectified flow, Liu et al. 2022), the image on that line (`flow_image`, Li and He 2025), or what
    preconditioning leaves to it (`edm`, Karras et al. 2022, for pixels in [-1, 1] of standard
    deviation 0.5)."""
    schedule: Literal["squaredcos_cap_v2", "linear"] = "squaredcos_cap_v2"
    """Noise schedule of `v_prediction` and `epsilon`: cosine (`squaredcos_cap_v2`) or linear."""
    sampler: Literal["dpm-solver++", "sde-dpm-solver++", "ddim", "ddpm", "heun"] = "dpm-solver++"
    """Algorithm that draws images: DPM-Solver++(2M) (Lu et al. 2022), its stochastic form
    (`sde-dpm-solver++`), whose fresh noise mends earlier errors and which needs more steps, DDIM,
    DDPM, or Heun's method, which calls the network twice in each step but the last (Karras et al.
    2022)."""
    spacing: Literal["trailing", "karras"] | None = newer_key(None)
    """Noise levels at which the sampler stops: evenly spaced times (`trailing`), or those of Karras
    et al. 2022 (`karras`). Default: `karras` for `heun` and `sde-dpm-solver++`, and for `flow`,
    `flow_image` and `edm`, which know no other; `trailing` otherwise."""
    highest_noise: Annotated[float, Field(ge=1, le=1000)] = newer_key(80.0)
    """The noise, relative to the image, at which `spacing: karras` begins."""
    lowest_noise: Annotated[float, Field(ge=1e-4, le=0.5)] = newer_key(0.002)
    """The last noise of `spacing: karras` before none."""
    stop: Annotated[float, Field(ge=0, le=LATEST_STOP)] = newer_key(0.0)
    """Time at which drawing on `spacing: karras` stops early: noise of variance 1 - e^(-2 stop)
    stays in the images. 0 draws to the end."""
    steps: Annotated[int, Field(ge=1, le=1000)] = 12
    """Denoising steps for each image drawn."""
    sampling_bias: SamplingBias = 1.0
    """lambda: the model draws from about p(x | class)^(1 / lambda), by classifier-free guidance of
    weight 1 / lambda - 1. 1 means no guidance; below 1 requires `class_conditional: true`."""

    @property
    def on_karras_levels(self) -> bool:
        """Whether images are drawn on the noise levels of Karras et al. 2022."""
        if self.spacing is None:
            return self.sampler in KARRAS_ONLY or self.prediction in CONTINUOUS
        return self.spacing == "karras"

    @model_validator(mode="after")
    def _sampler_fits(self) -> DiffusionSettings:
        has_solver = self.sampler == "dpm-solver++" or self.sampler in KARRAS_ONLY
        if self.on_karras_levels and not has_solver:
            what = f"prediction: {self.prediction}, spacing: karras is drawn"
            solvers = f"dpm-solver++, {' or '.join(KARRAS_ONLY)}"
            raise ValueError(f"{what} with sampler: {solvers}, not {self.sampler}")
        needs_karras = self.sampler in KARRAS_ONLY or self.prediction in CONTINUOUS
        if self.spacing == "trailing" and needs_karras:
            what = f"prediction: {self.prediction}, sampler: {self.sampler} is drawn"
            raise ValueError(f"{what} with spacing: karras, not trailing")
        return self

    @model_validator(mode="after")
    def _noise_has_levels(self) -> DiffusionSettings:
        for name in ("highest_noise", "lowest_noise"):
            is_default = getattr(self, name) == type(self).model_fields[name].default
            if not (is_default or self.on_karras_levels):
                remedy = "leave it out, or set spacing: karras and a sampler that draws on it"
                raise ValueError(f"{name} is of spacing: karras, which does not apply: {remedy}")
        if self.stop and not self.on_karras_levels:
            raise ValueError("stop is of spacing: karras, which does not apply")
        return self

    @model_validator(mode="after")
    def _bias_needs_classes(self) -> DiffusionSettings:
        if self.sampling_bias < 1 and not self.class_conditional:
            raise ValueError("sampling_bias below 1 is guidance: it needs class_conditional: true")
        if self.sampling_bias < 1 and self.label_dropout == 0:
            raise ValueError("sampling_bias below 1 is guidance: it needs label_dropout above 0")
        return self


class PipelineSettings(DenoiserSettings):
    """A pretrained pipeline of diffusers, from the Hugging Face hub or a local folder.

    The pipeline draws images without a condition, by class (UNets, DiT, latent diffusion), or from
    text. A pipeline that reads text takes the captions of the data as prompts.
    """

    kind: Literal["pipeline"] = "pipeline"
    name: PathName
    """Name on the Hugging Face hub, or path of a local folder."""
    revision: str | None = None
    """Branch, tag or commit on the hub; default: `main`."""
    variant: str | None = None
    """Variant of the weight files, e.g. `fp16` or `ema`."""
    dtype: Literal["own", "fp32", "fp16", "bf16"] = "own"
    """Number format in which weights are stored and images are drawn; training is always in fp32.
    `own`: the format in which the trained part is stored."""
    lora: LoraSettings | None = None
    """Train low-rank adapters in place of all weights; default: train all weights."""
    prompt: Annotated[str, Field(max_length=1000, pattern=r"\{\}")] = "{}"
    """Template of the prompt for models that read text, e.g. `a photo of a {}`; `{}` stands for
    the class or the caption."""
    sampler: Literal["own", "dpm-solver++", "ddim", "ddpm", "heun"] = "own"
    """Algorithm that draws images. `own`: the scheduler of the pipeline."""
    spacing: Literal["karras"] | None = newer_key(None)
    """Noise levels at which `dpm-solver++` or `heun` stops: those of Karras et al. 2022, between
    the largest and the smallest of the pipeline's noise schedule. Default: the pipeline's own."""
    steps: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Denoising steps for each image drawn; default: the pipeline's default."""
    label_dropout: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the labels or prompts that are hidden in training."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of the exponential moving average of the weights. The averaged weights are the fitted
    model; 0 turns averaging off."""
    sampling_bias: SamplingBias | None = None
    """lambda: classifier-free guidance at a scale of 1 / lambda, for models with classes or
    prompts; default: the pipeline's default scale."""
    sampling_batch: Count | Literal["auto"] = 16
    """Images that are drawn at a time. `auto`: the fastest size, measured before generation 0."""
    fine_tuning: FineTuningSettings = FineTuningSettings(learning_rate=1e-5, batch=16)
    """Plan of a fit that starts from another model's weights, or from the pretrained ones."""

    @model_validator(mode="after")
    def _spacing_has_a_solver(self) -> PipelineSettings:
        if self.spacing is not None and self.sampler not in ("dpm-solver++", "heun"):
            raise ValueError("spacing: karras needs sampler: dpm-solver++ or heun")
        return self
