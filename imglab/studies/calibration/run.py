"""A calibration in its directory: known damage, floors and reactions of every metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from imglab import seeds
from imglab.config.schema import RunConfig
from imglab.errors import InputError, Problem
from imglab.metrics.damage import mixed
from imglab.modality import Damage, Damageable, Modality
from imglab.pool import given_samples
from imglab.progress import Progress, Stage
from imglab.running.build import build_modality
from imglab.running.environment import resolved_threads
from imglab.running.resume import RUNS, check_folder
from imglab.store import files
from imglab.store.drawn import hash_samples
from imglab.studies.calibration.reactions import Scores, agreement, floors, reaction
from imglab.studies.calibration.scoring import (
    DataScorer,
    FeatureScorer,
    Scorer,
    scoring_threads,
)
from imglab.studies.calibration.table import RESULT, calibration_table

TABLE = "calibration.md"
PICTURE = "calibration.png"
CACHE = ".cache"
"""Folder in the directory that keeps the extractors' weights from call to call."""

VERSION = 1
"""Version of the form of calibration.json."""

FEWEST = 40
"""Held-out samples that a calibration needs."""
PARTS = 3
"""One part of the held-out samples is the reference, the others are the pool, and as many samples
as the reference has are drawn from it."""
MOST_SAMPLES = 500
"""Samples that are compared, unless more are asked for: beyond that the time grows."""


@dataclass(frozen=True)
class Sizes:
    """How many samples are compared, and how often.

    samples    of the reference and of each damaged set; None: a third of the held-out ones, at most
               `MOST_SAMPLES`
    splits     random splits behind each floor
    repeats    splits in which each damage is done at each strength
    strengths  ascending, in (0, 1]
    """

    samples: int | None = None
    splits: int = 200
    repeats: int = 8
    strengths: Sequence[float] = (0.1, 0.25, 0.5, 0.75, 1.0)


@dataclass
class _Damaged:
    """What the repeats of a damage scored, by source: at each strength, one row for each repeat."""

    scores: dict[str, list[list[Scores]]]
    reasons: list[str] = field(default_factory=list)


