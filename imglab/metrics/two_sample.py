"""Can a classifier tell real from synthetic? A two-sample test on held-out samples."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imglab.metrics.frechet import mean_and_variance
from imglab.metrics.ranks import area_under_curve, null_of_area
from imglab.metrics.undefined import check_features
from imglab.seeds import generator

Values: TypeAlias = NDArray[np.floating]
"""Float64, or float32 where they are many."""

FOLDS = 2

LEAST = 20
"""Samples of each kind without which a classifier of half of them says nothing."""

FEW = 128
"""Rows that are in memory in float64 at a time."""

MANY = 2**22
"""Features, of all samples, beyond which a fit reads them in float32."""

STRENGTH = 0.01
"""Inverse strength of the penalty on a standardised feature's weight, scikit-learn's `C`.

A weak classifier misses differences, an overfitted one sees noise in one half and misses them in
the other. At this strength a fit on 200 samples of 64 features is governed by the penalty.
"""


def two_sample_auc(*, real: Tensor, synthetic: Tensor) -> tuple[float, float]:
    """Return the area under the curve of a held-out classifier, and its standard error.

    real, synthetic  float [N, D] and [M, D], at least 20 each, else `Undefined`

    .5 means that the classifier cannot tell the sets apart, 1 that it always can. It may fall
    below .5 by chance. (Lopez-Paz and Oquab 2017, Revisiting Classifier Two-Sample Tests.)

    Each set is split at random, always in the same way, into two halves. A logistic regression
    with an L2 penalty is fitted on one half of both sets and ranks the samples of the other half,
    and the other way round. Its inputs are the features and their squares, both standardised by
    the half that it is fitted on, so it sees shifted means and changed variances. Both sets weigh
    the same. Scores of two fits do not compare: the area is that within each half, and the mean
    of the two.

    The error is that of one half (DeLong), not smaller by the square root of 2: where the sets
    barely differ, both fits test the same difference between the halves, and their areas go
    together.
    """
    check_features(real=real, synthetic=synthetic, at_least=LEAST)
    real_half = _halves(len(real), "real")
    synthetic_half = _halves(len(synthetic), "synthetic")

    areas = []
    variances = []
    for fold in range(FOLDS):
        fitted = (real[real_half != fold], synthetic[synthetic_half != fold])
        is_synthetic = np.repeat([0.0, 1.0], [len(fitted[0]), len(fitted[1])])
        values = torch.cat(fitted)
        del fitted  # large sets are not kept twice
        classifier = _Classifier(values, is_synthetic)
        area, error = area_under_curve(
            higher=classifier.scores(synthetic[synthetic_half == fold]),
            lower=classifier.scores(real[real_half == fold]),
        )
        areas.append(area)
        variances.append(error**2)
    return sum(areas) / FOLDS, (sum(variances) / FOLDS) ** 0.5


def _halves(size: int, name: str) -> Tensor:
    """Assign each of `size` samples to a half, 0 or 1, at random: their order may mean something.

    Each half gets the same number of samples, or one more.
    """
    order = torch.randperm(size, generator=generator("two-sample test", name, size))
    return order % FOLDS


class _Classifier:
    """A logistic regression on standardised features and their squares."""

    def __init__(self, values: Tensor, is_synthetic: Values) -> None:
        self._inputs = _Inputs(values)
        self._weights = _fit(self._inputs.of(values), is_synthetic)

    def scores(self, features: Tensor) -> Tensor:
        """Return how synthetic samples look, as log odds, [N]."""
        return torch.from_numpy(_odds(self._inputs.of(features), self._weights))


def _fit(inputs: Values, is_synthetic: Values) -> Values:
    """Return the weights of a logistic regression and its intercept, float64 [D + 1].

    inputs        float64 or float32 [N, D]
    is_synthetic  float64 [N], 0 or 1; both classes weigh the same

    The loss, its penalty and the limits of L-BFGS are those of scikit-learn's
    `LogisticRegression(C=STRENGTH, class_weight="balanced", tol=1e-3, max_iter=1000)`, whose import
    takes longer than a small chain.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    synthetic = is_synthetic.mean()
    shares = np.where(is_synthetic == 1, synthetic, 1 - synthetic)
    weights = 1 / (2 * len(inputs) * shares)
    penalty = 1 / (STRENGTH * len(inputs))

    def loss_and_gradient(point: Values) -> tuple[float, Values]:
        odds = _odds(inputs, point)
        loss = weights @ (np.logaddexp(0, odds) - is_synthetic * odds)
        loss += penalty / 2 * (point[:-1] @ point[:-1])

        pull = weights * (expit(odds) - is_synthetic)
        slope = inputs.T @ pull.astype(inputs.dtype)
        gradient = np.append(slope + penalty * point[:-1], pull.sum())
        return float(loss), gradient

    limits = {"gtol": 1e-3, "ftol": 64 * np.finfo(float).eps, "maxiter": 1000, "maxls": 50}
    start = np.zeros(inputs.shape[1] + 1)
    fitted = minimize(loss_and_gradient, start, method="L-BFGS-B", jac=True, options=limits)
    weights_and_intercept: Values = fitted.x
    return weights_and_intercept


def _odds(inputs: Values, weights: Values) -> Values:
    """Return the log odds of each row of the inputs, float64 [N], given weights and intercept."""
    odds: Values = inputs @ weights[:-1].astype(inputs.dtype) + weights[-1]
    return odds


class _Inputs:
    """Features and their squares, both standardised by some values; a constant is only centred."""

    def __init__(self, values: Tensor) -> None:
        """Standardise by values, float [N, D], N >= 2."""
        self._mean, variance = mean_and_variance(values)
        deviation = variance.sqrt()
        is_constant = deviation == 0
        self._deviation = deviation.where(~is_constant, torch.ones_like(deviation))

        # The mean of a standardised square, whose variance is divided by N - 1.
        n = len(values)
        self._square_mean = torch.full_like(deviation, (n - 1) / n).masked_fill_(is_constant, 0)
        squares = torch.zeros_like(deviation)
        for rows in values.split(FEW):
            squares += (self._standard(rows).square_() - self._square_mean).square_().sum(0)
        deviation = (squares / (n - 1)).sqrt()
        self._square_deviation = deviation.where(deviation > 0, torch.ones_like(deviation))

    def of(self, features: Tensor) -> Values:
        """Return the inputs of a classifier for features [N, D], [N, 2 D].

        Many are float32, since reading them again and again is most of the time that a fit takes.
        Sums of them err by 1e-7, and the order of the samples is all that counts.
        """
        n, width = features.shape
        dtype = torch.float64
        if n * width > MANY:
            dtype = torch.float32
        inputs = torch.empty(n, 2 * width, dtype=dtype)
        for part, rows in zip(inputs.split(FEW), features.split(FEW), strict=True):
            standard = self._standard(rows)
            part[:, :width] = standard
            part[:, width:] = (
                standard.square_().sub_(self._square_mean).div_(self._square_deviation)
            )
        of_all: Values = inputs.numpy()
        return of_all

    def _standard(self, rows: Tensor) -> Tensor:
        return (rows.double() - self._mean).div_(self._deviation)


def null_of_auc(n_real: int, n_synthetic: int) -> dict[str, float]:
    """Return mean, deviation and 95% range of `two_sample_auc` where both sets are of one kind.

    They are those of one half: both halves test the same difference.
    """
    return null_of_area(n_real / FOLDS, n_synthetic / FOLDS)
