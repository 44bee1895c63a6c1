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

from imglab.config.given import SyntheticSets
from imglab.config.section import Count, Section, Seed, newer_key
from imglab.images.extractor_settings import ExtractorChoice, JudgeChoice
from imglab.images.model_settings import ImageWatermarkSettings, SamplingBias, TrainingSettings
from imglab.images.source_settings import DigitsSource, Source

LARGEST_DIGITS = 512
"""Side, in pixels, to which the 8 x 8 scans of digits may be enlarged at most."""


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
    groups: Annotated[str, Field(min_length=1)] | None = newer_key(None)
    """Column that names a group of each image, such as of people, whose recall and share are then
    measured beside those of the classes: of a table in the folder, by the images' names; of `emoji`
    `skin_tone` or `category`. Images without one are the group `none`."""
    group_sizes: dict[str, Count] | None = newer_key(None)
    """Number of training images of a group, by the group's name. A number below the available one
    makes the group rare."""
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
    synthetic: SyntheticSets = newer_key([])
    """Synthetic data of your own beside the real data: one set or several, each with a label, by
    which the regime `mixture` gives it a share of the training sets."""
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

    @model_validator(mode="after")
    def _groups_have_a_column(self) -> ImageSettings:
        if self.group_sizes and self.groups is None:
            raise ValueError("group_sizes needs groups: the column that names them")
        if self.group_sizes and self.class_sizes:
            raise ValueError("give class_sizes or group_sizes: an image counts for both")
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
