"""The synthetic side, in the form of the real one, so that the two can be compared."""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor

from imglab import seeds
from imglab.errors import InputError, Problem
from imglab.images.labelled import SourceImages, form_text
from imglab.images.modality import ImageModality
from imglab.modality import Modality, Split
from imglab.samples import Samples
from imglab.studies.score.real import FEWEST, MOST, Real
from imglab.studies.score.sides import Side, all_texts
from imglab.text.data import text_blocks
from imglab.text.model import TokenModality


def in_form_of(real: Real, side: Side) -> tuple[Samples, list[str]]:
    """Return all samples of the synthetic side in the real side's form, and what to say of it.

    InputError where they are of another kind of data, or images of another shape.
    """
    modality = real.modality
    if side.kind != real.side.kind:
        what = f"holds {side.kind}, and REAL holds {real.side.kind}"
        raise InputError(Problem("SYNTHETIC", what, "give two sets of one kind of data"))

    if side.samples is not None and _is_sameform_text(side, modality):
        return side.samples, []
    if isinstance(modality, ImageModality) and side.images is not None:
        return _images(modality, side, side.images)
    if isinstance(modality, TokenModality) and side.texts is not None:
        documents = all_texts(side.texts)
        blocks = text_blocks(documents, modality.tokenizer, modality.block)
        note = f"{len(documents):,} texts are {len(blocks):,} blocks of {modality.block} tokens"
        return Samples.drawn(blocks), [f"{side.named.text}: {note}"]

    what = f"its samples have another form than those of REAL: {modality.spec.shape}"
    raise InputError(Problem("SYNTHETIC", what, "give generations of runs on the same data"))


def _is_sameform_text(side: Side, modality: Modality) -> bool:
    """Say whether stored samples mean the same in both modalities."""
    other = side.modality
    assert other is not None
    same = other.spec == modality.spec
    if isinstance(other, TokenModality) and isinstance(modality, TokenModality):
        same = same and other.tokenizer.get_vocab() == modality.tokenizer.get_vocab()
    return same


def _images(modality: ImageModality, side: Side, source: SourceImages) -> tuple[Samples, list[str]]:
    if source.test is not None and source.train.images.shape[1:] != source.test.images.shape[1:]:
        what = "its images of train/ and test/ differ in shape"
        raise InputError(Problem("SYNTHETIC", what, "set --size, and --colour to grey or rgb"))

    labelled = source.joined()
    shape = tuple(labelled.images.shape[1:])
    wanted = modality.spec.shape
    if shape != wanted:
        raise InputError(_other_shape(shape, wanted))

    # Classes are those of the real images, by name.
    notes: list[str] = []
    condition = labelled.labels
    classes = modality.spec.conditions
    if condition is not None and source.classes is not None:
        if modality.spec.prompts or not set(source.classes) <= set(classes or ()):
            notes.append(f"{side.named.text}: its classes are not those of REAL: they are left out")
            condition = None
        else:
            assert classes is not None
            condition = torch.tensor([classes.index(name) for name in source.classes])[condition]
    return Samples.drawn(labelled.images, condition), notes


def _other_shape(shape: tuple[int, ...], wanted: tuple[int, ...]) -> Problem:
    what = f"images are {form_text(shape)}, those of REAL {form_text(wanted)}"
    remedies = []
    if shape[1:] != wanted[1:]:
        remedies.append(f"--size {min(wanted[1:])}")
    if shape[0] != wanted[0]:
        remedies.append("--colour grey, or --colour rgb")
    return Problem("SYNTHETIC", what, "resize or convert both: " + ", ".join(remedies))


def evaluated(
    real: Real, samples: Samples, asked: int | None, reference: str
) -> tuple[Tensor, list[str]]:
    """Choose the rows of the samples that are scored, int64 [M], and say how many and why.

    By default as many as leave enough real samples for a floor at these sizes. A run's own samples
    are all scored, as the run scored them.
    """
    available = len(samples)
    if available < FEWEST:
        what = f"{available} samples are too few"
        raise InputError(Problem("SYNTHETIC", what, f"give at least {FEWEST}"))
    if asked is not None and asked > available:
        what = f"asks for {asked:,} samples, SYNTHETIC has {available:,}"
        raise InputError(Problem("--samples", what, f"at most {available}"))
    if asked is not None and asked < FEWEST:
        raise InputError(Problem("--samples", f"{asked} is too few", f"at least {FEWEST}"))

    sizes = {split: len(real.modality.real(split)) for split in get_args(Split)}
    left = sum(sizes.values()) - sizes[reference]
    n = asked
    notes = []
    if n is None:
        n = available if real.run is not None else max(FEWEST, min(available, left, MOST))
    if n < available:
        why = "as --samples asks"
        if asked is None:
            why = "so that a floor, real against real, exists at the same sizes (--samples: others)"
        notes.append(f"{n:,} of {available:,} synthetic samples are scored, drawn at random, {why}")
    if n > left:
        notes.append(
            f"there is no floor: real against real at these sizes needs {sizes[reference]:,} + "
            f"{n:,} real samples, there are {sum(sizes.values()):,} (--samples: at most {left:,})"
        )

    order = torch.randperm(available, generator=seeds.generator("score", "samples"))
    return order[:n].sort().values, notes
