"""What the page says in one sentence: the sides of collapse, and the metrics that show each."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Aspect:
    """One side of collapse: the metrics that show it, the most telling first.

    verb  what the best arm did, e.g. `kept`
    """

    metrics: tuple[str, ...]
    more_is_better: bool
    verb: str


LOSS = Aspect(
    metrics=(
        "recall_bounded",
        "recall",
        "coverage",
        "variance",
        "categories_alive",
        "classes_alive",
        "heterozygosity",
    ),
    more_is_better=True,
    verb="kept",
)
"""What collapse takes away."""
DAMAGE = Aspect(metrics=("perplexity", "fid", "w2"), more_is_better=False, verb="had")
"""What collapse adds."""

DISTANCE = replace(DAMAGE, metrics=("fid",))
SURPRISE = replace(DAMAGE, metrics=("perplexity",))
LOSS_OF_TEXT = replace(LOSS, metrics=("facts_alive", *LOSS.metrics))
OF_TEXT = (DISTANCE, LOSS_OF_TEXT, SURPRISE)
"""Of texts, the metric that calibration of the default extractor shows to see most comes first.

Words that change places move their Fréchet distance where a quarter of the sentences are hit, and
their recall only where all are (docs/metrics.md).
"""


def aspects_of(kind: str) -> tuple[Aspect, ...]:
    """Return what is said of a kind of data, in this order."""
    if kind == "text":
        return OF_TEXT
    return LOSS, DAMAGE
