"""`synthetic_augmentation`: all real data and a number of the last generation's samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imglab.errors import Problem
from imglab.regimes.composition import Composition
from imglab.regimes.parts import join, some, whole
from imglab.regimes.registry import RunSizes, register

if TYPE_CHECKING:
    from imglab.samples import Selection

Ratio = Annotated[
    float,
    Field(ge=0, le=10**6, description="Synthetic samples for each real one (lambda in the paper)."),
]


def synthetic_augmentation(
    sizes: Sequence[int], *, generation: int, seed: int, ratio: Ratio = 1.0
) -> Selection:
    """Train on all real data and a number of the last generation's samples.

    D_g = R + lambda n of S_{g-1}, where n = |R| and lambda is the `ratio`. The "synthetic
    augmentation loop" of Alemohammad et al. 2023 (MAD, section 3.2).
    """
    if generation == 0:
        return join(whole(sizes, 0))

    n_synthetic = augmentation_size(sizes[0], ratio)
    synthetic = some(sizes, generation, n_synthetic, seed, "synthetic_augmentation", generation)
    return join(whole(sizes, 0), synthetic)


def augmentation_size(real: int, ratio: float) -> int:
    """Return how many synthetic samples join `real` ones, rounded to the nearest."""
    return round(real * ratio)


def _needs(run: RunSizes, *, ratio: float) -> Iterator[Problem]:
    asked = augmentation_size(run.real, ratio)
    if run.later and asked > run.left:
        what = f"asks for {asked} synthetic samples, but a generation leaves only {run.left}"
        yield Problem("regime.ratio", what, f"raise samples to {asked}, or lower it")


def _composition(n: int, *, ratio: float) -> Composition:
    parts = ((n, augmentation_size(n, ratio)),)
    return Composition("real and last", parts, shared=1 / n, keeps_real=True)


register(synthetic_augmentation, needs=_needs, composition=_composition)
