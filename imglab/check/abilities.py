"""Checks of metrics and of what an object may be able to do beside the contract."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from imglab.check.watch import CHECKED, Subject, check_samples, copied, same_samples, still
from imglab.errors import InputError
from imglab.groups import Grouped
from imglab.measures import Measures
from imglab.modality import (
    ContinuesOpenings,
    Damage,
    Damageable,
    Exporter,
    Judge,
    MatchesMoments,
    Modality,
    Split,
    WatermarkDetector,
)
from imglab.model import Density, GenerativeModel, Tunable, call_metrics
from imglab.samples import Samples
from imglab.store import files


def check_metrics(modality: Modality, fitted: GenerativeModel, drawn: Samples) -> None:
    """Check the metrics that the modality and the model add."""
    of_data = _measured(
        "metrics of the modality",
        lambda: call_metrics(modality, drawn, model=fitted, generation0=fitted, seed=4),
    )
    of_model = _measured(
        "metrics of the model",
        lambda: call_metrics(fitted, drawn, generation0=fitted, seed=4),
    )

    for measures in (of_data, of_model):
        files.json_bytes(dict(measures.values))
        for name, value in measures.values.items():
            explained = value is not None or name in measures.reasons
            assert explained, f"metric {name!r} is None without a reason"
        for name, column in measures.per_sample.items():
            assert len(column) == CHECKED, f"per-sample tensor {name!r} needs a row for each sample"


def _measured(call: str, work: Callable[[], Measures]) -> Measures:
    """Do what `still` does; AssertionError where metrics come back in another form."""
    try:
        return still(call, work)
    except InputError as error:
        raise AssertionError(str(error)) from error


def check_continuation(modality: Modality, fitted: GenerativeModel) -> None:
    """Check that an opening is continued, and by the next generation the same one."""
    continues = modality.ability(ContinuesOpenings)
    if continues is None:
        return

    first = still("continuation", lambda: continues.continuation(fitted, first=None, seed=7))
    if first is None:
        return
    again = continues.continuation(fitted, first=first, seed=7)
    assert again == first, "continuation must go on with the opening that generation 0 chose"


def check_of_model(subject: Subject, fitted: GenerativeModel, drawn: Samples) -> None:
    """Check each ability of the model."""
    density = fitted.ability(Density)
    if density is not None:
        call = "log_density"
        _check_column(still(call, lambda: density.log_density(drawn)), call)

    tunable = subject.model.ability(Tunable)
    if tunable is not None:
        choices = still("choices", lambda: tunable.choices(subject.train, fits=2))
        for key, choice in choices.items():
            assert choice.why, f"choices must say why {key} is {choice.value}"


def check_of_data(subject: Subject, drawn: Samples) -> None:
    """Check each ability of the modality but its stream of fresh data, and what needs a model."""
    modality = subject.modality

    judge = modality.ability(Judge)
    if judge is not None:
        confidence = still("confidence", lambda: judge.confidence(drawn))
        _check_column(confidence, "confidence")
        in_range = bool(((confidence >= 0) & (confidence <= 1)).all())
        assert in_range, "confidence must lie in [0, 1]"

    detector = modality.ability(WatermarkDetector)
    if detector is not None:
        call = "watermark_scores"
        _check_column(still(call, lambda: detector.watermark_scores(drawn, key=1)), call)

    exporter = modality.ability(Exporter)
    if exporter is not None:
        _check_export(exporter, drawn, subject.folder / "exported")

    damageable = modality.ability(Damageable)
    if damageable is not None:
        _check_damages(damageable, modality)

    matching = modality.ability(MatchesMoments)
    if matching is not None:
        _check_matched(matching, drawn, modality.real("test"))

    grouped = modality.ability(Grouped)
    if grouped is not None:
        for split in get_args(Split):
            _check_groups(grouped, modality, split)


def _check_groups(grouped: Grouped, modality: Modality, split: Split) -> None:
    groups = still("groups", lambda: grouped.groups(split))
    real = modality.real(split)
    count = len(groups.names)
    assert groups.numbers.shape == (len(real),), "groups must return one number for each sample"
    assert groups.numbers.dtype == torch.int64, f"groups must be int64, not {groups.numbers.dtype}"
    in_range = bool(((groups.numbers >= 0) & (groups.numbers < count)).all())
    assert in_range, f"groups must count {count} names, from 0 on"
    same = groups.names == grouped.groups("test").names
    assert same, "groups must have the same names in both splits"


def _check_column(column: Tensor, call: str) -> None:
    assert column.shape == (CHECKED,), f"{call} must return one number for each sample"
    assert column.is_floating_point(), f"{call} must return floats, not {column.dtype}"


def _check_export(exporter: Exporter, drawn: Samples, folder: Path) -> None:
    folder.mkdir()
    names = still("export", lambda: exporter.export(drawn, folder))
    assert len(names) == len(drawn), "export must name one file for each sample"
    missing = [name for name in names if not (folder / name).is_file()]
    assert not missing, f"export named files that it did not write: {missing[0]}"


def _check_damages(damageable: Damageable, modality: Modality) -> None:
    damages = still("damages", damageable.damages)
    names = [damage.name for damage in damages]
    assert len(set(names)) == len(names), "two damages have the same name"
    for damage in damages:
        assert damage.description, f"damage {damage.name!r} has no description"
        for strength in (0.5, 1.0):
            _check_damage(damage, modality, strength)


def _check_damage(damage: Damage, modality: Modality, strength: float) -> None:
    """Check what a damage returns, unless the pool does not allow it."""
    call = f"damage {damage.name!r}"
    pool = copied(modality.real("test"))
    before = copied(pool)

    def apply() -> Samples:
        return damage.apply(pool, CHECKED, strength=strength, seed=6)

    try:
        damaged = still(call, apply)
    except ValueError:
        return
    check_samples(damaged, modality.spec, call)
    assert len(damaged) == CHECKED, f"{call} returned {len(damaged)} samples, not {CHECKED}"
    assert same_samples(pool, before), f"{call} changed the samples that it was given"
    assert same_samples(damaged, apply()), f"{call} must give the same bytes for the same seed"


def _check_matched(matching: MatchesMoments, drawn: Samples, real: Samples) -> None:
    before = copied(drawn)
    matched = still("matched", lambda: matching.matched(drawn, real))
    same = matched.data.shape == drawn.data.shape and matched.data.dtype == drawn.data.dtype
    assert same, "matched must keep the shape and the dtype of the data"
    assert same_samples(drawn, before), "matched changed the samples that it was given"

    variance = still("variance", lambda: matching.variance(real))
    valid = isinstance(variance, float) and 0 <= variance < torch.inf
    assert valid, f"variance must be a finite float of at least 0, not {variance!r}"
