"""Scores of samples against a reference of real ones: by one extractor, or by the data alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property, partial
from hashlib import blake2b
from itertools import repeat
from typing import Any

import torch
from torch import Tensor

from imglab.config.section import PlugIn, Section
from imglab.metrics.comparison import MetricValues, Reference, compare
from imglab.metrics.memorization import distances_to, mean_distance, share_of_copies
from imglab.metrics.ranks import area_under_curve
from imglab.metrics.rows import HashedRows
from imglab.modality import MatchesMoments, Modality, SampleMetrics
from imglab.samples import Samples
from imglab.studies.calibration.reactions import Scores, scalars
from imglab.studies.calibration.table import NO_FEATURES
from imglab.training.devices import device
from imglab.training.threads import Threads

CHUNK = 1024
"""Samples whose features are taken at a time."""


def scoring_threads(modalities: Sequence[Section | PlugIn]) -> Threads:
    """Return the threads that score at once, given the config's sections of the modality.

    A plug-in may keep what it is working on in itself: where one takes part, there is one thread.
    """
    extractors = [getattr(section, "extractor", None) for section in modalities]
    if any(isinstance(section, PlugIn) for section in [*modalities, *extractors]):
        return Threads(device(), most=1)
    return Threads(device())


class Scorer(ABC):
    """Scores samples against some of the held-out real ones."""

    source: str
    """What scores: the name of an extractor, or `NO_FEATURES`."""

    @abstractmethod
    def scores(self, samples: Samples, rows: Tensor) -> Scores:
        """Score samples against the held-out samples `rows`, int64 [M]."""


class FeatureScorer(Scorer):
    """Scores by the features of one extractor, whose modality has been prepared."""

    def __init__(self, modality: Modality, neighbours: Mapping[str, int]) -> None:
        """Take the features of the real data; `neighbours` are the keys of `compare`."""
        self._modality = modality
        self._neighbours = neighbours
        self.source = str(modality.extractor)

        held_out = modality.real("test")
        train = modality.real("train")
        self._held_out = self._extracted(held_out)
        self._train = Reference(self._extracted(train))

        # Damage leaves many samples as they were, and those behind the floors are all real.
        self._real = torch.cat([self._held_out, self._train.features])
        real = Samples.concatenate([held_out, train])
        self._rows = {key: row for row, key in enumerate(_keys(real))}

    def scores(self, samples: Samples, rows: Tensor) -> Scores:
        """Compare the features with those of the reference, and with the training data's."""
        features = self._features(samples)
        reference = Reference(self._held_out[rows])
        values = compare(real=reference, synthetic=features, errors=False, **self._neighbours)
        distances = cache(partial(distances_to, self._train, features))
        values.add(("nearest_distance", "nearest_distance_se"), lambda: mean_distance(distances()))
        values.add(
            ("memorization", "memorization_se"),
            lambda: area_under_curve(higher=self._held_out_distances[rows], lower=distances()),
        )
        self._add_shape(values, reference, samples, rows)
        return scalars(values.values)

    def _add_shape(
        self, values: MetricValues, reference: Reference, samples: Samples, rows: Tensor
    ) -> None:
        """Compare once more after the samples' mean and scale are matched, if the data allow it."""
        moments = self._modality.ability(MatchesMoments)
        if moments is None:
            return
        matched = self._features(moments.matched(samples, self._modality.real("test")[rows]))

        values.add(("fid_shape",), lambda: reference.frechet(matched)[:1])
        of_balls = cache(partial(reference.balls_of, matched, **self._neighbours))
        values.add(("precision_shape", "recall_shape"), lambda: of_balls()[0][:2])
        values.add(("precision_bounded_shape", "recall_bounded_shape"), lambda: of_balls()[1])

    @cached_property
    def _held_out_distances(self) -> Tensor:
        """The distance of each held-out sample to its nearest training sample, float64 [N]."""
        return distances_to(self._train, self._held_out)

    def _features(self, samples: Samples) -> Tensor:
        """Return the features, float32 [N, D]; those of real samples are looked up."""
        rows = torch.tensor([self._rows.get(key, -1) for key in _keys(samples)])
        is_new = rows < 0
        features = self._real[rows]
        if is_new.any():
            features[is_new] = self._extracted(samples[is_new.nonzero().flatten()])
        return features

    def _extracted(self, samples: Samples) -> Tensor:
        return torch.cat([self._modality.features(part) for part in _chunks(samples)]).float()


class DataScorer(Scorer):
    """Scores by the data themselves, with what the modality measures of them."""

    source = NO_FEATURES

    def __init__(self, modality: Modality) -> None:
        self._held_out = modality.real("test")
        self._train = HashedRows.of(modality.real("train").data)
        self._metrics = modality.ability(SampleMetrics)
        self._moments = modality.ability(MatchesMoments)

    def scores(self, samples: Samples, rows: Tensor) -> Scores:
        """Measure the samples; `variance_ratio` is against the reference."""
        values = MetricValues()
        values.add(
            ("duplicate_share", "duplicate_share_se"),
            partial(share_of_copies, self._train, samples.data),
        )
        measured: dict[str, Any] = dict(values.values)
        if self._moments is not None:
            variance = self._moments.variance(self._held_out[rows])
            measured["variance_ratio"] = None
            if variance > 0:
                measured["variance_ratio"] = self._moments.variance(samples) / variance
        if self._metrics is not None:
            # Metrics of classes ask which generation drew the samples.
            measured |= self._metrics.sample_metrics(samples.stamped(0)).finite().values
        return scalars(measured)


def _keys(samples: Samples) -> Iterator[bytes]:
    """Yield a digest of each sample's data and condition: features may depend on both."""
    data = samples.data.contiguous().numpy()
    conditions: Iterable[bytes] = repeat(b"", len(samples))
    if samples.condition is not None:
        conditions = (each.tobytes() for each in samples.condition.contiguous().numpy())
    for sample, condition in zip(data, conditions, strict=True):
        yield blake2b(sample.tobytes() + condition, digest_size=16).digest()


def _chunks(samples: Samples) -> Iterator[Samples]:
    for start in range(0, len(samples), CHUNK):
        yield samples[start : start + CHUNK]
