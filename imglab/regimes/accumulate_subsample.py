"""`accumulate_subsample`: a draw of fixed size from everything that has accumulated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imglab.regimes.accumulate import accumulate
from imglab.regimes.composition import Composition
from imglab.regimes.parts import subsample
from imglab.regimes.registry import register

if TYPE_CHECKING:
    from imglab.samples import Selection


def accumulate_subsample(sizes: Sequence[int], *, generation: int, seed: int) -> Selection:
    """Train on a draw of fixed size from the real data and all earlier generations.

    D_g is drawn uniformly and without replacement from R + S_0 + ... + S_{g-1}, as many samples as
    the last generation left: |D_g| = |S_{g-1}|. Kazdan et al. 2024 (2410.16713), section 3,
    "accumulate-subsample".
    """
    accumulated = accumulate(sizes, generation=generation, seed=seed)
    return subsample(accumulated, sizes[generation], seed, "accumulate_subsample", generation)


def _composition(n: int) -> Composition:
    return Composition("subsample")


register(accumulate_subsample, composition=_composition)
