"""How many scores a detector's threshold lets pass."""

from __future__ import annotations

ONE_PERCENT, ONE_PER_MILLE, CERTAIN = 2.326, 3.090, 6.0


def share(z, threshold=ONE_PERCENT):
    return 100 * float((z > threshold).double().mean())
