"""Runs as jobs of a process pool or of a Ray cluster: independent, resumable, told apart only by their folders.

No torch here: a worker imports it when it begins its first job, after its threads have been set.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imglab.config.load import dump_config
from imglab.config.schema import RunConfig
from imglab.config.yaml import parse_yaml, read_yaml
from imglab.errors import InputError, Problem, first_line

TRIES = 3
"""Times that a job may lose its worker before it is given up."""
POLL = 1.0
"""Seconds between two looks at how far the jobs are."""
PATIENCE = 5.0
"""Seconds in which a cluster must answer."""
ANSWER = 60.0
"""Seconds in which it must let a process in."""
ASK_RAY = "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False)"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
LOST = "its worker died"
_ENDING = threading.Event()
"""Set in a worker that has been told to stop."""


@dataclass(frozen=True)
class Job:
    """A run: its config as YAML, its directory, the threads that it is to use.

    prepared, first  folders of its `imglab.run.cache.RunCache`
    """

    config: str
    folder: str
    threads: int
    prepared: str
    first: str


@dataclass(frozen=True)
class Outcome:
    """How a job ended: an exit code as of the command line, and what there is to say."""

    code: int
    message: str = ""


def make_job(config: RunConfig, folder: Path, threads: int, cache: Path) -> Job:
    """Make the job of running `config` in `folder`, with `threads` unless it or the run there says otherwise.

    Runs share what is the same in them, in folders below `cache`.
    """
    own = _stored_threads(folder) or (threads if config.threads == "auto" else config.threads)
    if not (folder / "config.yaml").exists():
        config = config.model_copy(update={"threads": own})
    tree = config.model_dump(mode="json")
    prepared = {key: tree[key] for key in ("modality", "measure", "samples", "curate")}
    fitted = {key: tree[key] for key in ("modality", "model", "base", "seed")} | {
        "scratch": config.start == "scratch"
    }
    return Job(
        config=dump_config(config),
        folder=str(folder.resolve()),
        threads=own,
        prepared=str((cache / _sign(prepared, own)).resolve()),
        first=str((cache / _sign(fitted, own)).resolve()),
    )


def _stored_threads(folder: Path) -> int | None:
    """Return the threads of the run in `folder`, if there is one: with others it would not come out the same."""
    path = folder / "config.yaml"
    stored = read_yaml(path) if path.exists() else None
    threads = stored.get("threads") if isinstance(stored, dict) else None
    return threads if isinstance(threads, int) else None


def _sign(*values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def run_job(job: Job) -> Outcome:
    """Run a chain, or the rest of it, to its end."""
    from imglab.config.load import validate_config
    from imglab.errors import Stopped
    from imglab.run.cache import RunCache
    from imglab.run.interrupt import StopRequest
    from imglab.run.run import Run

    folder, parent = Path(job.folder), multiprocessing.parent_process()
    if _ENDING.is_set():
        return Outcome(3, "stopped")
    try:
        config = validate_config(parse_yaml(job.config, job.folder), job.folder)
        run = Run(
            config, folder, where=job.folder, shelf=RunCache(Path(job.prepared), Path(job.first))
        )
        with StopRequest((signal.SIGTERM,)) as stop:
            for _ in stop.heeded(run.events()):
                if parent is not None and not parent.is_alive():
                    stop.ask()  # nobody is left to take the outcome
    except InputError as error:
        return Outcome(2, str(error))
    except KeyboardInterrupt:
        _ENDING.set()  # a job that waits for a worker still must not begin in this one
        return Outcome(3, "stopped")
    except Stopped as stopped:
        return Outcome(3, str(stopped))
    except Exception as error:  # the other runs go on; this one's command shows where it came from
        return Outcome(
            1,
            f"{type(error).__name__}: {error}; `imglab run {folder}/config.yaml --out {folder}` shows where",
        )
    return Outcome(0)


def run_in_pool(
    jobs: Mapping[str, Job], workers: int, watch: Callable[[], None]
) -> dict[str, Outcome]:
    """Run jobs in processes, at most `workers` at a time; `watch` is called now and then.

    A worker that dies takes nothing finished with it: what was in hand goes on in another from the last finished
    stage. A job that may have killed its worker again and again is tried once more alone, so that no neighbour is
    given up for it. When the caller is interrupted, the workers finish their step, save and end, and
    KeyboardInterrupt goes on.
    """
    done: dict[str, Outcome] = {}
    losses: Counter[str] = Counter()
    while left := [name for name in jobs if name not in done]:
        batch = [name for name in left if losses[name] < TRIES - 1] or left[:1]
        threads = max(jobs[name].threads for name in batch)
        with ProcessPoolExecutor(
            workers, multiprocessing.get_context("spawn"), _begin_worker, (threads,)
        ) as pool:
            try:
                losses.update(
                    _work_through(pool, workers, {name: jobs[name] for name in batch}, done, watch)
                )
            except KeyboardInterrupt:
                pool.shutdown(wait=False, cancel_futures=True)
                for process in multiprocessing.active_children():
                    process.terminate()
                raise
        done.update(
            {name: Outcome(1, f"{LOST} {TRIES} times") for name in left if losses[name] == TRIES}
        )
    return done


def _work_through(
    pool: ProcessPoolExecutor,
    workers: int,
    jobs: Mapping[str, Job],
    done: dict[str, Outcome],
    watch: Callable[[], None],
) -> list[str]:
    """Run jobs, adding to `done`, until all are there or a worker dies; return the names of those then in hand."""
    waiting = list(jobs)
    in_hand: dict[Future[Outcome], str] = {}
    try:
        while waiting or in_hand:
            while waiting and len(in_hand) < workers:
                future = pool.submit(run_job, jobs[waiting[0]])
                in_hand[future] = waiting.pop(0)
            for future in wait(in_hand, timeout=POLL, return_when=FIRST_COMPLETED).done:
                done[in_hand[future]] = future.result()
                del in_hand[future]
            watch()
    except BrokenProcessPool:
        wait(in_hand)
        done.update(
            {name: future.result() for future, name in in_hand.items() if not future.exception()}
        )
    return [name for name in in_hand.values() if name not in done]


def check_ray(address: str) -> None:
    """Raise InputError unless a Ray cluster answers at this address.

    Ray itself asks for minutes, and then ends the process: so another one asks.
    """
    if importlib.util.find_spec("ray") is None:
        raise InputError(Problem("--ray", "needs the package `ray`", "pip install 'imglab[ray]'"))
    try:
        if not address:
            raise ValueError("the address is empty")
        _knock(address)
        command = [sys.executable, "-c", ASK_RAY, address]
        told = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER, check=False)
        if told.returncode:
            raise ValueError((told.stderr.strip() or "it ended without a word").splitlines()[-1])
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        why = (
            f"no answer in {ANSWER:.0f} s"
            if isinstance(error, subprocess.TimeoutExpired)
            else first_line(error)
        )
        what = f"no Ray cluster answers at {address!r}: {why}"
        raise InputError(Problem("--ray", what, "start one with `ray start --head`")) from error


def run_on_ray(
    jobs: Mapping[str, Job], address: str, watch: Callable[[], None]
) -> dict[str, Outcome]:
    """Run jobs on a Ray cluster that answers (`check_ray`), whose machines share the run directories."""
    import ray

    ray.init(address=address, log_to_driver=False)
    try:
        submitted: dict[Any, str] = {}
        for name, job in jobs.items():
            asked = ray.remote(run_job).options(num_cpus=job.threads, max_retries=TRIES)
            submitted[asked.remote(job)] = name
        done: dict[str, Outcome] = {}
        while len(done) < len(jobs):
            open_ = [handle for handle, name in submitted.items() if name not in done]
            ready, _ = ray.wait(open_, num_returns=1, timeout=POLL)
            for handle in ready:
                try:
                    done[submitted[handle]] = ray.get(handle)
                except ray.exceptions.RayError as error:
                    done[submitted[handle]] = Outcome(1, f"{LOST}: {type(error).__name__}")
            watch()
        return done
    except KeyboardInterrupt:
        for handle in submitted:
            ray.cancel(handle, force=False)
        raise
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raise OSError where nobody listens at host:port."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon:
        if not port.isdecimal():
            raise ValueError("the port is no number")
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()


def _begin_worker(threads: int) -> None:
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(threads)
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # a Ctrl-C reaches the parent, which tells the workers once
