"""The job of running a chain: independent of other jobs, resumable, identified by its folder."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable, Collection
from pathlib import Path

from imglab.config.load import dump_config, validate_config
from imglab.config.schema import RunConfig
from imglab.config.yaml import parse_yaml, read_yaml
from imglab.errors import InputError, Stopped
from imglab.failures import explained
from imglab.running.cache import RunCache
from imglab.running.environment import available_cores
from imglab.running.fork import fork
from imglab.running.interrupt import STOPPED, StopRequest
from imglab.running.resume import with_former_defaults
from imglab.running.run import Run
from imglab.store import layout
from imglab.store.sealed_config import read_sealed
from imglab.studies.jobs import Job, Outcome

_STOPPING = threading.Event()
"""Set in a worker that was asked to stop."""


def threads_per_worker(workers: int) -> int:
    """Return how many threads each of several workers may use, so that they divide the cores."""
    return max(1, available_cores() // workers)


def with_threads(config: RunConfig, folder: Path, threads: int) -> RunConfig:
    """Return the config with `threads` for `auto`, unless a run in `folder` has fixed them."""
    if config.threads != "auto" or (folder / "config.yaml").exists():
        return config
    return config.model_copy(update={"threads": threads})


def _as_begun(config: RunConfig, folder: Path) -> RunConfig:
    """Return the config with the defaults that the run in `folder` began with, if there is one.

    The text that goes to a worker spells every key out, so that no default is left open in it.
    """
    path = folder / "config.yaml"
    if not path.exists():
        return config
    return with_former_defaults(config, read_sealed(path))


def chain_job(config: RunConfig, folder: Path, threads: int, cache: Path) -> Job:
    """Return the job of running `config` in `folder`.

    threads  is used unless the config, or the run in `folder`, fixes another number
    cache    folder in which runs share what is the same in them
    """
    config = _as_begun(with_threads(config, folder, threads), folder)
    used = _stored_threads(folder)
    if used is None:
        used = threads if config.threads == "auto" else config.threads
    shared = RunCache.below(cache, config, used)

    # A config goes to the worker as text: its class is made while a config is read.
    return Job(run_chain, (dump_config(config), folder.resolve(), shared), used)


def fork_job(config: RunConfig, folder: Path, parent: Path, threads: int) -> Job:
    """Return the job of running `config` in `folder` from generation 1 on.

    parent   the run whose generation 0, finished by the time the job runs, is taken
    threads  as for `chain_job`; a fork computes with the threads of its parent
    """
    used = _stored_threads(parent) or threads
    config = _as_begun(config, parent)
    return Job(run_fork, (dump_config(config), folder.resolve(), parent.resolve()), used)


def run_chain(text: str, folder: Path, cache: RunCache) -> Outcome:
    """Run a chain, or the rest of it, to its end; `text` is its config as YAML."""

    def begin(config: RunConfig) -> Run:
        return Run(config, folder, where=str(folder), cache=cache)

    return _run(text, folder, begin)


def run_fork(text: str, folder: Path, parent: Path) -> Outcome:
    """Run a chain that takes generation 0 of `parent`; `text` is its config as YAML."""
    return _run(text, folder, lambda config: fork(f"{parent}@0", folder, config))


def _run(text: str, folder: Path, begin: Callable[[RunConfig], Run]) -> Outcome:
    """Run the chain that `begin` makes of a config, or the rest of it, to its end."""
    if _STOPPING.is_set():
        return Outcome(STOPPED, "stopped")

    where = str(folder)
    try:
        _run_to_end(begin(validate_config(parse_yaml(text, where), where)))
    except InputError as error:
        return Outcome(2, str(error))
    except KeyboardInterrupt:
        _STOPPING.set()  # a job that still waits for this worker must not begin
        return Outcome(STOPPED, "stopped")
    except Stopped as stopped:
        return Outcome(STOPPED, str(stopped))
    except Exception as error:
        explanation = explained(error, folder)
        if isinstance(explanation, InputError):
            return Outcome(2, str(explanation))
        if explanation is not None:
            return Outcome(STOPPED, str(explanation))

        # The config may name code of other packages. Whatever it raises, the other runs go on.
        command = f"imglab run {folder}/config.yaml --out {folder}"
        return Outcome(1, f"{type(error).__name__}: {error}; `{command}` shows where")
    return Outcome(0)


def tally(
    folders: Collection[Path], total: int, watch: Callable[[int, int], None]
) -> Callable[[], None]:
    """Return a function that gives `watch` how many of `total` generations are finished."""

    def look() -> None:
        watch(sum(layout.count_finished(folder) for folder in folders), total)

    return look


def _run_to_end(run: Run) -> None:
    """Run a chain until its end or a SIGTERM; raises KeyboardInterrupt after a signal."""
    parent = multiprocessing.parent_process()
    with StopRequest((signal.SIGTERM,)) as stop:
        for _ in stop.heeded(run.events()):
            if parent is not None and not parent.is_alive():
                stop.ask()  # nobody is left to take the outcome


def _stored_threads(folder: Path) -> int | None:
    """Return the threads of the run in `folder`, if there is one: others could change its bytes."""
    path = folder / "config.yaml"
    if not path.exists():
        return None

    stored = read_yaml(path)
    if isinstance(stored, dict) and isinstance(stored.get("threads"), int):
        return int(stored["threads"])
    return None
