"""Where generations are kept: a run directory of plain files that outlive the program, or memory.

A generation is finished when its manifest is there; the manifest is written last. Every other file appears under its
name only once it is whole and is then put on a list of hashes, so an interrupted run goes on from the last stage that
it finished.
"""

from __future__ import annotations

import json
import logging
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, TypeAlias, TypeVar

from filelock import FileLock, Timeout
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from imglab import files, plugins, processes, runs, seals
from imglab.cards import Origin
from imglab.errors import InputError, Problem
from imglab.modality import Exhibit, Features, GenerativeModel, Measures
from imglab.runs import MANIFEST
from imglab.samples import Samples

T = TypeVar("T")
Made: TypeAlias = "GenerativeModel | Samples | Tensor | Features | Exhibit | Measures"
"""What a stage makes; a tensor: which samples were accepted."""
CHECKPOINT = ".checkpoint-"
"""Begins the name of a checkpoint; then comes the sha256 of its bytes, so that a damaged one is known."""


class Store(ABC):
    """Keeps what each stage of each generation made."""

    shows: ClassVar[bool] = False
    """Whether it keeps what only a person looks at: pictures, and what stands beside the shown samples."""

    @abstractmethod
    def finished(self, g: int) -> bool:
        """Say whether generation g is complete."""

    @abstractmethod
    def has(self, g: int, stage: str) -> bool:
        """Say whether this stage of generation g is complete."""

    @abstractmethod
    def put(self, g: int, stage: str, value: Made) -> None:
        """Keep what a stage made."""

    @abstractmethod
    def model(self, g: int) -> GenerativeModel:
        """Return the fitted model of generation g."""

    @abstractmethod
    def samples(self, g: int, stage: str = "samples") -> Samples:
        """Return what generation g drew, stamped with g; memory-mapped where it lies in a file."""

    @abstractmethod
    def accepted(self, g: int) -> Tensor | None:
        """Return which of generation g's samples went on to the pool, int64 [M]; None where all did."""

    @abstractmethod
    def features(self, g: int) -> Tensor:
        """Return the features of generation g's samples, float32 [N, D]."""

    @abstractmethod
    def metrics(self, g: int) -> dict[str, Any]:
        """Return the metrics of generation g."""

    def size(self, g: int) -> int:
        """Return how many samples generation g left in the pool."""
        accepted = self.accepted(g)
        return len(self.samples(g)) if accepted is None else len(accepted)

    def desk(self, g: int) -> Path | None:
        """Return the folder where a person is asked about generation g, where there is one."""
        return None

    def keep_checkpoint(self, g: int, state: Mapping[str, Tensor]) -> None:  # noqa: B027
        """Keep the state of an unfinished fit, in place of the last one."""

    def checkpoint(self, g: int) -> dict[str, Tensor] | None:
        """Return the state of an unfinished fit of generation g, if one is kept."""
        return None

    def picture(self, g: int, name: str, write: Callable[[Path], None]) -> None:  # noqa: B027
        """Let `write` make the picture of generation g, where pictures are kept."""

    def finish(self, g: int) -> None:  # noqa: B027
        """Declare generation g complete."""

    def log(self, **event: Any) -> None:  # noqa: B027
        """Record an event with its time."""

    @contextmanager
    def timed(self, **event: Any) -> Iterator[None]:
        """Record an event with the seconds that it took, once it is done."""
        began = time.perf_counter()
        yield
        self.log(**event, seconds=round(time.perf_counter() - began, 4))


