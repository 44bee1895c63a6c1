"""`replace`: the last generation's samples alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imglab.regimes.composition import Composition
from imglab.regimes.parts import join, whole
from imglab.regimes.registry import register

if TYPE_CHECKING:
    from imglab.samples import Selection


def replace(sizes: Sequence[int], *, generation: int, seed: int) -> Selection:
    """Train on the last generation's samples alone.

    D_g = S_{g-1}, where S_{-1} is the real set. Shumailov et al. 2024, "no data preserved":
    alpha = 1 in their p_{g+1} = alpha p_theta + beta p_g + gamma p_0. The "fully synthetic loop" of
    Alemohammad et al. 2023 (MAD).

    >>> selection = replace([4, 3], generation=1, seed=0)
    >>> selection.entry.tolist(), selection.index.tolist()
    ([1, 1, 1], [0, 1, 2])
    """
    return join(whole(sizes, generation))


def _composition(n: int) -> Composition:
    return Composition("last")


register(replace, composition=_composition)
