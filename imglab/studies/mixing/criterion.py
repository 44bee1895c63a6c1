"""Criteria by which a chain holds: the gate, real data alone, or a definition of collapse."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from imglab.measure.gate import judge_generation0
from imglab.store.reading import is_number
from imglab.studies.profile import EIGHT, collapse_profile

Rows = Sequence[Mapping[str, Any]]

GATE = "gate"
CONTROL = "control"
CRITERIA = (GATE, CONTROL, *(definition.name for definition in EIGHT))

FIRST_ONLY = "further_training"
"""The threshold that is measured of generation 0 alone."""

DEVIATIONS = 2.0
"""How many standard deviations a metric may lie away, where the gate asks for fewer: a search
judges many chains, and of those that are no worse one in six would lie more than one away.
"""

WITHIN = ("excess_fid", "trusted")
"""Thresholds that count standard deviations."""

MANY_RUNS = "scaling worsens"
"""The definition that asks for runs of several sizes."""


@dataclass(frozen=True)
class Criterion:
    """What a chain must do to hold.

    name        `gate`: its last generation meets what the gate asks of generation 0; `control`: it
                is as near to the chains on real data alone as the gate asks it to be to the floor;
                or a definition of collapse, which must not apply
    thresholds  of the gate; those that count deviations are at least `DEVIATIONS`
    trusted     metrics that the gate's threshold `trusted` applies to
    """

    name: str
    thresholds: Mapping[str, float]
    trusted: Sequence[str] = ()

    def judge(self, rows: Rows, controls: Sequence[Rows]) -> tuple[bool | None, str]:
        """Say whether a chain holds, and why not; None where it cannot be decided.

        rows      metrics of all generations of the chain
        controls  of the chains on real data alone, one for each seed, that of this seed first
        """
        if self.name == GATE:
            return self._judge(rows[-1], rows[-1]["floor"], self.thresholds)
        if self.name == CONTROL:
            return self._beside(rows[-1], [control[-1] for control in controls])

        # What collapses does so from the model of real data: generation 0 of a mixture may be bad.
        rows = [controls[0][0], *rows[1:]]
        (answer,) = [row for row in collapse_profile(rows) if row.name == self.name]
        holds = {"yes": False, "no": True}.get(answer.verdict)
        return holds, f"{answer.name}: {answer.verdict} ({answer.reason})"

    def _beside(
        self, row: Mapping[str, Any], controls: Sequence[Mapping[str, Any]]
    ) -> tuple[bool | None, str]:
        """Judge with the controls' means in place of the floors.

        The deviation is that of the floor and, beside it, that of one more chain on real data:
        chains on the same data differ by their training, too.
        """
        floor = {}
        for name, real in controls[0]["floor"].items():
            values = [control[name] for control in controls if is_number(control.get(name))]
            if not isinstance(real, Mapping) or not values:
                continue
            sd = math.hypot(real["sd"], _spread_of_another(values))
            floor[name] = {"mean": mean(values), "sd": sd}

        thresholds = dict(self.thresholds)
        ratios = [control.get("variance_ratio") for control in controls]
        defined = [ratio for ratio in ratios if ratio is not None]
        if "variance_ratio" in thresholds and defined:
            thresholds["variance_ratio"] *= mean(defined)
        holds, reason = self._judge(row, floor, thresholds)
        return holds, reason.replace("a floor of", "real data alone,").replace(
            "its floor of", "real data alone,"
        )

    def _judge(
        self, row: Mapping[str, Any], floor: Mapping[str, Any], thresholds: Mapping[str, float]
    ) -> tuple[bool | None, str]:
        lasting = {name: value for name, value in thresholds.items() if name != FIRST_ONLY}
        for name in set(WITHIN) & set(lasting):
            lasting[name] = max(DEVIATIONS, lasting[name])

        verdict = judge_generation0(row, floor, lasting, self.trusted)
        holds = {"good": True, "poor": False}.get(verdict["verdict"])
        return holds, "; ".join(verdict["reasons"])


def _spread_of_another(values: Sequence[float]) -> float:
    """Return the standard deviation of one more value about the mean of these; 0.0 for one value.

    `DEVIATIONS` of it leave out as many as of a normal law that is known: Student's prediction. Of
    more of it a few more lie outside.
    """
    from scipy import special

    n = len(values)
    if n < 2:
        return 0.0
    reach = float(special.stdtrit(n - 1, special.ndtr(DEVIATIONS)))
    return stdev(values) * math.sqrt(1 + 1 / n) * reach / DEVIATIONS
