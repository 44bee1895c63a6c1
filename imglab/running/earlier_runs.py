"""What earlier runs on this machine cost: a small file in the user's cache folder."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import platform
import resource
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from imglab.config.schema import RunConfig
from imglab.distributed import launched
from imglab.errors import InputError
from imglab.running.environment import accelerator
from imglab.running.stage_costs import PAGE, Measured, grows
from imglab.store import files, layout
from imglab.store.event_log import read_events
from imglab.store.linked_copies import bytes_of
from imglab.version import __version__

CACHE = "IMGLAB_CACHE"
"""The variable that names the cache folder of the lab; set but empty: nothing is remembered."""

COSTS = "costs.json"
MOST = 200
"""Runs that are remembered."""

FIT = ("model",)
DRAW = ("samples", "evaluation")
MEASURE = ("features", "accepted", "metrics")
UNITS = {"linux": 1024}
"""Bytes of what `ru_maxrss` counts, by platform."""

IRRELEVANT = ("name", "generations", "seed", "tracker")
"""Keys of a config that change the cost of no stage."""


def cache_folder() -> Path | None:
    """Return the lab's folder in the user's cache; None if the user wants none."""
    chosen = os.environ.get(CACHE)
    if chosen is not None:
        return Path(chosen) if chosen else None
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "imglab"


def recalled(config: RunConfig, real: int) -> Measured | None:
    """Return what the latest run with the same relevant settings cost here; None: there is none.

    real  how many real training samples there are
    """
    entry = _entries().get(key_of(config, real))
    names = {field.name for field in fields(Measured)}
    if not isinstance(entry, dict) or set(entry) != names:
        return None
    return Measured(**entry)


def remember(config: RunConfig, run: Path, sizes: Sequence[int], *, real: int) -> None:
    """Remember what a finished run cost, unless it was interrupted, or there is no such folder.

    config  as the user wrote it, before `auto` had values
    sizes   how many samples each generation was trained on
    real    how many real training samples there are
    """
    measured = measured_of(config, run, sizes, real=real)
    if measured is not None:
        remember_measured(config, measured, real)


def remember_measured(config: RunConfig, measured: Measured, real: int) -> None:
    """Remember what the stages of a config cost, unless there is no folder for that."""
    folder = cache_folder()
    if folder is None:
        return

    # A cache that cannot be written is no reason to fail a run that is done.
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".costs.lock", timeout=5):
            entries = {**_entries(), key_of(config, real): asdict(measured)}
            newest = dict(list(entries.items())[-MOST:])
            files.write_json(folder / COSTS, newest)
    except (OSError, Timeout):
        return


def key_of(config: RunConfig, real: int) -> str:
    """Return a hash of what the cost of the stages depends on: settings, data, machine, program."""
    tree = config.model_dump(mode="json")
    relevant = {name: value for name, value in tree.items() if name not in IRRELEVANT}
    relevant["threads"] = f"{config.threads} {os.environ.get('OMP_NUM_THREADS', '')}"
    relevant["machine"] = [platform.node(), accelerator(), launched()]
    relevant["imglab"] = __version__
    relevant["real"] = real
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()[:16]


def measured_of(
    config: RunConfig, run: Path, sizes: Sequence[int], *, real: int
) -> Measured | None:
    """Return what the log of a finished run says that its stages cost.

    Where fits grow with their training sets, `sizes`, they are scaled to the `real` samples. None
    for a run that was not made in one go, or whose log cannot be read.
    """
    events = read_events(run / "events.jsonl")
    generations = layout.count_finished(run)
    whole = _seconds_in_all(events)
    if whole is None or not generations:
        return None

    fits = _seconds(events, generations, FIT)
    measures = _seconds(events, generations, MEASURE)
    draws = _seconds(events, generations, DRAW)
    stages = [sum(parts) for parts in zip(fits, measures, draws, strict=True)]
    prepare = _seconds_once(events)

    # All that no stage accounts for: pictures, sealing, and what is read anew.
    pictures = max(0.0, (whole - prepare - sum(stages)) / generations)
    disk_generation, disk_once = _disk(run, generations)
    if grows(config):
        fits = [fit * real / size for fit, size in zip(fits, sizes, strict=False)]
    return Measured(
        prepare=prepare,
        fit_first=fits[0],
        fit_later=_usual(fits),
        grows=grows(config),
        draw=statistics.fmean(draws),
        measure_first=measures[0],
        measure_later=_usual(measures),
        pictures=pictures,
        page=PAGE,
        disk_generation=disk_generation,
        disk_once=disk_once,
        memory=peak_memory(),
        source="an earlier run",
    )


def forget_peak() -> None:
    """Let the peak of memory begin anew, where the system can (Linux): at what is in use now."""
    gc.collect()
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_memory() -> int:
    """Return the most bytes of memory that this process has had at a time since `forget_peak`."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * UNITS.get(sys.platform, 1)


