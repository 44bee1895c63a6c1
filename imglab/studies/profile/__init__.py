"""Eight definitions of model collapse, each answered for a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from imglab.studies.profile import definitions
from imglab.studies.profile.definitions import FACTOR, OPEN, YES, Answer, Run
from imglab.studies.profile.series import Rows, Unanswered

PAPER = "Schaeffer et al. 2025, arXiv 2503.03150"


@dataclass(frozen=True)
class ProfileRow:
    """One definition of model collapse and what a run says of it.

    verdict   "yes", "no" or "not decided"; never "yes" if the interval includes no change
    number    what `reason` names; None if nothing was measured
    interval  its 95% interval, by itself; None if it is unbounded
    metric    the metric that was taken
    """

    name: str
    definition: str
    source: str
    verdict: str
    number: float | None
    interval: tuple[float, float] | None
    reason: str
    metric: str | None

    def as_json(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class _Definition:
    """A row before it is answered; `term` is the paper's name for it."""

    name: str
    term: str
    text: str
    test: Callable[[Run], Answer]


EIGHT = (
    _Definition(
        "risk rises",
        "any increase of population risk",
        "the last half of the run is worse on real data than generation 0",
        definitions.risk_rises,
    ),
    _Definition(
        "risk rises catastrophically",
        "catastrophic increase of population risk",
        f"the risk grows at least {FACTOR:g}-fold within the run",
        definitions.risk_is_catastrophic,
    ),
    _Definition(
        "risk rises without bound",
        "asymptotically diverging population risk",
        "the risk still rises at the end, at more than half its first pace",
        definitions.risk_is_unbounded,
    ),
    _Definition(
        "variance vanishes",
        "collapsing variance",
        "less than a twentieth is left, or it still falls at more than half its first rate",
        definitions.variance_vanishes,
    ),
    _Definition(
        "scaling worsens",
        "change in scaling law",
        "the risk falls more slowly with the size of the training set than in generation 0",
        definitions.scaling_worsens,
    ),
    _Definition(
        "modes vanish",
        "disappearance or entanglement of real modes",
        "fewer classes or categories of the real data are left than in generation 0",
        definitions.modes_vanish,
    ),
    _Definition(
        "tails vanish",
        "disappearance of real tail data",
        "less of the rarest real data is left than in generation 0",
        definitions.tails_vanish,
    ),
    _Definition(
        "hallucination grows",
        "appearance of hallucinated data",
        "more samples lie outside the real support than in generation 0",
        definitions.hallucination_grows,
    ),
)


def collapse_profile(
    rows: Rows,
    *,
    sizes: Mapping[int, Rows] | None = None,
    format_version: int | None = None,
) -> list[ProfileRow]:
    """Return eight rows, one for each definition of model collapse in the literature.

    rows            metrics of a run's generations, from 0 on
    sizes           rows of runs that differ in the size of their training set alone, by that size
    format_version  format of the run directory, which says why a metric is missing
    """
    run = Run(rows, format_version, sizes or {})
    poor = bool(rows) and _is_poor(rows[0])
    return [_row(definition, run, poor) for definition in EIGHT]


def _row(definition: _Definition, run: Run, poor: bool) -> ProfileRow:
    try:
        # Numbers that overflow leave the row undecided.
        with np.errstate(all="ignore"):
            answer = definition.test(run)
    except Unanswered as error:
        answer = Answer(OPEN, None, None, None, str(error))

    reason = answer.reason
    if poor and answer.verdict == YES:
        reason += "; generation 0 was poor, so this may be training and not collapse"
    return ProfileRow(
        name=definition.name,
        definition=definition.text,
        source=f'{PAPER}: "{definition.term}"',
        verdict=answer.verdict,
        number=answer.number,
        interval=answer.interval,
        reason=reason,
        metric=answer.metric,
    )


def _is_poor(row: Mapping[str, Any]) -> bool:
    """Say whether the gate called generation 0 poor."""
    gate = row.get("generation0")
    return isinstance(gate, Mapping) and gate.get("verdict") == "poor"
