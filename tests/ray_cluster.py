"""A Ray cluster of this machine, one at a time: stopping one stops all that there are."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RAY = [sys.executable, "-m", "ray.scripts.scripts"]


@contextmanager
def cluster() -> Iterator[None]:
    """Start a cluster once no other test of this machine has one, and stop it in the end."""
    head = ["start", "--head", "--num-cpus=2", "--include-dashboard=false"]
    with (Path(tempfile.gettempdir()) / "imglab-test-ray.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        started = subprocess.run(
            [*RAY, *head], capture_output=True, text=True, timeout=120, check=False
        )
        assert started.returncode == 0, started.stderr
        try:
            yield
        finally:
            subprocess.run([*RAY, "stop", "--force"], capture_output=True, timeout=60, check=False)
