"""The eight definitions of model collapse, each as a test on one chain's metrics.

Schaeffer, Kazdan, Arulandu and Koyejo 2025, "Position: Model Collapse Does Not Mean What You
Think" (arXiv 2503.03150), sort the literature by them. The paper puts no number to any: thresholds
are choices of this file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from imglab.studies.profile.series import Candidate, Rows, Series, Unanswered, choose
from imglab.studies.profile.trend import Estimate, Values, change, pace, slope, steadiness

YES = "yes"
NO = "no"
OPEN = "not decided"

FACTOR = 10.0
"""Times by which the risk of generation 0 must grow for a rise to be called catastrophic."""
VANISHED = 0.05
"""Share of generation 0's variance below which variance counts as gone."""
NEGLIGIBLE = 0.001
"""Share of generation 0's variance as which no variance at all counts."""
MARGIN = 0.1
"""Share of generation 0's value: a change that is shown to be smaller counts as none."""
SHARE_MARGIN = 0.05
"""The same for shares, in absolute terms."""
AGAIN = 0.5
"""A pace that is shown to add less than this share, in as many generations again, is flat."""
SIZES = 4
"""Sizes of training sets below which nothing is said of scaling."""

RISK = (Candidate("perplexity"), Candidate("excess_risk"), Candidate("w2"), Candidate("fid"))
VARIANCE = (
    Candidate("variance_ratio", -1),
    Candidate("variance", -1),
    Candidate("heterozygosity", -1),
    Candidate("contrast_ratio", -1),
    Candidate("entropy", -1),
    Candidate("distinct_2", -1),
    Candidate("vendi", -1),
)
MODES = (
    Candidate("categories_alive", -1),
    Candidate("class_counts_corrected", -1),
    Candidate("classes_alive", -1),
)
"""Coverage is none of them: it falls when one single mode fades."""
TAILS = (
    Candidate("recall_by_decile.0", -1, share=True),
    Candidate("survival.1", -1, share=True),
    Candidate("rare_word_survival", -1, share=True),
    Candidate("tenth_survival", -1, share=True),
)
HALLUCINATION = (
    Candidate("precision_bounded", -1, share=True),
    Candidate("precision", -1, share=True),
)


@dataclass(frozen=True)
class Answer:
    """What a run says of a definition, with the reason; the interval is None if unbounded."""

    verdict: str
    metric: str | None
    number: float | None
    interval: tuple[float, float] | None
    reason: str


@dataclass(frozen=True)
class Run:
    """What the definitions are tested on.

    sizes  rows of further runs that differ in the size of the training set alone, by that size
    """

    rows: Rows
    format_version: int | None
    sizes: Mapping[int, Rows]

    def series(self, candidates: tuple[Candidate, ...]) -> Series:
        """Return the metric that answers a definition; raises Unanswered if there is none."""
        return choose(self.rows, candidates, self.format_version)


def risk_rises(run: Run) -> Answer:
    """Test for any increase of the risk."""
    return _worsens(run.series(RISK))


def risk_is_catastrophic(run: Run) -> Answer:
    """Test for a risk that grows by FACTOR within the run."""
    series = run.series(RISK)
    ratio = change(_logarithms(series), _relative_errors(series))
    limit = math.log(FACTOR)

    verdict = OPEN
    if ratio.low > limit:
        verdict = YES
    elif ratio.high < limit:
        verdict = NO

    shown = _exponentials(ratio)
    reason = f"the last half's {series.metric} is {shown.value:.3g} times generation 0's"
    return _answer(verdict, series, shown, f"{reason}; from {FACTOR:g} on it is catastrophic")


