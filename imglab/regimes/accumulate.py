"""`accumulate`: the real data and the samples of all earlier generations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imglab.regimes.composition import Composition
from imglab.regimes.parts import join, whole
from imglab.regimes.registry import register

if TYPE_CHECKING:
    from imglab.samples import Selection


def accumulate(sizes: Sequence[int], *, generation: int, seed: int) -> Selection:
    """Train on the real data and the samples of all earlier generations.

    D_g = R + S_0 + ... + S_{g-1}. Gerstgrasser et al. 2024, section 2.

    >>> selection = accumulate([2, 3], generation=1, seed=0)
    >>> selection.entry.tolist(), selection.index.tolist()
    ([0, 0, 1, 1, 1], [0, 1, 0, 1, 2])
    """
    return join(*(whole(sizes, entry) for entry in range(generation + 1)))


def _composition(n: int) -> Composition:
    return Composition("all", keeps_real=True)


register(accumulate, composition=_composition)
