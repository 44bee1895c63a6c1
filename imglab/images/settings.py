"""Keys of the image sections of a config: the data and the models. Read without torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from imglab.config.section import (
    WATERMARK_KEY,
    BatchSize,
    Count,
    LearningRate,
    LoraSettings,
    PathName,
    Section,
    Seed,
    TrainingPlan,
)
from imglab.images.extractor_settings import ExtractorChoice, JudgeChoice
from imglab.images.source_settings import DigitsSource, Source

LARGEST_DIGITS = 512
"""Side, in pixels, to which the 8 x 8 scans of digits may be enlarged at most."""

Channels = Annotated[
    list[Annotated[int, Field(ge=8, le=4096, multiple_of=8)]], Field(min_length=1, max_length=6)
]
SamplingBias = Annotated[float, Field(gt=0, le=1)]


class ImageSettings(Section):
    """Images: where they come from, how they are brought to one form, split and compared."""

    kind: Literal["image"] = "image"
    source: Source = DigitsSource()
    """Where the real images come from."""
    size: Annotated[int, Field(ge=4, le=4096)] | None = None
    """Side in pixels to which all images are resized; required if the images differ in size."""
    colour: Literal["keep", "grey", "rgb"] = "keep"
    """Convert the images to one grey channel or to three channels, or keep them as they are."""
    classes: Annotated[list[str], Field(min_length=1)] | None = None
    """Names of the classes to use; default: all."""
    class_sizes: dict[str, Count] | None = None
    """Number of training images of a class, by the class's name. A number below the available one
    makes the class rare."""
    n_train: Count | None = None
    """Number of real images to train on; default: all that are left."""
    n_test: Count | None = None
    """Number of real images held out for testing. Default: the source's test split, or 22.1% of
    the images if the source has none."""
    n_fresh: Annotated[int, Field(ge=0, le=10**12)] = 0
    """Number of real images held back for regimes that add fresh real data in later
    generations."""
    split_seed: Seed = 0
    """Seed of the random split into training, test and fresh images."""
    extractor: ExtractorChoice | None = None
    """What turns images into the features that all distribution metrics compare. Default:
    `classifier` where the data have two classes or more, else `self_supervised`."""
    judges: Annotated[list[JudgeChoice], Field(max_length=8)] = Field(default_factory=list)
    """Further networks whose features score every generation, to see whether they agree with the
    extractor."""

    @model_validator(mode="after")
    def _digits_stay_small(self) -> ImageSettings:
        if isinstance(self.source, DigitsSource) and (self.size or 0) > LARGEST_DIGITS:
            raise ValueError(
                f"size {self.size} is too large for 1,797 scans of 8 x 8: at most {LARGEST_DIGITS}"
            )
        return self

    @model_serializer(mode="wrap")
    def _leave_out_no_judges(self, inner: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write no empty list of judges: the hash of an older run's config has none."""
        tree: dict[str, Any] = inner(self)
        if not tree.get("judges"):
            tree.pop("judges", None)
        return tree

    @field_validator("classes")
    @classmethod
    def _different(cls, names: list[str] | None) -> list[str] | None:
        if names and len(set(names)) < len(names):
            raise ValueError("names a class twice")
        return names


class TrainingSettings(TrainingPlan):
    """How long and how fast a model is fitted."""

    images: Count = 76_800
    """Training budget in images seen; it is the same in every regime."""
    batch: BatchSize = 128
    """Images in a training batch."""
    learning_rate: LearningRate = 1e-3
    """Largest learning rate of the schedule."""


class FineTuningSettings(TrainingSettings):
    """How long and how fast a model is fitted that starts from another model's weights."""

    images: Count = 38_400
    """Training budget in images seen; it is the same in every regime."""
    learning_rate: LearningRate = 5e-4
    """Largest learning rate of the schedule."""


class ImageWatermarkSettings(Section):
    """Mark all drawn images with an invisible pattern that the key chooses (docs/watermark.md)."""

    key: Seed = WATERMARK_KEY
    """Secret number that chooses the pattern; detection needs the same number."""
    strength: Annotated[float, Field(gt=0, le=255)] = 8.0
    """Root mean square of the pattern in grey levels (0 to 255)."""


