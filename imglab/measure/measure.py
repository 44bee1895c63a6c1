"""Scores the generations of a chain: features, metrics, floors, copies and the gate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from imglab import seeds
from imglab.measure.extraction import CHUNK, Extraction
from imglab.measure.floors import Floors
from imglab.measure.gate import judge_generation0
from imglab.measure.group_recall import GroupRecall
from imglab.measure.groups import ClassScores, by_source
from imglab.measure.own import OwnMetric, check_names, own_values, try_metrics
from imglab.measure.shape import shape_scores, spread_of_variance, variance_ratio_floor
from imglab.measures import Features, Measures, NearestReal, RealShown
from imglab.metrics import Undefined, nearest_samples, strips
from imglab.metrics.comparison import MetricValues, Reference, compare_pairs
from imglab.metrics.memorization import distances_to, mean_distance, share_of_copies
from imglab.metrics.pairs import Pairs
from imglab.metrics.ranks import area_under_curve, null_of_area
from imglab.metrics.rows import HashedRows
from imglab.modality import MatchesMoments, Modality, Split
from imglab.progress import Progress, Stage, report
from imglab.samples import Samples

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
        floor_splits: int = 200,
        samples: int | None = None,
        gate: Mapping[str, float] | None = None,
        metrics: Mapping[str, OwnMetric] | None = None,
        cache: Path | None = None,
        batch: int = CHUNK,
    ) -> None:
        """Choose what to compare with.

        reference           the real split that all distribution metrics compare with
        precision_recall_k, density_coverage_k  neighbours for these metrics
        floor_splits        random disjoint splits of the real data behind each floor
        samples             size of a draw of its own that is scored; None: the pool's is scored
        gate                thresholds of generation 0 by name; default: those of the modality
        metrics             further metrics by name, functions of the features of both sets
        cache               folder that keeps real features and floors from process to process
        batch               samples whose features are taken at a time
        """
        self.modality = modality
        self._reference = reference
        self._neighbours: dict[str, int] = {
            "precision_recall_k": precision_recall_k,
            "density_coverage_k": density_coverage_k,
        }
        self.samples = samples
        self.gate = modality.gate if gate is None else gate
        self._extraction = Extraction(modality, cache=cache, batch=batch)
        self._own = dict(metrics or {})
        self._groups = GroupRecall.of(modality, reference, precision_recall_k, floor_splits)
        self._classes = ClassScores(modality, reference, self._neighbours, floor_splits)
        self._floors = Floors(
            splits=floor_splits, neighbours=self._neighbours, metrics=self._own, cache=cache
        )

    def prepare(self, n_synthetic: int | None = None) -> Stage[None]:
        """Take the features of the real data, once.

        n_synthetic  also compute the floor for so many synthetic samples
        """
        yield from self._extraction.prepare()
        try_metrics(self._own, train=self.real("train"), test=self.real("test"))
        if n_synthetic is not None:
            yield from self._floor(n_synthetic)

    def real(self, split: Split) -> Tensor:
        """Return the features of a real split, float32 [N, D]."""
        return self._extraction.real[split].features

    def features(self, samples: Samples) -> Stage[Features]:
        """Take the features of samples, float32 [N, D]."""
        return (yield from self._extraction.features(samples))

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

    def real_shown(self, n: int) -> Stage[RealShown]:
        """Choose up to n held-out real samples that a person sees beside generation 0."""
        real = self.modality.real("test")
        order = torch.randperm(len(real), generator=seeds.generator("real shown"))
        chosen = real[order[:n].sort().values]
        yield Progress("real", len(chosen), len(chosen))
        return RealShown(chosen.data, self.modality.read(chosen))

    def check_names(self, others: Iterable[str]) -> None:
        """Raise InputError if data or model have a metric of the name of one of the user's own."""
        check_names(self._own, others)

    def scores(self, samples: Samples, features: Tensor) -> Stage[Measures]:
        """Score the samples of a generation, given their features, float32 [N, D]."""
        report("metrics")
        reference = self._extraction.real[self._reference]
        matched = self.modality.ability(MatchesMoments) is None
        pairs = Pairs(reference, features, **self._neighbours, errors=True, matched=matched)
        with strips.shared():
            compared = compare_pairs(pairs)
        of_own = own_values(self._own, real=reference.features, synthetic=features)
        of_shape = yield from shape_scores(
            self.modality,
            self.features,
            real=self.modality.real(self._reference),
            samples=samples,
            pairs=pairs,
        )
        copies = self._copies(samples, features)
        floor = yield from self._floor(len(features))

        described = {
            "extractor": str(self.modality.extractor),
            "reference": self._reference,
            "n_real": len(reference.features),
            "n_synthetic": len(features),
        }
        parts = [
            Measures(compared.values, compared.reasons),
            Measures(of_own.values, of_own.reasons),
            of_shape,
            Measures(copies.values, copies.reasons),
            by_source(reference, samples, features, self._neighbours),
            self._classes.scores(samples, features, self.real),
            Measures(described, floor=floor),
            self._of_groups(pairs),
        ]
        return Measures.joined(parts)

    def _of_groups(self, pairs: Pairs) -> Measures:
        """Measure the groups that the real data have beside their classes, if they have any."""
        if self._groups is None:
            return Measures()
        return self._groups.scores(
            pairs, lambda: torch.cat([self.real("train"), self.real("test")])
        )

    def judge_generation0(self, values: Mapping[str, Any], floor: Mapping[str, Any]) -> Measures:
        """Judge by the gate whether generation 0, with these metrics and floors, is good.

        Where a good one would miss what the kind of data asks for by default, `not_asked` has the
        reasons.
        """
        verdict = judge_generation0(values, floor, self.gate, self.modality.trusted)
        if verdict["verdict"] == "good" and self.gate != self.modality.gate:
            default = self.modality.gate
            by_default = judge_generation0(values, floor, default, self.modality.trusted)
            if by_default["verdict"] == "poor":
                verdict["not_asked"] = by_default["reasons"]
        return Measures({"generation0": verdict})

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

    def _copies(self, samples: Samples, features: Tensor) -> MetricValues:
        """Look for copies of the training data."""
        train = self._extraction.real["train"]
        distances = cache(partial(_distances, train, features))

        scores = MetricValues()
        scores.add(("nearest_distance", "nearest_distance_se"), lambda: mean_distance(distances()))
        scores.add(
            ("duplicate_share", "duplicate_share_se"),
            lambda: share_of_copies(self._train_rows, samples.data),
        )
        scores.add(
            ("memorization", "memorization_se"),
            lambda: area_under_curve(higher=self._held_out_distances, lower=distances()),
        )
        return scores

    @cached_property
    def _train_rows(self) -> HashedRows:
        """The real training data, in which copies are looked for."""
        return HashedRows.of(self.modality.real("train").data)

    @cached_property
    def _held_out_distances(self) -> Tensor:
        """The distance of each held-out sample to its nearest training sample, float64 [N]."""
        return _distances(self._extraction.real["train"], self.real("test"))

    def _floor(self, n_synthetic: int) -> Stage[dict[str, Any]]:
        """Return the floor of each metric for so many synthetic samples."""
        real = self._extraction.real
        held_out = partial(self._copies, self.modality.real("test"), real["test"].features)
        n_real = len(real[self._reference].features)
        floor = yield from self._floors.floor(real, n_real, n_synthetic, held_out)

        # The means of these are known.
        of_ratio = None
        if self._spread_of_variance is not None:
            of_ratio = variance_ratio_floor(self._spread_of_variance, n_real, n_synthetic)
        of_copies = null_of_area(len(self.real("test")), n_synthetic)
        return {**floor, "variance_ratio": of_ratio, "memorization": of_copies}

    @cached_property
    def _spread_of_variance(self) -> float | None:
        """How much the variance of real data spreads, for the floor of `variance_ratio`."""
        real = self.modality.real(self._reference)
        return spread_of_variance(self.modality, real, self.real(self._reference))


def _distances(train: Reference, features: Tensor) -> Tensor:
    """Return `distances_to`, which all processes take together."""
    with strips.shared():
        return distances_to(train, features)


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