class MemoryStore(Store):
    """Keeps everything in memory and draws no pictures."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, str], Any] = {}

    def finished(self, g: int) -> bool:  # noqa: D102
        return self.has(g, "metrics")

    def has(self, g: int, stage: str) -> bool:  # noqa: D102
        return (g, stage) in self._kept

    def put(self, g: int, stage: str, value: Made) -> None:  # noqa: D102
        self._kept[g, stage] = value.stamped(g) if isinstance(value, Samples) else value

    def model(self, g: int) -> GenerativeModel:  # noqa: D102
        fitted: GenerativeModel = self._kept[g, "model"]
        return fitted

    def samples(self, g: int, stage: str = "samples") -> Samples:  # noqa: D102
        drawn: Samples = self._kept[g, stage]
        return drawn

    def accepted(self, g: int) -> Tensor | None:  # noqa: D102
        return self._kept.get((g, "accepted"))

    def features(self, g: int) -> Tensor:  # noqa: D102
        kept: Features = self._kept[g, "features"]
        return kept.values

    def metrics(self, g: int) -> dict[str, Any]:  # noqa: D102
        return dict(self._kept[g, "metrics"].values)


class RunFolder:
    """Reads a run directory; writes nothing."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def finished(self, g: int) -> bool:
        """Say whether generation g is complete: its manifest is there."""
        return runs.finished(self.root, g)

    def metrics(self, g: int) -> dict[str, Any]:
        """Return the metrics of generation g."""
        return runs.read_generation(self.root, g)

    def samples(self, g: int, stage: str = "samples") -> Samples:
        """Return what generation g drew, memory-mapped."""
        columns = load_file(self._path(g, stage))
        return Samples(**{field.name: columns.get(field.name) for field in fields(Samples)})  # type: ignore[arg-type]

    def accepted(self, g: int) -> Tensor | None:
        """Return which of generation g's samples went on to the pool, int64 [M]; None where all did."""
        with safe_open(self._path(g, "samples"), framework="pt") as file:
            found: Tensor | None = file.get_tensor("accepted") if "accepted" in file.keys() else None  # noqa: SIM118
        return found

    def features(self, g: int) -> Tensor:
        """Return the features of generation g's samples, float32 [N, D]."""
        return load_file(self._path(g, "features"))["features"]

    def _folder(self, g: int) -> Path:
        return runs.generation_folder(self.root, g)

    def _path(self, g: int, stage: str) -> Path:
        name = {"model": "model", "metrics": "metrics.json"}.get(stage, f"{stage}.safetensors")
        return self._folder(g) / name


class _Notes(logging.Handler):
    """Keeps what the lab's code logs in a run's events."""

    def __init__(self, store: Store) -> None:
        super().__init__(logging.WARNING)
        self._store = store

    def emit(self, record: logging.LogRecord) -> None:
        self._store.log(event="note", text=record.getMessage())