class Calibration:
    """Damages held-out data of a config and scores them. Making one writes nothing."""

    def __init__(
        self,
        configs: Sequence[RunConfig],
        out: Path | None = None,
        *,
        where: str = "config",
        sizes: Sizes | None = None,
    ) -> None:
        """Check the data and the directory `out` (default: runs/calibration_<name>).

        configs  one for each extractor; they differ in `modality.extractor` alone
        """
        config = configs[0]
        self.folder = out or RUNS / f"calibration_{config.name}"
        self._config = config
        self._sizes = sizes or Sizes()
        self._check_folder()

        torch.set_num_threads(resolved_threads(config))
        self._threads = scoring_threads([each.modality for each in configs])
        self._modalities = [build_modality(each) for each in configs]
        self._sections = [each.model_dump(mode="json")["modality"] for each in configs]
        self._data = self._modalities[0]
        self._damages = _damages(self._data, where)
        self._held_out = self._data.real("test")
        self._n = self._check_size(where)

    def run(self) -> Stage[dict[str, Any]]:
        """Compute the result, write it and its table, and return it."""
        files.make_folder(self.folder)
        result = yield from self._result()
        files.write_json(self.folder / RESULT, result)
        files.write_bytes(self.folder / TABLE, calibration_table(result).encode())
        return result

    def _result(self) -> Stage[dict[str, Any]]:
        scorers = yield from self._scorers()
        splits = yield from self._undamaged(scorers)
        damaged: dict[str, _Damaged] = {}
        for damage in self._damages:
            damaged[damage.name] = yield from self._damaged(damage, scorers)

        described = {
            damage.name: {
                "description": damage.description,
                "impossible": next(iter(damaged[damage.name].reasons), None),
            }
            for damage in self._damages
        }
        result: dict[str, Any] = {
            "version": VERSION,
            "name": self._config.name,
            "modality": self._sections[0],
            "sizes": self._described_sizes(),
            "strengths": list(self._sizes.strengths),
            "damages": described,
            "scores": [self._reactions(each.source, splits, damaged) for each in scorers],
        }
        return {**result, "agreement": agreement(result)}

    def _described_sizes(self) -> dict[str, int]:
        held_out = len(self._held_out)
        return {
            "train": len(self._data.real("train")),
            "held_out": held_out,
            "reference": self._n,
            "pool": held_out - self._n,
            "samples": self._n,
            "splits": self._sizes.splits,
            "repeats": self._sizes.repeats,
        }

    def _scorers(self) -> Stage[list[Scorer]]:
        """Prepare the extractors; equal ones, which several configs may name, count once."""
        neighbours = self._config.measure.model_dump(
            include={"precision_recall_k", "density_coverage_k"}
        )
        total = len(self._modalities)
        scorers: dict[str, Scorer] = {}
        for number, (modality, section) in enumerate(
            zip(self._modalities, self._sections, strict=True)
        ):
            yield Progress("extractors", number, total)
            shared = self.folder / CACHE / _key(modality, section)
            files.make_folder(shared)
            modality.prepare(shared)
            scorer = FeatureScorer(modality, neighbours)
            scorers[scorer.source] = scorer

        yield Progress("extractors", total, total)
        return [DataScorer(self._data), *scorers.values()]

    def _undamaged(self, scorers: Sequence[Scorer]) -> Stage[Mapping[str, list[Scores]]]:
        """Score undamaged samples in every split, by source."""
        splits: dict[str, list[Scores]] = {scorer.source: [] for scorer in scorers}

        def scores(number: int) -> list[Scores]:
            reference, rest = self._split("floor", number)
            samples = self._held_out[rest[: self._n]]
            return [scorer.scores(samples, reference) for scorer in scorers]

        numbers = range(self._sizes.splits)
        for some in self._threads.rounds(numbers):
            for of_split in self._threads.map(scores, some):
                for scorer, of_scorer in zip(scorers, of_split, strict=True):
                    splits[scorer.source].append(of_scorer)
            yield Progress("floor", some[-1] + 1, len(numbers))
        return splits

    def _damaged(self, damage: Damage, scorers: Sequence[Scorer]) -> Stage[_Damaged]:
        """Score a damage at every strength in every repeat; a repeat draws alike at all of them."""
        strengths = self._sizes.strengths
        outcome = _Damaged({scorer.source: [[] for _ in strengths] for scorer in scorers})

        def scores(trial: int) -> list[Scores] | str:
            repeat, place = divmod(trial, len(strengths))
            reference, rest = self._split("damage", repeat)
            seed = seeds.derive(self._config.seed, "calibration", damage.name, repeat)
            pool = self._held_out[rest]
            try:
                samples = damage.apply(pool, self._n, strength=strengths[place], seed=seed)
            except ValueError as error:
                return str(error)
            return [scorer.scores(samples, reference) for scorer in scorers]

        trials = range(self._sizes.repeats * len(strengths))
        for some in self._threads.rounds(trials):
            for trial, of_trial in zip(some, self._threads.map(scores, some), strict=True):
                if isinstance(of_trial, str):
                    outcome.reasons.append(of_trial)
                    continue
                for scorer, of_scorer in zip(scorers, of_trial, strict=True):
                    outcome.scores[scorer.source][trial % len(strengths)].append(of_scorer)
            yield Progress(damage.name, some[-1] + 1, len(trials))
        return outcome

    def _reactions(
        self, source: str, splits: Mapping[str, list[Scores]], damaged: Mapping[str, _Damaged]
    ) -> dict[str, Any]:
        """Return the floors of one source of scores, and its reactions by metric and damage."""
        floor_of = floors(splits[source])
        reactions: dict[str, dict[str, Any]] = {metric: {} for metric in floor_of}
        for metric, floor in floor_of.items():
            for damage, outcome in damaged.items():
                values = [
                    [of_repeat.get(metric) for of_repeat in of_strength]
                    for of_strength in outcome.scores[source]
                ]
                reactions[metric][damage] = reaction(floor, values, self._sizes.strengths)

        floors_of = {metric: vars(floor) for metric, floor in floor_of.items()}
        return {"source": source, "floor": floors_of, "reactions": reactions}

    def _split(self, name: str, number: int) -> tuple[Tensor, Tensor]:
        """Divide the held-out samples at random into the reference and the rest, int64 each."""
        generator = seeds.generator(self._config.seed, "calibration", name, number)
        order = torch.randperm(len(self._held_out), generator=generator)
        return order[: self._n], order[self._n :]

    def _check_size(self, where: str) -> int:
        """Return how many samples are compared; InputError if there are too few."""
        held_out = len(self._held_out)
        if held_out < FEWEST:
            what = f"a calibration needs {FEWEST} held-out samples, there are {held_out}"
            problem = Problem(f"{where}: modality", what, "raise n_test, or give more data")
            raise InputError(problem)

        most = held_out // PARTS
        n = self._sizes.samples or min(MOST_SAMPLES, most)
        if n > most:
            what = f"asks for {n} samples, a third of the {held_out} held-out ones is {most}"
            raise InputError(Problem("--samples", what, f"at most {most}"))

        measure = self._config.measure
        k = max(measure.precision_recall_k, measure.density_coverage_k)
        if n <= k:
            what = f"{k} neighbours need more than {k} samples, {n} are compared"
            raise InputError(Problem(f"{where}: measure", what, "fewer neighbours, or more data"))
        return n

    def _check_folder(self) -> None:
        """Raise InputError unless the directory is free or holds a calibration of these data."""
        check_folder(self.folder, RESULT, "not a calibration")
        path = self.folder / RESULT
        if not path.exists():
            return

        existing = files.read_json(path, ("modality",))["modality"]
        section = self._config.model_dump(mode="json")["modality"]
        if _without_extractor(existing) != _without_extractor(section):
            what = "holds a calibration of other data or other settings of the modality"
            raise InputError(Problem(str(self.folder), what, "choose another --out"))


def _damages(modality: Modality, where: str) -> list[Damage]:
    """Return the damages of a kind of data, and those by other data that the user gave with it."""
    damageable = modality.ability(Damageable)
    if damageable is None:
        what = f"{type(modality).__name__} does not say how its samples are damaged"
        remedy = "give it a method `damages`, see imglab.modality.Damageable"
        raise InputError(Problem(f"{where}: modality.kind", what, remedy))

    damages = list(damageable.damages())
    for label, samples in given_samples(modality).items():
        what = f"a share `strength` are of the set {label!r} of modality.synthetic"
        damages.append(Damage(f"mix_in_{label}", what, partial(mixed, samples)))
    return damages


def _without_extractor(section: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in section.items() if key != "extractor"}


def _key(modality: Modality, section: Mapping[str, Any]) -> str:
    """Name the folder of an extractor's weights after its settings and the training data."""
    train = hash_samples(modality.real("train"))
    return seeds.derive(train, files.json_bytes(section).decode()).to_bytes(8, "big").hex()
