"""Where real images come from: the library's digits, torchvision, folders, `.npz` files."""

from __future__ import annotations

import inspect
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from imglab.errors import InputError, Problem, first_line, nearest
from imglab.images.captions import IMAGE_SUFFIXES, read_captions
from imglab.images.settings import (
    CaptionedFolderSource,
    DigitsSource,
    FolderSource,
    ImageSettings,
    NpzSource,
    TorchvisionSource,
)

UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    EOFError,
    SyntaxError,
    MemoryError,
    NotImplementedError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    Image.DecompressionBombError,
)
"""What readers raise on a file that is damaged or of another kind."""


@dataclass(frozen=True)
class LabelledImages:
    """Images uint8 [N, C, H, W] and class labels int64 [N], or None."""

    images: Tensor
    labels: Tensor | None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: Tensor | slice) -> LabelledImages:
        return LabelledImages(self.images[rows], None if self.labels is None else self.labels[rows])


@dataclass(frozen=True)
class SourceImages:
    """What a source holds; `test` is None where it has no split of its own.

    classes, prompts  what the labels count: classes by name, or captions; one of them, or none
    """

    train: LabelledImages
    test: LabelledImages | None
    classes: tuple[str, ...] | None
    prompts: tuple[str, ...] | None = None


def read_source(settings: ImageSettings) -> SourceImages:
    """Read the source that the settings name; InputError holds every problem that it shows."""
    source = settings.source
    if isinstance(source, DigitsSource):
        return _read_digits()
    if isinstance(source, TorchvisionSource):
        return _read_torchvision(source, settings.size)
    if isinstance(source, NpzSource):
        return _read_npz(source)
    if isinstance(source, CaptionedFolderSource):
        return _read_captioned(source, settings.size)
    return _read_folder(source, settings.size)


def _read_digits() -> SourceImages:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.from_numpy(np.rint(digits.images * (255 / 16)).astype(np.uint8))[:, None]
    return SourceImages(LabelledImages(images, torch.from_numpy(digits.target).long()), None, tuple("0123456789"))


def _read_torchvision(source: TorchvisionSource, size: int | None) -> SourceImages:
    from torchvision import datasets

    where = "modality.source.name"
    found = getattr(datasets, source.name, None)
    parameters = inspect.signature(found).parameters if inspect.isclass(found) else {}
    if found is None or not {"train", "split"} & set(parameters):
        usable = [name for name in datasets.__all__ if {"train", "split"} & set(_parameters(datasets, name))]
        raise InputError(
            Problem(where, f"torchvision has no split dataset {source.name!r}", nearest(source.name, usable))
        )
    by_split = [{"split": source.train_split}, {"split": source.test_split}]
    splits = [{"train": True}, {"train": False}] if "train" in parameters else by_split
    extra = {**({"download": source.download} if "download" in parameters else {}), **source.options}
    try:
        opened = [found(source.root, **split, **extra) for split in splits]
    except (OSError, RuntimeError, ValueError, AssertionError, TypeError, ImportError, EOFError) as error:
        remedy = f"put the files under {source.root!r}, or set download: true where there is a network"
        problem = Problem("modality.source.root", f"{source.name} could not be opened: {first_line(error)}", remedy)
        raise InputError(problem) from None
    train, test = (_torchvision_images(dataset, size) for dataset in opened)
    names = getattr(opened[0], "classes", None) or sorted({int(label) for label in train.labels.tolist()})  # type: ignore[union-attr]
    return SourceImages(train, test, tuple(str(name) for name in names))


def _parameters(datasets: Any, name: str) -> Mapping[str, Any]:
    found = getattr(datasets, name)
    return inspect.signature(found).parameters if inspect.isclass(found) else {}


