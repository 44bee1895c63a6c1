"""What the benchmarks share: processes to measure, times, and the rows of the result."""

from __future__ import annotations

import atexit
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

Rows: TypeAlias = dict[str, dict[str, Any]]
"""The result of a benchmark: name -> the row of `peer_row`, `limit_row` or `skipped_row`."""

PAIRS = 5
"""Pairs of runs whose median is a row's ratio."""

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


def commit() -> str:
    """Return the commit of the working tree, and whether it was changed since."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True
    )
    return described.stdout.strip() or "unknown"


def processor() -> str:
    """Return the name of the processor."""
    with open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def limit_row(ours: float, most: float, unit: str) -> dict[str, Any]:
    """Return one measurement beside the limit that the project promises.

    A ratio below 1 means that the limit is passed.
    """
    return {
        "kind": "limit",
        "ratio": round(most / ours, 3),
        "reach": 1.0,
        "ours": round(ours, 4),
        "peer": round(most, 4),
        "unit": unit,
    }


def peer_row(pairs: Sequence[tuple[float, float]], unit: str, *, reach: float) -> dict[str, Any]:
    """Return one measurement beside that of a peer: the median of the ratios peer / ours of pairs.

    A ratio above 1 means that ours is faster.

    pairs  seconds of ours and of the peer, taken one after the other
    reach  the ratio that the project wants to reach
    """
    ratios = sorted(peer / ours for ours, peer in pairs)
    return {
        "kind": "peer",
        "ratio": round(statistics.median(ratios), 3),
        "reach": reach,
        "ours": round(statistics.median(ours for ours, _ in pairs), 4),
        "peer": round(statistics.median(peer for _, peer in pairs), 4),
        "pairs": len(pairs),
        "lowest": round(ratios[0], 3),
        "highest": round(ratios[-1], 3),
        "unit": unit,
    }


def skipped_row(reason: str) -> dict[str, Any]:
    """Return what stands for a measurement that cannot be taken here."""
    return {"kind": "skipped", "unit": reason}


def seconds(work: Callable[[], object]) -> float:
    """Return how long `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def computing_seconds(work: Callable[[], object]) -> float:
    """Return the computing time of `work`, of all threads and of processes that it waits for.

    Unlike the time on the clock it hardly depends on what else the machine does.
    """
    began = _computing_time()
    work()
    return _computing_time() - began


def _computing_time() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def in_pairs(
    ours: Callable[[], object], peer: Callable[[], object], runs: int = PAIRS
) -> list[tuple[float, float]]:
    """Return the computing seconds of both in each of some pairs of runs.

    One run of each goes before, so that both are warm. Who begins alternates.
    """
    ours()
    peer()
    pairs = []
    for number in range(runs):
        if number % 2:
            peer_s = computing_seconds(peer)
            our_s = computing_seconds(ours)
        else:
            our_s = computing_seconds(ours)
            peer_s = computing_seconds(peer)
        pairs.append((our_s, peer_s))
    return pairs


def cheapest(ways: Mapping[str, Callable[[], object]], runs: int = 2) -> str:
    """Return the name of the way that takes the least computing time, the median of some runs."""
    times = {}
    for name, work in ways.items():
        work()
        times[name] = statistics.median(computing_seconds(work) for _ in range(runs))
    return min(times, key=times.__getitem__)


def scratch() -> Path:
    """Return a new folder that is removed when the process ends."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return Path(folder.name)


def imglab_process(*arguments: str | Path) -> None:
    """Run the command line as a process, in the root of the repository."""
    command = [sys.executable, "-m", "imglab", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)


def peak_memory(*arguments: str | Path) -> float:
    """Run the command line as a process and return its peak memory in MB."""
    command = [sys.executable, "-c", WITH_PEAK, *map(str, arguments)]
    errors = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    return int(errors.split()[-1]) / 1024
