"""`check_modality`: does a kind of data, with a model for it, keep the contracts?

It tests every promise, for the kinds that ship and for those of third parties.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from imglab.modality import Exporter, FreshData, Judge, Modality, Spec, WatermarkDetector
from imglab.model import Density, GenerativeModel, Tunable, call_metrics
from imglab.progress import Progress, Stage
from imglab.samples import REAL, Samples, TrainingSet
from imglab.store import files

Result = TypeVar("Result")

CHECKED = 12
"""Samples drawn for a check."""


def check_modality(modality: Modality, model: GenerativeModel, *, train_on: int = 64) -> None:
    """Fit `model` on a few real samples of `modality` and check every promise of the contracts.

    Raises AssertionError that names the first promise broken. Give settings that make a fit short.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shared = folder / "shared"
        shared.mkdir()
        _still("prepare", lambda: modality.prepare(shared))

        _check_real(modality)
        _check_fresh(modality)
        _check_features(modality)

        train = TrainingSet.of(modality.real("train")[:train_on])
        fitted = _check_fit(model, train, folder)
        drawn = _check_draws(modality, fitted, train)
        _check_saved(modality, model, fitted, train, folder)
        _check_metrics(modality, fitted, drawn)
        _check_abilities(modality, model, fitted, train, drawn, folder)
        _check_shown(modality, drawn, folder)


def _still(call: str, work: Callable[[], Result]) -> Result:
    """Do a piece of work; AssertionError that names it where it moves a global generator."""
    before = _global_state()
    result = work()
    moved = [name for name, state in _global_state().items() if state != before[name]]
    assert not moved, f"{call} moved the global random state of {', '.join(moved)}"
    return result


def _global_state() -> dict[str, object]:
    """State of the generators that all code shares."""
    return {
        "torch": torch.random.get_rng_state().numpy().tobytes(),
        "numpy": str(np.random.get_state()),  # noqa: NPY002
        "random": str(random.getstate()),
    }


def _check_real(modality: Modality) -> None:
    spec = _still("spec", lambda: modality.spec)

    for split in ("train", "test"):
        call = f"real({split!r})"
        real = _still(call, lambda split=split: modality.real(split))  # type: ignore[misc]
        _check_samples(real, spec, call)
        assert len(real), f"{call} is empty"
        assert bool((real.origin == REAL).all()), f"{call} must have origin {REAL}"
        again = modality.real(split)
        assert torch.equal(real.data, again.data), f"{call} differs from call to call"

        if spec.conditions is not None:
            assert real.condition is not None, f"{call} has no condition, but spec names some"
            largest = int(real.condition.max())
            assert largest < len(spec.conditions), f"{call} has a condition beyond spec.conditions"


def _check_fresh(modality: Modality) -> None:
    stream = modality.ability(FreshData)
    if stream is None:
        return

    available = stream.fresh_available()
    if available is None or available >= 4:
        whole = _still("fresh", lambda: stream.fresh(4, first=0, seed=3))
        tail = stream.fresh(2, first=2, seed=3)
        _check_samples(whole, modality.spec, "fresh")
        same = torch.equal(whole.data[2:], tail.data)
        assert same, "fresh(n, first=k) must continue the stream, not start a new one"

    if available is not None:
        try:
            stream.fresh(available + 1, first=0, seed=3)
        except ValueError:
            return
        raise AssertionError("fresh data beyond fresh_available() must raise ValueError")


def _check_features(modality: Modality) -> None:
    real = modality.real("test")[:CHECKED]
    features = _still("features", lambda: modality.features(real))
    assert features.dim() == 2, "features must be [N, D]"
    assert len(features) == len(real), "features must have one row for each sample"
    assert features.dtype == torch.float32, f"features must be float32, not {features.dtype}"
    assert bool(features.isfinite().all()), "features of real samples must be finite"
    assert torch.equal(features, modality.features(real)), "features differ from call to call"
    assert str(modality.extractor), "the extractor needs a name"


