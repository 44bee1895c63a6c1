"""The test error of a model that memorizes items, whose frequencies follow Zipf's law.

Dohmatob et al. 2024, "A Tale of Tails" (2402.07043). Item i has the real frequency p_i, in
proportion to i^-beta. The error on T real items is sum_i p_i (1 - p_i)^T, which falls as
T^-(1 - 1/beta). On items drawn from a model of T0 real ones it levels off at the error of T0, and
falls again if new real items are added. No torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from imglab.solvable.theory.case import Case, Curve


def exponent(beta: float) -> float:
    """Return c of the scaling law error ~ T^-c on T real items: 1 - 1/beta, for beta > 1."""
    return 1 - 1 / beta


def real_error(frequencies: Sequence[float], n: int) -> float:
    """Return the expected error on n real items, exactly: sum_i p_i (1 - p_i)^n."""
    p = np.array(frequencies)
    return float((p * (1 - p) ** n).sum())


def chain_error(frequencies: Sequence[float], sizes: Sequence[tuple[int, int]]) -> float:
    """Return the expected error of the last of several fits.

    sizes  how many (new real, synthetic) items each fit has; synthetic ones are drawn from the fit
           before

    The copies of an item form a branching process. A copy among n has a number of children among s
    draws that is Poisson(s/n), in the limit of rare items, and real items immigrate. The chance
    that an item does not occur at all is then a product over the fits, from the last to the first:
    with z = 0 at the last fit, (1 - p + p z)^real for the new real items of each, and
    z = exp((s/n) (z - 1)) one fit earlier.
    """
    p = np.array(frequencies)
    absent: NDArray[np.float64] = np.ones_like(p)
    z = 0.0

    for number in range(len(sizes) - 1, -1, -1):
        real, synthetic = sizes[number]
        absent = absent * (1 - p + p * z) ** real
        if synthetic:
            before = sum(sizes[number - 1])
            z = float(np.exp(synthetic / before * (z - 1)))
    return float((p * absent).sum())


def predict_memorizer(case: Case) -> dict[str, Curve]:
    """Return the expected test error of each generation."""
    return {"test_error": case.curve(_errors(case))}


def _errors(case: Case) -> Iterator[float]:
    frequencies: list[float] = case.data.frequencies
    keeps_real = case.composition.keeps_real and case.is_even
    if keeps_real or case.composition.trains_on == "all":
        # What the real data contain is never forgotten, and nothing else can be drawn.
        while True:
            yield real_error(frequencies, case.real)

    if case.parts is None or case.composition.shared is not None:
        return
    sizes = [(case.real, 0), *islice(case.parts, case.generations - 1)]
    for number in range(1, len(sizes) + 1):
        yield chain_error(frequencies, sizes[:number])
