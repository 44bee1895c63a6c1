"""Keys of `modality.extractor` for images: which features are compared. Read without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from imglab.config.section import Count, PathName, PlugIn, Section, Seed, choice


class ClassifierSettings(Section):
    """A small convolutional network that is trained once on the labels of the real images.

    Its embedding is the feature.
    """

    kind: Literal["classifier"] = "classifier"
    network: Literal["standard", "small", "lenet"] = "standard"
    """`standard`: four convolutions with batch normalization. `small`: three without it, and 64
    features, which follow contrast. `lenet`: the layers of LeNet-5 and its 84 features (LeCun et
    al. 1998), which the scores of MAD on MNIST use."""
    images: Count = 60_000
    """Images that the classifier sees in training; an image counts each time it is seen."""
    seed: Seed = 0
    """Seed of the classifier's training. It is separate from the run's seed, so that runs that
    differ in their seeds are measured by the same extractor."""


class SelfSupervisedSettings(Section):
    """A small convolutional network that is trained once on the real images, without labels.

    It learns to tell which views are of the same image (SimCLR, Chen et al. 2020).
    """

    kind: Literal["self_supervised"] = "self_supervised"
    images: Count = 60_000
    """Images that the network sees in training; an image counts each time it is seen."""
    seed: Seed = 0
    """Seed of the network's training; it is separate from the run's seed."""


class InceptionSettings(Section):
    """The Inception-v3 of the FID papers (the port of torch-fidelity), with 2,048 features.

    Scores from this extractor are comparable with published ones.
    """

    kind: Literal["inception"] = "inception"
    weights: PathName | None = None
    """Path of `weights-inception-2015-12-05-6726825d.pth` of torch-fidelity; by default the file
    is downloaded."""


class DinoSettings(Section):
    """DINOv2 (Oquab et al. 2023) through transformers.

    The features are the class token of its last layer (Stein et al. 2023).
    """

    kind: Literal["dinov2"] = "dinov2"
    name: PathName = "facebook/dinov2-base"
    """Name on the Hugging Face hub, or path of a local folder."""
    revision: str | None = None
    """Branch, tag or commit on the hub; default: `main`."""


class ClipSettings(Section):
    """The image features of CLIP (Radford et al. 2021) through transformers.

    For images with captions this extractor also gives the CLIP score.
    """

    kind: Literal["clip"] = "clip"
    name: PathName = "openai/clip-vit-base-patch32"
    """Name on the Hugging Face hub, or path of a local folder."""
    revision: str | None = None
    """Branch, tag or commit on the hub; default: `main`."""


class PixelsSettings(Section):
    """The pixels themselves, scaled to [0, 1]."""

    kind: Literal["pixels"] = "pixels"


if TYPE_CHECKING:
    JudgeChoice = (
        ClassifierSettings
        | SelfSupervisedSettings
        | InceptionSettings
        | DinoSettings
        | ClipSettings
        | PixelsSettings
    )
    ExtractorChoice = JudgeChoice | PlugIn
else:
    SHIPPED = (
        ClassifierSettings,
        SelfSupervisedSettings,
        InceptionSettings,
        DinoSettings,
        ClipSettings,
        PixelsSettings,
    )
    JudgeChoice = choice(*SHIPPED)
    ExtractorChoice = choice(*SHIPPED, plug_in=True)
