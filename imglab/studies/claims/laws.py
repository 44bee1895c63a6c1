"""From the means over many solvable chains to findings about their laws. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from imglab.studies.claims.finding import Finding, Verdict, finite

BEYOND = 0.8416
"""How many standard errors beyond its threshold an effect must lie to be seen in 80% of cases."""
WIDTH = 1.96
"""Standard errors on each side of a mean in its 95% interval."""


@dataclass(frozen=True)
class Comparison:
    """The mean of a metric over many chains, its standard error, and what a law expects."""

    metric: str
    generation: int
    mean: float
    error: float
    law: float

    @property
    def z(self) -> float:
        """The difference in standard errors; without any, values must be equal up to rounding."""
        difference = self.mean - self.law
        if self.error:
            return difference / self.error
        return 0.0 if abs(difference) < 1e-9 else math.inf

    def __str__(self) -> str:
        return (
            f"{self.metric} in generation {self.generation} {self.mean:.4g} +- {self.error:.2g}, "
            f"{self.law:.4g} expected, z {self.z:+.1f}"
        )


def find_z(says: str, comparisons: Sequence[Comparison], most: float) -> Finding:
    """Judge comparisons with a law: the largest |z| must be below `most`.

    Its power is the smallest relative error of the law that it would see with a chance of 80% in
    every metric, each in its sharpest generation. The estimate is that of the largest |z|, in units
    of the law (of 1, where the law is 0: the mean less the law, plus 1).
    """
    worst = max(comparisons, key=lambda each: abs(each.z))
    seen: dict[str, float] = {}
    for each in comparisons:
        if each.error and each.law:
            effect = (most + BEYOND) * each.error / abs(each.law)
            seen[each.metric] = min(effect, seen.get(each.metric, effect))
    texts = "; ".join(map(str, comparisons))

    scale = abs(worst.law) or 1.0
    estimate = 1 + (worst.mean - worst.law) / scale
    error = worst.error / scale
    return Finding(
        f"{says}: {worst.metric} in generation {worst.generation}",
        abs(worst.z) < most,
        estimate=finite(estimate),
        low=finite(estimate - WIDTH * error),
        high=finite(estimate + WIDTH * error),
        required=f"within {most:g} standard errors of the law",
        n=len(comparisons),
        why=f"largest of {len(comparisons)} z-scores: {texts}",
        outside=abs(worst.z) >= most,
        power=max(seen.values(), default=None),
        unit="mean over law",
        above=finite(1 - most * error),
        below=finite(1 + most * error),
        bound=f"the law is exact; |z| of {most:g} allows for 800 comparisons at 5%",
        z=finite(worst.z),
    )


def with_null(
    finding: Finding, comparisons: Sequence[Comparison], least: float, law: str, most: float = 4.0
) -> Finding:
    """Add the null run of a finding about a law: the same chains against a wrong law.

    That must be rejected, by a |z| above `least`. Otherwise the chains cannot tell the laws apart,
    and nothing is decided. A wrong law whose |z| is below `most` would have held.
    """
    worst = max((each.z for each in comparisons), key=abs, default=0.0)
    verdict: Verdict = "not decided"
    if abs(worst) > least:
        verdict = "does not hold"
    elif abs(worst) < most:
        verdict = "holds"

    is_rejected = verdict == "does not hold"
    null = {"law": law, "z": finite(worst), "rejected": is_rejected, "verdict": verdict}
    if is_rejected:
        return replace(finding, null=null)

    why = "the laws are the same in what is compared"
    if worst:
        times = math.ceil((least / abs(worst)) ** 2)
        why = f"about {times} times as many chains would tell the laws apart"
    return replace(finding, holds=False, null=null, why=f"{why}; {finding.why}")
