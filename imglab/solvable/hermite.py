"""Hermite polynomials, whose means over samples a perfect diffusion model leaves or shrinks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ORDERS = (2, 4)
"""Orders of the Hermite coefficients that are followed; odd ones are 0 for symmetric data."""


def hermite(order: int, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probabilists' Hermite polynomial He_k at an array of values.

    >>> hermite(4, np.array([0.0, 1.0, 2.0]))
    array([ 3., -2., -5.])
    """
    coefficients = [0] * order + [1]
    return np.asarray(np.polynomial.hermite_e.hermeval(values, coefficients), dtype=np.float64)