def _check_fit(model: GenerativeModel, train: TrainingSet, folder: Path) -> GenerativeModel:
    data = train.all().data.clone()
    fitted, checkpoint = _still("fit", lambda: _finish(model.fit(train, start=None, seed=1)))
    assert torch.equal(train.all().data, data), "fit changed its training set"

    fitted.save(folder / "model")
    twin, _ = _finish(model.fit(train, start=None, seed=1))
    twin.save(folder / "twin")
    same = _hashes(folder / "model") == _hashes(folder / "twin")
    assert same, "the same fit, saved, must give the same bytes"

    if checkpoint is not None:
        resumed, _ = _finish(model.fit(train, start=None, seed=1, resume=checkpoint))
        resumed.save(folder / "resumed")
        same = _hashes(folder / "model") == _hashes(folder / "resumed")
        assert same, "a fit that is resumed from its checkpoint must end with the same bytes"
    return fitted


def _check_draws(modality: Modality, fitted: GenerativeModel, train: TrainingSet) -> Samples:
    conditions = _still("conditions", lambda: modality.conditions(train, CHECKED, seed=5))
    drawn = _still("draw", lambda: fitted.sample(CHECKED, conditions=conditions, seed=2))
    _check_samples(drawn, modality.spec, "draw")
    assert len(drawn) == CHECKED, f"draw yielded {len(drawn)} samples, {CHECKED} were asked for"

    half = CHECKED // 2
    if conditions is not None:
        conditions = conditions[half:]
    batches = list(fitted.draw(range(half, CHECKED), conditions=conditions, seed=2))
    tail = Samples.concatenate(batches)
    assert len(tail) == CHECKED - half, "draw must yield one sample for each index"

    # Another batch size may round differently; other noise would differ nearly everywhere.
    difference = (tail.data.double() - drawn.data[half:].double()).abs()
    span = drawn.data.double().max() - drawn.data.double().min()
    share_close = float((difference <= 0.02 * span + 1e-6).double().mean())
    assert share_close > 0.9, "sample i must depend on (seed, i) alone, not on its batch"

    other = Samples.concatenate(
        list(fitted.draw(range(half, CHECKED), conditions=conditions, seed=9))
    )
    assert not torch.equal(other.data, tail.data), "another seed must give other samples"
    return drawn


def _check_saved(
    modality: Modality,
    model: GenerativeModel,
    fitted: GenerativeModel,
    train: TrainingSet,
    folder: Path,
) -> None:
    loaded = _still("load", lambda: type(model).load(folder / "model"))
    loaded.save(folder / "again")
    same = _hashes(folder / "model") == _hashes(folder / "again")
    assert same, "a loaded model, saved, must give the same bytes"
    knows_training = dict(loaded.training) == dict(fitted.training)
    assert knows_training, "a loaded model must know how it was trained"

    conditions = modality.conditions(train, CHECKED, seed=5)
    drawn = fitted.sample(CHECKED, conditions=conditions, seed=2)
    again = loaded.sample(CHECKED, conditions=conditions, seed=2)
    assert torch.equal(again.data, drawn.data), "a loaded model must draw what the saved one drew"

    _finish(model.fit(train, start=fitted, seed=2))[0].save(folder / "tuned")
    _finish(model.fit(train, start=loaded, seed=2))[0].save(folder / "tuned_loaded")
    same = _hashes(folder / "tuned") == _hashes(folder / "tuned_loaded")
    assert same, "fine-tuning a loaded model must give what fine-tuning the saved one gives"


