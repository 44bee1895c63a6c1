"""Scores of one set of samples against another, with floors, intervals and the closest pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import torch

from imglab import seeds
from imglab.errors import InputError, Problem
from imglab.measure import Measure
from imglab.measures import Measures, NearestReal, RealShown
from imglab.modality import Modality, SampleMetrics, Split
from imglab.progress import Progress, Stage
from imglab.samples import Samples
from imglab.studies.score import references
from imglab.studies.score.closest import Closest, find_closest
from imglab.studies.score.named import Named, check_apart, parse
from imglab.studies.score.options import Options
from imglab.studies.score.real import Real, build_real
from imglab.studies.score.sides import Side, read_side
from imglab.studies.score.synthetic import evaluated, in_form_of

SHOWN = 49
"""Samples of each side that a person sees side by side."""


@dataclass(frozen=True)
class Score:
    """The result of a comparison.

    row      what metrics.json of a generation holds, and more
    notes    what was left out, which part was compared with and why
    real     held-out real samples that a person sees, and `shown` synthetic ones beside them
    nearest  the real training samples nearest to the shown ones
    closest  the closest pairs of all scored samples
    """

    title: str
    modality: Modality
    row: dict[str, Any]
    notes: Sequence[str]
    real: RealShown
    shown: Samples
    nearest: NearestReal
    closest: Closest


@dataclass(frozen=True)
class Comparison:
    """Two sides that were read and fit together; nothing is computed yet.

    samples, names  what is scored of the synthetic side, and what each is called
    """

    real: Real
    synthetic: Side
    samples: Samples
    names: Sequence[str]
    options: Options
    notes: Sequence[str]

    @classmethod
    def of(cls, real: str, synthetic: str, options: Options) -> Comparison:
        """Read what two texts name; InputError holds what is wrong with them."""
        named = {"REAL": parse(real, "REAL"), "SYNTHETIC": parse(synthetic, "SYNTHETIC")}
        check_apart(named["REAL"], named["SYNTHETIC"])
        _check_reference(named["REAL"], options)

        side = read_side(named["SYNTHETIC"], options.of_reading)
        built = _real(named["REAL"], options)
        samples, notes = in_form_of(built, side)
        rows, more = evaluated(built, samples, options.samples, options.split)
        names = [side.files[row] if side.files else f"row {row}" for row in rows.tolist()]
        about = [*built.side.notes, *side.notes, *notes, _held_out_note(built, options), *more]
        return cls(built, side, samples[rows], names, options, about)

    @property
    def title(self) -> str:
        """What is compared with what."""
        return f"{self.synthetic.named.name} against {self.real.side.named.name}"

    def score(self) -> Stage[Score]:
        """Score the synthetic side."""
        with self._shared() as shared:
            yield Progress("extractor", 0, 1)
            self.real.prepare(shared)
            measure = self.real.measured(self.options, shared)
            yield from measure.prepare()

            extracted = yield from measure.features(self.samples)
            scores = yield from measure.scores(self.samples, extracted.values)
            parts = [scores]
            of_data = measure.modality.ability(SampleMetrics)
            if of_data is not None:
                parts.append(of_data.sample_metrics(self.samples))

            closest = find_closest(
                measure,
                self.samples,
                extracted.values,
                names=self.names,
                side=self.real.side,
            )
            row = self._row(measure, Measures.joined(parts).finite(), closest)
            shown = self._shown()
            nearest = yield from measure.nearest_real(shown)
            real = yield from measure.real_shown(SHOWN)
            name = self.options.reference
            if name is not None:
                references.save(name, self.real.side, self.options.of_reading, shared)
        return Score(self.title, measure.modality, row, self.notes, real, shown, nearest, closest)

    @contextmanager
    def _shared(self) -> Iterator[Path]:
        """Lend a folder for weights and features: that of a stored reference, or a passing one."""
        if self.real.side.named.kind == "reference":
            yield references.shared_folder(self.real.side.named.text)
            return
        with TemporaryDirectory(prefix="imglab-score-") as folder:
            yield Path(folder) / "shared"

    def _shown(self) -> Samples:
        order = torch.randperm(len(self.samples), generator=seeds.generator("score", "shown"))
        return self.samples[order[:SHOWN].sort().values]

    def _row(self, measure: Measure, scores: Measures, closest: Closest) -> dict[str, Any]:
        judged = measure.judge_generation0(scores.values, scores.floor)
        return {
            "real": self.real.side.named.text,
            "synthetic": self.synthetic.named.text,
            **scores.values,
            "verdict": judged.values["generation0"],
            "copies": closest.described(),
            "notes": list(self.notes),
            "headline": list(measure.modality.headline),
            "places": [self.real.side.named.place, self.synthetic.named.place],
            "floor": dict(scores.floor),
            "reasons": dict(scores.reasons),
        }


def _check_reference(named: Named, options: Options) -> None:
    """Raise InputError, before any work, where a reference cannot be stored under its name."""
    if options.reference is None:
        return
    if named.kind in ("run", "reference"):
        what = f"{named.text!r} is one already"
        raise InputError(Problem("--save-reference", what, "leave it out"))
    references.check_free(options.reference)


def _real(named: Named, options: Options) -> Real:
    if named.kind != "reference":
        return build_real(read_side(named, options.of_reading), options)
    side, stored = references.load(named, options)
    return build_real(side, stored)


def _held_out_note(real: Real, options: Options) -> str:
    """Say with which part of the real data the synthetic ones are compared, and why."""
    sizes = {split: len(real.modality.real(split)) for split in get_args(Split)}
    if options.split == "train":
        return (
            f"compared with the {sizes['train']:,} training samples of REAL, as --split asks: a "
            "model that copies them scores well"
        )

    which = "its own test part"
    if real.own_split:
        which = "chosen at random, for it has no test part of its own"
    return (
        f"compared with {sizes['test']:,} held-out samples of REAL ({which}), because copies of "
        f"training data must not score as good samples; the extractor and the search for copies "
        f"use the other {sizes['train']:,}"
    )
