"""What similar runs share: extractors, real features, floors, generation 0's model."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from imglab.config import kinds
from imglab.config.schema import RunConfig
from imglab.model import Choice
from imglab.progress import Progress, Stage
from imglab.store import copies, files, hashes
from imglab.store.files import read_signed
from imglab.store.layout import MANIFEST, generation_folder
from imglab.store.reading import read_environment

if TYPE_CHECKING:
    from imglab.running.build import Experiment

FITTING = ".fitting"
"""The file that a run locks while it fits generation 0's model."""

LOOK_AGAIN = 0.2
"""Seconds after which a run that waits for a model looks again."""

RECORDED = ("data", "base", "packages", "git_commit", "processor")
"""Keys of environment.json in which runs that share something must agree."""


@dataclass(frozen=True)
class RunCache:
    """Folders on one machine whose content would come out the same, byte by byte, in several runs.

    Runs take copies of it: what damages one of them leaves the others. Each folder has a subfolder
    for every state of the data, the bases and the code that runs were begun with.

    prepared     shared by runs with the same data, measures, sizes and threads
    generation0  shared by runs that differ only in what follows generation 0
    """

    prepared: Path
    generation0: Path

    @classmethod
    def below(cls, root: Path, config: RunConfig, threads: int) -> RunCache:
        """Return the cache of a run with this config and so many threads, in folders of `root`."""
        tree = config.model_dump(mode="json")
        prepared = {key: tree[key] for key in ("modality", "measure", "samples", "curate")}
        fitted = {key: tree[key] for key in ("modality", "model", "base", "seed")}
        fitted["scratch"] = config.start == "scratch"
        if not kinds.bound_regime(config.regime).begins_with_real():
            fitted["regime"] = tree["regime"]
        # Another package's remedy may change generation 0 without a key that says so.
        if any(remedy.get("first", 0) == 0 for remedy in tree.get("remedy", ())):
            fitted["remedy"] = tree["remedy"]

        return cls(
            prepared=(root / _hash_of_values(prepared, threads)).resolve(),
            generation0=(root / _hash_of_values(fitted, threads)).resolve(),
        )

    def agreed(self, what: str, measure: Callable[[], Mapping[str, Choice]]) -> dict[str, Choice]:
        """Return the choices for the open keys `what`, so that all arms choose alike.

        The first run measures them; later runs that leave the same keys open read its choices.
        """
        path = self.prepared / f"choices-{_short_hash(what.encode())}.json"
        with _locked(self.prepared):
            if not path.exists():
                measured = {key: vars(choice) for key, choice in measure().items()}
                files.write_signed(path, {"choices": measured})

            stored = read_signed(path, ("choices",))["choices"]
            return {key: Choice(**fields) for key, fields in stored.items()}

    def lend(self, run: Path, experiment: Experiment) -> None:
        """Copy what is in the cache into a run that has just begun.

        What the run needs before its first fit is prepared here, if no other run has done that.
        """
        origin = _hash_of_origin(run)
        _lend_prepared(self.prepared / origin, run / "shared", experiment)
        _lend_model(self.generation0 / origin, generation_folder(run, 0) / "model")

    def wait_to_fit(self, run: Path) -> Stage[FileLock | None]:
        """Wait while another run fits generation 0's model, and copy the model into this run.

        Return the lock that this run holds while it fits the model itself, to be released when it
        is kept; None if there is nothing to fit. Runs that need the same model and begin together
        would fit it at the same time: that costs as much again for each, and a GPU is slowed down.
        """
        folder = self.generation0 / _hash_of_origin(run)
        model = generation_folder(run, 0) / "model"
        lock = FileLock(folder / FITTING, blocking=False)
        folder.mkdir(parents=True, exist_ok=True)

        while True:
            _lend_model(folder, model)
            if model.exists():
                return None
            try:
                lock.acquire()
            except Timeout:
                yield Progress("wait", 0, 1)
                time.sleep(LOOK_AGAIN)
                continue
            except NotImplementedError:
                return None  # a file system without locks tells nobody apart: each fits its own

            # Whoever held the lock before may have kept the model since.
            _lend_model(folder, model)
            if not model.exists():
                return lock
            lock.release()

    def keep_first(self, run: Path) -> None:
        """Keep generation 0's model of a run for those that begin later."""
        folder = self.generation0 / _hash_of_origin(run)
        model = generation_folder(run, 0) / "model"

        with _locked(folder):
            files.remove_temporaries(folder)
            if not (folder / "model").exists():
                _copy_listed(model, folder / "model")


def _lend_prepared(cached: Path, shared: Path, experiment: Experiment) -> None:
    """Copy prepared files into a run's folder `shared`, unless it has them."""
    if shared.exists():
        return

    prepared = cached / "shared"
    with _locked(cached):
        files.remove_temporaries(cached)
        if prepared.exists() and _is_damaged(prepared):
            files.remove(prepared)
        if not prepared.exists():
            files.write_atomically(prepared, lambda folder: _prepare(folder, experiment))
        files.write_atomically(shared, lambda folder: hashes.copy(prepared, folder))


def _lend_model(cached: Path, model: Path) -> None:
    """Copy generation 0's model into a run, unless it has one or there is none yet."""
    if model.exists() or not (cached / "model").exists():
        return

    with _locked(cached):
        # A damaged one is fitted again, and kept again.
        if _is_damaged(cached):
            files.remove(cached / "model")
            files.remove(cached / hashes.HASH_LIST)
            return
        model.parent.mkdir(exist_ok=True)
        _copy_listed(cached / "model", model)


def _copy_listed(source: Path, target: Path) -> None:
    """Copy a folder to `target` and put it on the hash list of the folder around it.

    InputError, and no copy, unless each file is what is recorded in the folder around `source`.
    """
    recorded = _recorded(source.parent)
    expected = {name: sha for name, sha in recorded.items() if hashes.top_of(name) == source.name}

    def copy(folder: Path) -> None:
        copies.copy_visible(source, folder)
        names = hashes.names(folder)
        shas = {f"{source.name}/{name}": files.sha256_file(folder / name) for name in names}

        # A file that is on one side alone differs from nothing on the other.
        either = dict.fromkeys([*expected, *shas], "")
        hashes.check_copies(source.parent, either | shas, either | expected)

    with hashes.written(target.parent, target.name):
        files.write_atomically(target, copy)


def _recorded(folder: Path) -> dict[str, object]:
    """Return the hashes of a folder's files; a generation that is finished has a manifest."""
    manifest = folder / MANIFEST
    if manifest.is_file():
        return dict(read_signed(manifest, ("files",))["files"])
    return dict(hashes.listed(folder))


def _prepare(folder: Path, experiment: Experiment) -> None:
    """Make what a run needs before its first fit."""
    folder.mkdir()
    experiment.modality.prepare(folder)
    scored = experiment.config.measure.samples or experiment.drawn
    for _ in experiment.measure(cache=folder).prepare(scored):
        pass
    hashes.complete(folder)


def _is_damaged(folder: Path) -> bool:
    """Say whether a file in a folder of the cache does not match its recorded hash."""
    return any(True for _ in hashes.faults(folder))


def _hash_of_origin(run: Path) -> str:
    """Return a hash of what a run was begun with beside its config: data, bases, versions."""
    environment = read_environment(run)
    recorded = {key: environment.get(key) for key in RECORDED}
    return _short_hash(files.json_bytes(recorded))


def _hash_of_values(*values: Any) -> str:
    return _short_hash(json.dumps(values, sort_keys=True).encode())


def _short_hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Make a folder, if it is missing, and let no other process into it meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        yield
