"""What the benchmarks share."""

import atexit
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WITH_PEAK = """
import pathlib, sys
from imglab.cli import main
try:
    main()
finally:
    print(pathlib.Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0], file=sys.stderr)
"""
"""Runs the command line and prints its own peak memory in KiB last."""


def in_turn(ours: Callable, peer: Callable, runs: int) -> tuple[float, float]:
    """Return the median seconds of both, run alternately."""
    found: dict[Callable, list[float]] = {ours: [], peer: []}
    for _ in range(runs):
        for function in (ours, peer):
            began = time.perf_counter()
            function()
            found[function].append(time.perf_counter() - began)
    return statistics.median(found[ours]), statistics.median(found[peer])


def scratch() -> Path:
    """Return a new folder that goes with the process."""
    made = tempfile.TemporaryDirectory()
    atexit.register(made.cleanup)
    return Path(made.name)


def row(ours: float, peer: float, unit: str) -> dict:
    return {
        "ratio": round(peer / ours, 3),
        "ours": round(ours, 4),
        "peer": round(peer, 4),
        "unit": unit,
    }


def finish(work):
    """Run a fit to its end and return the fitted model."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value
