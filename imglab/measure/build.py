"""From the section `measure` of a config to what scores the generations."""

from __future__ import annotations

from pathlib import Path

from imglab.config.sections import MeasureSettings
from imglab.measure.gate import thresholds
from imglab.measure.measure import Measure
from imglab.measure.own import import_metrics
from imglab.modality import Modality


def build_measure(section: MeasureSettings, modality: Modality, cache: Path | None) -> Measure:
    """Return what scores the generations of a run; `cache` is that of `Measure`.

    Raises InputError for metrics that cannot be imported.
    """
    gate = thresholds(section, modality)
    metrics = import_metrics(section.metrics)
    keys = {**dict(section), "gate": gate, "metrics": metrics}
    return Measure(modality, **keys, cache=cache)
