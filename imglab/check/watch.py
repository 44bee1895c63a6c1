"""What every check needs: who moved a global generator, and a fit from its begin to its end."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from imglab.modality import Modality, Spec
from imglab.model import GenerativeModel
from imglab.progress import Stage
from imglab.samples import Samples, TrainingSet
from imglab.store import files

Result = TypeVar("Result")
State = dict[str, Tensor]

CHECKED = 12
"""Samples drawn for a check."""


@dataclass(frozen=True)
class Subject:
    """A kind of data with a model that holds no weights, what it is fitted on, and a folder."""

    modality: Modality
    model: GenerativeModel
    train: TrainingSet
    folder: Path

    def fit(
        self, *, start: GenerativeModel | None, seed: int, resume: State | None = None
    ) -> tuple[GenerativeModel, dict[int, State]]:
        """Fit the model to the end; return the new model and checkpoints (`finish`)."""
        call = "fit"
        if start is not None:
            call = "fit with start="
        fitting = self.model.fit(self.train, start=start, seed=seed, resume=resume)
        return still(call, lambda: finish(fitting))

    def save(self, model: GenerativeModel, name: str) -> dict[str, str]:
        """Save a model into the new folder `name`; return the hashes of its files."""
        folder = self.folder / name
        still("save", lambda: model.save(folder))
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return {str(path.relative_to(folder)): files.sha256_file(path) for path in paths}

    def conditions(self) -> Tensor | None:
        """Return the conditions of the samples that are drawn for a check."""
        draw = self.modality.conditions
        return still("conditions", lambda: draw(self.train, CHECKED, seed=5))


def still(call: str, work: Callable[[], Result]) -> Result:
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


def finish(fitting: Stage[GenerativeModel]) -> tuple[GenerativeModel, dict[int, State]]:
    """Run a fit to its end, checking its progress; return its model and up to two checkpoints.

    The checkpoints are the first one that it offers and the first one of its second half, by how
    many samples had been seen.
    """
    seen = -1
    stage = ""
    checkpoints: dict[int, State] = {}

    while True:
        try:
            progress = next(fitting)
        except StopIteration as end:
            return _fitted(end.value), checkpoints
        # A remedy draws samples, or trains on them, beside the fit.
        if progress.stage != stage:
            stage = progress.stage
            seen = -1
        assert seen <= progress.seen <= progress.total, "progress must rise from 0 to total"
        seen = progress.seen

        later = len(checkpoints) == 1 and 2 * seen >= progress.total
        if progress.state is not None and (not checkpoints or later):
            state = progress.state()
            checkpoints[seen] = {name: tensor.clone() for name, tensor in state.items()}


def _fitted(model: object) -> GenerativeModel:
    assert isinstance(model, GenerativeModel), "fit must return the new model"
    return model


def check_samples(samples: Samples, spec: Spec, call: str) -> None:
    """Check that samples, which `call` returned, look as the modality says."""
    assert samples.data.dtype == spec.dtype, (
        f"{call}: data are {samples.data.dtype}, spec says {spec.dtype}"
    )
    shape = tuple(samples.data.shape[1:])
    assert shape == tuple(spec.shape), f"{call}: a sample has shape {shape}, spec says {spec.shape}"

    for name in ("origin", "source"):
        assert getattr(samples, name).dtype == torch.int16, f"{call}: {name} must be int16"
    if samples.condition is not None:
        assert samples.condition.dtype == torch.int64, f"{call}: condition must be int64"


def same_samples(one: Samples, two: Samples) -> bool:
    """Say whether two sets of samples are equal in every column."""
    for name, column in vars(one).items():
        other = getattr(two, name)
        if column is None or other is None:
            same = column is other
        else:
            same = torch.equal(column, other)
        if not same:
            return False
    return True


def copied(samples: Samples) -> Samples:
    """Return samples that share no memory with these."""
    return samples[torch.arange(len(samples))]


def share_close(one: Tensor, two: Tensor, tolerance: float) -> float:
    """Return the share of the numbers that differ by at most `tolerance` times their span."""
    span = two.double().max() - two.double().min()
    difference = (one.double() - two.double()).abs()
    return float((difference <= tolerance * span + 1e-6).double().mean())
