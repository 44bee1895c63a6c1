"""What a generation drew, read from the files of its run by whoever asks for it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from imglab.config.schema import RunConfig
from imglab.errors import InputError, Problem, first_line
from imglab.failures import raise_if_unavailable
from imglab.modality import Spec
from imglab.samples import Samples
from imglab.store.faults import check_run
from imglab.store.files import DAMAGED
from imglab.store.reader import RunFolder
from imglab.store.reading import parse_generation
from imglab.store.sealed_config import located, read_sealed


@dataclass(frozen=True)
class Drawn:
    """The samples of a generation, and the run that drew them with its config."""

    run: Path
    config: RunConfig
    samples: Samples


def read_drawn(source: str, where: str = "") -> Drawn:
    """Return what the generation `RUN@G` drew.

    where  the key of a config that names it, for messages

    Raises InputError where there is no such generation, or where the run's files are damaged.
    """
    try:
        return _read(source)
    except InputError as error:
        place = f"{where}: " if where else ""
        problems = [
            Problem(f"{place}{each.where}", each.what, each.remedy) for each in error.problems
        ]
        raise InputError(problems, [error]) from error


def _read(source: str) -> Drawn:
    run, g = parse_generation(source)
    check_run(run)
    config = located(run, read_sealed(run / "config.yaml"))

    stored = RunFolder(run)
    with reading(stored.path(g, "samples")):
        samples = stored.samples(g)
    return Drawn(run, config, samples)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what a damaged file raises while it is read into an InputError that names it."""
    try:
        yield
    except (OSError, ValueError, MemoryError, SafetensorError) as error:
        raise_if_unavailable(error, path, ours=True)
        what = f"cannot be read: {first_line(error)}"
        raise InputError(Problem(str(path), what, DAMAGED)) from error


def check_samples(spec: Spec, samples: Samples) -> None:
    """Raise ValueError unless samples from a file are of the kind of data that `spec` describes."""
    data = samples.data
    if data.dtype != spec.dtype or tuple(data.shape[1:]) != tuple(spec.shape):
        raise ValueError("its samples are not of the kind of data in config.yaml")
    if data.dtype == torch.int64 and bool(((data < 0) | (data >= 2**31)).any()):
        raise ValueError("it has tokens that no tokenizer has")

    condition = samples.condition
    if condition is None:
        return
    if condition.dtype != torch.int64:
        raise ValueError("its conditions are not whole numbers")
    if spec.conditions is not None and not are_below(len(spec.conditions), condition):
        raise ValueError("it has samples of classes or prompts that the data do not have")


def are_below(bound: int, numbers: Tensor) -> bool:
    """Say whether whole numbers lie in [0, bound)."""
    return bool(((numbers >= 0) & (numbers < bound)).all())


def hash_samples(samples: Samples) -> str:
    """Return the sha256 of the samples' shape, data and conditions."""
    digest = hashlib.sha256(repr((samples.data.dtype, tuple(samples.data.shape))).encode())
    for column in (samples.data, samples.condition):
        if column is not None:
            digest.update(column.contiguous().numpy().data)
    return digest.hexdigest()
