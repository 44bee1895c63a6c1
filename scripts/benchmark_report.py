"""Benchmarks of the page that `imglab report` writes, for scripts/benchmark.py."""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmark_tools import ROOT, Rows, limit_row, peak_memory

CHROMIUM_READY = "body[data-ready]"
"""What the page's script sets when it is done."""


class Case(NamedTuple):
    """A page to write, and its limits."""

    arms: int
    generations: int
    seconds: float
    megabytes: float


CASES = (Case(2, 6, 5, 5), Case(4, 10, 5, 5), Case(8, 100, 60, 25))


def bench_report() -> Rows:
    """The page of 2 x 6, 4 x 10 and 8 x 100 generations of 64 digits.

    It measures seconds, megabytes, memory and the time to open the page.
    """
    rows: Rows = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        original = _run_one_generation(folder / "model")
        for case in CASES:
            runs = []
            for arm in range(case.arms):
                run = folder / f"{case.arms}-{arm}"
                _copy_generations(original, run, case.generations, seed=arm)
                runs.append(run)
            rows |= _bench_page(runs, folder / f"{case.arms}.html", case)
    return rows


def _bench_page(runs: list[Path], page: Path, case: Case) -> Rows:
    """Write the page of these runs three times, and open it."""
    times = []
    memory = 0.0
    for _ in range(3):
        began = time.perf_counter()
        peak = peak_memory("report", *runs, "--out", page)
        times.append(time.perf_counter() - began)
        memory = max(memory, peak)

    name = f"report_{case.arms}x{case.generations}"
    rows = {
        f"{name}_time": limit_row(statistics.median(times), case.seconds, "s (limit)"),
        f"{name}_size": limit_row(page.stat().st_size / 1e6, case.megabytes, "MB (limit)"),
        f"{name}_memory": limit_row(memory, 500, "MB at peak (limit)"),
    }
    seconds_to_open = _seconds_to_open(page)
    if seconds_to_open is not None:
        rows[f"{name}_open"] = limit_row(seconds_to_open, 2, "s to open in Chromium (limit)")
    return rows


def _run_one_generation(folder: Path) -> Path:
    """Make a run of one generation of digits, from which longer ones are made."""
    import imglab

    changes = ["generations=1", "model.training.images=6400", "modality.extractor.images=6400"]
    run = imglab.Run.from_file(ROOT / "configs" / "image_digits_8x8.yaml", folder, changes)
    for _ in run.generations():
        pass
    return folder


def _copy_generations(run: Path, folder: Path, generations: int, seed: int) -> None:
    """Copy the first generation of a run several times into a new run.

    Each copy has 64 other pictures and 192 other neighbours, so that the page cannot share them.
    """
    import numpy as np
    from safetensors.numpy import load_file, save_file

    from imglab.store import files
    from imglab.store.reading import read_manifest

    random = np.random.default_rng(seed)
    original = run / "generation_000"
    shown = load_file(original / "shown.safetensors")
    nearest = load_file(original / "exhibit.safetensors")
    metrics = json.loads((original / "metrics.json").read_text())
    manifest = read_manifest(run, 0)

    for g in range(generations):
        copy = folder / f"generation_{g:03d}"
        copy.mkdir(parents=True)

        noise = random.integers(0, 64, shown["data"].shape, dtype=np.uint8)
        pictures = shown["data"] // 4 * 3 + noise
        save_file({**shown, "data": pictures}, copy / "shown.safetensors")
        index = random.choice(nearest["rows"], nearest["index"].shape)
        save_file({**nearest, "index": index}, copy / "exhibit.safetensors")

        values = {**metrics, "generation": g, "recall": 1 / (g + 1), "fid": 20.0 * (g + 1)}
        (copy / "metrics.json").write_text(json.dumps(values))
        hashes = {"metrics.json": files.sha256_file(copy / "metrics.json")}
        files.write_signed(copy / "manifest.json", {**manifest, "generation": g, "files": hashes})

    for name in ("config.yaml", "environment.json", "events.jsonl"):
        shutil.copy(run / name, folder)


def _seconds_to_open(page: Path) -> float | None:
    """Return the median seconds until Chromium has opened a page and run its script.

    The page is opened from disk. Returns None where Chromium is not installed.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        return None
    from playwright.sync_api import sync_playwright

    times = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(5):
            tab = browser.new_page()
            began = time.perf_counter()
            tab.goto(page.as_uri())
            tab.wait_for_selector(CHROMIUM_READY)
            times.append(time.perf_counter() - began)
            tab.close()
        browser.close()
    return statistics.median(times)
