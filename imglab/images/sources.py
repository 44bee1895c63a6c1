"""Where real images come from: the library's digits, torchvision, folders, `.npz` files."""

from __future__ import annotations

import inspect
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from imglab.safe_text import is_text

UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    EOFError,
    SyntaxError,
    MemoryError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""What readers raise on a file that is damaged or of another kind."""
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
"""What is tried on an image, whatever its name ends in: some of Pillow's other readers run programs."""
PACKED = 200
"""Times its own size that an .npz may unpack to; deflate shrinks images of nothing a thousandfold, others tenfold."""
SMALL = 1 << 28
"""Bytes that any .npz may unpack to."""
ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


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
    return SourceImages(
        LabelledImages(images, torch.from_numpy(digits.target).long()), None, tuple("0123456789")
    )


def _read_torchvision(source: TorchvisionSource, size: int | None) -> SourceImages:
    from torchvision import datasets

    where = "modality.source.name"
    found = getattr(datasets, source.name, None)
    parameters = inspect.signature(found).parameters if inspect.isclass(found) else {}
    if found is None or not {"train", "split"} & set(parameters):
        usable = [
            name
            for name in datasets.__all__
            if {"train", "split"} & set(_parameters(datasets, name))
        ]
        raise InputError(
            Problem(
                where,
                f"torchvision has no split dataset {source.name!r}",
                nearest(source.name, usable),
            )
        )
    by_split = [{"split": source.train_split}, {"split": source.test_split}]
    splits = [{"train": True}, {"train": False}] if "train" in parameters else by_split
    extra = {
        **({"download": source.download} if "download" in parameters else {}),
        **source.options,
    }
    try:
        opened = [found(source.root, **split, **extra) for split in splits]
    except (
        OSError,
        RuntimeError,
        ValueError,
        AssertionError,
        TypeError,
        ImportError,
        EOFError,
    ) as error:
        remedy = (
            f"put the files under {source.root!r}, or set download: true where there is a network"
        )
        problem = Problem(
            "modality.source.root",
            f"{source.name} could not be opened: {first_line(error)}",
            remedy,
        )
        raise InputError(problem) from error
    train, test = (_torchvision_images(dataset, size) for dataset in opened)
    assert train.labels is not None
    names = getattr(opened[0], "classes", None) or sorted(map(int, train.labels.unique().tolist()))
    return SourceImages(train, test, _class_names(names, "modality.source.name"))


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
            problem = Problem(
                name, f"is not an image with a class: {first_line(error)}", "use another source"
            )
            raise InputError(problem) from error
    return LabelledImages(_stacked(arrays, names), torch.tensor(labels))


def _read_npz(source: NpzSource) -> SourceImages:
    where = "modality.source.path"
    path = Path(source.path)
    if not path.is_file():
        raise InputError(
            Problem(where, f"there is no file {source.path!r}", "give the path of an .npz")
        )
    try:
        _check_packing(path)
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in ARRAYS if name in archive.files}
            there = list(archive.files)
        if bare := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
            raise ValueError(f"its {bare[0]} is no array")
    except (*UNREADABLE, RuntimeError) as error:  # zipfile's word for a member under a password
        problem = Problem(
            where,
            f"{source.path!r} is not a readable .npz: {first_line(error)}",
            "write it again with numpy.savez",
        )
        raise InputError(problem) from error
    problems = []
    for name in ("train_images", "test_images"):
        array, labels = arrays.get(name), arrays.get(name.replace("images", "labels"))
        if array is None:
            problems.append(
                Problem(where, f"{source.path!r} has no array {name!r}", nearest(name, there))
            )
        elif (
            array.dtype != np.uint8
            or array.ndim not in (3, 4)
            or (array.ndim == 4 and array.shape[-1] not in (1, 3))
            or 0 in array.shape[1:]
        ):
            found = f"{array.dtype} {list(array.shape)}"
            problems.append(
                Problem(where, f"{name} must be uint8 [N, H, W] or [N, H, W, 1 or 3], is {found}")
            )
        elif labels is not None:
            problems += _label_problems(name, len(array), labels, where)
    if not problems and arrays["train_images"].shape[1:] != arrays["test_images"].shape[1:]:
        problems.append(Problem(where, "train_images and test_images differ in shape"))
    if problems:
        raise InputError(problems)
    return _from_arrays(arrays)


def _check_packing(path: Path) -> None:
    """Raise ValueError where an archive would unpack to far more than images do, before any of it is unpacked."""
    with zipfile.ZipFile(path) as archive:
        whole = sum(member.file_size for member in archive.infolist())
    packed = path.stat().st_size
    if whole > max(SMALL, PACKED * packed):
        raise ValueError(
            f"its {packed:,} bytes would unpack to {whole:,}, more than {PACKED} times as many"
        )


def _label_problems(name: str, images: int, labels: Any, where: str) -> Iterator[Problem]:
    if labels.shape not in ((images,), (images, 1)):
        yield Problem(where, f"{name} has {images} images but labels of shape {list(labels.shape)}")
    elif labels.dtype.kind not in "biufSU":
        yield Problem(where, f"labels of {name} must be numbers or words, are {labels.dtype}")
    elif labels.dtype.kind == "f" and not np.isfinite(labels).all():
        yield Problem(where, f"labels of {name} are not all finite")