def risk_is_unbounded(run: Run) -> Answer:
    """Test for a risk that is still rising at the end, at an undiminished pace."""
    series = run.series(RISK)
    level = float(series.values[len(series.values) // 2 :].mean())
    return _goes_on(series, series.harm, AGAIN * level)


def variance_vanishes(run: Run) -> Answer:
    """Test for a variance that is gone, or falls at a steady rate."""
    series = run.series(VARIANCE)
    series = replace(series, values=_without_zeros(series.values))

    # The logarithm falls by the same amount in each generation if variance vanishes.
    logarithms = _logarithms(series)
    left = change(logarithms, _relative_errors(series))
    if left.high < math.log(VANISHED):
        shown = _exponentials(left)
        reason = f"{shown.value:.2g} of generation 0's {series.metric} is left in the last half"
        return _answer(YES, series, shown, reason)
    return _goes_on(series, -logarithms, -math.log(AGAIN), of="log ")


def scaling_worsens(run: Run) -> Answer:
    """Test for an exponent of the scaling law that is worse at the end than in generation 0.

    If the risk falls as n^-a in generation 0 and as n^-b in the last one, log(last / first) has the
    slope a - b over log n.
    """
    if len(run.sizes) < SIZES:
        what = f"needs runs of {SIZES} sizes of training set"
        raise Unanswered(f"{what}; one run has one size, and `imglab scale` compares several")

    ratios = []
    for rows in run.sizes.values():
        series = choose(rows, RISK, run.format_version)
        logarithms = _logarithms(series)
        ratios.append(float(logarithms[-1] - logarithms[0]))

    loss = slope(np.log(list(run.sizes)), np.array(ratios))
    reason = f"loss of the exponent of {series.metric} from the first to the last generation"
    return _answer(_rises(loss, SHARE_MARGIN), series, loss, reason)


def modes_vanish(run: Run) -> Answer:
    """Test for fewer classes or categories than in generation 0."""
    return _worsens(run.series(MODES))


def tails_vanish(run: Run) -> Answer:
    """Test for less of the rarest tenth, or the rare words, than in generation 0."""
    return _worsens(run.series(TAILS))


def hallucination_grows(run: Run) -> Answer:
    """Test for more samples outside the real support than in generation 0."""
    return _worsens(run.series(HALLUCINATION))


def _worsens(series: Series) -> Answer:
    """Answer whether the last half is worse than generation 0.

    A share is worse only where it lies further off than two sets of real data lie apart:
    generations that resemble the last one are nearer to each other than to generation 0.
    """
    rise = change(series.harm, series.errors)
    margin = MARGIN * abs(float(series.values[0]))
    if series.candidate.share:
        margin = SHARE_MARGIN

    verdict = _rises(rise, margin)
    if verdict == YES:
        rise = change(series.harm, np.maximum(series.errors, series.apart))
        if rise.low <= 0:
            verdict = OPEN
    shown = _in_direction(rise, series)
    reason = f"change of {series.metric} from generation 0 to the last half's mean"
    return _answer(verdict, series, shown, reason)


def _rises(rise: Estimate, margin: float) -> str:
    if rise.low > 0:
        return YES
    if rise.high < margin or rise.low == rise.high == 0:
        return NO
    return OPEN


def _goes_on(series: Series, harm: Values, margin: float, of: str = "") -> Answer:
    """Answer whether harm grows to the end at more than half the pace that it began with."""
    steady = steadiness(harm)
    later = harm[len(harm) // 2 :]
    late = pace(later)
    flat = late.high * (len(harm) - 1) < margin

    verdict = OPEN
    reason = "the generations do not tell a plateau from a steady pace"
    if steady.low > 0:
        verdict = YES
        reason = "the last half keeps more than half the pace of the first"
    elif steady.high < 0:
        verdict = NO
        reason = "the last half has less than half the pace of the first"
    elif flat:
        verdict = NO
        reason = "at the last half's pace, as many generations again would change little"

    shown = _in_direction(steady, series)
    at_end = series.candidate.worse * late.value
    name = f"{of}{series.metric} changes by {at_end:.2g} a generation in the last half"
    return _answer(verdict, series, shown, f"{name}; {reason} (number: less half the first pace)")


def _in_direction(harm: Estimate, series: Series) -> Estimate:
    """Return an estimate of harm as one of the metric itself."""
    if series.candidate.worse > 0:
        return harm
    return Estimate(*(0.0 - end for end in (harm.value, harm.high, harm.low)))  # 0, and not -0


def _without_zeros(values: Values) -> Values:
    """Return the values with a small one for each 0, so that all variance lost has a logarithm."""
    positive = values[values > 0]
    if len(positive) == 0 or values[0] <= 0:
        return values
    return np.where(values == 0, min(NEGLIGIBLE * values[0], positive.min()), values)


def _logarithms(series: Series) -> Values:
    if not (series.values > 0).all():
        raise Unanswered(f"{series.metric} is not positive throughout")
    return np.log(series.values)


def _relative_errors(series: Series) -> Values:
    errors: Values = series.errors / series.values
    return errors


def _exponentials(estimate: Estimate) -> Estimate:
    ends = (estimate.value, estimate.low, estimate.high)
    return Estimate(*(float(np.exp(min(end, 700.0))) for end in ends))


def _answer(verdict: str, series: Series, shown: Estimate, reason: str) -> Answer:
    ends = (shown.low, shown.high)
    if not math.isfinite(shown.value):
        return Answer(OPEN, series.metric, None, None, f"{series.metric} is too large to compare")

    interval = None
    if all(math.isfinite(end) for end in ends):
        interval = ends
    return Answer(verdict, series.metric, shown.value, interval, reason)
