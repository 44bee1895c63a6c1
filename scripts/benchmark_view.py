"""How fast `imglab view` opens 500 runs, and in how much memory, for scripts/benchmark.py."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmark_report import CHROMIUM_READY
from benchmark_tools import ROOT, Rows, limit_row, scratch, skipped_row

RUNS = 500
OPENINGS = 5


def bench_view() -> Rows:
    """From the command to the whole table of 500 runs in Chromium, half images, half vectors."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return {"view_open": skipped_row("Chromium is not installed")}
    from playwright.sync_api import sync_playwright

    runs = _runs(scratch())
    times = []
    computing = []
    memory = 0.0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(OPENINGS):
            tab = browser.new_page()
            began = time.perf_counter()
            server, url = _started(runs)
            tab.goto(url)
            tab.wait_for_selector(CHROMIUM_READY)
            times.append(time.perf_counter() - began)

            assert tab.locator("td.name").count() == RUNS
            tab.close()
            memory = max(memory, _peak_memory(server.pid))
            computing.append(_computing_seconds(server.pid))
            server.send_signal(signal.SIGINT)
            assert server.wait(10) == 0
        browser.close()

    return {
        "view_open": limit_row(min(times), 2, "s from the command to the table (limit)"),
        "view_computing": limit_row(min(computing), 2, "s of computing time of the server (limit)"),
        "view_memory": limit_row(memory, 200, "MB at peak (limit)"),
    }


def _started(runs: Path) -> tuple[subprocess.Popen[str], str]:
    """Start the server; return its process and the address that it prints."""
    command = [sys.executable, "-m", "imglab", "view", str(runs)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert server.stdout is not None
    url = server.stdout.readline().split()[0]
    return server, url


def _peak_memory(pid: int) -> float:
    """Return the peak memory of a process that goes on, in MB."""
    (peak,) = re.findall(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(peak) / 1024


def _computing_seconds(pid: int) -> float:
    """Return the computing time that a process has taken, start included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _runs(folder: Path) -> Path:
    """Copy a run of images and one of vectors, each with a seed and a size of its own."""
    import imglab

    runs = folder / "runs"
    for kind in ("image", "gaussian"):
        run = imglab.run(f"smoke/{kind}", out=folder / kind, show=False)
        text = (run.root / "config.yaml").read_text().partition("\n")[2]
        for number in range(RUNS // 2):
            copy = shutil.copytree(run.root, runs / kind / f"{number:03d}")
            changed = text.replace("\nseed: 0\n", f"\nseed: {number}\n")
            changed = changed.replace("n_test: ", f"n_test: {number % 5}")
            digest = hashlib.sha256(changed.encode()).hexdigest()
            sealed = f"# sha256 of what follows: {digest}\n{changed}"
            (copy / "config.yaml").write_text(sealed)
    return runs
