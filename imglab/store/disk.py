"""The store on disk: a run directory of plain files that outlive the program.

A generation is finished when its manifest exists; the manifest is written last. Every other file
gets its name only once it is complete, and is then put on a hash list, so that an interrupted run
goes on from the last stage that it finished.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from safetensors.torch import load_file
from torch import Tensor

from imglab import distributed
from imglab.config.merge import differences
from imglab.errors import InputError, Problem
from imglab.model import GenerativeModel
from imglab.samples import Samples
from imglab.store import checkpoints, files, hashes, layout, reading
from imglab.store.base import StageResult, Store
from imglab.store.event_log import EventLog
from imglab.store.head import catch_up, write_head
from imglab.store.inputs import check_inputs
from imglab.store.layout import MANIFEST
from imglab.store.model_card import Origin
from imglab.store.reader import RunFolder
from imglab.store.temporaries import temporary_beside


class DiskStore(RunFolder, Store):
    """Stores a run in its directory. As a context manager it holds the lock of the directory."""

    shows = True

    def __init__(self, root: Path, *, load_model: Callable[[Path], GenerativeModel]) -> None:
        """Open the existing folder `root` to write; `load_model` opens a `model/` folder in it."""
        super().__init__(root, load_model=load_model)
        self.event_log = EventLog(root / "events.jsonl")
        self._lock = FileLock(root / ".lock")
        distributed.meet_in(partial(temporary_beside, root / "rows"))
        self._origin: Origin | None = None
        self.environment_changes: dict[str, tuple[Any, Any]] = {}
        self._run_hashes: dict[str, str] = {}
        self._list: hashes.OpenList | None = None
        self._pool: dict[int, tuple[Samples, Tensor | None]] = {}
        self._sizes: dict[int, int] = {}
        self._unfinished: dict[int, GenerativeModel] = {}

    def __enter__(self) -> DiskStore:
        if not distributed.is_main():
            return self

        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            what = "another process is writing this run"
            remedy = "wait for it or choose another --out"
            raise InputError(Problem(str(self.root), what, remedy)) from error

        files.remove_temporaries(self.root)
        # A run that was killed after it wrote a manifest left the hash list that became it.
        for hash_list in self.root.glob(f"generation_*/{hashes.HASH_LIST}"):
            if hash_list.with_name(MANIFEST).exists():
                files.remove(hash_list)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            # After a failure, such as that of a full disk, nothing more is written.
            if self._list is not None and (kind is None or not issubclass(kind, Exception)):
                self._list.flush()
        finally:
            self._lock.release()

    def begin(
        self, *, config: str, environment: Mapping[str, Any], origin: Origin | None = None
    ) -> None:
        """Record what the run is made with; environment.json stays as it was at the first start.

        config       the hash of the config
        environment  what environment.json records
        origin       what the models' cards say of the chain

        Raises InputError if the real data or a base model are not those of the first start.
        """
        self._origin = origin
        path = self.root / "environment.json"
        if not path.exists():
            files.write_signed(path, environment)
        check_inputs(self.root, environment)
        recorded = reading.read_environment(self.root)
        catch_up(self.root)

        self._run_hashes = {"config": config, "environment": files.sha256_file(path)}
        fork = self.root / layout.FORK
        if fork.exists():
            self._run_hashes["fork"] = files.sha256_file(fork)

        # What an older version of the lab did not record is not known to have changed.
        changes = differences(recorded, environment)
        self.environment_changes = {
            key: (before, now)
            for key, before, now in changes
            if before is not None and key != "format_version"
        }
        if recorded == environment:
            self.log(event="begin")
        else:
            self.log(event="begin", environment=environment)

    def settle(self, config: str) -> None:
        """Take the hash of the config in which all that was left open has its value."""
        self._run_hashes["config"] = config

    def check_shared(self, g: int) -> dict[str, str]:
        """Return the hash list of shared/.

        Raises InputError if a file of it differs from what generations before g used.
        """
        shared = hashes.listed(self.root / "shared")
        if g == 0:
            return shared

        expected = reading.read_manifest(self.root, g - 1)["shared"]
        for name, sha in shared.items():
            if expected.get(name, sha) != sha:
                where = str(self.root / "shared" / name)
                what = "was computed again and differs from the one that finished generations used"
                remedy = "put it back from a copy, or use the machine and versions of the first run"
                raise InputError(Problem(where, what, remedy))
        return shared

    # The main process says what exists: it may have written while the others looked.

    def finished(self, g: int) -> bool:  # noqa: D102
        return distributed.broadcast(super().finished(g))

    def has(self, g: int, stage: str) -> bool:  # noqa: D102
        return distributed.broadcast(self._has(g, stage))

    def _has(self, g: int, stage: str) -> bool:
        path = self.path(g, stage)
        if not path.exists():
            return False
        if path.name not in map(hashes.top_of, self._list_of(g).hashes):
            return False

        # In format 2 the file exists before the accepted rows are in it.
        return stage != "accepted" or self.accepted(g) is not None

    def model(self, g: int) -> GenerativeModel:
        """Return the fitted model of generation g, opened once while the generation is made."""
        model = self._unfinished.get(g)
        if model is None:
            model = super().model(g)
            if not super().finished(g):
                self._unfinished = {g: model}
        return model

    def samples(self, g: int, stage: str = "samples") -> Samples:  # noqa: D102
        if stage != "samples":
            return super().samples(g, stage)
        return self._pool_entry(g)[0]

    def accepted(self, g: int) -> Tensor | None:  # noqa: D102
        return self._pool_entry(g)[1]

    def size(self, g: int) -> int:  # noqa: D102
        # Every generation asks for the sizes of all before it.
        if g not in self._sizes:
            self._sizes[g] = super().size(g)
        return self._sizes[g]

    def _pool_entry(self, g: int) -> tuple[Samples, Tensor | None]:
        """Return the samples of generation g, and which were accepted.

        They stay open until they are written again, since every later generation asks for them.
        """
        if g not in self._pool:
            self._pool[g] = (super().samples(g), super().accepted(g))
        return self._pool[g]

    def annotations_folder(self, g: int) -> Path:  # noqa: D102
        return self.root / layout.ANNOTATIONS / self._folder(g).name

    def put(self, g: int, stage: str, value: StageResult) -> None:  # noqa: D102
        self._pool.pop(g, None)
        self._sizes.pop(g, None)
        if stage == "model":
            self._unfinished.clear()
        folder = self._writable_folder(g)
        files.remove_temporaries(folder)
        stage_files = self._stages[stage]
        with self._list_of(g).written(*stage_files.names):
            stage_files.write(folder / stage_files.main, value, g, self._origin)

        checkpoints.remove_checkpoints(folder)
        distributed.barrier()

    def picture(self, g: int, name: str, write: Callable[[Path], None]) -> None:  # noqa: D102
        with self._list_of(g).written(name):
            files.write_atomically(self._folder(g) / name, write)

    def last_picture(self, name: str, write: Callable[[Path], None]) -> None:  # noqa: D102
        with hashes.written(self.root, name, made_again=True):
            files.write_atomically(self.root / name, write)

    def keep_checkpoint(self, g: int, state: Mapping[str, Tensor]) -> None:  # noqa: D102
        if distributed.is_main():
            checkpoints.keep_checkpoint(self._writable_folder(g), state)

    def checkpoint(self, g: int) -> dict[str, Tensor] | None:  # noqa: D102
        name = None
        fitted = self.has(g, "model")
        if distributed.is_main() and not fitted:
            report = partial(self._report_damage, g)
            name = checkpoints.find_checkpoint(self._folder(g), report)

        name = distributed.broadcast(name)
        if name is None:
            return None
        return load_file(self._folder(g) / name)

    def _report_damage(self, g: int, checkpoint: str) -> None:
        text = f"{checkpoint} of generation {g} is damaged: its fit starts again"
        self.log(event="note", text=text)

    def finish(self, g: int) -> None:
        """Write the manifest: its presence means that the generation is finished."""
        folder = self._folder(g)
        files.remove_temporaries(folder)
        shared = self.check_shared(g)

        previous = None
        if g > 0:
            previous = files.sha256_file(self._folder(g - 1) / MANIFEST)
        manifest = {
            "generation": g,
            "files": dict(sorted(self._list_of(g).hashes.items())),
            "shared": shared,
            **self._run_hashes,
            "previous": previous,
        }
        if self.environment_changes:
            present = {key: now for key, (_, now) in self.environment_changes.items()}
            manifest["made_in"] = present

        files.write_signed(folder / MANIFEST, manifest)
        self._unfinished.clear()
        write_head(self.root, after=g)
        self._list = None
        files.remove(folder / hashes.HASH_LIST)
        distributed.barrier()

    def log(self, **event: Any) -> None:
        """Append an event to events.jsonl."""
        self.event_log.append(**event)

    def _list_of(self, g: int) -> hashes.OpenList:
        """Return the hash list of generation g, which stays open until it is finished."""
        folder = self._folder(g)
        if self._list is None or self._list.folder != folder:
            if self._list is not None:
                self._list.flush()
            self._list = hashes.OpenList(folder)
        return self._list

    def _writable_folder(self, g: int) -> Path:
        folder = self._folder(g)
        if not folder.exists():
            folder.mkdir(exist_ok=True)
            files.sync_folder(self.root)
        return folder
