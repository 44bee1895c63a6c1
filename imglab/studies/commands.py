"""Jobs as commands: each is a process of its own whose output is shown line by line. No torch."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from imglab.studies.jobs import Outcome, Place

GRACE = 60.0
"""Seconds that a command has to save and end when the others are stopped."""


class Commands(Place[Sequence[str]]):
    """Processes of this machine, one for each command; the exit code is the outcome's code."""

    def __init__(self, workers: int, show: Callable[[str, str], None]) -> None:
        """Run `workers` commands at a time; `show` gets (name, line) for each line of output."""
        self.at_once = workers
        self._show = show

    def __enter__(self) -> Commands:
        self._processes: list[subprocess.Popen[str]] = []
        self._readers = ThreadPoolExecutor(self.at_once)
        return self

    def submit(self, name: str, job: Sequence[str]) -> Future[Outcome]:
        """Start a command."""
        process = subprocess.Popen(
            job,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # so that a Ctrl-C reaches it once, from here
        )
        self._processes.append(process)
        return self._readers.submit(self._read, name, process)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._stop()
        self._readers.shutdown()

    def _read(self, name: str, process: subprocess.Popen[str]) -> Outcome:
        """Show each line that a command prints, and wait for its end."""
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self._show(name, line.rstrip("\n"))
        return Outcome(process.wait())

    def _stop(self) -> None:
        """Ask the commands to save and end; kill those that do not listen."""
        for process in self._processes:
            process.terminate()

        for process in self._processes:
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
