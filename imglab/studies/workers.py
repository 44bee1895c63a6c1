"""Commands as processes, so many at a time. No torch."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

GRACE = 60.0
"""Seconds that a process has to save and end when the others are stopped."""


def run_commands(
    commands: Mapping[str, Sequence[str]], workers: int, show: Callable[[str, str], None]
) -> dict[str, int]:
    """Run each command, at most `workers` at a time, and return its exit code.

    `show` is given (name, line) for each line that a command prints. When the caller is interrupted, so are they.
    """
    running: dict[str, subprocess.Popen[str]] = {}
    stopping = False

    def follow(name: str) -> int:
        if stopping:
            return 3
        running[name] = process = subprocess.Popen(
            commands[name],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # so that a Ctrl-C reaches it once, from here
        )
        assert process.stdout is not None
        for line in process.stdout:
            show(name, line.rstrip("\n"))
        return process.wait()

    with ThreadPoolExecutor(workers) as pool:
        followed = {name: pool.submit(follow, name) for name in commands}
        try:
            return {name: future.result() for name, future in followed.items()}
        except KeyboardInterrupt:
            stopping = True
            for process in list(running.values()):
                process.terminate()
            for process in list(running.values()):
                try:
                    process.wait(GRACE)
                except subprocess.TimeoutExpired:
                    process.kill()
            raise
