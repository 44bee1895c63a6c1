"""Synthetic images of one's own, read and brought to the form of the real ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from imglab.config.given import SyntheticSettings, check_apart, place_of, placed
from imglab.errors import InputError, Problem, nearest
from imglab.images.data import RealImages, in_one_form
from imglab.images.hub_images import read_hub_images
from imglab.images.labelled import LabelledImages, SourceImages, form_text
from imglab.images.settings import ImageSettings
from imglab.images.source_settings import CaptionedFolderSource, FolderSource, NpzSource, Source
from imglab.images.sources import read_source
from imglab.modality import Spec
from imglab.samples import Samples
from imglab.store.drawn import hash_samples, read_drawn
from imglab.store.reading import read_environment

ALIKE = ("source", "size", "colour", "classes")
"""Keys of two image sections that must agree for a class to have the same number in both, unless
the training images are the same.
"""


def read_given(settings: ImageSettings, real: RealImages, spec: Spec) -> dict[str, Samples]:
    """Return each set of `modality.synthetic` by its label, in the form that `spec` describes.

    Raises InputError with every problem.
    """
    sets: dict[str, Samples] = {}
    problems: list[Problem] = []
    for number, section in enumerate(settings.synthetic):
        where = place_of(section)
        try:
            read = _read(section, settings, real, spec, where)
            if section.classes == "none":
                read = replace(read, classes=None, prompts=None)
            images = _as_counted(read, real, where)
            check_apart(images.images, real.test.images, where)
        except InputError as error:
            problems += error.problems
            continue
        sets[section.label] = Samples.given(images.images, images.labels, number)

    if problems:
        raise InputError(problems)
    return sets


def _read(
    section: SyntheticSettings, settings: ImageSettings, real: RealImages, spec: Spec, where: str
) -> SourceImages:
    if section.column is not None and section.hub is None:
        remedy = "leave it out: a column is one of a data set of the hub"
        raise InputError(Problem(f"{where}.column", "images are not read from rows", remedy))
    if section.run is not None:
        return _of_run(section.run, settings, real, spec, f"{where}.run")
    if section.hub is not None:
        images = read_hub_images(
            section.hub, section.column, settings.size, where, labelled=section.classes == "match"
        )
        return _in_one_form(images, settings, spec, where)

    assert section.path is not None
    source = _source_at(section.path, settings)
    try:
        images = read_source(settings.model_copy(update={"source": source}), is_drawn=True)
    except InputError as error:
        raise InputError(placed(error.problems, where), [error]) from error

    return _in_one_form(images, settings, spec, where)


def _in_one_form(
    images: SourceImages, settings: ImageSettings, spec: Spec, where: str
) -> SourceImages:
    """Return all images in the form of the real ones; InputError where they have another one."""
    joined = images.joined()
    shape = tuple(joined.images.shape[1:])
    joined = in_one_form(joined, settings)
    if tuple(joined.images.shape[1:]) != spec.shape:
        what = f"images are {form_text(shape)}, the real ones {form_text(spec.shape)}"
        remedy = "set modality.size, and modality.colour to grey or rgb"
        raise InputError(Problem(where, what, remedy))
    return SourceImages(joined, None, images.classes, images.prompts)


def _source_at(path: str, settings: ImageSettings) -> Source:
    """Return the source that reads what lies at a path: an archive, a folder like the real one."""
    if Path(path).suffix.lower() == ".npz":
        return NpzSource(path=path)
    if isinstance(settings.source, CaptionedFolderSource):
        return settings.source.model_copy(update={"path": path})
    return FolderSource(path=path)


def _of_run(
    run: str, settings: ImageSettings, real: RealImages, spec: Spec, where: str
) -> SourceImages:
    """Return what a generation of a run on the same real images drew."""
    drawn = read_drawn(run, where)
    other = drawn.config.modality
    train = hash_samples(Samples.real(real.train.images, real.train.labels))
    is_same = read_environment(drawn.run)["data"].get("train") == train
    changed = [
        key
        for key in ALIKE
        if not isinstance(other, ImageSettings) or getattr(other, key) != getattr(settings, key)
    ]
    shape = tuple(drawn.samples.data.shape[1:])
    if shape != spec.shape or (changed and not is_same):
        what = f"{run} is a run on other images ({', '.join(changed) or form_text(shape)})"
        remedy = f"imglab export {run} --to DIR, and give DIR as path"
        raise InputError(Problem(where, what, remedy))

    images = LabelledImages(drawn.samples.data, drawn.samples.condition)
    if spec.prompts:
        return SourceImages(images, None, None, spec.conditions)
    return SourceImages(images, None, spec.conditions)


def _as_counted(images: SourceImages, real: RealImages, where: str) -> LabelledImages:
    """Number the classes or captions of given images as the real ones are, by name.

    Images without classes stay without.
    """
    names = images.classes or images.prompts
    labels = images.train.labels
    if labels is None or names is None or (real.classes is None and real.prompts is None):
        return LabelledImages(images.train.images, None)

    known_names = real.classes or real.prompts or ()
    if images.prompts is not None and real.prompts is None:
        raise InputError(Problem(where, "has captions, the real images have classes"))
    used = {names[number] for number in labels.unique().tolist()}
    unknown = sorted(used - set(known_names))
    if unknown:
        what = f"has the class {unknown[0]!r}, which the real images do not have"
        if real.prompts is not None:
            what = f"has the caption {unknown[0]!r}, which no real image has"
        remedy = f"{nearest(unknown[0], known_names)}; or classes: none, for images of another kind"
        raise InputError(Problem(where, what, remedy))
    numbers = torch.tensor([known_names.index(name) if name in used else -1 for name in names])
    return LabelledImages(images.train.images, numbers[labels])
