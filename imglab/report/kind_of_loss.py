"""Which kind of loss a chain shows: shifted moments, a lost tail, or lost structure. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imglab.report.values import Rows, standard_error
from imglab.store.reading import is_number

SURE = 2.0
"""Standard errors that a change must exceed."""

FADED = 0.02
"""How far the variance ratio must fall before the loss is called fading."""

MOSTLY = 0.5
"""Share of the rise from which on a cause counts as the main one."""


@dataclass(frozen=True)
class KindOfLoss:
    """What a rise of the Fréchet distance from generation 0 to the last one is made of.

    by_moments      share of the rise that goes when mean and scale are matched, in [0, 1]
    variance_ratio  of the last generation; None: undefined
    recall_lost     how far recall fell although mean and scale are matched
    precision_lost  how far precision fell although mean and scale are matched
    recall_drawn    how far recall fell as the samples were drawn; None: undefined
    variance_lost   how far the variance ratio fell; None: undefined
    error           what recall or precision have to fall by to count, in two standard errors
    """

    by_moments: float
    variance_ratio: float | None
    recall_lost: float
    precision_lost: float
    recall_drawn: float | None = None
    variance_lost: float | None = None
    error: float = 0.0

    @property
    def name(self) -> str:
        """Return `moments`, `tail`, `structure` or `neither`."""
        if self.by_moments >= MOSTLY:
            return "moments"
        if max(self.recall_lost, self.precision_lost) <= self.error:
            return "neither"
        if self.recall_lost > self.precision_lost:
            return "tail"
        return "structure"

    def described(self) -> str:
        """Say it in one or two sentences."""
        share = f"{self.by_moments:.0%} of the rise of the Fréchet distance"
        if self.name != "moments":
            matched = f"{share} goes when mean and scale are matched"
            if self.name == "neither":
                return f"{matched}; neither recall nor precision then falls beyond its error."
            rest = f"{matched}; what is left is mostly"
            if self.name == "tail":
                return f"{rest} a lost tail: recall falls by {self.recall_lost:.2f} even so."
            lost = f"precision falls by {self.precision_lost:.2f} even so"
            return f"{rest} lost structure: {lost}.{self._of_recall()}"

        cause = "a shift of mean and scale"
        if self.variance_ratio is not None and (self.variance_lost or 0.0) > FADED:
            cause = f"fading (the variance is {self.variance_ratio:.2f} of that of real data)"
        return (
            f"{share} is {cause}: it goes when mean and scale are matched, and recall then falls "
            f"by {self.recall_lost:.2f}, precision by {self.precision_lost:.2f}."
        )

    def _of_recall(self) -> str:
        """Say that recall fell with mean and scale alone, where it did."""
        if self.recall_drawn is None or self.recall_drawn <= 0:
            return ""
        if self.recall_lost > self.recall_drawn * (1 - MOSTLY):
            return ""
        drawn = f"Recall fell by {self.recall_drawn:.2f} as drawn"
        if self.recall_lost <= 0:
            return f" {drawn}, and does not fall when they are matched."
        return f" {drawn}, by {self.recall_lost:.2f} when they are matched."


def kind_of_loss(rows: Rows) -> KindOfLoss | None:
    """Return what a chain's rise of the Fréchet distance is made of.

    None where the distance did not rise by more than its error, or where the shape was not
    measured.
    """
    first = rows[0]
    last = rows[-1]
    rise = _difference(first, last, "fid")
    of_shape = _difference(first, last, "fid_shape")
    recall = _difference(last, first, "recall_shape")
    precision = _difference(last, first, "precision_shape")
    if rise is None or of_shape is None or recall is None or precision is None:
        return None

    if rise <= SURE * _error(first, last, "fid"):
        return None

    ratio = last.get("variance_ratio")
    if not is_number(ratio):
        ratio = None
    by_moments = min(1.0, max(0.0, 1 - of_shape / rise))
    drawn = _difference(last, first, "recall")
    faded = _difference(last, first, "variance_ratio")
    least = SURE * max(_error(first, last, "recall"), _error(first, last, "precision"))
    return KindOfLoss(by_moments, ratio, recall, precision, drawn, faded, least)


def _difference(one: Mapping[str, Any], other: Mapping[str, Any], metric: str) -> float | None:
    values = (one.get(metric), other.get(metric))
    if not all(map(is_number, values)):
        return None
    return float(other[metric]) - float(one[metric])


def _error(one: Mapping[str, Any], other: Mapping[str, Any], metric: str) -> float:
    """Return the standard error of a metric's change."""
    return math.hypot(standard_error(one, metric), standard_error(other, metric))