class DenoiserSettings(Section):
    """Keys that the sections of all diffusion models have."""

    label_dropout: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the labels that are hidden in training. The model so learns to draw without a
    label too, which classifier-free guidance needs."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.995
    """Decay of the exponential moving average of the weights. The averaged weights are the fitted
    model; 0 turns averaging off."""
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
    compile: bool | Literal["auto"] = False
    """Compile the network with `torch.compile`. `auto`: compile if a trial shows that the time for
    compiling is regained within the run."""


class DiffusionSettings(DenoiserSettings):
    """A diffusion model from scratch: the UNet2DModel of diffusers under a noise schedule."""

    kind: Literal["diffusion"] = "diffusion"
    channels: Channels = Field(default_factory=lambda: [32, 64])
    """Channels at each resolution of the U-Net; each resolution has half the side of the one
    before."""
    layers_per_block: Annotated[int, Field(ge=1, le=8)] = 1
    """Residual layers at each resolution."""
    attention: bool = False
    """Add self-attention at the lowest resolution."""
    class_conditional: bool = False
    """Train on the class labels, and draw images by class."""
    prediction: Literal["v_prediction", "epsilon"] = "v_prediction"
    """What the network predicts: velocity (`v_prediction`) or noise (`epsilon`)."""
    schedule: Literal["squaredcos_cap_v2", "linear"] = "squaredcos_cap_v2"
    """Noise schedule: cosine (`squaredcos_cap_v2`) or linear."""
    sampler: Literal["dpm-solver++", "ddim", "ddpm"] = "dpm-solver++"
    """Algorithm that draws images."""
    steps: Annotated[int, Field(ge=1, le=1000)] = 12
    """Denoising steps for each image drawn."""
    sampling_bias: SamplingBias = 1.0
    """lambda: the model draws from about p(x | class)^(1 / lambda), by classifier-free guidance of
    weight 1 / lambda - 1. 1 means no guidance; below 1 requires `class_conditional: true`."""

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
    sampler: Literal["own", "dpm-solver++", "ddim", "ddpm"] = "own"
    """Algorithm that draws images. `own`: the scheduler of the pipeline."""
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


class VaeTrainingSettings(TrainingSettings):
    """How long and how fast a variational autoencoder is fitted.

    It sees far more images in the same time than a diffusion model.
    """

    images: Count = 300_000
    """Training budget in images seen; it is the same in every regime."""
    decay: Literal["cosine", "linear", "none"] = "none"
    """Learning-rate schedule: `cosine` falls to a tenth along half a cosine, `linear`
    to zero, `none` is constant. All rise over the first 5% of the steps."""


class VaeFineTuningSettings(VaeTrainingSettings):
    """How long and how fast an autoencoder is fitted that starts from another one's weights."""

    images: Count = 150_000
    """Training budget in images seen; it is the same in every regime."""


class VaeSettings(Section):
    """A variational autoencoder of fully connected layers (Kingma and Welling 2014).

    The defaults are the network of Shumailov et al. 2024; for MNIST it has the widths
    784-400-20-400-784 and 652,824 parameters.
    """

    kind: Literal["vae"] = "vae"
    latent: Annotated[int, Field(ge=1, le=4096)] = 20
    """Dimensions of the latent space."""
    hidden: Annotated[
        list[Annotated[int, Field(ge=1, le=65_536)]], Field(min_length=1, max_length=8)
    ] = Field(default_factory=lambda: [400])
    """Widths of the layers between image and latent; the decoder has them in reverse order."""
    training: VaeTrainingSettings = VaeTrainingSettings()
    """Plan of a fit from scratch."""
    fine_tuning: VaeFineTuningSettings = VaeFineTuningSettings()
    """Plan of a fit that starts from another model's weights."""
    sampling_bias: SamplingBias = 1.0
    """lambda: latents are drawn from N(0, lambda)."""
    watermark: ImageWatermarkSettings | None = None
    """Watermark of all drawn images; default: none."""
