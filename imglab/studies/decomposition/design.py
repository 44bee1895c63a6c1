"""Factorial designs: which cells are run, and how effects are estimated from them. No torch.

A cell gives each factor one of its levels, by number; level 0 is the factor's reference. A main
effect is the mean outcome at a level less that at the reference, averaged over the other factors.
An interaction is a difference of such differences: by how much the effect of one factor is larger
at a level of another factor than at that factor's reference (Box, Hunter and Hunter 2005, chapters
5 and 6, who halve interactions).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Kind: TypeAlias = Literal["full", "fractional"]
Cell: TypeAlias = tuple[int, ...]
Array: TypeAlias = NDArray[np.float64]

NEGLIGIBLE = 1e-9
"""Coefficients below this are rounding errors."""


@dataclass(frozen=True)
class Effect:
    """What is estimated: one (factor, level) for a main effect, two for an interaction."""

    parts: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Design:
    """Cells, the effects that they can tell apart, and how.

    weights  float64 [effects, cells]: an effect is the weighted sum of the cells' outcomes
    aliases  effects that the design cannot tell from others: those others with their coefficients
    """

    cells: tuple[Cell, ...]
    effects: tuple[Effect, ...]
    weights: Array
    aliases: Mapping[Effect, Mapping[Effect, float]]


def make_design(levels: Mapping[str, int], kind: Kind = "full") -> Design:
    """Return the design of factors with so many levels each.

    `full` has every combination. `fractional` has every second one, those whose level numbers have
    an even sum: with two levels for each factor, the regular half fraction of highest resolution.
    Effects are least-squares estimates in a model of main effects, and of interactions of two
    factors where the cells can tell them apart.

    Raises ValueError if the cells cannot even tell the main effects apart.

    >>> make_design({"a": 2, "b": 2, "c": 2}, "fractional").cells
    ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0))
    """
    cells = tuple(product(*(range(count) for count in levels.values())))
    if kind == "fractional":
        cells = tuple(cell for cell in cells if sum(cell) % 2 == 0)

    mains = [Effect(((name, k),)) for name, count in levels.items() for k in range(1, count)]
    pairs = [
        Effect(one.parts + two.parts)
        for one, two in combinations(mains, 2)
        if one.parts[0][0] != two.parts[0][0]
    ]

    effects = mains + pairs
    columns = _columns(cells, levels, effects)
    if not _are_independent(columns):
        effects = mains
        columns = _columns(cells, levels, effects)
    if not _are_independent(columns):
        raise ValueError("these cells cannot tell the main effects of the factors apart")

    # The first row estimates the mean.
    weights: Array = np.linalg.pinv(columns)[1:].astype(np.float64)
    omitted = [pair for pair in pairs if pair not in effects]
    aliases = _aliases(effects, omitted, weights @ _columns(cells, levels, omitted)[:, 1:])
    return Design(cells, tuple(effects), weights, aliases)


def _columns(cells: Sequence[Cell], levels: Mapping[str, int], effects: Sequence[Effect]) -> Array:
    """Return the model's columns, float64 [cells, 1 + effects]: a constant, then each effect's.

    The column of a level is its indicator less 1 / levels, and that of an interaction a product.
    So the coefficients are averages over the other factors, and not effects at their references.
    """
    place = {name: at for at, name in enumerate(levels)}
    columns = np.ones((len(cells), 1 + len(effects)))

    for number, effect in enumerate(effects, 1):
        for name, level in effect.parts:
            is_there = np.array([cell[place[name]] == level for cell in cells])
            columns[:, number] *= is_there - 1 / levels[name]
    return columns


def _are_independent(columns: Array) -> bool:
    rank = int(np.linalg.matrix_rank(columns))
    return bool(rank == columns.shape[1])


def _aliases(
    effects: Sequence[Effect], omitted: Sequence[Effect], coefficients: Array
) -> dict[Effect, dict[Effect, float]]:
    """Return which omitted effects enter each estimate; coefficients float [effects, omitted]."""
    aliases: dict[Effect, dict[Effect, float]] = {}
    for effect, row in zip(effects, coefficients, strict=True):
        mixed = {
            other: float(value)
            for other, value in zip(omitted, row, strict=True)
            if abs(value) > NEGLIGIBLE
        }
        if mixed:
            aliases[effect] = mixed
    return aliases
