"""`mix`: a share of real data and the last generation's samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from imglab.errors import Problem
from imglab.regimes.composition import Composition
from imglab.regimes.parts import join, some, unseen, whole
from imglab.regimes.registry import RunSizes, register

if TYPE_CHECKING:
    from imglab.samples import Selection

Share = Annotated[float, Field(ge=0, le=1)]
Shares = Annotated[list[Share], Field(min_length=1)]
RealFraction = Annotated[
    Share | Shares,
    Field(
        description="Share of each training set that is real: one number, or a list with one for "
        "each generation from 1 on, whose last number holds for all that follow."
    ),
]
RealPart = Annotated[
    Literal["fixed", "resampled", "fresh"],
    Field(
        description="Which real samples: the same ones in every generation (`fixed`), others of "
        "the real training set each time (`resampled`), or ones that no generation has seen "
        "(`fresh`)."
    ),
]


def mix(
    sizes: Sequence[int],
    *,
    generation: int,
    seed: int,
    real_fraction: RealFraction,
    real: RealPart = "fixed",
) -> Selection:
    """Train on a share of real data and the last generation's samples.

    The training set has n samples, as many as the last generation left. Shumailov et al. 2024:
    p_{g+1} = alpha p_theta + gamma p_0, where gamma = 1 - alpha is the `real_fraction` (0.1 in
    their paper). A list of fractions, one for each of generations 1, 2, ..., lets synthetic data
    build up as they do on the web. `fixed` takes the same real samples in every generation, as far
    as the share goes.
    """
    if generation == 0:
        return join(whole(sizes, 0))

    total = sizes[generation]
    n_real = real_share_size(total, real_fraction, generation)
    synthetic = some(sizes, generation, total - n_real, seed, "mix", "synthetic", generation)

    if real == "fresh":
        earlier = (real_share_size(sizes[g], real_fraction, g) for g in range(1, generation))
        real_part = unseen(sum(earlier), n_real)
    elif real == "fixed":
        real_part = some(sizes, 0, n_real, seed, "mix", "real")
    else:
        real_part = some(sizes, 0, n_real, seed, "mix", "real", generation)

    return join(real_part, synthetic)


def real_share_size(total: int, real_fraction: float | Sequence[float], generation: int) -> int:
    """Return how many of `total` samples of a generation >= 1 are real, rounded to the nearest."""
    if isinstance(real_fraction, Sequence):
        real_fraction = real_fraction[min(generation, len(real_fraction)) - 1]
    return round(total * real_fraction)


def _needs(run: RunSizes, *, real_fraction: float | list[float], real: str) -> Iterator[Problem]:
    asked = [real_share_size(run.left, real_fraction, generation) for generation in run.later]

    if real == "fresh":
        yield from run.fresh_problems("real", sum(asked), "use real: resampled")
    elif max(asked, default=0) > run.real:
        what = f"asks for {max(asked)} real samples, but there are only {run.real}"
        yield Problem("regime.real_fraction", what, "lower it, or lower samples")


def _fresh(left: int, *, generation: int, real_fraction: float | list[float], real: str) -> int:
    if real != "fresh":
        return 0
    return real_share_size(left, real_fraction, generation)


def _composition(n: int, *, real_fraction: float | list[float], real: str) -> Composition | None:
    fractions = real_fraction if isinstance(real_fraction, list) else [real_fraction]
    n_real = [real_share_size(n, fraction, 1) for fraction in fractions]
    parts = tuple((size, n - size) for size in n_real)

    if real == "fresh":
        return Composition("real and last", parts)

    # There is no closed form if generations have only some of their real samples in common.
    if len(set(n_real)) > 1:
        return None

    if real == "fixed" and n_real[0] > 0:
        return Composition("real and last", parts, shared=1 / n_real[0])
    return Composition("real and last", parts, shared=1 / n)


register(mix, needs=_needs, fresh=_fresh, composition=_composition)
