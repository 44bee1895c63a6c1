"""`real_only`: the real data alone, which is the control of the other regimes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from imglab.regimes.composition import Composition
from imglab.regimes.parts import join, some, whole
from imglab.regimes.registry import register

if TYPE_CHECKING:
    from imglab.samples import Selection

Size = Annotated[
    Literal["real", "last"],
    Field(
        description="`real`: all real data in every generation. `last`: no more than the last "
        "generation left, which is an equal budget where `samples` is smaller than the real data."
    ),
]


def real_only(
    sizes: Sequence[int], *, generation: int, seed: int, size: Size = "real"
) -> Selection:
    """Train on the real data alone: the control.

    D_g = R in every generation, so that only refitting can change the model: the real-only control
    of Gerstgrasser et al. 2024 and of MAD's figures (D_g = R, no S). With `size: last` the budget
    is that of `replace`: as many real samples as it has synthetic ones, drawn anew in every
    generation; all real samples where it has more.
    """
    if size == "real" or generation == 0 or sizes[generation] >= sizes[0]:
        return join(whole(sizes, 0))

    return join(some(sizes, 0, sizes[generation], seed, "real_only", generation))


def _composition(n: int, *, size: str) -> Composition:
    # Generations leave as many samples as there are real ones, so that both sizes mean all of them.
    return Composition("real and last", parts=((n, 0),), shared=1 / n, keeps_real=True)


register(real_only, composition=_composition)