def _check_metrics(modality: Modality, fitted: GenerativeModel, drawn: Samples) -> None:
    of_data = _still(
        "metrics of the modality",
        lambda: call_metrics(modality, drawn, model=fitted, generation0=fitted, seed=4),
    )
    of_model = _still(
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


def _check_abilities(
    modality: Modality,
    model: GenerativeModel,
    fitted: GenerativeModel,
    train: TrainingSet,
    drawn: Samples,
    folder: Path,
) -> None:
    judge = modality.ability(Judge)
    if judge is not None:
        confidence = _still("confidence", lambda: judge.confidence(drawn))
        _check_column(confidence, "confidence")
        in_range = bool(((confidence >= 0) & (confidence <= 1)).all())
        assert in_range, "confidence must lie in [0, 1]"

    detector = modality.ability(WatermarkDetector)
    if detector is not None:
        call = "watermark_scores"
        _check_column(_still(call, lambda: detector.watermark_scores(drawn, key=1)), call)

    exporter = modality.ability(Exporter)
    if exporter is not None:
        exported = folder / "exported"
        exported.mkdir()
        names = _still("export", lambda: exporter.export(drawn, exported))
        assert len(names) == len(drawn), "export must name one file for each sample"
        missing = [name for name in names if not (exported / name).is_file()]
        assert not missing, f"export named files that it did not write: {missing[0]}"

    density = fitted.ability(Density)
    if density is not None:
        _check_column(_still("log_density", lambda: density.log_density(drawn)), "log_density")

    tunable = model.ability(Tunable)
    if tunable is not None:
        choices = tunable.choices(train, fits=2)
        for key, choice in choices.items():
            assert choice.why, f"choices must say why {key} is {choice.value}"


def _check_column(column: Tensor, call: str) -> None:
    assert column.shape == (CHECKED,), f"{call} must return one number for each sample"
    assert column.is_floating_point(), f"{call} must return floats, not {column.dtype}"


def _check_shown(modality: Modality, drawn: Samples, folder: Path) -> None:
    words = _still("read", lambda: modality.read(drawn))
    if words is not None:
        assert len(words) == len(drawn), "read must return one entry for each sample"
        for entry in words:
            unknown = set(entry) - {"text", "prompt", "label"}
            assert not unknown, f"read returned a key that nothing shows: {sorted(unknown)[0]}"

    pictures = [folder / f"one-{modality.picture}", folder / f"two-{modality.picture}"]
    for path in pictures:
        _still("render", lambda path=path: modality.render([drawn], path))  # type: ignore[misc]
        assert path.is_file(), "render must write the file that it is given"
    same = pictures[0].read_bytes() == pictures[1].read_bytes()
    assert same, "render must give the same bytes for the same samples"


def _check_samples(samples: Samples, spec: Spec, call: str) -> None:
    assert samples.data.dtype == spec.dtype, (
        f"{call}: data are {samples.data.dtype}, spec says {spec.dtype}"
    )
    shape = tuple(samples.data.shape[1:])
    assert shape == tuple(spec.shape), f"{call}: a sample has shape {shape}, spec says {spec.shape}"

    for name in ("origin", "source"):
        assert getattr(samples, name).dtype == torch.int16, f"{call}: {name} must be int16"
    if samples.condition is not None:
        assert samples.condition.dtype == torch.int64, f"{call}: condition must be int64"


def _finish(fitting: Stage[GenerativeModel]) -> tuple[GenerativeModel, dict[str, Tensor] | None]:
    """Run a fit to its end, checking its progress; return its model and its first checkpoint."""
    seen = -1
    checkpoint = None

    while True:
        try:
            progress: Progress = next(fitting)
        except StopIteration as end:
            return _fitted(end.value), checkpoint
        assert seen <= progress.seen <= progress.total, "progress must rise from 0 to total"
        seen = progress.seen

        if checkpoint is None and progress.state is not None:
            state = progress.state()
            checkpoint = {name: tensor.clone() for name, tensor in state.items()}


def _fitted(model: object) -> GenerativeModel:
    assert isinstance(model, GenerativeModel), "fit must return the new model"
    return model


def _hashes(folder: Path) -> dict[str, str]:
    paths: Iterator[Path] = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): files.sha256_file(path) for path in paths}
