"""Real images, brought to one form and split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torchvision.transforms.v2 import functional as transforms

from imglab import seeds
from imglab.errors import InputError, Problem, nearest
from imglab.images.settings import ImageSettings
from imglab.images.sources import LabelledImages, SourceImages, read_source

TEST_SHARE = 0.221
"""Of data that come in one part: 397 of the 1,797 digits."""


@dataclass(frozen=True)
class RealImages:
    """The real data of an image chain: three sets that share no image, and what their labels count."""

    train: LabelledImages
    test: LabelledImages
    fresh: LabelledImages
    classes: tuple[str, ...] | None
    prompts: tuple[str, ...] | None


def load_real_images(settings: ImageSettings) -> RealImages:
    """Read the source and apply size, colour, classes, split and class sizes, in this order.

    Raises InputError with every problem that the data show.
    """
    raw = read_source(settings)
    test = None if raw.test is None else _formed(raw.test, settings)
    raw = replace(raw, train=_formed(raw.train, settings), test=test)
    _check(raw, settings)
    return _split(_only_classes(raw, settings.classes), settings)


def _check(raw: SourceImages, settings: ImageSettings) -> None:
    problems = [
        *_unknown_classes(raw.classes, settings.classes or [], "modality.classes"),
        *_unknown_classes(
            settings.classes or raw.classes,
            list(settings.class_sizes or {}),
            "modality.class_sizes",
        ),
    ]
    for name, found in (("training", raw.train), ("test", raw.test)):
        if found is not None and not len(found):
            problems.append(Problem("modality.source", f"the source has no {name} image"))
    if raw.test is not None and raw.train.images.shape[1:] != raw.test.images.shape[1:]:
        each = [" x ".join(map(str, found.images.shape[1:])) for found in (raw.train, raw.test)]
        what = f"training images are {each[0]} (channels, height, width), test images {each[1]}"
        problems.append(
            Problem("modality", what, "set modality.size, and modality.colour to grey or rgb")
        )
    if problems:
        raise InputError(problems)


def _formed(found: LabelledImages, settings: ImageSettings) -> LabelledImages:
    images = found.images
    if settings.size is not None and tuple(images.shape[-2:]) != (settings.size, settings.size):
        images = transforms.resize(images, [settings.size, settings.size], antialias=True)
    if settings.colour == "grey" and images.shape[1] == 3:
        images = transforms.rgb_to_grayscale(images)
    if settings.colour == "rgb" and images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1)
    return replace(found, images=images.contiguous())


def _only_classes(raw: SourceImages, wanted: Sequence[str] | None) -> SourceImages:
    if wanted is None:
        return raw
    assert raw.classes is not None
    numbers = torch.tensor([raw.classes.index(name) for name in wanted])

    def chosen(found: LabelledImages) -> LabelledImages:
        assert found.labels is not None
        matches = found.labels[:, None] == numbers
        rows = matches.any(1).nonzero().flatten()
        return LabelledImages(found.images[rows], matches[rows].long().argmax(1))

    return SourceImages(
        chosen(raw.train), chosen(raw.test) if raw.test is not None else None, tuple(wanted)
    )


def _unknown_classes(
    classes: Sequence[str] | None, wanted: Sequence[str], where: str
) -> list[Problem]:
    if wanted and classes is None:
        remedy = "leave it out, or sort the images into one folder per class"
        return [Problem(where, "the data have no classes", remedy)]
    unknown = [name for name in wanted if name not in (classes or ())]
    return [
        Problem(where, f"there is no class {name!r}", nearest(name, classes or ()))
        for name in unknown
    ]


def _split(raw: SourceImages, settings: ImageSettings) -> RealImages:
    pool, test = _shuffled(raw.train, settings.split_seed, "train"), raw.test
    problems: list[Problem] = []
    if test is None:
        n_test = settings.n_test or max(1, round(len(pool) * TEST_SHARE))
        test, pool = pool[:n_test], pool[n_test:]
    elif settings.n_test is not None:
        test = _shuffled(test, settings.split_seed, "test")[: settings.n_test]
    if settings.n_test is not None and len(test) < settings.n_test:
        problems.append(_too_many("modality.n_test", settings.n_test, len(test)))
    fresh, pool = pool[: settings.n_fresh], pool[settings.n_fresh :]
    if len(fresh) < settings.n_fresh:
        problems.append(_too_many("modality.n_fresh", settings.n_fresh, len(fresh)))
    elif not len(pool):
        what = f"no image is left to train on: {len(test)} are for testing, {len(fresh)} kept apart"
        problems.append(
            Problem("modality", what, "lower n_test or n_fresh, or choose other classes")
        )
    train = pool[: settings.n_train] if settings.n_train else pool
    if settings.n_train and len(train) < settings.n_train and len(pool):
        problems.append(_too_many("modality.n_train", settings.n_train, len(train)))
    if settings.class_sizes and not problems:
        train = _resized_classes(train, raw.classes, settings.class_sizes, problems)
    if problems:
        raise InputError(problems)
    return RealImages(train, test, fresh, raw.classes, raw.prompts)


def _resized_classes(
    train: LabelledImages,
    classes: tuple[str, ...] | None,
    sizes: Mapping[str, int],
    problems: list[Problem],
) -> LabelledImages:
    assert classes is not None
    assert train.labels is not None
    keep = torch.ones(len(train), dtype=torch.bool)
    for name, size in sizes.items():
        rows = (train.labels == classes.index(name)).nonzero().flatten()
        if size > len(rows):
            problems.append(_too_many(f"modality.class_sizes.{name}", size, len(rows)))
        keep[rows[size:]] = False
    return train[keep.nonzero().flatten()]


def _too_many(where: str, asked: int, there: int) -> Problem:
    return Problem(where, f"asks for {asked} images, there are {there}", f"at most {there}")


def _shuffled(found: LabelledImages, seed: int, name: str) -> LabelledImages:
    return found[torch.randperm(len(found), generator=seeds.generator(seed, "split", name))]