class DiskStore(RunFolder, Store):
    """Keeps a run in its directory. Use it as a context manager: it holds the directory's lock meanwhile."""

    shows = True

    def __init__(self, root: Path, *, load_model: Callable[[Path], GenerativeModel]) -> None:
        """Open the existing folder `root` for writing; `load_model` opens a `model/` folder in it."""
        super().__init__(root)
        self._load_model = load_model
        self._lock = FileLock(root / ".lock")
        self._origin: Origin | None = None
        self._signs: dict[str, str] = {}
        self._pool: dict[int, tuple[Samples, Tensor | None]] = {}

    def __enter__(self) -> DiskStore:
        if not processes.leads():
            return self
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            problem = Problem(
                str(self.root), "another process is writing this run", "wait for it or choose another --out"
            )
            raise InputError(problem) from None
        files.remove_temporaries(self.root)
        for sealed in self.root.glob(f"generation_*/{seals.SEAL}"):
            if sealed.with_name(MANIFEST).exists():  # cut between the manifest and the end of its list
                files.remove(sealed)
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def begin(self, *, config: str, environment: Mapping[str, Any], origin: Origin | None = None) -> None:
        """Record what the run is made with: its config's hash, and environment.json as it was at the start.

        origin  signs the models' cards
        """
        self._origin = origin
        path = self.root / "environment.json"
        if not path.exists():
            files.write_signed(path, environment)
        before = runs.read_environment(self.root)
        for key, what in (("data", "the real data are not those"), ("base", "the base model is not the one")):
            if before.get(key) != environment.get(key):
                raise InputError(Problem(str(self.root), f"{what} that this run began with", "put it back"))
        changed = before != environment
        self._signs = {"config": config, "environment": files.sha256_file(path)}
        if (forked := self.root / runs.FORK).exists():
            self._signs["fork"] = files.sha256_file(forked)
        self.log(event="begin", **({"environment": environment} if changed else {}))

    def logged(self, events: Iterator[T]) -> Iterator[T]:
        """Pass events on and record how they ended, `finished`, or `stopped` and to be resumed; and what code logs."""
        ended, notes = "stopped", _Notes(self)
        logging.getLogger("imglab").addHandler(notes)
        try:
            yield from events
            ended = "finished"
        finally:
            logging.getLogger("imglab").removeHandler(notes)
            self.log(event=ended, resumable=ended == "stopped")

    def check_shared(self, g: int) -> None:
        """Raise InputError where what was made again of shared/ is not what the generations before g were made with."""
        expected = runs.read_manifest(self.root, g - 1)["shared"] if g else {}
        for name, sign in seals.listed(self.root / "shared").items():
            if expected.get(name, sign) != sign:
                what = "is made again and not as the finished generations had it: another machine, other versions?"
                raise InputError(Problem(str(self.root / "shared" / name), what, "put it back from a copy"))

    # Whether something is there is the leader's to say: it may have written it while the others looked.

    def finished(self, g: int) -> bool:  # noqa: D102
        return processes.told(super().finished(g))

    def has(self, g: int, stage: str) -> bool:  # noqa: D102
        return processes.told(self._has(g, stage))

    def _has(self, g: int, stage: str) -> bool:
        if stage == "accepted":
            return self.accepted(g) is not None
        path = self._path(g, stage)
        return path.exists() and any(name.split("/")[0] == path.name for name in seals.listed(self._folder(g)))

    def samples(self, g: int, stage: str = "samples") -> Samples:  # noqa: D102
        return self._drawn(g)[0] if stage == "samples" else super().samples(g, stage)

    def accepted(self, g: int) -> Tensor | None:  # noqa: D102
        return self._drawn(g)[1]

    def _drawn(self, g: int) -> tuple[Samples, Tensor | None]:
        """Return the samples of generation g and which were accepted; finished ones are asked for again and again."""
        if g in self._pool:
            return self._pool[g]
        found = super().samples(g), super().accepted(g)
        if super().finished(g):
            self._pool[g] = found
        return found

    def desk(self, g: int) -> Path:  # noqa: D102
        return self.root / "marks" / runs.generation_folder(self.root, g).name

    def put(self, g: int, stage: str, value: Made) -> None:  # noqa: D102
        folder = self._made_folder(g)
        files.remove_temporaries(folder)
        path = self._path(g, "samples" if isinstance(value, Tensor) else stage)
        beside = {Measures: "per_sample.safetensors", Exhibit: "exhibit.json"}.get(type(value), path.name)
        with seals.written(folder, path.name, beside):
            self._write(g, path, value)
        self._forget_checkpoint(g)
        processes.wait()

    def _made_folder(self, g: int) -> Path:
        folder = self._folder(g)
        if not folder.exists():
            folder.mkdir(exist_ok=True)
            files.sync_folder(self.root)
        return folder

    def _write(self, g: int, path: Path, value: Made) -> None:
        folder = path.parent
        if isinstance(value, Measures):
            if value.per_sample:
                _save_tensors(folder / "per_sample.safetensors", value.per_sample)
            files.write_json(path, dict(value.values))
        elif isinstance(value, GenerativeModel):
            if path.exists():  # whole, but cut off before it was listed
                files.remove(path)
            files.write_atomically(path, partial(self._save_model, value, g))
        elif isinstance(value, Samples):
            _save_tensors(path, {k: v for k, v in vars(value.stamped(g)).items() if v is not None})
        elif isinstance(value, Exhibit):
            if any(value.words.values()):
                files.write_json(folder / "exhibit.json", value.words)
            columns = {"index": value.index, "distance": value.distance, "rows": value.rows, "real": value.real}
            _save_tensors(path, columns)
        elif isinstance(value, Tensor):
            _save_tensors(path, {**load_file(path), "accepted": value})
        else:
            _save_tensors(path, {"features": value.values}, {"extractor": value.extractor})

    def _save_model(self, model: GenerativeModel, g: int, path: Path) -> None:
        plugins.save_model(model, path)
        if self._origin:
            self._origin.sign(path, g)

    def keep_checkpoint(self, g: int, state: Mapping[str, Tensor]) -> None:  # noqa: D102
        if not processes.leads():
            return
        folder = self._made_folder(g)
        new = folder / f"{CHECKPOINT}new"
        before = list(folder.glob(f"{CHECKPOINT}*"))
        _save_tensors(new, state)
        kept = folder / f"{CHECKPOINT}{files.sha256_file(new)}"
        os.replace(new, kept)
        files.sync_folder(folder)
        for old in before:
            if old not in (new, kept):
                files.remove(old)

    def checkpoint(self, g: int) -> dict[str, Tensor] | None:  # noqa: D102
        fitted = self.has(g, "model")
        kept = processes.told(self._whole_checkpoint(g) if processes.leads() and not fitted else None)
        return None if kept is None else load_file(self._folder(g) / kept)

    def _whole_checkpoint(self, g: int) -> str | None:
        """Name the checkpoint of generation g that is as it was written; a damaged one goes, and the log says so."""
        for path in sorted(self._folder(g).glob(f"{CHECKPOINT}*"), key=_age):  # the newest first
            if path.name == f"{CHECKPOINT}{files.sha256_file(path)}":
                return path.name
            if path.name != f"{CHECKPOINT}new":
                self.log(event="note", text=f"{path.name} of generation {g} is damaged: its fit starts again")
            files.remove(path)
        return None

    def _forget_checkpoint(self, g: int) -> None:
        for path in self._folder(g).glob(f"{CHECKPOINT}*"):
            files.remove(path)

    def model(self, g: int) -> GenerativeModel:  # noqa: D102
        return self._load_model(self._path(g, "model"))

    def picture(self, g: int, name: str, write: Callable[[Path], None]) -> None:  # noqa: D102
        with seals.written(self._folder(g), name):
            files.write_atomically(self._folder(g) / name, write)

    def finish(self, g: int) -> None:
        """Write the manifest: its presence means that the generation is finished."""
        folder = self._folder(g)
        files.remove_temporaries(folder)
        self.check_shared(g)
        manifest = {
            "generation": g,
            "files": seals.listed(folder),
            "shared": seals.listed(self.root / "shared"),
            **self._signs,
            "previous": files.sha256_file(self._folder(g - 1) / MANIFEST) if g else None,
        }
        files.write_signed(folder / MANIFEST, manifest)
        files.remove(folder / seals.SEAL)
        processes.wait()

    def log(self, **event: Any) -> None:
        """Append a line to events.jsonl, the only place for times and speeds."""
        if not processes.leads():
            return
        line = json.dumps({"time": round(time.time(), 3), **event}, ensure_ascii=False)
        with (self.root / "events.jsonl").open("a+b") as file:
            if file.tell() and not _ends_line(file):
                file.write(b"\n")  # a power cut tore the last line
            file.write(line.encode() + b"\n")


def _age(path: Path) -> int:
    return -path.stat().st_mtime_ns


def _ends_line(file: BinaryIO) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def _save_tensors(path: Path, tensors: Mapping[str, Tensor], described: dict[str, str] | None = None) -> None:
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    files.write_atomically(path, lambda temporary: save_file(whole, temporary, described))
