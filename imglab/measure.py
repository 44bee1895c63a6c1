"""From features to metrics, each beside its floor: real against real at the same sizes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from imglab import distributed, seeds
from imglab.measures import Features, Measures, NearestReal
from imglab.metrics import (
    PRDC,
    Moments,
    Undefined,
    check_features,
    duplicate_share,
    frechet_of_moments,
    frechet_standard_error,
    kernel_distance,
    nearest_distance,
    nearest_samples,
    prdc,
    vendi_score,
)
from imglab.modality import Modality, Split
from imglab.progress import Progress, Stage
from imglab.samples import Samples
from imglab.store import files, hashes

CHUNK = 1024
"""Samples whose features are taken at a time."""

NEAREST = 3
"""Real samples shown beside each sample that a person looks at."""

DISTRIBUTION = ("fid", "kid", "precision", "recall", "density", "coverage", "vendi")
"""Metrics that have a floor: real against real at the same two sizes."""


@dataclass(frozen=True)
class _Reference:
    features: Tensor

    @cached_property
    def moments(self) -> Moments:
        return Moments.of(self.features)

    def frechet(self, synthetic: Tensor) -> list[float]:
        check_features(real=self.features, synthetic=synthetic, at_least=2)
        return [frechet_of_moments(real=self.moments, synthetic=Moments.of(synthetic))]


@dataclass
class _Scores:
    """Values as they come in; an undefined metric leaves None and its reason."""

    values: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, names: Sequence[str], compute: Callable[[], Sequence[float]]) -> None:
        try:
            found: Sequence[float | None] = compute()
        except Undefined as reason:
            found = [None] * len(names)
            self.reasons.update(dict.fromkeys(names, str(reason)))
        for name, value in zip(names, found, strict=True):
            usable = value is not None and math.isfinite(value)
            self.values[name] = value if usable else None
            if not usable:
                self.reasons.setdefault(name, f"came out as {value}")


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
        cache               folder that keeps real features and floors from one process to the next
        """
        self._modality = modality
        self._reference = reference
        self._ks = {
            "precision_recall_k": precision_recall_k,
            "density_coverage_k": density_coverage_k,
        }
        self._splits = floor_splits
        self._cache = cache
        self._real: dict[str, _Reference] = {}
        self._floors: dict[int, dict[str, Any]] = {}

    def prepare(self, n_synthetic: int | None = None) -> Stage[None]:
        """Take the features of the real data, once; and the floor for so many synthetic samples, if asked for."""
        yield from self._prepare_features()
        if n_synthetic is not None:
            yield from self._floor(n_synthetic)

    def _prepare_features(self) -> Stage[None]:
        kept = self._cache / "reference.safetensors" if self._cache else None
        if kept and distributed.broadcast(kept.exists()):
            self._real = {
                split: _Reference(features) for split, features in load_file(kept).items()
            }
            return
        for split in get_args(Split):
            found = yield from self.features(self._modality.real(split))
            self._real[split] = _Reference(found.values)
        if kept:
            real = {split: reference.features for split, reference in self._real.items()}
            with hashes.written(kept.parent, kept.name):
                files.write_atomically(kept, lambda path: save_file(real, path))

    def real(self, split: Split) -> Tensor:
        """Return the features of a real split, float32 [N, D]."""
        return self._real[split].features

    def features(self, samples: Samples) -> Stage[Features]:
        """Take the features of samples, a chunk at a time."""
        mine, parts = distributed.shard(len(samples)), []
        for start in range(mine.start, mine.stop, CHUNK):
            end = min(start + CHUNK, mine.stop)
            parts.append(self._modality.features(samples[start:end]))
            yield Progress("measure", (end - mine.start) * distributed.world_size(), len(samples))
        return Features(
            distributed.gather(parts, torch.cat).float().contiguous(), self._modality.extractor
        )

    def exhibit(self, shown: Samples) -> Stage[NearestReal]:
        """Find the real training samples nearest to those shown; generations are scored by others."""
        found = yield from self.features(shown)
        try:
            index, distance = nearest_samples(
                train=self.real("train"), synthetic=found.values, k=NEAREST
            )
        except Undefined:
            index, distance = (
                torch.empty(len(shown), 0, dtype=torch.int64),
                torch.empty(len(shown), 0).double(),
            )
        rows = index.unique()
        real = self._modality.real("train")[rows]
        words = {"shown": self._modality.read(shown), "real": self._modality.read(real)}
        return NearestReal(index, distance, rows, real.data, words)

    def scores(self, samples: Samples, features: Tensor) -> Stage[Measures]:
        """Score the samples of a generation, given their features, float32 [N, D]."""
        reference = self._real[self._reference]
        scores = self._compare(reference, features)
        scores.add(
            ("fid_se",),
            lambda: [frechet_standard_error(real=reference.moments, synthetic=features)],
        )
        self._compare_with_train(scores, samples, features)
        self._compare_sources(scores, samples, features)
        self._compare_classes(scores, samples, features)
        floor = yield from self._floor(len(features))
        described = {
            "extractor": self._modality.extractor,
            "reference": self._reference,
            "n_real": len(reference.features),
            "n_synthetic": len(features),
        }
        return Measures({**scores.values, **described}, scores.reasons, floor=floor)

    def of_accepted(
        self, samples: Samples, features: Tensor, accepted: Tensor, scores: Measures
    ) -> Stage[Measures]:
        """Score those samples of a curated generation that went on to the pool; `scores` are those of all drawn.

        share_kept          of the samples drawn
        verifier_precision  share of the accepted that lie where real data do: `precision` of the accepted
        verifier_recall     share that was accepted of the samples that lie where real data do
        accepted            all scores of the accepted, with their own floor
        """
        values: dict[str, Any] = {"share_kept": len(accepted) / len(samples)}
        if not len(accepted):
            names, reason = (
                ("verifier_precision", "verifier_recall", "accepted"),
                "no sample was accepted",
            )
            return Measures({**values, **dict.fromkeys(names)}, dict.fromkeys(names, reason))
        kept = yield from self.scores(samples[accepted], features[accepted])
        right, among = kept.values["precision"], scores.values["precision"]
        values["verifier_precision"] = right
        values["verifier_recall"] = None
        reasons = {} if right is not None else {"verifier_precision": kept.reasons["precision"]}
        if right is None or among is None:
            reasons["verifier_recall"] = (kept if right is None else scores).reasons["precision"]
        elif among == 0:
            reasons["verifier_recall"] = "no sample lies where real data do"
        else:
            values["verifier_recall"] = right * len(accepted) / (among * len(samples))
        values["accepted"] = {
            **kept.values,
            "floor": dict(kept.floor),
            "reasons": dict(kept.reasons),
        }
        floor = {"verifier_precision": kept.floor.get("precision")}
        return Measures(values, reasons, floor=floor)

    def _compare(self, reference: _Reference, synthetic: Tensor) -> _Scores:
        real, scores = reference.features, _Scores()
        scores.add(("fid",), lambda: reference.frechet(synthetic))
        scores.add(("kid", "kid_se"), partial(kernel_distance, real=real, synthetic=synthetic))
        scores.add(PRDC._fields, partial(prdc, real=real, synthetic=synthetic, **self._ks))
        scores.add(("vendi",), lambda: [vendi_score(synthetic)])
        return scores

    def _compare_sources(self, scores: _Scores, samples: Samples, features: Tensor) -> None:
        """Score what each model of a mixed chain drew by itself; of different sizes, so without floors."""
        numbers = torch.unique(samples.source).tolist()
        if len(numbers) < 2:
            return
        found = {
            number: self._compare(self._real[self._reference], features[samples.source == number])
            for number in numbers
        }
        for name in ("fid", "precision", "recall"):
            scores.values[f"{name}_by_source"] = {
                str(number): each.values[name] for number, each in found.items()
            }
        scores.values["source_counts"] = {
            str(number): int((samples.source == number).sum()) for number in numbers
        }

    def _compare_classes(self, scores: _Scores, samples: Samples, features: Tensor) -> None:
        """Score the samples drawn as each class against the real ones of it; small sets, so without floors."""
        names, real = self._modality.spec.conditions, self._modality.real(self._reference).condition
        told = samples.condition
        if (
            names is None
            or self._modality.spec.prompts
            or told is None
            or real is None
            or told.dim() != 1
        ):
            return
        found = {name: _Scores() for name in names}
        for at, each in enumerate(found.values()):
            theirs, ours = self._real[self._reference].features[real == at], features[told == at]
            each.add(PRDC._fields, partial(prdc, real=theirs, synthetic=ours, **self._ks))
        for metric in ("precision", "recall"):
            scores.values[f"{metric}_by_class"] = {
                name: each.values[metric] for name, each in found.items()
            }
            why = {
                name: each.reasons[metric] for name, each in found.items() if metric in each.reasons
            }
            scores.reasons.update(
                {f"{metric}_by_class.{name}": reason for name, reason in why.items()}
            )

    def _compare_with_train(self, scores: _Scores, samples: Samples, features: Tensor) -> None:
        train, data = self._real["train"].features, self._modality.real("train").data
        nearest = partial(nearest_distance, train=train, synthetic=features)
        scores.add(("nearest_distance", "nearest_distance_se"), nearest)
        copies = partial(duplicate_share, train=data, synthetic=samples.data)
        scores.add(("duplicate_share", "duplicate_share_se"), copies)

    def _floor(self, n_synthetic: int) -> Stage[dict[str, Any]]:
        """Mean and standard deviation of each metric between disjoint real sets of the sizes compared."""
        if n_synthetic not in self._floors:
            kept = self._cache / f"floor_{n_synthetic}.json" if self._cache else None
            if kept and kept.exists():
                self._floors[n_synthetic] = json.loads(kept.read_text())
            else:
                self._floors[n_synthetic] = yield from self._make_floor(n_synthetic)
                if kept:
                    with hashes.written(kept.parent, kept.name):
                        files.write_json(kept, self._floors[n_synthetic])
        return self._floors[n_synthetic]

    def _make_floor(self, n_synthetic: int) -> Stage[dict[str, Any]]:
        train, test = self._real["train"].features, self._real["test"].features
        held_out = _Scores()
        self._compare_with_train(held_out, self._modality.real("test"), test)
        floor: dict[str, Any] = {}
        for name in ("nearest_distance", "duplicate_share"):
            mean, error = held_out.values[name], held_out.values[f"{name}_se"] or 0.0
            scale = (
                len(test) / n_synthetic
            ) ** 0.5  # from the test set's size to that of the samples
            floor[name] = None if mean is None else {"mean": mean, "sd": error * scale}
        everything, n_real = torch.cat([train, test]), len(self._real[self._reference].features)
        if len(everything) < n_real + n_synthetic:
            reason = (
                f"a floor needs {n_real} + {n_synthetic} real samples, there are {len(everything)}"
            )
            return floor | {"reason": reason, **dict.fromkeys(DISTRIBUTION)}
        found: dict[str, list[float | None]] = {name: [] for name in DISTRIBUTION}
        for split in range(self._splits):
            order = torch.randperm(len(everything), generator=seeds.generator("floor", split))
            real, other = (
                everything[order[:n_real]],
                everything[order[n_real : n_real + n_synthetic]],
            )
            scores = self._compare(_Reference(real), other)
            for name, values in found.items():
                values.append(scores.values[name])
            yield Progress("floor", split + 1, self._splits)
        return floor | {name: _spread(values) for name, values in found.items()}


def _spread(values: Sequence[float | None]) -> dict[str, float] | None:
    defined = torch.tensor([value for value in values if value is not None], dtype=torch.float64)
    if len(defined) < 2:
        return None
    return {"mean": float(defined.mean()), "sd": float(defined.std())}
