"""What the benchmarks share: processes to measure, times, and the rows of the result."""

from __future__ import annotations

import atexit
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from imglab.progress import Stage

T = TypeVar("T")
Rows: TypeAlias = dict[str, dict[str, Any]]
"""The result of a benchmark: name -> {"ratio", "ours", "peer", "unit"}."""

ROOT = Path(__file__).resolve().parent.parent

WITH_PEAK = """
import pathlib, sys
from imglab.cli import main
try:
    main()
finally:
    status = pathlib.Path("/proc/self/status").read_text()
    print(status.partition("VmHWM:")[2].split()[0], file=sys.stderr)
"""
"""Runs the command line and prints its peak memory in KiB at the end."""


def row(ours: float, peer: float, unit: str) -> dict[str, Any]:
    """Return one measurement beside that of its peer; a ratio above 1 means that ours is better."""
    return {
        "ratio": round(peer / ours, 3),
        "ours": round(ours, 4),
        "peer": round(peer, 4),
        "unit": unit,
    }


def seconds(work: Callable[[], object]) -> float:
    """Return how long `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_turn(
    ours: Callable[[], object], peer: Callable[[], object], runs: int
) -> tuple[float, float]:
    """Return the median seconds of both, run alternately."""
    our_times = []
    peer_times = []
    for _ in range(runs):
        our_times.append(seconds(ours))
        peer_times.append(seconds(peer))
    return statistics.median(our_times), statistics.median(peer_times)


class Stopwatch:
    """Measures how long pieces of work take, by their names."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = defaultdict(list)

    def run(self, name: str, work: Callable[[], T]) -> T:
        """Do a piece of work and return its result."""
        began = time.perf_counter()
        result = work()
        self.times[name].append(time.perf_counter() - began)
        return result

    def median(self, name: str) -> float:
        """Return the median seconds of a piece of work that was done several times."""
        return statistics.median(self.times[name])

    def first(self, *names: str) -> float:
        """Return the seconds that these pieces of work took together the first time."""
        return sum(self.times[name][0] for name in names)


def scratch() -> Path:
    """Return a new folder that is removed when the process ends."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return Path(folder.name)


def finish(work: Stage[T]) -> T:
    """Run a stage to its end and return its result."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result


def imglab_process(*arguments: str | Path) -> None:
    """Run the command line as a process, in the root of the repository."""
    command = [sys.executable, "-m", "imglab", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)


def peak_memory(*arguments: str | Path) -> float:
    """Run the command line as a process and return its peak memory in MB."""
    command = [sys.executable, "-c", WITH_PEAK, *map(str, arguments)]
    errors = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    return int(errors.split()[-1]) / 1024
