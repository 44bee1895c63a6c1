"""What runs that have something in common make once: extractors, real features, floors, generation 0's model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from imglab.errors import InputError, Problem
from imglab.model import Choice
from imglab.store import files, hashes
from imglab.store.files import read_signed
from imglab.store.layout import generation_folder
from imglab.store.reading import read_environment

if TYPE_CHECKING:
    from imglab.run.build import Experiment


@dataclass(frozen=True)
class RunCache:
    """Folders on one machine, from which runs take by hard links what would come out the same, byte by byte.

    Within each there is a place for every state of the data, the bases and the code that runs were begun with.

    prepared  of runs with the same data, measures, sizes and threads
    first     of runs that differ only in what follows generation 0
    """

    prepared: Path
    first: Path

    def agreed(self, what: str, measure: Callable[[], Mapping[str, Choice]]) -> dict[str, Choice]:
        """Return what the first of the runs has measured that leave the same open: arms must not choose differently."""
        path = self.prepared / f"choices-{hashlib.sha256(what.encode()).hexdigest()[:16]}.json"
        with _alone(self.prepared):
            if not path.exists():
                files.write_signed(
                    path, {"choices": {key: vars(choice) for key, choice in measure().items()}}
                )
            return {
                key: Choice(**found)
                for key, found in read_signed(path, ("choices",))["choices"].items()
            }

    def lend(self, run: Path, experiment: Experiment) -> None:
        """Give a run that has just begun what is there; what it shares with others before any fit is made now."""
        shared, model = run / "shared", generation_folder(run, 0) / "model"
        sign = _made_with(run)
        prepared, first = self.prepared / sign, self.first / sign
        if not shared.exists():
            with _alone(prepared):
                if not (prepared / "shared").exists():
                    files.write_atomically(
                        prepared / "shared", lambda folder: _prepare(folder, experiment)
                    )
            _check(prepared / "shared")
            files.write_atomically(shared, lambda folder: hashes.link(prepared / "shared", folder))
        if (first / "model").exists() and not model.exists():
            _check(first)
            model.parent.mkdir(exist_ok=True)
            with hashes.written(model.parent, "model"):
                files.write_atomically(model, lambda folder: files.link(first / "model", folder))

    def keep_first(self, run: Path) -> None:
        """Keep generation 0's model of a run for those that begin later."""
        first = self.first / _made_with(run)
        with _alone(first):
            if not (first / "model").exists():
                model = generation_folder(run, 0) / "model"
                with hashes.written(first, "model"):
                    files.write_atomically(
                        first / "model", lambda folder: files.link(model, folder)
                    )


def _made_with(run: Path) -> str:
    """Name what a run was begun with beside its config: data, bases, versions."""
    environment = read_environment(run)
    told = {
        key: environment.get(key) for key in ("data", "base", "packages", "git_commit", "processor")
    }
    return hashlib.sha256(files.json_bytes(told)).hexdigest()[:16]


def _prepare(folder: Path, experiment: Experiment) -> None:
    folder.mkdir()
    experiment.modality.prepare(folder)
    for _ in experiment.measure(cache=folder).prepare(experiment.drawn):
        pass
    hashes.complete(folder)


def _check(folder: Path) -> None:
    """Raise InputError unless what runs share is as it was written."""
    if found := dict(hashes.faults(folder)):
        remedy = f"remove {folder}: it is made again"
        raise InputError(Problem(str(folder / name), what, remedy) for name, what in found.items())


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        yield