def _torchvision_images(dataset: Any, size: int | None) -> LabelledImages:
    data, targets = getattr(dataset, "data", None), getattr(dataset, "targets", None)
    if isinstance(data, (np.ndarray, Tensor)) and data.ndim in (3, 4) and targets is not None:
        return LabelledImages(_channels_first(data), torch.as_tensor(targets).long())
    names = [f"{type(dataset).__name__}[{index}]" for index in range(len(dataset))]
    arrays, labels = [], []
    for index, name in enumerate(names):
        try:
            image, label = dataset[index]
            arrays.append(_as_array(image, size))
            labels.append(int(label))
        except (OSError, ValueError, TypeError) as error:
            problem = Problem(name, f"is not an image with a class: {first_line(error)}", "use another source")
            raise InputError(problem) from None
    return LabelledImages(_stacked(arrays, names), torch.tensor(labels))


def _read_npz(source: NpzSource) -> SourceImages:
    where = "modality.source.path"
    path = Path(source.path)
    if not path.is_file():
        raise InputError(Problem(where, f"there is no file {source.path!r}", "give the path of an .npz"))
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except UNREADABLE as error:
        problem = Problem(
            where, f"{source.path!r} is not a readable .npz: {first_line(error)}", "write it again with numpy.savez"
        )
        raise InputError(problem) from None
    problems = []
    for name in ("train_images", "test_images"):
        array = arrays.get(name)
        if array is None:
            problems.append(Problem(where, f"{source.path!r} has no array {name!r}", nearest(name, arrays)))
        elif array.dtype != np.uint8 or array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[-1] not in (1, 3)):
            found = f"{array.dtype} {list(array.shape)}"
            problems.append(Problem(where, f"{name} must be uint8 [N, H, W] or [N, H, W, 1 or 3], is {found}"))
        labels = arrays.get(name.replace("images", "labels"))
        if labels is not None and labels.ndim == 2 and labels.shape[1] == 1:
            labels = arrays[name.replace("images", "labels")] = labels[:, 0]
        if array is not None and labels is not None and (labels.ndim != 1 or len(labels) != len(array)):
            problems.append(Problem(where, f"{name} has {len(array)} images but labels of shape {list(labels.shape)}"))
    if not problems and arrays["train_images"].shape[1:] != arrays["test_images"].shape[1:]:
        problems.append(Problem(where, "train_images and test_images differ in shape"))
    if problems:
        raise InputError(problems)
    return _from_arrays(arrays)


def _from_arrays(arrays: Mapping[str, Any]) -> SourceImages:
    found = [arrays[name] for name in ("train_labels", "test_labels") if name in arrays]
    names: tuple[str, ...] | None = None
    labels: list[Tensor | None] = [None, None]
    if len(found) == 2:
        values: Any = np.unique(np.concatenate(found))
        names = tuple(str(value) for value in values.tolist())
        labels = [torch.from_numpy(np.searchsorted(values, column)).long() for column in found]
    train, test = (_channels_first(arrays[f"{split}_images"]) for split in ("train", "test"))
    return SourceImages(LabelledImages(train, labels[0]), LabelledImages(test, labels[1]), names)


def _read_captioned(source: CaptionedFolderSource, size: int | None) -> SourceImages:
    where = "modality.source.path"
    found = [read_captions(part, source.caption, where) for part in _parts(source.path)]
    prompts = tuple(sorted({caption for captions in found for caption in captions.values()}))
    number = {prompt: at for at, prompt in enumerate(prompts)}
    opened = _open_images([path for captions in found for path in captions], size)
    sets = []
    for captions in found:
        images, opened = _stacked(opened[: len(captions)], [str(path) for path in captions]), opened[len(captions) :]
        sets.append(LabelledImages(images, torch.tensor([number[caption] for caption in captions.values()])))
    return SourceImages(sets[0], sets[1] if len(sets) == 2 else None, None, prompts)


