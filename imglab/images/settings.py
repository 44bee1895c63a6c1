"""Keys of the image sections of a config. Read without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator, model_validator

from imglab.config.section import (
    WATERMARK_KEY,
    BatchSize,
    Count,
    LearningRate,
    LoraSettings,
    PathName,
    PlugIn,
    Section,
    Seed,
    TrainingPlan,
    choice,
)

LARGEST_DIGITS = 512
Channels = Annotated[
    list[Annotated[int, Field(ge=8, le=4096, multiple_of=8)]], Field(min_length=1, max_length=6)
]


class DigitsSource(Section):
    """scikit-learn's 1,797 scans of handwritten digits, 8 x 8 grey; they come with the library."""

    kind: Literal["digits"] = "digits"


class TorchvisionSource(Section):
    """A class of `torchvision.datasets`, with its own train and test split."""

    kind: Literal["torchvision"] = "torchvision"
    name: str
    root: PathName = "data"
    download: bool = True
    train_split: str = "train"
    """For classes that take `split`: what they call the training part, e.g. `trainval`."""
    test_split: str = "test"
    options: dict[str, str | int | bool] = Field(default_factory=dict)
    """Other keywords of the class, e.g. `{split: letters}` for EMNIST."""


class FolderSource(Section):
    """A folder of images; a subfolder is a class; `train/` and `test/` on top, or all in one, split by `split_seed`."""

    kind: Literal["folder"] = "folder"
    path: PathName


class CaptionedFolderSource(Section):
    """A folder of images with captions in `metadata.jsonl`, as `datasets` has it: `{"file_name": .., "text": ..}`.

    Perhaps with parts `train/` and `test/`. The captions are what models that read text are told.
    """

    kind: Literal["captioned_folder"] = "captioned_folder"
    path: PathName
    caption: Annotated[str, Field(min_length=1)] = "text"
    """The key that holds the caption."""


class NpzSource(Section):
    """An `.npz` with `train_images` and `test_images`, uint8 [N, H, W] or [N, H, W, C], and perhaps `..._labels`."""

    kind: Literal["npz"] = "npz"
    path: PathName


class ClassifierSettings(Section):
    """A small convolutional network, trained once on the real labels; its 64-dimensional embedding is the feature."""

    kind: Literal["classifier"] = "classifier"
    network: Literal["small", "lenet"] = "small"
    """`lenet`: LeNet-5's layers and its 84 features (LeCun et al. 1998), which MAD's scores on MNIST use."""
    images: Count = 60_000
    """Training images seen."""
    seed: Seed = 0
    """Apart from the run's seed, so that arms and seeds are measured by one extractor."""


class InceptionSettings(Section):
    """The Inception-v3 of the FID papers (torch-fidelity's port), 2,048 features: the one that compares with papers."""

    kind: Literal["inception"] = "inception"
    weights: PathName | None = None
    """Path of torch-fidelity's `weights-inception-2015-12-05-6726825d.pth`; downloaded if left out."""


class DinoSettings(Section):
    """DINOv2 (Oquab et al. 2023) through transformers: the class token of its last layer (Stein et al. 2023)."""

    kind: Literal["dinov2"] = "dinov2"
    name: PathName = "facebook/dinov2-base"
    revision: str | None = None


class ClipSettings(Section):
    """CLIP's image features (Radford et al. 2021) through transformers; with captions also the CLIP score."""

    kind: Literal["clip"] = "clip"
    name: PathName = "openai/clip-vit-base-patch32"
    revision: str | None = None


class PixelsSettings(Section):
    """The pixels themselves, scaled to [0, 1]."""

    kind: Literal["pixels"] = "pixels"


if TYPE_CHECKING:
    Source = DigitsSource | TorchvisionSource | FolderSource | CaptionedFolderSource | NpzSource
    ExtractorChoice = (
        ClassifierSettings
        | InceptionSettings
        | DinoSettings
        | ClipSettings
        | PixelsSettings
        | PlugIn
    )
