"""Do standard errors say how a metric spreads when both sets are drawn again?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from imglab.metrics import share_interval
from imglab.metrics.comparison import DISTRIBUTION, Reference, compare
from imglab.metrics.errors import neighbour_errors
from imglab.metrics.kernel import kernel_distance_of_both, standard_distance_of_both
from imglab.metrics.pairwise import SCALARS, Distances, neighbour_scores
from tests.metrics.references import normal

SHARES = ("precision", "recall", "coverage")
"""Beginnings of the names of shares, which have intervals of their own."""


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
            if f"{name}_interval" in rows[0]:
                ends = np.array([row[f"{name}_interval"] for row in rows])
                inside[name] = hold(ends, values.mean()).mean()
            else:
                inside[name] = covers(name, values, errors, n=n, m=m).mean()
    return Redrawn(ratio, inside)


def redraw_kernel(draws, *, n, m, d, scale, shift):
    """Do the same for the kernel distances alone, quickly; raw and standardised."""
    ratio, inside = {}, {}
    distances = {"kid": kernel_distance_of_both, "kid_standard": standard_distance_of_both}
    for name, distance in distances.items():
        rows = [
            distance(
                real=normal(n, d, 2 * number),
                synthetic=normal(m, d, 2 * number + 1, scale=scale, shift=shift),
            )
            for number in range(draws)
        ]
        values = np.array([row.value for row in rows])
        errors = np.array([row.of_both for row in rows])
        ratio[name] = (errors**2).mean() ** 0.5 / values.std(ddof=1)
        ends = np.array([(row.low, row.high) for row in rows])
        inside[name] = hold(ends, values.mean()).mean()
    return Redrawn(ratio, inside)


def redraw_shares(draws, *, n, m, d):
    """Draw two normal sets that are alike many times, and say of each share what it covers.

    The share of the draws whose 95% interval holds the mean of all draws, by metric.
    """
    keys = {"precision_recall_k": 3, "density_coverage_k": 5}
    members = torch.arange(n + m)[None].split([n, m], dim=1)
    rows = []
    for number in range(draws):
        real, synthetic = normal(n, d, 2 * number), normal(m, d, 2 * number + 1)
        distances = Distances.of(torch.cat([real, synthetic]), neighbours=n)
        (scores,) = neighbour_scores(distances, real=members[0], synthetic=members[1], **keys)
        errors = neighbour_errors(real=real, synthetic=synthetic, **keys)
        rows.append((scores, errors))

    inside = {}
    for name in SCALARS:
        if name.startswith(SHARES):
            values, errors = np.array([[row[name] for row in pair] for pair in rows]).T
            inside[name] = covers(name, values, errors, n=n, m=m).mean()
    return inside


def covers(name, values, errors, *, n, m):
    """Say of each draw whether its 95% interval holds the mean of all, bool [draws].

    Distances that cannot be negative have theirs on the log scale.

    n, m  how many real and synthetic samples there are
    """
    mean = values.mean()
    if name.startswith("fid"):
        return abs(np.log(values / mean)) < 1.96 * errors / values
    if not name.startswith(SHARES):
        return abs(values - mean) < 1.96 * errors

    size = m if name.startswith("precision") else n
    pairs = zip(values.tolist(), errors.tolist(), strict=True)
    ends = np.array([share_interval(value, error, n=size) for value, error in pairs])
    return hold(ends, mean)


def hold(ends, truth):
    """Say which intervals, [draws, 2], hold a number, bool [draws]."""
    return (ends[:, 0] < truth) & (truth < ends[:, 1])
