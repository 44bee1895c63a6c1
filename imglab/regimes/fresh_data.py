"""`fresh_data`: the last generation's samples and real data that no generation has seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imglab.errors import Problem
from imglab.regimes.composition import Composition
from imglab.regimes.parts import join, unseen, whole
from imglab.regimes.registry import RunSizes, register

if TYPE_CHECKING:
    from imglab.samples import Selection

Fresh = Annotated[
    int, Field(ge=0, le=10**9, description="How many new real samples each generation adds.")
]


def fresh_data(sizes: Sequence[int], *, generation: int, seed: int, fresh: Fresh) -> Selection:
    """Train on the last generation's samples and real data that no generation has seen.

    D_g = F_g + S_{g-1}, where |F_g| = n_r is the key `fresh` and no two F_g share a sample. The
    "fresh data loop" of Alemohammad et al. 2023 (MAD, section 3.3).
    """
    if generation == 0:
        return join(whole(sizes, 0))

    first = fresh * (generation - 1)
    return join(unseen(first, fresh), whole(sizes, generation))


def _needs(run: RunSizes, *, fresh: int) -> Iterator[Problem]:
    yield from run.fresh_problems("fresh", fresh * len(run.later))


def _fresh(left: int, *, generation: int, fresh: int) -> int:
    return fresh


def _composition(n: int, *, fresh: int) -> Composition:
    return Composition("real and last", parts=((fresh, n),))


register(fresh_data, needs=_needs, fresh=_fresh, composition=_composition)
