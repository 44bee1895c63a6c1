"""Real images from folders of image files, by class or with captions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from imglab.errors import InputError, Problem
from imglab.images.arrays import stack_images
from imglab.images.captions import read_captions
from imglab.images.image_files import list_images, open_images
from imglab.images.labelled import LabelledImages, SourceImages, class_names
from imglab.images.source_settings import CaptionedFolderSource, FolderSource

WHERE = "modality.source.path"


def read_folder(source: FolderSource, size: int | None) -> SourceImages:
    """Read a folder of images, whose subfolders are the classes.

    An image that lies beside the subfolders belongs to no class; then there are no classes at all.
    """
    parts = _parts(source.path)
    paths = [list_images(part) for part in parts]
    empty = [part for part, of_part in zip(parts, paths, strict=True) if not of_part]
    if empty:
        remedy = "expected .png, .jpg, ..."
        raise InputError(Problem(WHERE, f"{str(part)!r} holds no image", remedy) for part in empty)

    # Name the classes before any image is opened.
    folders = [
        [_class_folder(path, part) for path in of_part]
        for part, of_part in zip(parts, paths, strict=True)
    ]
    names = class_names(sorted({name for of_part in folders for name in of_part}), WHERE)
    images = _open_parts(paths, size)
    if "" in names:
        return _source([LabelledImages(tensor, None) for tensor in images])

    sets = []
    for tensor, of_part in zip(images, folders, strict=True):
        labels = torch.tensor([names.index(name) for name in of_part])
        sets.append(LabelledImages(tensor, labels))
    return _source(sets, classes=names)


def read_captioned_folder(source: CaptionedFolderSource, size: int | None) -> SourceImages:
    """Read a folder of images with captions, which become the prompts."""
    captions = [read_captions(part, source.caption, WHERE) for part in _parts(source.path)]
    prompts = tuple(sorted({caption for of_part in captions for caption in of_part.values()}))
    numbers = {prompt: number for number, prompt in enumerate(prompts)}

    images = _open_parts([list(of_part) for of_part in captions], size)
    sets = []
    for tensor, of_part in zip(images, captions, strict=True):
        labels = torch.tensor([numbers[caption] for caption in of_part.values()])
        sets.append(LabelledImages(tensor, labels))
    return _source(sets, prompts=prompts)


def _parts(path: str) -> list[Path]:
    """Return the folders of the training and the test images, or the one folder of all images."""
    root = Path(path)
    if not root.is_dir():
        raise InputError(Problem(WHERE, f"there is no folder {path!r}", "give a folder of images"))

    subfolders = [inner.name for inner in root.iterdir() if inner.is_dir()]
    if subfolders in (["train"], ["test"]):
        what = f"{path!r} has only one of train/ and test/"
        raise InputError(Problem(WHERE, what, "add the other, or give the path of this one"))

    parts = [root / "train", root / "test"]
    if all(part.is_dir() for part in parts):
        return parts
    return [root]


def _class_folder(path: Path, part: Path) -> str:
    """Return the name of the subfolder of `part` that holds an image; "" if none does."""
    if path.parent == part:
        return ""
    return path.relative_to(part).parts[0]


def _open_parts(parts: Sequence[Sequence[Path]], size: int | None) -> list[Tensor]:
    """Return the images of each part, uint8 [N, C, H, W]; InputError names all unreadable files."""
    arrays = open_images([path for paths in parts for path in paths], size)

    tensors = []
    for paths in parts:
        names = [str(path) for path in paths]
        tensors.append(stack_images(arrays[: len(paths)], names))
        del arrays[: len(paths)]  # free their memory before the next part is stacked
    return tensors


def _source(
    sets: Sequence[LabelledImages],
    *,
    classes: tuple[str, ...] | None = None,
    prompts: tuple[str, ...] | None = None,
) -> SourceImages:
    """Return the images of one part, or of a training and a test part."""
    test = None
    if len(sets) == 2:
        test = sets[1]
    return SourceImages(sets[0], test, classes, prompts)
