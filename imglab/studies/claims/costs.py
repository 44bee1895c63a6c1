"""What chains of claims have cost, in CPU seconds, as the log of their folder records it. No torch.

Times stand in events.jsonl alone, so that all other files are the same whoever runs the claims.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from imglab.store.event_log import EventLog
from imglab.store.reading import is_number
from imglab.studies.jobs import Job, Outcome

LOG = "events.jsonl"


@dataclass(frozen=True)
class Timed:
    """What a job computed, and the CPU seconds of all its threads."""

    value: Any
    seconds: float


def timed(job: Job) -> Job:
    """Return a job whose outcome's value is a Timed."""
    return Job(_run, (job,), job.threads)


def _run(job: Job) -> Outcome:
    begin = time.process_time()
    outcome = job.run()
    return replace(outcome, value=Timed(outcome.value, time.process_time() - begin))


def record_costs(folder: Path, outcomes: Mapping[str, Outcome]) -> None:
    """Add to the log of a folder what jobs have cost, by the names of their chains."""
    log = EventLog(folder / LOG)
    for name, outcome in outcomes.items():
        if isinstance(outcome.value, Timed):
            seconds = round(outcome.value.seconds, 3)
            log.append(event="claims", chains=name, cpu_seconds=seconds)


def read_costs(folder: Path) -> dict[str, float]:
    """Return the CPU seconds of chains by their names; those that ran in parts are added up."""
    costs: dict[str, float] = defaultdict(float)
    for event in _events(folder / LOG):
        name = event.get("chains")
        seconds = event.get("cpu_seconds")
        if isinstance(name, str) and isinstance(seconds, int | float) and is_number(seconds):
            costs[name] += seconds
    return dict(costs)


def cost_of(chains: Iterable[str], costs: Mapping[str, float]) -> float | None:
    """Return the CPU seconds of chains; None if the log does not know one of them.

    >>> cost_of(["a", "b"], {"a": 1.5, "b": 2.0, "c": 9.0})
    3.5
    """
    names = set(chains)
    if not names or not names <= set(costs):
        return None
    return round(sum(costs[name] for name in names), 1)


def _events(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the events of a log; a line that a power cut has torn is left out."""
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event
