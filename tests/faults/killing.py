"""Kills a run at a chosen moment, in a child of a process that has everything imported already.

A moment is counted in operations on the run's files: each open for writing, sync, rename, link,
removal and new folder, as the interpreter and `os.fsync` tell of them, and each event of the chain
(a step of a fit, the end of a stage).
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import time
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OPERATIONS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link")
workshop = multiprocessing.get_context("forkserver")
workshop.set_forkserver_preload(["tests.faults.killing_imports"])


@dataclass
class Moment:
    """The operation before which to die; torn: with the file that is being made durable cut to
    half, or to nothing.
    """

    at: int
    torn: bool = False


class _Counter:
    """Counts operations below a folder and dies at one of them."""

    def __init__(self, folder: Path, moment: Moment | None) -> None:
        self.count = 0
        self._folder, self._moment = str(folder), moment
        sys.addaudithook(self._heard)
        honest = os.fsync

        def fsync(fd: Any) -> None:
            self.passed(os.readlink(f"/proc/self/fd/{fd}"))
            honest(fd)

        os.fsync = fsync

    def passed(self, path: str = "") -> None:
        if self._moment is not None and self.count >= self._moment.at:
            if self._moment.torn and Path(path).is_file() and Path(path).name.startswith(".tmp-"):
                os.truncate(
                    path, random.Random(self.count).choice([0, Path(path).stat().st_size // 2])
                )
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += 1

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR) and self._below(path):
                self.passed()
        elif event in OPERATIONS and any(self._below(argument) for argument in arguments[:2]):
            self.passed()

    def _below(self, path: object) -> bool:
        return isinstance(path, str | os.PathLike) and os.path.abspath(path).startswith(
            self._folder
        )


def _work(
    config: str, out: str, changes: list[str], moment: Moment | None, results: bool, told
) -> None:
    from imglab.report.results import write_results
    from imglab.running.run import Run

    counter = _Counter(Path(out), moment)
    for _ in Run.from_file(config, out, changes).events():
        counter.passed()
    if results:
        write_results(Path(out))
    told.send(counter.count)


def _work_through(words: list[str], out: str, catalog: str, moment: Moment | None, told) -> None:
    """Run a command whose workers are this process, as long as its moment has not come."""
    from imglab.cli import main
    from imglab.studies.claims.catalog import Catalog
    from imglab.studies.pool import Pool

    def submit(_: object, __: str, job: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(job.run())
        return future

    stand_ins = {"__enter__": lambda self: self, "submit": submit, "__exit__": lambda *_: None}
    for name, stand_in in stand_ins.items():
        setattr(Pool, name, stand_in)
    Catalog.__init__.__defaults__ = (Path(catalog),)
    sys.argv = ["imglab", *words]

    counter = _Counter(Path(out), moment)
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
    told.send(counter.count)


def attempt_command(
    words: list[str], out: Path, *, catalog: Path, moment: Moment | None = None
) -> int | None:
    """Run a command that writes into `out`; return how many operations it took, None if killed.

    catalog  where claims are read from
    """
    ours, theirs = workshop.Pipe(duplex=False)
    child = workshop.Process(
        target=_work_through, args=(words, str(out), str(catalog), moment, theirs)
    )
    return _end_of(child, ours, theirs, f"{words} at {moment}")


def _end_of(child: Any, ours: Any, theirs: Any, what: str) -> int | None:
    child.start()
    theirs.close()
    child.join()
    if child.exitcode not in (0, -signal.SIGKILL):
        raise AssertionError(f"{what} ended with {child.exitcode}")
    return ours.recv() if child.exitcode == 0 else None


def attempt(
    config: Path,
    out: Path,
    *,
    changes=(),
    moment: Moment | None = None,
    seconds: float | None = None,
    results: bool = False,
) -> int | None:
    """Run, or go on with, a run; return how many operations it took, None where it was killed.

    seconds  kill it from outside after so long
    results  write its figures and its page as well
    """
    ours, theirs = workshop.Pipe(duplex=False)
    child = workshop.Process(
        target=_work, args=(str(config), str(out), list(changes), moment, results, theirs)
    )
    child.start()
    theirs.close()
    if seconds is not None:
        time.sleep(seconds)
        child.kill()
    child.join()
    if child.exitcode not in (0, -signal.SIGKILL):
        raise AssertionError(f"a run of {config} ended with {child.exitcode} at {moment}")
    return ours.recv() if child.exitcode == 0 else None