else:
    Source = choice(DigitsSource, TorchvisionSource, FolderSource, CaptionedFolderSource, NpzSource)
    ExtractorChoice = choice(
        ClassifierSettings,
        InceptionSettings,
        DinoSettings,
        ClipSettings,
        PixelsSettings,
        plug_in=True,
    )


class ImageSettings(Section):
    """`modality:` of an image chain."""

    kind: Literal["image"] = "image"
    source: Source = DigitsSource()
    size: Annotated[int, Field(ge=4, le=4096)] | None = None
    """Side to resize to, in pixels; needed where the images are not all of one size."""
    colour: Literal["keep", "grey", "rgb"] = "keep"
    classes: Annotated[list[str], Field(min_length=1)] | None = None
    """Only these classes, by name."""
    class_sizes: dict[str, Count] | None = None
    """Training images of a class, by name: fewer than there are makes it rare."""
    n_train: Count | None = None
    n_test: Count | None = None
    n_fresh: Annotated[int, Field(ge=0, le=10**12)] = 0
    """Real images kept apart from training, for regimes that ask for fresh data."""
    split_seed: Seed = 0
    extractor: ExtractorChoice = ClassifierSettings()

    @model_validator(mode="after")
    def _digits_stay_small(self) -> ImageSettings:
        if isinstance(self.source, DigitsSource) and (self.size or 0) > LARGEST_DIGITS:
            raise ValueError(
                f"size {self.size} is too large for 1,797 scans of 8 x 8: at most {LARGEST_DIGITS}"
            )
        return self

    @field_validator("classes")
    @classmethod
    def _different(cls, names: list[str] | None) -> list[str] | None:
        if names and len(set(names)) < len(names):
            raise ValueError("names a class twice")
        return names


class TrainingSettings(TrainingPlan):
    """How long and how fast a model is fitted."""

    images: Count = 76_800
    """Budget in images seen: the same in every regime."""
    batch: BatchSize = 128
    learning_rate: LearningRate = 1e-3


class FineTuningSettings(TrainingSettings):
    """The same for a fit that starts from a model."""

    images: Count = 38_400
    learning_rate: LearningRate = 5e-4


class ImageWatermarkSettings(Section):
    """Mark what is drawn with a pattern that the key chooses (docs/watermark.md)."""

    key: Seed = WATERMARK_KEY
    strength: Annotated[float, Field(gt=0, le=255)] = 8.0
    """Grey levels, root mean square."""


class DenoiserSettings(Section):
    """What every diffusion model's section has."""

    label_dropout: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of labels hidden in training, so that guidance has an unconditional model to lean on."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.995
    """Decay of the moving average of the weights; the average is what is kept."""
    flip: bool = False
    """Turn half of the training images left to right, at random."""
    training: TrainingSettings = TrainingSettings()
    """A fit from scratch."""
    fine_tuning: FineTuningSettings = FineTuningSettings()
    """A fit that starts from a model."""
    sampling_bias: Annotated[float, Field(gt=0, le=1)] | None = 1.0
    """lambda: draw nearer to p(x | class)^(1 / lambda), by classifier-free guidance of weight 1 / lambda - 1."""
    sampling_batch: Count | Literal["auto"] = 512
    watermark: ImageWatermarkSettings | None = None
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    """`auto`: the faster one, measured before generation 0; config.yaml says which."""
    compile: bool | Literal["auto"] = False
    """Compile the network (`torch.compile`); `auto`: where a trial shows that it pays back within the run."""


