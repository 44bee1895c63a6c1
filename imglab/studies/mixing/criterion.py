"""Criteria by which a chain holds: the gate, real data alone, or a definition of collapse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imglab.measure.gate import judge_generation0
from imglab.studies.profile import EIGHT, collapse_profile

Rows = Sequence[Mapping[str, Any]]

GATE = "gate"
CONTROL = "control"
CRITERIA = (GATE, CONTROL, *(definition.name for definition in EIGHT))

FIRST_ONLY = "further_training"
"""The threshold that is measured of generation 0 alone."""


@dataclass(frozen=True)
class Criterion:
    """What a chain must do to hold.

    name        `gate`: its last generation meets what the gate asks of generation 0; `control`: it
                is as near to the chain on real data alone as the gate asks it to be to the floor;
                or a definition of collapse, which must not apply
    thresholds  of the gate
    trusted     metrics that the gate's threshold `trusted` applies to
    """

    name: str
    thresholds: Mapping[str, float]
    trusted: Sequence[str] = ()

    def judge(self, rows: Rows, control: Rows) -> tuple[bool | None, str]:
        """Say whether a chain holds, and why not; None where it cannot be decided.

        rows, control  metrics of all generations of the chain, and of the one on real data alone
        """
        if self.name == GATE:
            return self._judge(rows[-1], rows[-1]["floor"], self.thresholds)
        if self.name == CONTROL:
            return self._beside(rows[-1], control[-1])

        (answer,) = [row for row in collapse_profile(rows) if row.name == self.name]
        holds = {"yes": False, "no": True}.get(answer.verdict)
        return holds, f"{answer.name}: {answer.verdict} ({answer.reason})"

    def _beside(
        self, row: Mapping[str, Any], control: Mapping[str, Any]
    ) -> tuple[bool | None, str]:
        """Judge with the values of the control in place of the floors, whose deviations stay."""
        floor = {}
        for name, real in control["floor"].items():
            if isinstance(real, Mapping) and control.get(name) is not None:
                floor[name] = {**real, "mean": control[name]}

        thresholds = dict(self.thresholds)
        ratio = control.get("variance_ratio")
        if "variance_ratio" in thresholds and ratio is not None:
            thresholds["variance_ratio"] *= ratio
        return self._judge(row, floor, thresholds)

    def _judge(
        self, row: Mapping[str, Any], floor: Mapping[str, Any], thresholds: Mapping[str, float]
    ) -> tuple[bool | None, str]:
        lasting = {name: value for name, value in thresholds.items() if name != FIRST_ONLY}
        verdict = judge_generation0(row, floor, lasting, self.trusted)
        holds = {"good": True, "poor": False}.get(verdict["verdict"])
        return holds, "; ".join(verdict["reasons"])
