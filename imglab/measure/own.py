"""Metrics of a user's own, which a config names as `measure.metrics`: functions of features."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from imglab.config import kinds
from imglab.errors import InputError, Problem, first_line
from imglab.metrics import Undefined
from imglab.metrics.comparison import DISTRIBUTION, MetricValues, spread
from imglab.store.metric_order import DETAILS, FIRST
from imglab.store.reading import BOOKKEEPING

OwnMetric: TypeAlias = Callable[..., float]
"""`metric(real=, synthetic=)`, of features float32 [N, D] and [M, D]."""

KEY = "measure.metrics"


RECORDS = (
    "accepted",
    "extractor",
    "floor",
    "generation0",
    "headline",
    "origins",
    "reasons",
    "reference",
    "training",
)
"""What else metrics.json says of a generation."""
TAKEN = {*DISTRIBUTION, *FIRST, *DETAILS, *BOOKKEEPING, *RECORDS}
ENDINGS = ("_se", "_interval", "_by_decile", "_by_class", "_by_source", "_reason")
"""Names that end so belong to another metric."""

TRIED = 100
"""Real samples of each split with which a metric is tried before anything is trained."""


def import_metrics(names: Sequence[str]) -> dict[str, OwnMetric]:
    """Import metrics, each `module:function`; they go by the functions' names.

    Raises InputError with everything that is wrong: a function that cannot be imported or does not
    take `real` and `synthetic` by name, and a name that another metric has.
    """
    metrics: dict[str, OwnMetric] = {}
    problems: list[Problem] = []
    for name in names:
        short = name.partition(":")[2]
        if short in metrics or short in TAKEN or short.endswith(ENDINGS):
            what = f"{short!r} is the name of something else in metrics.json"
            problems.append(Problem(KEY, what, f"call the function of {name} something else"))
            continue
        try:
            metrics[short] = _import(name)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return metrics


def _import(name: str) -> OwnMetric:
    """Import one function and check how it can be called."""
    try:
        metric: OwnMetric = kinds.resolve(name)
    except (ImportError, AttributeError, SyntaxError) as error:
        remedy = "give a function that Python can import, e.g. with PYTHONPATH=."
        raise InputError(Problem(KEY, f"cannot import {name!r}: {error}", remedy)) from error

    try:
        inspect.signature(metric).bind(real=None, synthetic=None)
    except (TypeError, ValueError) as error:
        what = f"{name!r} cannot be called with real= and synthetic= ({error})"
        raise InputError(Problem(KEY, what, "take both by name")) from error
    return metric


def own_values(
    metrics: Mapping[str, OwnMetric], *, real: Tensor, synthetic: Tensor
) -> MetricValues:
    """Compute metrics of one's own; one that raises `Undefined` is None, with its reason."""
    values = MetricValues()
    for name, metric in metrics.items():
        values.add((name,), partial(_one_value, name, metric, real, synthetic))
    return values


def _one_value(name: str, metric: OwnMetric, real: Tensor, synthetic: Tensor) -> list[float]:
    """Return a metric's value; Undefined where it says so, InputError where it fails."""
    try:
        return [float(metric(real=real, synthetic=synthetic))]
    except Undefined:
        raise
    # It is somebody else's code, which may raise anything.
    except Exception as error:
        what = f"{name} failed: {type(error).__name__}: {first_line(error)}"
        raise InputError(Problem(KEY, what, "let it return a number")) from error


def try_metrics(metrics: Mapping[str, OwnMetric], *, train: Tensor, test: Tensor) -> None:
    """Compute metrics of a few real samples; InputError if one fails."""
    own_values(metrics, real=test[:TRIED], synthetic=train[:TRIED])


def check_names(metrics: Mapping[str, OwnMetric], others: Iterable[str]) -> None:
    """Raise InputError if this kind of data has a metric of the same name."""
    for name in others:
        if name in metrics:
            what = f"this kind of data has a metric {name!r} already"
            raise InputError(Problem(KEY, what, "call the function something else"))


def own_floors(
    metrics: Mapping[str, OwnMetric],
    pool: Tensor,
    *,
    n_real: int,
    n_synthetic: int,
    orders: Iterable[Tensor],
) -> dict[str, Any]:
    """Return what real samples score against other real ones, by metric, as `spread` says it.

    pool    all real features, float32 [P, D]
    orders  permutations of the pool, int64 [P]: the first `n_real` samples stand for the real ones,
            the next `n_synthetic` for the synthetic ones
    """
    columns: dict[str, list[Any]] = {name: [] for name in metrics}
    if len(pool) < n_real + n_synthetic:
        return dict.fromkeys(metrics)

    for order in orders:
        parts = torch.tensor_split(pool[order[: n_real + n_synthetic]], (n_real,))
        values = own_values(metrics, real=parts[0], synthetic=parts[1]).values
        for name, column in columns.items():
            column.append(values[name])
    return {name: spread(column) for name, column in columns.items()}
