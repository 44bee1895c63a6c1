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
"""Share from which on a part counts as the main one: of the rise that goes with the moments, and of
the fall of precision or recall that stays when these are matched."""


@dataclass(frozen=True)
class Fall:
    """How far precision or recall fell from generation 0 to the last one.

    matched  with the mean and the scale of the samples matched to those of real data
    drawn    as the samples were drawn; None: undefined
    """

    matched: float
    drawn: float | None = None

    @property
    def lost(self) -> float:
        """The fall that matching neither explains nor causes: the smaller of the two.

        Samples that keep to one half of the data, moved and widened to the moments of the whole,
        lie beside them: precision falls by the matching alone.
        """
        if self.drawn is None:
            return self.matched
        return min(self.matched, self.drawn)

    def way(self) -> str:
        """Say how far it fell or rose with the moments matched, e.g. `falls by 0.12`."""
        verb = "rises" if round(self.matched, 2) < 0 else "falls"
        return f"{verb} by {abs(self.matched):.2f}"


@dataclass(frozen=True)
class KindOfLoss:
    """What a rise of the Fréchet distance from generation 0 to the last one is made of.

    by_moments      share of the rise that goes when mean and scale are matched, in [0, 1]
    variance_ratio  of the last generation; None: undefined
    recall, precision  how far they fell
    variance_lost   how far the variance ratio fell; None: undefined
    error           what recall or precision have to fall by to count, in two standard errors
    share_error     two standard errors of `by_moments`, at most 1; None: not measured
    """

    by_moments: float
    variance_ratio: float | None
    recall: Fall
    precision: Fall
    variance_lost: float | None = None
    error: float = 0.0
    share_error: float | None = None

    @property
    def name(self) -> str:
        """Return `moments`, `tail`, `structure` or `neither`.

        Samples that do not look real cannot stand for real ones either, so recall falls with
        precision: it is a lost tail only where recall falls more than twice as far.
        """
        if self.by_moments >= MOSTLY and self._is_restored():
            return "moments"
        if max(self.recall.lost, self.precision.lost) <= self.error:
            return "neither"
        if self.precision.lost < MOSTLY * self.recall.lost:
            return "tail"
        return "structure"

    def described(self) -> str:
        """Say it in one or two sentences."""
        share = f"{self.by_moments:.0%}"
        if self.share_error is not None:
            share = f"{100 * self.by_moments:.0f} ± {100 * self.share_error:.0f}%"
        share += " of the rise of the Fréchet distance"
        if self.name != "moments":
            matched = f"{share} goes when mean and scale are matched"
            if self.name == "neither":
                return f"{matched}; neither recall nor precision then falls beyond its error."
            rest = f"{matched}; what is left is mostly"
            if self.name == "tail":
                return f"{rest} a lost tail: recall falls by {self.recall.lost:.2f} even so."
            lost = f"precision falls by {self.precision.lost:.2f} even so"
            return f"{rest} lost structure: {lost}.{self._of_recall()}"

        cause = "a shift of mean and scale"
        if self.variance_ratio is not None and (self.variance_lost or 0.0) > FADED:
            cause = f"fading (the variance is {self.variance_ratio:.2f} of that of real data)"
        then = f"recall then {self.recall.way()}, precision {self.precision.way()}"
        if self.share_error is not None and self.by_moments - self.share_error < MOSTLY:
            matched = f"{share} goes when mean and scale are matched"
            return f"{matched}, so that most of it may be {cause} or not: {then}."
        return f"{share} is {cause}: it goes when mean and scale are matched; {then}."

    def _is_restored(self) -> bool:
        """Say whether most of what precision and recall lost comes back with mean and scale."""
        drawn = [fall.drawn for fall in (self.recall, self.precision) if fall.drawn is not None]
        stays = max(self.recall.lost, self.precision.lost)
        return not drawn or stays <= max(self.error, MOSTLY * max(drawn))

    def _of_recall(self) -> str:
        """Say that recall fell with mean and scale alone, where it did."""
        drawn = self.recall.drawn
        if drawn is None or drawn <= 0 or self.recall.matched > drawn * (1 - MOSTLY):
            return ""

        as_drawn = f" Recall fell by {drawn:.2f} as drawn"
        if self.recall.matched <= 0:
            return f"{as_drawn}, and does not fall when they are matched."
        return f"{as_drawn}, by {self.recall.matched:.2f} when they are matched."


def kind_of_loss(rows: Rows) -> KindOfLoss | None:
    """Return what a chain's rise of the Fréchet distance is made of.

    None where the distance did not rise by more than its error, or where the shape was not
    measured. Precision and recall are those with bounded balls, which no outlier lifts, where the
    chain has them.
    """
    first = rows[0]
    last = rows[-1]
    rise = _difference(first, last, "fid")
    of_shape = _difference(first, last, "fid_shape")
    if rise is None or of_shape is None or rise <= SURE * _error(first, last, "fid"):
        return None

    for suffix in ("_bounded", ""):
        names = (f"recall{suffix}", f"precision{suffix}")
        recall, precision = (_fall(first, last, name) for name in names)
        if recall is not None and precision is not None:
            break
    else:
        return None

    ratio = last.get("variance_ratio")
    if not is_number(ratio):
        ratio = None
    by_moments = min(1.0, max(0.0, 1 - of_shape / rise))
    faded = _difference(last, first, "variance_ratio")
    least = SURE * max(_error(first, last, name) for name in names)
    share_error = _share_error(first, last, rise, of_shape)
    return KindOfLoss(by_moments, ratio, recall, precision, faded, least, share_error)


def _share_error(
    first: Mapping[str, Any], last: Mapping[str, Any], rise: float, of_shape: float
) -> float | None:
    """Return two standard errors of the share of a rise that goes with the moments.

    The rise is what goes plus what stays. The errors of the distance's own parts stand for theirs:
    of means and variance for the one, of the rest for the other.
    """
    parts = ("fid_mean", "fid_variance", "fid_rest")
    if not all(is_number(row.get(f"{part}_se")) for row in (first, last) for part in parts):
        return None
    mean, variance, rest = (_error(first, last, part) for part in parts)
    stays = min(1.0, max(0.0, of_shape / rise))
    error = SURE * math.hypot(stays * mean, stays * variance, (1 - stays) * rest) / rise
    return min(1.0, error)


def _fall(first: Mapping[str, Any], last: Mapping[str, Any], metric: str) -> Fall | None:
    """Return how far a metric fell; None where it was not measured with moments matched."""
    matched = _difference(last, first, f"{metric}_shape")
    if matched is None:
        return None
    return Fall(matched, _difference(last, first, metric))


def _difference(one: Mapping[str, Any], other: Mapping[str, Any], metric: str) -> float | None:
    values = (one.get(metric), other.get(metric))
    if not all(map(is_number, values)):
        return None
    return float(other[metric]) - float(one[metric])


def _error(one: Mapping[str, Any], other: Mapping[str, Any], metric: str) -> float:
    """Return the standard error of a metric's change."""
    return math.hypot(standard_error(one, metric), standard_error(other, metric))
