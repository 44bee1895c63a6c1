"""The real side, as the modality that a run on these data would have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imglab.errors import InputError, Problem
from imglab.images.labelled import SourceImages
from imglab.images.modality import ImageModality
from imglab.measure import Measure
from imglab.modality import Modality
from imglab.store import hashes
from imglab.store.sealed_config import read_sealed
from imglab.studies.score.options import (
    Options,
    ReadingOptions,
    as_options,
    image_settings,
    text_settings,
)
from imglab.studies.score.sides import Side
from imglab.text.corpus import Corpus
from imglab.text.modality import TextModality

MOST = 5_000
"""Samples of a side that are compared unless more are asked for: more cost time with the square."""

SPLITS = 200
"""Random splits of the real data behind each floor; a run has a number of its own."""

FEWEST = 8
"""Samples that each part of the real side needs: metrics look at five neighbours of each."""


@dataclass(frozen=True)
class Real:
    """The real side, ready to be compared with.

    measure    keyword arguments of `Measure` beside those of the command
    run        the run whose extractor and floors are used; None: there is none
    own_split  whether the held-out part was chosen here, at random
    """

    side: Side
    modality: Modality
    measure: Mapping[str, Any] = field(default_factory=dict)
    run: Path | None = None
    own_split: bool = False

    def prepare(self, shared: Path) -> None:
        """Make, or take from the run, the extractor's weights in the new folder `shared`."""
        if self.run is not None:
            hashes.copy(self.run / "shared", shared)
        shared.mkdir(parents=True, exist_ok=True)
        self.modality.prepare(shared)

    def measured(self, options: Options, shared: Path) -> Measure:
        """Return what scores samples against these data; it keeps features in `shared`."""
        keys = dict(self.measure)
        keys.setdefault("reference", options.split)
        keys.setdefault("floor_splits", SPLITS)
        if options.batch_size is not None:
            keys["batch"] = options.batch_size
        gate = {
            name: value for name, value in self.modality.gate.items() if name != "further_training"
        }
        return Measure(self.modality, **keys, gate=gate, cache=shared)


def build_real(side: Side, options: Options) -> Real:
    """Return the real side as a modality, split into a training and a held-out part."""
    try:
        if side.named.kind == "run":
            return _of_run(side, options)
        if side.images is not None:
            real = _of_images(side, side.images, options.of_reading)
        elif side.texts is not None:
            real = _of_texts(side, side.texts, options.of_reading)
        else:
            what = f"{side.kind} samples cannot be split into parts"
            raise InputError(Problem("REAL", what, "give the run itself as REAL"))
    except InputError as error:
        raise InputError(as_options(error.problems), [error]) from error

    sizes = [len(real.modality.real(split)) for split in ("train", "test")]
    if min(sizes) < FEWEST:
        what = f"{sizes[0]} training and {sizes[1]} held-out samples are too few"
        raise InputError(Problem("REAL", what, f"give at least {FEWEST} of each"))
    return real


def _of_run(side: Side, options: Options) -> Real:
    if options.of_reading.names:
        what = f"{side.named.text!r} is a run, which has read its data in its own way"
        remedy = "leave it out, or give the real data themselves as REAL"
        raise InputError(Problem(", ".join(options.of_reading.names), what, remedy))

    assert side.modality is not None
    assert side.named.path is not None
    keys = read_sealed(side.named.path / "config.yaml").measure.model_dump(
        exclude={"gate", "samples"}
    )
    if options.split == "train":
        keys["reference"] = "train"
    return Real(side, side.modality, keys, run=side.named.path)


def _of_images(side: Side, images: SourceImages, options: ReadingOptions) -> Real:
    n_test = None
    if images.test is None:
        n_test = held_out_size(len(images.train))
    classes = len(images.classes or ())
    settings = image_settings(options, classes, n_test=n_test, source=side.named.text)
    return Real(side, ImageModality(settings, images), own_split=images.test is None)


def _of_texts(side: Side, corpus: Corpus, options: ReadingOptions) -> Real:
    if not corpus.train or corpus.test == []:
        raise InputError(Problem("REAL", f"{side.named.text!r} has no text"))
    settings = text_settings(options, source=side.named.text)
    return Real(side, TextModality(settings, corpus), own_split=corpus.test is None)


def held_out_size(samples: int) -> int:
    """Return how many of so many real samples are held out: half, so that a floor can be drawn."""
    return max(1, min(samples // 2, MOST))
