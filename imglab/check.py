"""`check_modality`: does a kind of data, with a model for it, keep the contracts? For ours and for third parties'."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from imglab.modality import Modality
from imglab.model import GenerativeModel
from imglab.progress import Progress, Stage
from imglab.samples import REAL, Samples, TrainingSet
from imglab.store import files

CHECKED = 12
"""Samples drawn for a check."""


def check_modality(modality: Modality, model: GenerativeModel, *, train_on: int = 64) -> None:
    """Fit `model` on a few real samples of `modality` and check every promise of the two contracts.

    Raises AssertionError that names the first promise broken. Give settings that make a fit short.
    """
    before = _global_state()
    with tempfile.TemporaryDirectory() as folder:
        shared = Path(folder) / "shared"
        shared.mkdir()
        modality.prepare(shared)
        _check_real(modality)
        _check_features(modality)
        _check_state(
            modality, model, TrainingSet.of(modality.real("train")[:train_on]), Path(folder)
        )
    assert _global_state() == before, "the global random state was moved"


def _global_state() -> tuple[bytes, str, str]:
    """State of the generators that all code shares: torch's, numpy's, Python's."""
    numpys = str(np.random.get_state())  # noqa: NPY002
    return torch.random.get_rng_state().numpy().tobytes(), numpys, str(random.getstate())


def _check_real(modality: Modality) -> None:
    spec = modality.spec
    for split in ("train", "test"):
        real = modality.real(split)
        _check_samples(real, modality, f"real({split!r})")
        assert len(real), f"real({split!r}) is empty"
        assert bool((real.origin == REAL).all()), f"real({split!r}) must have origin {REAL}"
        again = modality.real(split)
        assert torch.equal(real.data, again.data), f"real({split!r}) differs from call to call"
        if spec.conditions is not None:
            assert real.condition is not None, (
                f"real({split!r}) has no condition though spec.conditions names some"
            )
            assert int(real.condition.max()) < len(spec.conditions), (
                "a condition beyond spec.conditions"
            )
    available = modality.fresh_available()
    if available is None or available >= 4:
        whole, tail = modality.fresh(4, first=0, seed=3), modality.fresh(2, first=2, seed=3)
        _check_samples(whole, modality, "fresh")
        assert torch.equal(whole.data[2:], tail.data), (
            "fresh(n, first=k) must continue the stream, not start a new one"
        )
    if available is not None:
        _expect_error(
            lambda: modality.fresh(available + 1, first=0, seed=3),
            "fresh data beyond fresh_available()",
        )


def _check_features(modality: Modality) -> None:
    real = modality.real("test")[:CHECKED]
    features = modality.features(real)
    assert features.dim() == 2, "features must be [N, D]"
    assert len(features) == len(real), "features must have one row for each sample"
    assert features.dtype == torch.float32, f"features must be float32, not {features.dtype}"
    assert bool(features.isfinite().all()), "features of real samples must be finite"
    assert torch.equal(features, modality.features(real)), "features differ from call to call"
    assert modality.extractor, "the extractor needs a name"


