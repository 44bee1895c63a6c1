"""Do standard errors say how a metric spreads when both sets are drawn again?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imglab.metrics.comparison import DISTRIBUTION, Reference, compare
from tests.metrics.references import normal

SHARES = ("precision", "recall", "coverage")
"""Beginnings of the names of shares, whose intervals are taken on the logit scale: near 1, where
most of them lie, the error falls with every sample that comes in, and value +- 1.96 errors is short
on the side away from 1."""


@dataclass(frozen=True)
class Redrawn:
    """What `draws` comparisons of fresh sets reported, against how they spread.

    ratio   reported standard error (root of the mean square) over the true spread, by metric
    inside  share of the draws whose 95% interval holds the mean of all draws, by metric
    """

    ratio: dict[str, float]
    inside: dict[str, float]


def redraw(draws, *, n, m, d, scale, shift):
    """Compare fresh normal sets of n real and m synthetic samples, with errors, many times."""
    rows = []
    for number in range(draws):
        scores = compare(
            real=Reference(normal(n, d, 2 * number)),
            synthetic=normal(m, d, 2 * number + 1, scale=scale, shift=shift),
            precision_recall_k=3,
            density_coverage_k=5,
            errors=True,
        )
        rows.append(scores.values)

    ratio, inside = {}, {}
    for name in DISTRIBUTION:
        if f"{name}_se" in rows[0]:
            values = np.array([row[name] for row in rows])
            errors = np.array([row[f"{name}_se"] for row in rows])
            ratio[name] = (errors**2).mean() ** 0.5 / values.std(ddof=1)
            inside[name] = covers(name, values, errors, smallest=0.5 / n).mean()
    return Redrawn(ratio, inside)


def covers(name, values, errors, *, smallest):
    """Say of each draw whether its 95% interval holds the mean of all, bool [draws]."""
    mean = values.mean()
    if not name.startswith(SHARES):
        return abs(values - mean) < 1.96 * errors

    shares = values.clip(smallest, 1 - smallest)
    odds = np.log(shares / (1 - shares))
    return abs(odds - np.log(mean / (1 - mean))) < 1.96 * errors / (shares * (1 - shares))