def _from_arrays(arrays: Mapping[str, Any]) -> SourceImages:
    found = [arrays[name].reshape(-1) for name in ("train_labels", "test_labels") if name in arrays]
    names: tuple[str, ...] | None = None
    labels: list[Tensor | None] = [None, None]
    if len(found) == 2:
        try:
            values: Any = np.unique(np.concatenate(found))
            names = _class_names(values.tolist(), "modality.source.path")
            labels = [torch.from_numpy(np.searchsorted(values, column)).long() for column in found]
        except (
            TypeError,
            ValueError,
            SystemError,
        ) as error:  # numbers beside words, or signs that are no character
            what = f"the labels name no classes: {first_line(error)}"
            raise InputError(Problem("modality.source.path", what, "number the classes")) from error
    train, test = (_channels_first(arrays[f"{split}_images"]) for split in ("train", "test"))
    return SourceImages(LabelledImages(train, labels[0]), LabelledImages(test, labels[1]), names)


def _class_names(found: Iterable[Any], where: str) -> tuple[str, ...]:
    """Return the names of classes as text; InputError for what UTF-8 cannot say, as the name of a folder may be."""
    names = tuple(map(str, found))
    bad = [name for name in names if not is_text(name)]
    if bad:
        raise InputError(
            Problem(where, f"{name!r} is no name for a class: it is not UTF-8", "rename it")
            for name in bad
        )
    return names


def _read_captioned(source: CaptionedFolderSource, size: int | None) -> SourceImages:
    where = "modality.source.path"
    found = [read_captions(part, source.caption, where) for part in _parts(source.path)]
    prompts = tuple(sorted({caption for captions in found for caption in captions.values()}))
    number = {prompt: at for at, prompt in enumerate(prompts)}
    opened = _open_images([path for captions in found for path in captions], size)
    sets = []
    for captions in found:
        images, opened = (
            _stacked(opened[: len(captions)], [str(path) for path in captions]),
            opened[len(captions) :],
        )
        sets.append(
            LabelledImages(images, torch.tensor([number[caption] for caption in captions.values()]))
        )
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
    listed = [
        sorted(path for path in part.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
        for part in parts
    ]
    empty = [part for part, paths in zip(parts, listed, strict=True) if not paths]
    if empty:
        raise InputError(
            Problem(
                "modality.source.path", f"{str(part)!r} holds no image", "expected .png, .jpg, ..."
            )
            for part in empty
        )
    owners = [
        [path.relative_to(part).parts[0] if path.parent != part else "" for path in paths]
        for part, paths in zip(parts, listed, strict=True)
    ]
    names = _class_names(
        sorted({name for found in owners for name in found}), "modality.source.path"
    )
    classes = names if "" not in names else None
    opened = _open_images([path for paths in listed for path in paths], size)
    sets = []
    for paths, found in zip(listed, owners, strict=True):
        images, opened = (
            _stacked(opened[: len(paths)], [str(path) for path in paths]),
            opened[len(paths) :],
        )
        labels = torch.tensor([names.index(name) for name in found]) if classes else None
        sets.append(LabelledImages(images, labels))
    return SourceImages(sets[0], sets[1] if len(sets) == 2 else None, classes)


def _open_images(paths: Sequence[Path], size: int | None) -> list[Any]:
    opened, problems = [], []
    for path in paths:
        try:
            opened.append(_read_image(path, size))
        except UNREADABLE as error:
            problems.append(
                Problem(
                    str(path),
                    f"cannot be read as an image: {first_line(error)}",
                    "remove or replace it",
                )
            )
    if problems:
        raise InputError(problems)
    return opened


def _read_image(path: Path, size: int | None) -> Any:
    if not path.is_file():  # a pipe or a device would never end
        raise ValueError("it is not a file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is odd in a file that can be read all the same
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path, formats=FORMATS) as image:
            return _as_array(image, size)


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
    return image.crop((left, top, left + side, top + side)).resize(
        (size, size), Image.Resampling.LANCZOS
    )


def _stacked(arrays: Sequence[Any], names: Sequence[str]) -> Tensor:
    colour = any(array.ndim == 3 for array in arrays)
    arrays = [
        np.stack([array] * 3, -1) if colour and array.ndim == 2 else array for array in arrays
    ]
    shapes: dict[tuple[int, ...], str] = {}
    for array, name in zip(arrays, names, strict=True):
        shapes.setdefault(array.shape, name)
    if len(shapes) > 1:
        examples = ", ".join(
            f"{name} is {shape[1]} x {shape[0]}" for shape, name in list(shapes.items())[:2]
        )
        raise InputError(
            Problem(
                "modality.size",
                f"the images differ in size: {examples}",
                "set modality.size to resize them",
            )
        )
    return _channels_first(np.stack(arrays))


def _channels_first(images: Any) -> Tensor:
    """Turn [N, H, W] or [N, H, W, 1 or 3], array or tensor, into [N, C, H, W]; leave what has that form already."""
    found = torch.as_tensor(images)
    if found.dim() == 3:
        return found[:, None].contiguous()
    return (found.permute(0, 3, 1, 2) if found.shape[-1] in (1, 3) else found).contiguous()
