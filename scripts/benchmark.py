"""Measure what docs/benchmarks.md states, side by side with the public tools.

    python scripts/benchmark.py                    all benchmarks (about an hour on two cores)
    python scripts/benchmark.py text_fit prdc      some of the benchmarks
    python scripts/benchmark.py --json             one JSON object, with machine and versions
    python scripts/benchmark.py --peers --check    the comparisons; exit code 1 if one is below .95

A row is of a kind. `peer`: a public tool as a competent user would run it, at its best precision,
layout, batch and solver; `ratio` is the median, over at least five pairs of runs, of the tool's
computing time over ours, so that above 1 imglab is faster. `limit`: what the project promises, over
what was measured; below 1 the promise is broken. `reach` is the ratio that the project wants. Times
are of one thread unless OMP_NUM_THREADS says otherwise.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from typing import Any

from benchmark_images import (
    bench_diffusion_draw,
    bench_diffusion_fit,
    bench_generation,
    bench_image_memory,
)
from benchmark_metrics import STARTS, bench_frechet, bench_prdc, bench_start
from benchmark_report import bench_report
from benchmark_runs import (
    bench_digits,
    bench_long_chain,
    bench_safety,
    bench_small_chain,
    bench_text,
    bench_workers,
)
from benchmark_text import bench_text_draw, bench_text_fit
from benchmark_tools import Rows, commit, processor
from benchmark_view import bench_view

PEERS = {
    "diffusion_fit": bench_diffusion_fit,
    "diffusion_draw": bench_diffusion_draw,
    "generation": bench_generation,
    "text_fit": bench_text_fit,
    "text_draw": bench_text_draw,
    "prdc": bench_prdc,
    "frechet": bench_frechet,
}

LIMITS: Mapping[str, Callable[[], Rows]] = {
    **{name: partial(bench_start, name) for name in STARTS},
    "digits": bench_digits,
    "text": bench_text,
    "image_memory": bench_image_memory,
    "safety": bench_safety,
    "workers": bench_workers,
    "small_chain": bench_small_chain,
    "long_chain": bench_long_chain,
    "report": bench_report,
    "view": bench_view,
}

BENCHMARKS: Mapping[str, Callable[[], Rows]] = {**PEERS, **LIMITS}

LOWEST = {"peer": 0.95, "limit": 1.0}
"""The ratios below which `--check` fails, by the kind of a row."""


def run_alone(name: str) -> Rows:
    """Run one benchmark in its own process, since a child starts with its parent's peak memory."""
    command = [sys.executable, __file__, name, "--json"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows: Rows = json.loads(output)["rows"]
    return rows


def described() -> dict[str, Any]:
    """Return what the figures depend on: machine, threads, versions and commit."""
    packages = ("torch", "diffusers", "transformers", "accelerate", "torchmetrics")
    return {
        "processor": processor(),
        "threads": int(os.environ["OMP_NUM_THREADS"]),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
        "commit": commit(),
    }


def too_slow(rows: Rows) -> list[str]:
    """Return the names of rows whose ratio is below what their kind allows."""
    return [
        name
        for name, row in rows.items()
        if row["kind"] in LOWEST and row["ratio"] < LOWEST[row["kind"]]
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"some of: {', '.join(BENCHMARKS)}"
    )
    parser.add_argument("--peers", action="store_true", help="the comparisons with public tools")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a ratio is too low")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")

    names = arguments.names or list(BENCHMARKS)
    if arguments.peers:
        names = arguments.names or list(PEERS)
    rows: Rows = {}
    for name in names:
        measured = BENCHMARKS[name]() if len(names) == 1 else run_alone(name)
        rows |= measured
        if not arguments.json:
            for key, values in measured.items():
                print(f"{key:16} {values}", flush=True)
    if arguments.json:
        print(json.dumps({**described(), "rows": rows}, indent=1))

    slow = too_slow(rows)
    if arguments.check and slow:
        print(f"too slow: {', '.join(slow)}", file=sys.stderr)
        raise SystemExit(1)


if __name__ == "__main__":
    main()
