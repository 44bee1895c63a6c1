"""From features to metrics, each beside its floor: real against real at the same sizes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from imglab import distributed, seeds
from imglab.measures import Features, Measures, NearestReal
from imglab.metrics import (
    PRDC,
    Undefined,
    duplicate_share,
    nearest_distance,
    nearest_samples,
    prdc,
)
from imglab.metrics.comparison import DISTRIBUTION, MetricValues, Reference, compare, spread
from imglab.modality import Modality, Split
from imglab.progress import Progress, Stage
from imglab.samples import Samples
from imglab.store import files, hashes

CHUNK = 1024
"""Samples whose features are taken at a time."""

NEAREST = 3
"""Real samples shown beside each sample that a person looks at."""


class Measure:
    """Scores the generations of a chain against its real data."""

    def __init__(
        self,
        modality: Modality,
        *,
        reference: Split = "test",
        precision_recall_k: int = 3,
        density_coverage_k: int = 5,
        floor_splits: int = 20,
        cache: Path | None = None,
    ) -> None:
        """Choose what to compare with.

        reference           the real split that all distribution metrics compare with
        precision_recall_k  neighbours for precision and recall
        density_coverage_k  neighbours for density and coverage
        floor_splits        random disjoint splits of the real data behind each floor
        cache               folder that keeps real features and floors from process to process
        """
        self.modality = modality
        self._reference = reference
        self._neighbours = {
            "precision_recall_k": precision_recall_k,
            "density_coverage_k": density_coverage_k,
        }
        self._splits = floor_splits
        self._cache = cache
        self._real: dict[str, Reference] = {}
        self._floors: dict[int, dict[str, Any]] = {}

    def prepare(self, n_synthetic: int | None = None) -> Stage[None]:
        """Take the features of the real data, once.

        n_synthetic  also compute the floor for so many synthetic samples
        """
        yield from self._prepare_features()
        if n_synthetic is not None:
            yield from self._floor(n_synthetic)

    def _prepare_features(self) -> Stage[None]:
        path = self._cache / "reference.safetensors" if self._cache else None
        if path and distributed.broadcast(path.exists()):
            for split, features in load_file(path).items():
                self._real[split] = Reference(features)
            return

        for split in get_args(Split):
            extracted = yield from self.features(self.modality.real(split))
            self._real[split] = Reference(extracted.values)

        if path:
            tensors = {split: reference.features for split, reference in self._real.items()}
            with hashes.written(path.parent, path.name):
                files.write_atomically(path, partial(save_file, tensors))

    def real(self, split: Split) -> Tensor:
        """Return the features of a real split, float32 [N, D]."""
        return self._real[split].features

    def features(self, samples: Samples) -> Stage[Features]:
        """Take the features of samples, a chunk at a time; each process takes its shard."""
        shard = distributed.shard(len(samples))

        chunks = []
        for start in range(shard.start, shard.stop, CHUNK):
            end = min(start + CHUNK, shard.stop)
            chunks.append(self.modality.features(samples[start:end]))
            seen = (end - shard.start) * distributed.world_size()
            yield Progress("measure", seen, len(samples))

        features = distributed.gather(chunks, torch.cat).float().contiguous()
        return Features(features, str(self.modality.extractor))

    def nearest_real(self, shown: Samples) -> Stage[NearestReal]:
        """Find the real training samples nearest to samples that a person looks at."""
        extracted = yield from self.features(shown)
        try:
            index, distance = nearest_samples(
                train=self.real("train"), synthetic=extracted.values, k=NEAREST
            )
        except Undefined:
            index = torch.empty(len(shown), 0, dtype=torch.int64)
            distance = torch.empty(len(shown), 0, dtype=torch.float64)

        rows = index.unique()
        real = self.modality.real("train")[rows]
        words = {"shown": self.modality.read(shown), "real": self.modality.read(real)}
        return NearestReal(index, distance, rows, real.data, words)

    def scores(self, samples: Samples, features: Tensor) -> Stage[Measures]:
        """Score the samples of a generation, given their features, float32 [N, D]."""
        reference = self._real[self._reference]

        scores = self._compare(reference, features, errors=True)
        self._compare_with_train(scores, samples, features)
        self._compare_sources(scores, samples, features)
        self._compare_classes(scores, samples, features)
        floor = yield from self._floor(len(features))

        described = {
            "extractor": str(self.modality.extractor),
            "reference": self._reference,
            "n_real": len(reference.features),
            "n_synthetic": len(features),
        }
        return Measures({**scores.values, **described}, scores.reasons, floor=floor)

    def of_accepted(
        self, samples: Samples, features: Tensor, accepted: Tensor, scores: Measures
    ) -> Stage[Measures]:
        """Score the accepted samples of a curated generation; `scores` are those of all drawn.

        share_kept          accepted samples per sample drawn
        verifier_precision  share of the accepted that lie where real data do: their `precision`
        verifier_recall     share that was accepted of the samples that lie where real data do
        accepted            all scores of the accepted, with their own floor
        """
        values: dict[str, Any] = {"share_kept": len(accepted) / len(samples)}
        if not len(accepted):
            names = ("verifier_precision", "verifier_recall", "accepted")
            reasons = dict.fromkeys(names, "no sample was accepted")
            return Measures({**values, **dict.fromkeys(names)}, reasons)

        of_accepted = yield from self.scores(samples[accepted], features[accepted])
        values["verifier_precision"] = of_accepted.values["precision"]
        values["verifier_recall"] = None
        reasons = _verifier_reasons(of_accepted, scores)
        if "verifier_recall" not in reasons:
            right = of_accepted.values["precision"] * len(accepted)
            values["verifier_recall"] = right / (scores.values["precision"] * len(samples))

        values["accepted"] = {
            **of_accepted.values,
            "floor": dict(of_accepted.floor),
            "reasons": dict(of_accepted.reasons),
        }
        floor = {"verifier_precision": of_accepted.floor.get("precision")}
        return Measures(values, reasons, floor=floor)

    def _compare(
        self, reference: Reference, synthetic: Tensor, *, errors: bool = False
    ) -> MetricValues:
        return compare(
            real=reference,
            synthetic=synthetic,
            precision_recall_k=self._neighbours["precision_recall_k"],
            density_coverage_k=self._neighbours["density_coverage_k"],
            errors=errors,
        )

    def _compare_sources(self, scores: MetricValues, samples: Samples, features: Tensor) -> None:
        """Score what each model of several drew by itself; sizes differ, so without floors."""
        numbers = torch.unique(samples.source).tolist()
        if len(numbers) < 2:
            return

        by_source: dict[int, MetricValues] = {}
        for number in numbers:
            drawn = features[samples.source == number]
            by_source[number] = self._compare(self._real[self._reference], drawn)

        for name in ("fid", "precision", "recall"):
            scores.values[f"{name}_by_source"] = {
                str(number): source.values[name] for number, source in by_source.items()
            }
        scores.values["source_counts"] = {
            str(number): int((samples.source == number).sum()) for number in numbers
        }

    def _compare_classes(self, scores: MetricValues, samples: Samples, features: Tensor) -> None:
        """Score the samples of each class against the real ones; small sets, so without floors."""
        spec = self.modality.spec
        real_classes = self.modality.real(self._reference).condition
        classes = samples.condition
        if spec.conditions is None or spec.prompts or real_classes is None:
            return
        if classes is None or classes.dim() != 1:
            return

        real = self._real[self._reference].features
        by_class: dict[str, MetricValues] = {}
        for number, name in enumerate(spec.conditions):
            by_class[name] = MetricValues()
            compute = partial(
                prdc,
                real=real[real_classes == number],
                synthetic=features[classes == number],
                **self._neighbours,
            )
            by_class[name].add(PRDC._fields, compute)

        for metric in ("precision", "recall"):
            scores.values[f"{metric}_by_class"] = {
                name: of_class.values[metric] for name, of_class in by_class.items()
            }
            for name, of_class in by_class.items():
                if metric in of_class.reasons:
                    scores.reasons[f"{metric}_by_class.{name}"] = of_class.reasons[metric]

    def _compare_with_train(self, scores: MetricValues, samples: Samples, features: Tensor) -> None:
        """Look for copies of the training data."""
        train = self._real["train"].features
        train_data = self.modality.real("train").data
        scores.add(
            ("nearest_distance", "nearest_distance_se"),
            partial(nearest_distance, train=train, synthetic=features),
        )
        scores.add(
            ("duplicate_share", "duplicate_share_se"),
            partial(duplicate_share, train=train_data, synthetic=samples.data),
        )

    def _floor(self, n_synthetic: int) -> Stage[dict[str, Any]]:
        """Return mean and standard deviation of each metric between disjoint real sets."""
        if n_synthetic in self._floors:
            return self._floors[n_synthetic]

        path = self._cache / f"floor_{n_synthetic}.json" if self._cache else None
        if path and path.exists():
            self._floors[n_synthetic] = json.loads(path.read_text())
            return self._floors[n_synthetic]

        floor = yield from self._compute_floor(n_synthetic)
        if path:
            with hashes.written(path.parent, path.name):
                files.write_json(path, floor)
        self._floors[n_synthetic] = floor
        return floor

    def _compute_floor(self, n_synthetic: int) -> Stage[dict[str, Any]]:
        everything = torch.cat([self._real["train"].features, self._real["test"].features])
        n_real = len(self._real[self._reference].features)

        floor = self._floor_of_copies(n_synthetic)
        if len(everything) < n_real + n_synthetic:
            needed = f"{n_real} + {n_synthetic} real samples"
            floor["reason"] = f"a floor needs {needed}, there are {len(everything)}"
            return floor | dict.fromkeys(DISTRIBUTION)

        values: dict[str, list[float | None]] = {name: [] for name in DISTRIBUTION}
        for number, order in enumerate(_splits(len(everything), self._splits)):
            real = everything[order[:n_real]]
            other = everything[order[n_real : n_real + n_synthetic]]
            scores = self._compare(Reference(real), other)
            for name in DISTRIBUTION:
                values[name].append(scores.values[name])
            yield Progress("floor", number + 1, self._splits)
        return floor | {name: spread(of_splits) for name, of_splits in values.items()}

    def _floor_of_copies(self, n_synthetic: int) -> dict[str, Any]:
        """Return the floors of the metrics that look for copies: held-out data do not copy."""
        test = self._real["test"].features
        held_out = MetricValues()
        self._compare_with_train(held_out, self.modality.real("test"), test)

        # An error goes with the root of the number of samples, here from test set to synthetic.
        scale = (len(test) / n_synthetic) ** 0.5
        floor: dict[str, Any] = {}
        for name in ("nearest_distance", "duplicate_share"):
            mean = held_out.values[name]
            floor[name] = None
            if mean is not None:
                error = held_out.values[f"{name}_se"] or 0.0
                floor[name] = {"mean": mean, "sd": error * scale}
        return floor


def _verifier_reasons(of_accepted: Measures, of_all: Measures) -> dict[str, str]:
    """Return why a verifier's precision or recall is undefined, where it is."""
    if of_accepted.values["precision"] is None:
        reason = of_accepted.reasons["precision"]
        return {"verifier_precision": reason, "verifier_recall": reason}
    if of_all.values["precision"] is None:
        return {"verifier_recall": of_all.reasons["precision"]}
    if of_all.values["precision"] == 0:
        return {"verifier_recall": "no sample lies where real data do"}
    return {}


def _splits(population: int, count: int) -> Iterator[Tensor]:
    """Yield `count` random orders of a population, the same in every run."""
    for split in range(count):
        yield torch.randperm(population, generator=seeds.generator("floor", split))
