"""Benchmarks of whole runs: their time, memory and overhead, for scripts/benchmark.py."""

from __future__ import annotations

import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmark_tools import ROOT, Rows, imglab_process, limit_row, seconds


def bench_text() -> Rows:
    """The main text config as a whole process: time, memory and the share spent outside stages."""
    return whole_run("text_pydoc", "text", most_seconds=300, most_memory=2048)


def bench_digits() -> Rows:
    """The main image config as a whole process: time, memory and the share spent outside stages."""
    return whole_run("image_digits", "digits", most_seconds=300, most_memory=1536)


def whole_run(config: str, name: str, *, most_seconds: float, most_memory: float) -> Rows:
    """Run a config as a process and compare it with its limits.

    The stages, outside which a run should spend little, are fit, sample and measure.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        run_seconds = seconds(lambda: imglab_process("run", f"configs/{config}.yaml", "--out", out))
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]

    inside = sum(event.get("seconds", 0) for event in events)
    outside = max(1e-6, 1 - inside / (events[-1]["time"] - events[0]["time"]))
    unit = "of the run is outside fit, sample and measure (limit)"
    return {
        f"{name}_seconds": limit_row(run_seconds, most_seconds, "s (limit)"),
        f"{name}_memory": limit_row(memory, most_memory, "MB (limit)"),
        f"{name}_outside": limit_row(outside, 0.02, unit),
    }


SAFETY = """
import os, sys, time
from imglab.store import files

spent = 0.0

def timed(function):
    def call(*arguments):
        global spent
        began = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            spent += time.perf_counter() - began
    return call

os.fsync = timed(os.fsync)
files.sha256_file = timed(files.sha256_file)

from imglab import Run
began = time.perf_counter()
for _ in Run.from_file("configs/image_digits.yaml", sys.argv[1], ["generations=2"]).events():
    pass
print(spent / (time.perf_counter() - began))
"""
"""Runs two generations and prints the share of the time that hashing and syncing take."""


def bench_safety() -> Rows:
    """The share of two generations of the main image config that hashing and syncing take."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", SAFETY, str(Path(folder) / "run")]
        process = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return {
        "safety": limit_row(
            float(process.stdout), 0.01, "of the run is hashing and syncing (limit)"
        )
    }


SWEEP = [
    "seeds=[0,1]",
    "arms={replace: {regime: replace}}",
    "contrasts=[]",
    "generations=10",
]
"""Changes to configs/sweep_digits.yaml for `bench_workers`."""


def bench_workers() -> Rows:
    """Four chains of digits by one worker and by two; the time that a sweep takes between runs.

    Threads change the last bits of a sum, so the same bytes come from one worker with as many
    threads as each of two has; a single worker without that setting takes both cores.
    """
    ways = {
        "one": (1, ["threads=1"]),
        "two": (2, ["threads=1"]),
        "both cores": (1, []),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    idle_shares = []
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(2):
            for way, (workers, threads) in ways.items():
                out = Path(folder) / f"{way}-{turn}"
                times[way].append(_sweep_seconds(out, workers, [*SWEEP, *threads]))
                if workers == 1:
                    idle_shares.append(_idle_share(out))

    one, two, both = (statistics.median(times[way]) for way in ways)
    idle = statistics.median(idle_shares)
    return {
        "two_workers": limit_row(
            two / one, 0.6, "of the time of one worker, the same bytes (limit)"
        ),
        "two_workers_both": limit_row(
            two / both, 1.0, "of the time of one worker with both cores (limit)"
        ),
        "between_runs": limit_row(idle, 0.01, "of a sweep is outside its runs (limit)"),
    }


def _sweep_seconds(out: Path, workers: int, changes: list[str]) -> float:
    """Return how long a sweep takes as a whole process."""
    options = ["--out", str(out), "--workers", str(workers)]
    for change in changes:
        options += ["--set", change]
    return seconds(lambda: imglab_process("sweep", "configs/sweep_digits.yaml", *options))


def _idle_share(sweep: Path) -> float:
    """Return the share of a sweep's time in which none of its runs is active; one worker."""
    spans = sorted(_span(log) for log in sweep.glob("*/*/events.jsonl"))
    idle = sum(after[0] - before[1] for before, after in itertools.pairwise(spans))
    return max(1e-6, idle / (spans[-1][1] - spans[0][0]))


def _span(log: Path) -> tuple[float, float]:
    """Return when a run's log begins and ends, in seconds."""
    times = [json.loads(line)["time"] for line in log.read_text().splitlines()]
    return times[0], times[-1]


SMALL = """
import itertools, statistics, sys, time
from imglab import Run

moments = []
run = Run.from_file("configs/smoke/gaussian.yaml", sys.argv[1], ["generations=201"])
for generation in run.generations():
    moments.append(time.process_time())

times = [1000 * (after - before) for before, after in itertools.pairwise(moments)]
print(statistics.median(times), statistics.median(times[150:199]) / statistics.median(times[:50]))
"""
"""Prints the computing time of a Gaussian chain's generation on disk, and how much it grows."""


def bench_small_chain() -> Rows:
    """Two hundred generations of vectors on disk: the computing time of each, late against early.

    The picture is that of the last generation alone, as by default.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", SMALL, str(Path(folder) / "run")]
        process = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    each, growth = map(float, process.stdout.split())
    return {
        "small_generation": limit_row(each, 40, "CPU-ms for a generation on disk (limit)"),
        # A regime reads the sizes of all generations before it: a few microseconds for each.
        "small_growth": limit_row(growth, 1.25, "generations 150 to 198 over 1 to 50 (limit)"),
    }


LONG_CHAIN = {
    "generations": 101,
    "regime": "accumulate",
    "start": "scratch",
    "shown": 4,
    "modality": {"kind": "image", "n_train": 700, "n_test": 397},
    "model": {
        "kind": "vae",
        "hidden": [64],
        "latent": 8,
        "training": {"images": 6_400, "batch": 64},
    },
}


def bench_long_chain() -> Rows:
    """A hundred generations that accumulate: memory and time per generation, late against early."""
    import imglab

    memory = []
    moments = [time.perf_counter()]
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "long.yaml"
        config.write_text(json.dumps(LONG_CHAIN))
        for _ in imglab.Run.from_file(config, Path(folder) / "run").generations():
            moments.append(time.perf_counter())
            status = Path("/proc/self/status").read_text()
            memory.append(int(status.partition("RssAnon:")[2].split()[0]) / 1024)

    durations = [after - before for before, after in itertools.pairwise(moments)]
    early = statistics.median(durations[10:30])
    late = statistics.median(durations[81:101])
    memory_unit = f"of generation 10's {memory[10]:.0f} MB (limit)"
    time_unit = f"generations 81 to 100 over 10 to 29 ({early:.2f} s each)"
    return {
        "memory_100": limit_row(memory[100] / memory[10], 1.05, memory_unit),
        "time_100": limit_row(late / early, 1.0, time_unit),
    }
