"""Jobs in processes of this machine, each of which takes one job after another.

No torch here: a worker imports it with its first job, after its threads have been set.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from concurrent.futures import Future, ProcessPoolExecutor
from types import TracebackType

from imglab.errors import silence_libraries
from imglab.studies.jobs import Job, Outcome, Place

GRACE = 1.5
"""Seconds that workers have to save and end when all are stopped."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Pool(Place[Job]):
    """Worker processes that are started afresh, not forked: each imports what it needs."""

    def __init__(self, workers: int, threads: int = 1) -> None:
        """Run `workers` jobs at a time, each with `threads` threads for numerical libraries."""
        self.at_once = workers
        self._threads = threads

    def __enter__(self) -> Pool:
        context = multiprocessing.get_context("spawn")
        self._executor = ProcessPoolExecutor(
            self.at_once, context, initializer=_begin_worker, initargs=(self._threads,)
        )
        return self

    def submit(self, name: str, job: Job) -> Future[Outcome]:
        """Hand a job to the next worker that is free."""
        return self._executor.submit(job.run)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._executor.shutdown()
            return

        # The workers save meanwhile. Whoever does not end, in an import say, is ended: every file
        # is whole or missing.
        self._executor.shutdown(wait=False, cancel_futures=True)
        workers = multiprocessing.active_children()
        for process in workers:
            process.terminate()
        deadline = time.monotonic() + GRACE
        for process in workers:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()


def _begin_worker(threads: int) -> None:
    """Set what must be set before a worker imports its first job."""
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(threads)
    silence_libraries()

    # A Ctrl-C in the terminal reaches the parent process, which stops each worker once.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
