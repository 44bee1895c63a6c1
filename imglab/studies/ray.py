"""Jobs as tasks of a Ray cluster whose machines share the run directories. No torch."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from imglab.errors import InputError, Problem, Stopped, first_line
from imglab.failures import AGAIN
from imglab.studies.jobs import LOST, TRIES, Job, Outcome, Place

PATIENCE = 5.0
"""Seconds in which a cluster must accept a connection."""
ANSWER = 60.0
"""Seconds in which a cluster must let a process in."""
ASK_RAY = "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False)"


class Cluster(Place[Job]):
    """A Ray cluster that answers (`check_ray`). It gets all jobs at once and schedules them."""

    at_once = sys.maxsize

    def __init__(self, address: str) -> None:
        self._address = address

    def __enter__(self) -> Cluster:
        import ray

        self._tasks: list[Any] = []
        ray.init(address=self._address, log_to_driver=False)
        return self

    def check(self) -> None:
        """Raise Stopped if the head of the cluster is gone; Ray itself would wait for a minute."""
        try:
            _check_port(self._address)
        except OSError as error:
            what = f"the head of the Ray cluster at {self._address!r} does not answer"
            raise Stopped(f"{what}: {error.strerror or error}; {AGAIN}") from error

    def submit(self, name: str, job: Job) -> Future[Outcome]:
        """Hand a job to the cluster, which repeats it elsewhere if its worker dies."""
        import ray

        run = ray.remote(job.function).options(num_cpus=job.threads, max_retries=TRIES)
        task = run.remote(*job.arguments)
        self._tasks.append(task)

        outcome: Future[Outcome] = Future()
        task.future().add_done_callback(partial(_settle, outcome))
        return outcome

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        import ray

        try:
            if kind is not None:
                for task in self._tasks:
                    ray.cancel(task, force=False)
        finally:
            ray.shutdown()


def check_ray(address: str) -> None:
    """Raise InputError unless a Ray cluster answers at this address.

    Ray itself tries for minutes and then ends the process that asks, so another process asks.
    """
    if importlib.util.find_spec("ray") is None:
        raise InputError(
            Problem("--ray", "needs the package `ray`", "pip install 'imglab-collapse[ray]'")
        )

    try:
        _check_port(address)
        command = [sys.executable, "-c", ASK_RAY, address]
        asked = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER, check=False)
    except subprocess.TimeoutExpired as error:
        raise _no_cluster(address, f"no answer in {ANSWER:.0f} s") from error
    except (OSError, ValueError) as error:
        raise _no_cluster(address, first_line(error)) from error

    if asked.returncode:
        message = asked.stderr.strip() or "the process that asked ended without a message"
        raise _no_cluster(address, message.splitlines()[-1])


def _check_port(address: str) -> None:
    """Raise OSError if nothing listens at host:port, and ValueError if that is not an address."""
    if not address:
        raise ValueError("the address is empty")

    host, colon, port = _resolved(address).removeprefix("ray://").rpartition(":")
    if not colon:  # a name that only Ray resolves
        return
    if not port.isdecimal():
        raise ValueError("the port is not a number")
    socket.create_connection((host, int(port)), timeout=PATIENCE).close()


def _resolved(address: str) -> str:
    """Return the address that `auto` stands for, as Ray writes it down when a head starts."""
    if address != "auto":
        return address
    if os.environ.get("RAY_ADDRESS"):
        return os.environ["RAY_ADDRESS"]

    current = Path(os.environ.get("RAY_TMPDIR", "/tmp")) / "ray" / "ray_current_cluster"
    if not current.is_file():
        return address
    return current.read_text(encoding="utf-8", errors="replace").strip()


def _no_cluster(address: str, why: str) -> InputError:
    what = f"no Ray cluster answers at {address!r}: {why}"
    return InputError(Problem("--ray", what, "start one with `ray start --head`"))


def _settle(outcome: Future[Outcome], task: Future[Outcome]) -> None:
    """Give `outcome` what became of a task; a failure of Ray ends this job only."""
    from ray.exceptions import RayError

    error = task.exception()
    if isinstance(error, RayError):
        outcome.set_result(Outcome(1, f"{LOST}: {type(error).__name__}"))
    elif error is not None:
        outcome.set_exception(error)
    else:
        outcome.set_result(task.result())
