"""What the later generations of a run cost: computing time and samples seen. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imglab.store.event_log import read_events
from imglab.store.reading import is_number, read_environment

STAGES = ("model", "samples", "accepted")
"""What a generation is made by: its fit, with what a remedy adds, its draws, and curation."""

COSTS = ("cpu_seconds", "gpu_seconds", "samples_seen")


def cost_of(run: Path, rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Return what generations 1, 2, ... of a run cost; generation 0 may be shared by arms.

    cpu_seconds   of all threads, in the stages `STAGES`; None for runs of versions that did not
                  record them
    gpu_seconds   seconds for which these stages held the run's GPUs; None where it had none
    samples_seen  by the fits, those of self-training included
    """
    events = _events(run)
    environment = read_environment(run)
    gpu = None
    if environment.get("accelerator"):
        seconds = _total(events, "seconds")
        if seconds is not None:
            gpu = seconds * int(environment.get("processes") or 1)

    seen = [(row.get("training") or {}).get("samples_seen") for row in rows[1:]]
    samples = None
    if seen and all(map(is_number, seen)):
        samples = float(sum(number for number in seen if number is not None))
    return {
        "cpu_seconds": _total(events, "cpu_seconds"),
        "gpu_seconds": gpu,
        "samples_seen": samples,
    }


def _events(run: Path) -> list[Mapping[str, Any]]:
    """Return the last event of each stage of each later generation: one may be made twice."""
    path = run / "events.jsonl"
    if not path.is_file():
        return []
    stages: dict[tuple[int, str], Mapping[str, Any]] = {}
    for event in read_events(path):
        g = event.get("generation")
        if type(g) is int and g > 0 and event.get("stage") in STAGES:
            stages[g, str(event["stage"])] = event
    return list(stages.values())


def _total(events: Sequence[Mapping[str, Any]], key: str) -> float | None:
    """Return the sum of a number of events; None unless all have it."""
    values = [event.get(key) for event in events]
    if not values or not all(map(is_number, values)):
        return None
    return float(sum(value for value in values if value is not None))
