"""Measure what docs/benchmarks.md states, side by side with the public tools.

    python scripts/benchmark.py                 all benchmarks (about two hours on two cores)
    python scripts/benchmark.py prdc frechet    some of the benchmarks
    python scripts/benchmark.py --json          one JSON object

The result has "ratio", "ours", "peer" and "unit" for each name. `ratio` is peer / ours: above 1
imglab is better. Where there is no peer, `peer` is the limit that the project promises. Times are
medians of runs taken in turn.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from benchmark_images import (
    bench_diffusion_draw,
    bench_diffusion_fit,
    bench_generation,
    bench_image_memory,
)
from benchmark_metrics import bench_frechet, bench_help, bench_prdc
from benchmark_quality import bench_diffusion_quality
from benchmark_report import bench_report
from benchmark_runs import (
    bench_digits,
    bench_long_chain,
    bench_safety,
    bench_text,
    bench_workers,
)
from benchmark_text import bench_text_draw, bench_text_fit
from benchmark_tools import Rows

BENCHMARKS = {
    "prdc": bench_prdc,
    "frechet": bench_frechet,
    "help": bench_help,
    "text_fit": bench_text_fit,
    "text_draw": bench_text_draw,
    "digits": bench_digits,
    "text": bench_text,
    "diffusion_fit": bench_diffusion_fit,
    "diffusion_draw": bench_diffusion_draw,
    "diffusion_quality": bench_diffusion_quality,
    "generation": bench_generation,
    "image_memory": bench_image_memory,
    "safety": bench_safety,
    "workers": bench_workers,
    "long_chain": bench_long_chain,
    "report": bench_report,
}


def run_alone(name: str) -> Rows:
    """Run one benchmark in its own process, since a child starts with its parent's peak memory."""
    command = [sys.executable, __file__, name, "--json"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows: Rows = json.loads(output)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"some of: {', '.join(BENCHMARKS)}"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")

    names = arguments.names or list(BENCHMARKS)
    rows: Rows = {}
    for name in names:
        measured = BENCHMARKS[name]() if len(names) == 1 else run_alone(name)
        rows |= measured
        if not arguments.json:
            for key, values in measured.items():
                print(f"{key:16} {values}", flush=True)
    if arguments.json:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