class DiffusionSettings(DenoiserSettings):
    """`model:` of an image chain: diffusers' UNet2DModel under a noise schedule."""

    kind: Literal["diffusion"] = "diffusion"
    channels: Channels = Field(default_factory=lambda: [32, 64])
    layers_per_block: Annotated[int, Field(ge=1, le=8)] = 1
    attention: bool = False
    """Self-attention at the lowest resolution."""
    class_conditional: bool = False
    prediction: Literal["v_prediction", "epsilon"] = "v_prediction"
    schedule: Literal["squaredcos_cap_v2", "linear"] = "squaredcos_cap_v2"
    sampler: Literal["dpm-solver++", "ddim", "ddpm"] = "dpm-solver++"
    steps: Annotated[int, Field(ge=1, le=1000)] = 12
    sampling_bias: Annotated[float, Field(gt=0, le=1)] = 1.0
    """lambda: draw nearer to p(x | class)^(1 / lambda), by classifier-free guidance of weight 1 / lambda - 1."""

    @model_validator(mode="after")
    def _bias_needs_classes(self) -> DiffusionSettings:
        if self.sampling_bias < 1 and not self.class_conditional:
            raise ValueError("sampling_bias below 1 is guidance: it needs class_conditional: true")
        if self.sampling_bias < 1 and self.label_dropout == 0:
            raise ValueError("sampling_bias below 1 is guidance: it needs label_dropout above 0")
        return self


class PipelineSettings(DenoiserSettings):
    """`model:` of an image chain: a pretrained pipeline of diffusers, by its name on the hub or a local folder.

    Unconditional or by class (UNets, DiT, latent diffusion), or from text: then prompts are the data's captions.
    """

    kind: Literal["pipeline"] = "pipeline"
    name: PathName
    revision: str | None = None
    """A branch, tag or commit of the hub."""
    variant: str | None = None
    """Of the weights, e.g. `fp16` or `ema`."""
    dtype: Literal["own", "fp32", "fp16", "bf16"] = "own"
    """In which weights are kept and drawn with, while fp32 is trained; `own`: as the part that is trained is stored."""
    lora: LoraSettings | None = None
    prompt: Annotated[str, Field(max_length=1000, pattern=r"\{\}")] = "{}"
    """Around a class or a caption, for models that read text: `a photo of a {}`."""
    sampler: Literal["own", "dpm-solver++", "ddim", "ddpm"] = "own"
    steps: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Left out: the pipeline's default."""
    label_dropout: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of labels, or prompts, hidden in training."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    sampling_bias: Annotated[float, Field(gt=0, le=1)] | None = None
    """lambda: guidance at a scale of 1 / lambda, where the model is told labels; left out: the pipeline's default."""
    sampling_batch: Count | Literal["auto"] = 16
    fine_tuning: FineTuningSettings = FineTuningSettings(learning_rate=1e-5, batch=16)


class VaeTrainingSettings(TrainingSettings):
    """How long and how fast a variational autoencoder is fitted; it sees far more images in the same time."""

    images: Count = 300_000
    decay: Literal["cosine", "none"] = "none"


class VaeFineTuningSettings(VaeTrainingSettings):
    """The same for a fit that starts from a model."""

    images: Count = 150_000


class VaeSettings(Section):
    """`model:` of an image chain: a variational autoencoder of fully connected layers (Kingma and Welling 2014).

    The defaults are the network of Shumailov et al. 2024: for MNIST 784-400-20-400-784, 652,824 parameters.
    """

    kind: Literal["vae"] = "vae"
    latent: Annotated[int, Field(ge=1, le=4096)] = 20
    hidden: Annotated[
        list[Annotated[int, Field(ge=1, le=65_536)]], Field(min_length=1, max_length=8)
    ] = Field(default_factory=lambda: [400])
    """Widths between image and latent; the decoder has them in reverse."""
    training: VaeTrainingSettings = VaeTrainingSettings()
    """A fit from scratch."""
    fine_tuning: VaeFineTuningSettings = VaeFineTuningSettings()
    """A fit that starts from a model."""
    sampling_bias: Annotated[float, Field(gt=0, le=1)] = 1.0
    """lambda: latents are drawn from N(0, lambda)."""
    watermark: ImageWatermarkSettings | None = None