def size_below(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder; links of one file count once."""
    if path.is_file():
        return path.stat().st_size
    return bytes_of(inner for inner in path.rglob("*") if inner.is_file())


def _usual(seconds: Sequence[float]) -> float:
    """Return what a generation after the first takes; the first one's where it is the only one."""
    return statistics.fmean(seconds[1:] or seconds)


def _seconds_in_all(events: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the seconds of a run from begin to end; None if it was not made in one go."""
    begun = [event for event in events if event.get("event") == "begin"]
    ended = [event for event in events if event.get("event") == "finished"]
    if len(begun) != 1 or not ended:
        return None
    return float(ended[0]["time"]) - float(begun[0]["time"])


def _seconds_once(events: Sequence[Mapping[str, Any]]) -> float:
    """Return the seconds of what is done once, before the first generation."""
    once = [event for event in events if event.get("stage") in ("prepare", "reference")]
    seconds: float = sum(event.get("seconds", 0.0) for event in once)
    return seconds


def _seconds(
    events: Sequence[Mapping[str, Any]], generations: int, stages: Sequence[str]
) -> list[float]:
    """Return the seconds that these stages took in each generation."""
    totals = [0.0] * generations
    for event in events:
        g = event.get("generation")
        if isinstance(g, int) and g < generations and event.get("stage") in stages:
            totals[g] += float(event.get("seconds", 0.0))
    return totals


def _disk(run: Path, generations: int) -> tuple[dict[str, int], dict[str, int]]:
    """Return the bytes of a generation, the mean of all, and of what is written once, by stage."""
    stages = {"model": "fit", "samples.safetensors": "draw", "evaluation.safetensors": "draw"}
    stages |= {"features.safetensors": "measure", "metrics.json": "measure"}
    per_generation = {"fit": 0, "draw": 0, "measure": 0, "pictures": 0}
    present: dict[str, set[int]] = {name: set() for name in per_generation}
    linked: list[Path] = []
    for g in range(generations):
        for path in layout.generation_folder(run, g).iterdir():
            stage = stages.get(path.name, "pictures")
            per_generation[stage] += size_below(path)
            if path.name == "model":
                linked += (each for each in path.rglob("*") if each.stat().st_nlink > 1)
            if path.name != "metrics.json":
                present[stage].add(g)

    shared = size_below(run / "shared")
    beside = sum(path.stat().st_size for path in run.iterdir() if path.is_file())
    # Parts of models that all generations have alike are stored once.
    once = bytes_of(path for path in linked if path.is_file())
    per_generation["fit"] -= sum(path.stat().st_size for path in linked if path.is_file())

    # Some generations may have lost their files to a policy; a run may have no features at all.
    means = {
        name: size // (len(present[name]) or generations) for name, size in per_generation.items()
    }
    return means, {"prepare": shared, "fit": once, "pictures": beside}


def _entries() -> dict[str, Any]:
    folder = cache_folder()
    if folder is None or not (folder / COSTS).exists():
        return {}
    try:
        return files.read_json(folder / COSTS, ())
    except InputError:
        return {}
