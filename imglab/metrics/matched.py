"""Samples whose mean and scale are matched to those of real ones, seen in the tiles as they are.

A matched sample is a (y - m) + t, with one factor a for all. Its products with real samples follow
from those of y, and its distances to the others of its set are a times as long. So nothing is
multiplied again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from imglab.metrics.frechet import Coupling
from imglab.metrics.points import PAIRS, Points
from imglab.metrics.tiles import Consumer, Tile
from imglab.metrics.undefined import Undefined

STRETCHED = 4.0
"""Factor beyond which matched samples are multiplied by themselves: it stretches errors, too."""


class Matching(NamedTuple):
    """What matches synthetic samples y to real ones: factor (y - mean) + target.

    mean, target  float64 [D]
    """

    mean: Tensor
    factor: float
    target: Tensor

    @classmethod
    def of(cls, coupling: Coupling) -> Matching:
        """Make mean and total variance those of the real samples, as `match_moments` does.

        Raises `Undefined` where all synthetic samples are equal and the real ones are not.
        """
        variance = float(coupling.synthetic.covariance.trace())
        target = float(coupling.real.covariance.trace())
        if not variance and target:
            raise Undefined("all synthetic samples are equal: there is no spread to match")
        factor = 1.0
        if variance:
            factor = (target / variance) ** 0.5
        return cls(coupling.synthetic.mean, factor, coupling.real.mean)

    def frechet(self, coupling: Coupling) -> float:
        """Return the Fréchet distance of the matched samples to the real ones.

        Their means are equal, and their total variances too, unless all samples are equal.
        """
        variance = float(coupling.synthetic.covariance.trace()) * self.factor**2
        variance += float(coupling.real.covariance.trace())
        return max(0.0, variance - 2 * self.factor * coupling.trace_of_root)

    def of_rows(self, rows: Tensor) -> Tensor:
        """Match rows, float64 [B, D], in place."""
        return rows.sub_(self.mean).mul_(self.factor).add_(self.target)


class MatchedPoints(Points):
    """The distinct rows of a set, matched, in the frame of the set; they go into no product."""

    def __init__(self, points: Points, matching: Matching) -> None:
        vars(self).update(vars(points))
        self._matching = matching
        rows = torch.arange(len(self)).split(PAIRS)
        self.squares = torch.cat([self._squared_lengths_of(part) for part in rows])

    def values(self, which: Tensor | slice) -> Tensor:
        """Return some distinct rows, float64 [P, D]."""
        return self._matching.of_rows(super().values(which))

    def _squared_lengths_of(self, which: Tensor) -> Tensor:
        rows = self.values(which).mul_(self.frame.scale).sub_(self.frame.centre)
        return rows.square_().sum(1).to(self.dtype)


@dataclass(frozen=True)
class MatchedTile(Tile):
    """A tile of matched rows. Its products hold the errors of those that they come from."""

    original_lengths: Tensor

    @property
    def magnitude(self) -> Tensor:
        """What the error bound is a share of, [B, C]."""
        return self.lengths + self.original_lengths


class MatchedTiles:
    """Shows each tile of synthetic rows with real columns to others as one of matched rows.

    In a frame with centre c and scale s, a matched row is a y + g, g = s (t - a m) + (a - 1) c.
    """

    def __init__(self, synthetics: Points, reals: Points, matching: Matching) -> None:
        self.points = MatchedPoints(synthetics, matching)
        self.consumers: Sequence[Consumer] = ()
        self._factor = matching.factor

        frame = synthetics.frame
        shift = frame.scale * (matching.target - matching.factor * matching.mean)
        shift += (matching.factor - 1) * frame.centre.double()
        self._along = reals.along(shift).to(reals.dtype)  # [N]

    def radii(self, squared: Tensor) -> Tensor:
        """Return the squared radii of matched rows, given those of the rows themselves."""
        return squared * self._factor**2

    def add(self, tile: Tile) -> None:  # noqa: D102
        matched = MatchedTile(
            self.points,
            tile.others,
            tile.rows,
            tile.columns,
            torch.add(self._along[tile.columns], tile.products, alpha=self._factor),
            self.points.squares[tile.rows, None] + tile.others.squares[tile.columns],
            tile.lengths * self._factor,
        )
        for consumer in self.consumers:
            consumer.add(matched)

    def gather(self) -> None:  # noqa: D102
        for consumer in self.consumers:
            consumer.gather()
