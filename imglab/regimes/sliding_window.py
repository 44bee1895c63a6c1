"""`sliding_window`: the samples of the last few generations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imglab.regimes.composition import Composition
from imglab.regimes.parts import join, whole
from imglab.regimes.registry import register

if TYPE_CHECKING:
    from imglab.samples import Selection

Window = Annotated[
    int,
    Field(
        ge=1,
        le=32_000,
        description="How many generations; the real data count as the one before generation 0.",
    ),
]


def sliding_window(
    sizes: Sequence[int], *, generation: int, seed: int, window: Window = 3
) -> Selection:
    """Train on the samples of the last few generations.

    D_g = S_{g-w} + ... + S_{g-1}, where w is the `window` and S_{-1} the real set. It lies between
    `replace` (w = 1) and `accumulate` (w > g), the two ends that Gerstgrasser et al. 2024,
    section 2, compare.
    """
    oldest = max(0, generation + 1 - window)
    return join(*(whole(sizes, entry) for entry in range(oldest, generation + 1)))


def _composition(n: int, *, window: int) -> Composition | None:
    if window == 1:
        return Composition("last")
    return None  # no closed form is known


register(sliding_window, composition=_composition)