def _check_state(
    modality: Modality, model: GenerativeModel, train: TrainingSet, folder: Path
) -> None:
    data = train.all().data.clone()
    fitted = _finish(model.fit(train, start=None, seed=1))
    assert torch.equal(train.all().data, data), "fit changed its training set"
    twin = _finish(model.fit(train, start=None, seed=1))
    _check_draws(modality, fitted, train)
    fitted.save(folder / "model")
    twin.save(folder / "twin")
    assert _hashes(folder / "model") == _hashes(folder / "twin"), (
        "the same fit, saved, must give the same bytes"
    )
    loaded = type(model).load(folder / "model")
    loaded.save(folder / "again")
    assert _hashes(folder / "model") == _hashes(folder / "again"), (
        "a loaded model, saved, must give the same bytes"
    )
    assert dict(loaded.training) == dict(fitted.training), (
        "a loaded model must know how it was trained"
    )
    conditions = modality.conditions(train, CHECKED, seed=5)
    drawn = fitted.sample(CHECKED, conditions=conditions, seed=2)
    assert torch.equal(loaded.sample(CHECKED, conditions=conditions, seed=2).data, drawn.data), (
        "a loaded model must draw what the saved one drew"
    )
    _finish(model.fit(train, start=fitted, seed=2)).save(folder / "tuned")
    _finish(model.fit(train, start=loaded, seed=2)).save(folder / "tuned_loaded")
    assert _hashes(folder / "tuned") == _hashes(folder / "tuned_loaded"), (
        "fine-tuning a loaded model must give what fine-tuning the saved one gives"
    )
    measured = modality.metrics(drawn, model=loaded, first=loaded, seed=4)
    files.json_bytes(dict(measured.values))
    for name, value in measured.values.items():
        assert value is not None or name in measured.reasons, (
            f"metric {name!r} is None without a reason"
        )
    for name, column in measured.per_sample.items():
        assert len(column) == CHECKED, (
            f"per-sample tensor {name!r} must have one row for each sample"
        )
    _check_picture(modality, drawn, folder)


def _check_draws(modality: Modality, fitted: GenerativeModel, train: TrainingSet) -> None:
    conditions = modality.conditions(train, CHECKED, seed=5)
    drawn = fitted.sample(CHECKED, conditions=conditions, seed=2)
    _check_samples(drawn, modality, "sample")
    assert len(drawn) == CHECKED, f"sample({CHECKED}) returned {len(drawn)} samples"
    half = CHECKED // 2
    later = None if conditions is None else conditions[half:]
    tail = Samples.concatenate(list(fitted.draw(range(half, CHECKED), conditions=later, seed=2)))
    assert len(tail) == CHECKED - half, "draw must yield one sample for each index"
    # Another batch size may round differently; another noise would differ nearly everywhere.
    same = (tail.data.double() - drawn.data[half:].double()).abs()
    span = drawn.data.double().max() - drawn.data.double().min()
    close = float((same <= 0.02 * span + 1e-6).double().mean())
    assert close > 0.9, "sample i must depend on (seed, i) alone, not on where the batch starts"
    other = fitted.sample(CHECKED, conditions=conditions, seed=9)
    assert not torch.equal(other.data, drawn.data), "another seed must give other samples"


def _check_samples(samples: Samples, modality: Modality, what: str) -> None:
    spec = modality.spec
    assert samples.data.dtype == spec.dtype, (
        f"{what}: data are {samples.data.dtype}, spec says {spec.dtype}"
    )
    shape = tuple(samples.data.shape[1:])
    assert shape == tuple(spec.shape), f"{what}: a sample has shape {shape}, spec says {spec.shape}"
    for name in ("origin", "source"):
        assert getattr(samples, name).dtype == torch.int16, f"{what}: {name} must be int16"
    if samples.condition is not None:
        assert samples.condition.dtype == torch.int64, f"{what}: condition must be int64"


def _check_picture(modality: Modality, drawn: Samples, folder: Path) -> None:
    one, two = folder / f"one-{modality.picture}", folder / f"two-{modality.picture}"
    for path in (one, two):
        modality.render([drawn], path)
        assert path.is_file(), "render must write the file it is given"
    assert one.read_bytes() == two.read_bytes(), (
        "render must give the same bytes for the same samples"
    )


def _finish(work: Stage[GenerativeModel]) -> GenerativeModel:
    """Run a fit to its end, checking what it says on the way."""
    seen = -1
    while True:
        try:
            progress: Progress = next(work)
        except StopIteration as end:
            return _fitted(end.value)
        assert seen <= progress.seen <= progress.total, "progress must rise from 0 to total"
        seen = progress.seen


def _fitted(model: object) -> GenerativeModel:
    assert isinstance(model, GenerativeModel), "fit must return the new model"
    return model


def _hashes(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): files.sha256_file(path) for path in _files(folder)}


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _expect_error(call: object, what: str) -> None:
    assert callable(call)
    try:
        call()
    except ValueError:
        return
    raise AssertionError(f"{what} must raise ValueError")
