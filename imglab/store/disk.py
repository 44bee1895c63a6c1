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
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from filelock import FileLock, Timeout
from safetensors.torch import load_file, save_file
from torch import Tensor

from imglab import distributed
from imglab.errors import InputError, Problem
from imglab.measures import Measures, NearestReal
from imglab.model import GenerativeModel
from imglab.samples import Samples
from imglab.store import files, hashes, layout, model_folder, reading
from imglab.store.base import Made, Store
from imglab.store.layout import MANIFEST
from imglab.store.model_card import Origin
from imglab.store.reader import RunFolder

T = TypeVar("T")


CHECKPOINT = ".checkpoint-"
"""Begins the name of a checkpoint; then comes the sha256 of its bytes, so that a damaged one is known."""


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
        if not distributed.is_main():
            return self
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            problem = Problem(
                str(self.root),
                "another process is writing this run",
                "wait for it or choose another --out",
            )
            raise InputError(problem) from error
        files.remove_temporaries(self.root)
        for sealed in self.root.glob(f"generation_*/{hashes.SEAL}"):
            if sealed.with_name(
                MANIFEST
            ).exists():  # cut between the manifest and the end of its list
                files.remove(sealed)
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def begin(
        self, *, config: str, environment: Mapping[str, Any], origin: Origin | None = None
    ) -> None:
        """Record what the run is made with: its config's hash, and environment.json as it was at the start.

        origin  signs the models' cards
        """
        self._origin = origin
        path = self.root / "environment.json"
        if not path.exists():
            files.write_signed(path, environment)
        before = reading.read_environment(self.root)
        for key, what in (
            ("data", "the real data are not those"),
            ("base", "the base model is not the one"),
        ):
            if before.get(key) != environment.get(key):
                raise InputError(
                    Problem(str(self.root), f"{what} that this run began with", "put it back")
                )
        changed = before != environment
        self._signs = {"config": config, "environment": files.sha256_file(path)}
        if (forked := self.root / layout.FORK).exists():
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
        expected = reading.read_manifest(self.root, g - 1)["shared"] if g else {}
        for name, sign in hashes.listed(self.root / "shared").items():
            if expected.get(name, sign) != sign:
                what = "is made again and not as the finished generations had it: another machine, other versions?"
                raise InputError(
                    Problem(str(self.root / "shared" / name), what, "put it back from a copy")
                )

    # Whether something is there is the leader's to say: it may have written it while the others looked.

    def finished(self, g: int) -> bool:  # noqa: D102
        return distributed.broadcast(super().finished(g))

    def has(self, g: int, stage: str) -> bool:  # noqa: D102
        return distributed.broadcast(self._has(g, stage))

    def _has(self, g: int, stage: str) -> bool:
        if stage == "accepted":
            return self.accepted(g) is not None
        path = self._path(g, stage)
        return path.exists() and any(
            name.split("/")[0] == path.name for name in hashes.listed(self._folder(g))
        )

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
        return self.root / "marks" / layout.generation_folder(self.root, g).name

    def put(self, g: int, stage: str, value: Made) -> None:  # noqa: D102
        folder = self._made_folder(g)
        files.remove_temporaries(folder)
        path = self._path(g, "samples" if isinstance(value, Tensor) else stage)
        beside = {Measures: "per_sample.safetensors", NearestReal: "exhibit.json"}.get(
            type(value), path.name
        )
        with hashes.written(folder, path.name, beside):
            self._write(g, path, value)
        self._forget_checkpoint(g)
        distributed.barrier()

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
        elif isinstance(value, NearestReal):
            if any(value.words.values()):
                files.write_json(folder / "exhibit.json", value.words)
            columns = {
                "index": value.index,
                "distance": value.distance,
                "rows": value.rows,
                "real": value.real,
            }
            _save_tensors(path, columns)
        elif isinstance(value, Tensor):
            _save_tensors(path, {**load_file(path), "accepted": value})
        else:
            _save_tensors(path, {"features": value.values}, {"extractor": value.extractor})

    def _save_model(self, model: GenerativeModel, g: int, path: Path) -> None:
        model_folder.save_model(model, path)
        if self._origin:
            self._origin.sign(path, g)

    def keep_checkpoint(self, g: int, state: Mapping[str, Tensor]) -> None:  # noqa: D102
        if not distributed.is_main():
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
        kept = distributed.broadcast(
            self._whole_checkpoint(g) if distributed.is_main() and not fitted else None
        )
        return None if kept is None else load_file(self._folder(g) / kept)

    def _whole_checkpoint(self, g: int) -> str | None:
        """Name the checkpoint of generation g that is as it was written; a damaged one goes, and the log says so."""
        for path in sorted(self._folder(g).glob(f"{CHECKPOINT}*"), key=_age):  # the newest first
            if path.name == f"{CHECKPOINT}{files.sha256_file(path)}":
                return path.name
            if path.name != f"{CHECKPOINT}new":
                self.log(
                    event="note",
                    text=f"{path.name} of generation {g} is damaged: its fit starts again",
                )
            files.remove(path)
        return None

    def _forget_checkpoint(self, g: int) -> None:
        for path in self._folder(g).glob(f"{CHECKPOINT}*"):
            files.remove(path)

    def model(self, g: int) -> GenerativeModel:  # noqa: D102
        return self._load_model(self._path(g, "model"))

    def picture(self, g: int, name: str, write: Callable[[Path], None]) -> None:  # noqa: D102
        with hashes.written(self._folder(g), name):
            files.write_atomically(self._folder(g) / name, write)

    def finish(self, g: int) -> None:
        """Write the manifest: its presence means that the generation is finished."""
        folder = self._folder(g)
        files.remove_temporaries(folder)
        self.check_shared(g)
        manifest = {
            "generation": g,
            "files": hashes.listed(folder),
            "shared": hashes.listed(self.root / "shared"),
            **self._signs,
            "previous": files.sha256_file(self._folder(g - 1) / MANIFEST) if g else None,
        }
        files.write_signed(folder / MANIFEST, manifest)
        files.remove(folder / hashes.SEAL)
        distributed.barrier()

    def log(self, **event: Any) -> None:
        """Append a line to events.jsonl, the only place for times and speeds."""
        if not distributed.is_main():
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


def _save_tensors(
    path: Path, tensors: Mapping[str, Tensor], described: dict[str, str] | None = None
) -> None:
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    files.write_atomically(path, lambda temporary: save_file(whole, temporary, described))
