"""Whether a chain of a map holds, by its metrics or by the closed form of its config. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imglab.config.schema import RunConfig
from imglab.solvable.theory.predict import predict
from imglab.store.reading import is_number, metric_value
from imglab.studies.first_generations import judge_mean
from imglab.studies.mapping.columns import Cell, first_crossing
from imglab.studies.mapping.config import MapConfig
from imglab.studies.mixing.criterion import Criterion, Rows
from imglab.studies.sweeps.alarms import event_of
from imglab.studies.sweeps.warning_config import Event

EXACT_HALVINGS = 12
"""Halvings of a range by which the boundary of a closed form is searched."""


def judge_cell(
    criterion: Criterion | Event,
    position: float,
    seed: int,
    rows: Rows,
    controls: Sequence[Rows],
    poor: str,
) -> Cell:
    """Judge a chain by its last generation, and its generation 0 as a model that could collapse.

    poor      why its generation 0 is no good model, as `why_poor` says
    rows      metrics of all generations
    controls  of the chains on real data alone at the same position, that of this seed first; of the
              chain itself where the criterion needs none
    """
    blocked = poor
    if isinstance(criterion, Event):
        holds, reason, is_in_event = judge_event(rows, criterion)
        if is_in_event:
            blocked = blocked or reason
    else:
        holds, reason = criterion.judge(rows, controls)
    return Cell(position, seed, holds, reason, blocked)


def why_poor(
    first: Mapping[str, Any],
    of_column: Sequence[Mapping[str, Any]],
    gate: Mapping[str, float],
    trusted: Sequence[str],
) -> str:
    """Return why a chain's generation 0 does not pass the gate; "" where it does.

    Where it is that of the end that should hold, the mean over the seeds of the column decides, so
    that none is chosen by how it began; otherwise its own gate.

    first      its metrics
    of_column  those of each seed's chain at that end
    gate       the thresholds, and the metrics that `trusted` applies to
    """
    if _numbers(first) in [_numbers(each) for each in of_column]:
        verdict = judge_mean(of_column, gate, trusted)
    else:
        verdict = first.get("generation0") or {}
    if verdict.get("verdict") != "poor":
        return ""
    return "; ".join(verdict["reasons"])


def _numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if is_number(value)}


def judge_event(rows: Rows, event: Event) -> tuple[bool | None, str, bool]:
    """Say whether a chain's last generation is free of an event, why, and of generation 0.

    The last value is whether generation 0 is already in the event. The first is None where the
    metric, or the floor that the event refers to, is undefined.
    """
    ends = [rows[0], rows[-1]]
    values = [metric_value(row, event.metric) for row in ends]
    floor = rows[0]["floor"].get(event.metric) or {}
    if None in values or (event.relative_to == "floor" and not is_number(floor.get("sd"))):
        return None, f"{event.metric} or its floor is undefined", False

    generation = event_of(ends, event)
    what = f"{event.metric} is {values[0]:.3g} in generation 0 and {values[1]:.3g} in the last"
    if generation is None:
        return True, "", False
    return False, what, generation == 0


def exact_boundary(asked: MapConfig, column: float, level: float) -> dict[str, Any] | None:
    """Return the boundary that the closed form of a column's chains has; None where it has none.

    verdict   as of a column
    position  along the first axis; None without a boundary

    It is where the expected metric, over draws of the real data, meets the event. A single chain
    scatters about it. Where generation 0 is in the event on the side that fails, there is none.
    """
    event = asked.criterion
    if not isinstance(event, Event) or event.relative_to == "floor":
        return None

    blocked = {}

    def holds(position: float) -> bool | None:
        rows = expected_rows(asked.config(position, column, level, asked.seeds[0]), event.metric)
        if rows is None:
            return None
        answer, _, is_in_event = judge_event(rows, event)
        if answer is False:
            blocked[position] = is_in_event
        return answer

    crossing = first_crossing(holds, EXACT_HALVINGS)
    if crossing is None or (blocked and blocked[max(blocked)]):
        return None
    return {"verdict": crossing[0], "position": crossing[1]}


def expected_rows(config: RunConfig, metric: str) -> list[Mapping[str, Any]] | None:
    """Return rows of generations 0, 1, ... with the expected metric; None where theory has none."""
    real = getattr(config.modality, "n_train", None)
    if not isinstance(real, int):
        return None
    curve = predict(config, real, config.generations).get(metric)
    if curve is None:
        return None
    return [{"generation": g, "floor": {}, metric: value} for g, value in enumerate(curve)]
