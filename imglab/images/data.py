"""Real images, brought to one form and split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from imglab import seeds
from imglab.errors import InputError, Problem, nearest
from imglab.images.arrays import check_fits
from imglab.images.group_columns import in_use
from imglab.images.labelled import LabelledImages, SourceImages
from imglab.images.settings import ImageSettings
from imglab.images.sources import read_source
from imglab.reading import Summary

TEST_SHARE = 0.221
"""Share of the images that becomes the test set if the source has none: 397 of the 1,797 digits."""


@dataclass(frozen=True)
class RealImages:
    """The real data of an image chain: sets that share no image.

    spare             images for training beyond `n_train`, `class_sizes` and `group_sizes`
    classes, prompts  what the labels count (`SourceImages`)
    groups            what the groups count
    summary           what was found in the source, and what was left out
    """

    train: LabelledImages
    test: LabelledImages
    fresh: LabelledImages
    classes: tuple[str, ...] | None
    prompts: tuple[str, ...] | None
    spare: LabelledImages
    summary: Summary
    groups: tuple[str, ...] | None = None

    @property
    def for_training(self) -> LabelledImages:
        """All images that are not for testing, whoever may train on them."""
        return LabelledImages.joined([self.train, self.fresh, self.spare])


def load_real_images(settings: ImageSettings, source: SourceImages | None = None) -> RealImages:
    """Read the source and apply size, colour, classes, split and class sizes, in this order.

    source  images that were read already; None: those that the settings name
    Raises InputError with every problem that the data show.
    """
    if source is None:
        source = read_source(settings)
    source = replace(source, train=in_one_form(source.train, settings))
    if source.test is not None:
        source = replace(source, test=in_one_form(source.test, settings))

    problems = [*_class_problems(source, settings), *_image_problems(source)]
    if problems:
        raise InputError(problems)
    return _split(in_use(_only_classes(source, settings.classes)), settings)


def in_one_form(labelled: LabelledImages, settings: ImageSettings) -> LabelledImages:
    """Resize the images and convert their colours, as the settings ask."""
    images = labelled.images
    size = settings.size
    if size is not None and tuple(images.shape[-2:]) != (size, size):
        check_fits(len(images), images.shape[1], size)
        from torchvision.transforms.v2.functional import resize

        images = resize(images, [size, size], antialias=True)

    if settings.colour == "grey" and images.shape[1] == 3:
        from torchvision.transforms.v2.functional import rgb_to_grayscale

        images = rgb_to_grayscale(images)
    if settings.colour == "rgb" and images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1)
    return replace(labelled, images=images.contiguous())


def _class_problems(source: SourceImages, settings: ImageSettings) -> Iterator[Problem]:
    """Yield a problem for each class or group that the settings name and the data do not have."""
    chosen = settings.classes or []
    yield from _unknown(source.classes, chosen, "modality.classes", "class")

    sized = list(settings.class_sizes or {})
    yield from _unknown(chosen or source.classes, sized, "modality.class_sizes", "class")

    grouped = list(settings.group_sizes or {})
    yield from _unknown(source.groups, grouped, "modality.group_sizes", "group")


def _unknown(
    names: Sequence[str] | None, wanted: Sequence[str], where: str, noun: str
) -> Iterator[Problem]:
    """Yield a problem for each wanted class, or group, that is not among the names."""
    if wanted and names is None:
        remedy = "leave it out, or sort the images into one folder per class"
        yield Problem(where, "the data have no classes", remedy)
        return

    for name in wanted:
        if name not in (names or ()):
            what = f"there is no {noun} {name!r}"
            yield Problem(where, what, nearest(name, names or ()))


def _image_problems(source: SourceImages) -> Iterator[Problem]:
    """Yield a problem for a part without images, and for parts of different shapes."""
    if not len(source.train):
        yield Problem("modality.source", "the source has no training image")
    if source.test is None:
        return
    if not len(source.test):
        yield Problem("modality.source", "the source has no test image")

    shapes = [part.images.shape[1:] for part in (source.train, source.test)]
    if shapes[0] != shapes[1]:
        train, test = (" x ".join(map(str, shape)) for shape in shapes)
        what = f"training images are {train} (channels, height, width), test images {test}"
        remedy = "set modality.size, and modality.colour to grey or rgb"
        yield Problem("modality", what, remedy)


def _only_classes(source: SourceImages, wanted: Sequence[str] | None) -> SourceImages:
    """Keep the wanted classes only, numbered in their order."""
    if wanted is None:
        return source
    assert source.classes is not None

    numbers = torch.tensor([source.classes.index(name) for name in wanted])
    test = None
    if source.test is not None:
        test = _only_labels(source.test, numbers)
    return replace(
        source, train=_only_labels(source.train, numbers), test=test, classes=tuple(wanted)
    )


def _only_labels(labelled: LabelledImages, numbers: torch.Tensor) -> LabelledImages:
    """Keep the images of these labels, int64 [K], and number them from 0 to K - 1."""
    assert labelled.labels is not None
    matches = labelled.labels[:, None] == numbers
    rows = matches.any(1).nonzero().flatten()
    return replace(labelled[rows], labels=matches[rows].long().argmax(1))


def _split(source: SourceImages, settings: ImageSettings) -> RealImages:
    """Divide the images at random into a training, a test and a fresh set."""
    pool = _shuffled(source.train, settings.split_seed, "train")
    test = source.test
    if test is None:
        n_test = settings.n_test or max(1, round(len(pool) * TEST_SHARE))
        test = pool[:n_test]
        pool = pool[n_test:]
    elif settings.n_test is not None:
        test = _shuffled(test, settings.split_seed, "test")[: settings.n_test]

    fresh = pool[: settings.n_fresh]
    pool = pool[settings.n_fresh :]
    train = pool[: settings.n_train]
    spare = pool[len(train) :]

    problems = list(_size_problems(settings, len(pool), len(test), len(fresh)))
    problems += _group_problems(source.groups, train, test)
    if problems:
        raise InputError(problems)
    is_kept = _within_sizes(train, source, settings)
    if not bool(is_kept.all()):
        spare = LabelledImages.joined([spare, train[(~is_kept).nonzero().flatten()]])
        train = train[is_kept.nonzero().flatten()]
    summary = _summary(source, {"train": train, "test": test, "fresh": fresh})
    return RealImages(
        train, test, fresh, source.classes, source.prompts, spare, summary, source.groups
    )


def _summary(source: SourceImages, parts: Mapping[str, LabelledImages]) -> Summary:
    """Return what the source holds, and how many images each part has."""
    sets = [source.train]
    if source.test is not None:
        sets.append(source.test)
    total = sum(map(len, sets))
    split = {name: len(part) for name, part in parts.items() if len(part)}
    if sum(split.values()) < total:
        split["not used"] = total - sum(split.values())

    counts = None
    labels = [each.labels for each in sets if each.labels is not None]
    if source.classes is not None and labels:
        sizes = torch.bincount(torch.cat(labels), minlength=len(source.classes)).tolist()
        counts = dict(zip(source.classes, sizes, strict=True))
    unsorted = "no classes"
    if source.prompts is not None:
        unsorted = f"{len(source.prompts):,} different captions"
    return Summary(total, "images", counts, split, source.left_out, source.notes, unsorted)


def _size_problems(settings: ImageSettings, pool: int, test: int, fresh: int) -> Iterator[Problem]:
    """Yield a problem for each set that is smaller than the settings ask.

    pool, test, fresh  images that are left to train on, for testing, and held back
    """
    if settings.n_test is not None and test < settings.n_test:
        yield _too_many("modality.n_test", settings.n_test, test)

    if fresh < settings.n_fresh:
        yield _too_many("modality.n_fresh", settings.n_fresh, fresh)
    elif not pool:
        what = f"no image is left to train on: {test} are for testing, {fresh} are held back"
        remedy = "lower n_test or n_fresh, or choose other classes"
        yield Problem("modality", what, remedy)

    if settings.n_train is not None and 0 < pool < settings.n_train:
        yield _too_many("modality.n_train", settings.n_train, pool)


def _group_problems(
    groups: Sequence[str] | None, train: LabelledImages, test: LabelledImages
) -> Iterator[Problem]:
    """Yield a problem for each group of which no image is trained on, or none is held out."""
    for name, part in (("training", train), ("test", test)):
        if groups is None or part.groups is None:
            continue
        sizes = torch.bincount(part.groups, minlength=len(groups)).tolist()
        for group, size in zip(groups, sizes, strict=True):
            if not size:
                what = f"no {name} image is of the group {group!r}"
                remedy = "give more of them, another split_seed, or a value for blank cells"
                yield Problem("modality.groups", what, remedy)


def _within_sizes(
    train: LabelledImages, source: SourceImages, settings: ImageSettings
) -> torch.Tensor:
    """Say which training images to keep, bool [N]: the first so many of some classes or groups.

    InputError where one has fewer.
    """
    limits = [
        ("class_sizes", settings.class_sizes, source.classes, train.labels),
        ("group_sizes", settings.group_sizes, source.groups, train.groups),
    ]
    problems = []
    is_kept = torch.ones(len(train), dtype=torch.bool)
    for key, sizes, names, numbers in limits:
        for name, size in (sizes or {}).items():
            assert names is not None
            assert numbers is not None
            rows = (numbers == names.index(name)).nonzero().flatten()
            if size > len(rows):
                problems.append(_too_many(f"modality.{key}.{name}", size, len(rows)))
            is_kept[rows[size:]] = False

    if problems:
        raise InputError(problems)
    return is_kept


def _too_many(where: str, asked: int, available: int) -> Problem:
    what = f"asks for {asked} images, there are {available}"
    return Problem(where, what, f"at most {available}")


def _shuffled(labelled: LabelledImages, seed: int, name: str) -> LabelledImages:
    order = torch.randperm(len(labelled), generator=seeds.generator(seed, "split", name))
    return labelled[order]