def _parts(path: str) -> list[Path]:
    """Return the folders of the training and the test images, or the one that holds all."""
    root, where = Path(path), "modality.source.path"
    if not root.is_dir():
        raise InputError(Problem(where, f"there is no folder {path!r}", "give a folder of images"))
    if [inner.name for inner in root.iterdir() if inner.is_dir()] in (["train"], ["test"]):
        what = f"{path!r} has only one of train/ and test/"
        raise InputError(Problem(where, what, "add the other, or give the path of this one"))
    parts = [root / "train", root / "test"]
    return parts if all(part.is_dir() for part in parts) else [root]


def _read_folder(source: FolderSource, size: int | None) -> SourceImages:
    parts = _parts(source.path)
    listed = [sorted(path for path in part.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES) for part in parts]
    empty = [part for part, paths in zip(parts, listed, strict=True) if not paths]
    if empty:
        raise InputError(
            Problem("modality.source.path", f"{str(part)!r} holds no image", "expected .png, .jpg, ...")
            for part in empty
        )
    owners = [
        [path.relative_to(part).parts[0] if path.parent != part else "" for path in paths]
        for part, paths in zip(parts, listed, strict=True)
    ]
    names = tuple(sorted({name for found in owners for name in found}))
    classes = names if "" not in names else None
    opened = _open_images([path for paths in listed for path in paths], size)
    sets = []
    for paths, found in zip(listed, owners, strict=True):
        images, opened = _stacked(opened[: len(paths)], [str(path) for path in paths]), opened[len(paths) :]
        labels = torch.tensor([names.index(name) for name in found]) if classes else None
        sets.append(LabelledImages(images, labels))
    return SourceImages(sets[0], sets[1] if len(sets) == 2 else None, classes)


def _open_images(paths: Sequence[Path], size: int | None) -> list[Any]:
    opened, problems = [], []
    for path in paths:
        try:
            with Image.open(path) as image:
                opened.append(_as_array(image, size))
        except UNREADABLE as error:
            problems.append(
                Problem(str(path), f"cannot be read as an image: {first_line(error)}", "remove or replace it")
            )
    if problems:
        raise InputError(problems)
    return opened


def _as_array(image: Image.Image, size: int | None) -> Any:
    """Return uint8 [H, W] or [H, W, 3]; transparent parts lie on white, other depths than 8 bits are refused."""
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        raise ValueError(f"it has {image.mode} pixels, not 8 bits a channel; convert it first")
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        colour = image.convert("RGBA")
        flat = Image.new("RGBA", colour.size, "white")
        flat.alpha_composite(colour)
        image = flat.convert("L" if image.mode in ("LA", "La") else "RGB")
    elif image.mode not in ("L", "RGB"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    return np.asarray(image if size is None else _squared(image, size))


def _squared(image: Image.Image, size: int) -> Image.Image:
    """Crop the largest centred square and resize it."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.LANCZOS)


def _stacked(arrays: Sequence[Any], names: Sequence[str]) -> Tensor:
    colour = any(array.ndim == 3 for array in arrays)
    arrays = [np.stack([array] * 3, -1) if colour and array.ndim == 2 else array for array in arrays]
    shapes: dict[tuple[int, ...], str] = {}
    for array, name in zip(arrays, names, strict=True):
        shapes.setdefault(array.shape, name)
    if len(shapes) > 1:
        examples = ", ".join(f"{name} is {shape[1]} x {shape[0]}" for shape, name in list(shapes.items())[:2])
        raise InputError(
            Problem("modality.size", f"the images differ in size: {examples}", "set modality.size to resize them")
        )
    return _channels_first(np.stack(arrays))


def _channels_first(images: Any) -> Tensor:
    """Turn [N, H, W] or [N, H, W, 1 or 3], array or tensor, into [N, C, H, W]; leave what has that form already."""
    found = torch.as_tensor(images)
    if found.dim() == 3:
        return found[:, None].contiguous()
    return (found.permute(0, 3, 1, 2) if found.shape[-1] in (1, 3) else found).contiguous()
