"""Faults of a run: files that do not match the hashes recorded for them. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from imglab import distributed
from imglab.errors import InputError, Problem
from imglab.store import files, hashes, layout, links, reading
from imglab.store.sealed_config import config_hash, read_sealed

RECORDED = {"config": "config.yaml", "environment": "environment.json", "fork": layout.FORK}
"""The files of a run whose hashes are in each manifest, by the key of the hash."""


@dataclass(frozen=True)
class Fault:
    """A file that does not match its recorded hash, or should not be there, or is missing.

    generation  the generation that the file belongs to; None: it belongs to the run
    aside       what a repair sets aside; None: only a copy that is kept elsewhere helps
    source      the error that says what is wrong, where reading the file raised one
    """

    path: Path
    what: str
    generation: int | None = None
    aside: Path | None = None
    source: InputError | None = field(default=None, compare=False)

    def problem(self, repair: str) -> Problem:
        """Return the fault as a problem of an input; `repair` is the command that repairs it."""
        remedy = repair if self.aside else "put it back from a copy"
        return Problem(str(self.path), self.what, remedy)


def check_run(run: Path) -> None:
    """Raise InputError, with every fault, unless everything that a run goes on from is intact."""
    if not distributed.is_main():
        return

    links.check_links(run)
    if not (run / "config.yaml").exists():
        return
    faults = list(_Inspection(run).faults())
    if faults:
        problems = [fault.problem(f"imglab verify {run} --repair") for fault in faults]
        raise InputError(problems, sources_of(faults))


def sources_of(faults: Iterable[Fault]) -> list[InputError]:
    """Return the errors that say what is wrong with the files, of those that cannot be read."""
    return [fault.source for fault in faults if fault.source is not None]


def find_faults(run: Path) -> Iterator[Fault]:
    """Compare every file of a run with its recorded hash. If there are links, no file is opened."""
    linked = [Fault(path, what) for path, what in links.linked(run)]
    if linked:
        yield from linked
        return

    yield from _Inspection(run).faults()
    yield from find_faults_of_results(run)


def find_faults_of_results(folder: Path) -> Iterator[Fault]:
    """Yield the faults of figures, tables and pages, which are made from the generations.

    A person may remove them, so that a missing one is not a fault.
    """
    hash_list = folder / hashes.HASH_LIST
    for name, what in hashes.faults(folder):
        top = hashes.top_of(name)
        is_result = top == hashes.HASH_LIST or _may_be_result(top)
        if hashes.leads_outside(name) or not is_result:
            yield Fault(hash_list, f"lists {name!r}, which is not a result", aside=hash_list)
        elif exists(folder / name):
            yield Fault(folder / name, what, aside=folder / top)


def exists(path: Path) -> bool:
    """Say whether there is a file, a folder or a link, which may lead nowhere."""
    return path.exists() or path.is_symlink()


def _may_be_result(name: str) -> bool:
    results = {"summary.json", "report.html", "report_files"}
    if name in {*links.OWN, *links.WRITTEN} - results:
        return False
    return not name.startswith((".", "generation_"))


class _Inspection:
    """Compares the files that a run goes on from with their recorded hashes."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._finished = set(layout.finished_ones(run))
        self._last = max(self._finished, default=-1)

        # The last generation that a fork was given by its parent.
        self._inherited = -1

        # Hashes of the run's config and environment, and of shared/ as the manifests list it.
        self._hashes: dict[str, str | None] = {}
        self._shared: dict[str, object] = {}

    def faults(self) -> Iterator[Fault]:
        yield from self._of_config()
        yield from self._of_environment()
        yield from self._of_fork()
        for g in range(max(layout.generations_in(self._run), default=-1) + 1):
            yield from self._of_generation(g)
        yield from self._of_shared()

    def _of_config(self) -> Iterator[Fault]:
        path = self._run / "config.yaml"
        try:
            self._hashes["config"] = config_hash(read_sealed(path))
        except InputError as error:
            yield _unreadable(path, error)
        except OSError as error:
            yield Fault(path, f"cannot be read: {error.strerror}")

    def _of_environment(self) -> Iterator[Fault]:
        path = self._run / "environment.json"
        if not path.exists():
            # It is written after config.yaml when a run begins.
            if self._finished:
                yield Fault(path, "is missing")
            return

        try:
            reading.read_environment(self._run)
            self._hashes["environment"] = _hash(path)
        except InputError as error:
            yield _unreadable(path, error)

    def _of_fork(self) -> Iterator[Fault]:
        """Check the files that say where a fork comes from, and note what it was given.

        If one of them cannot be read, no generation is known to be the fork's own.
        """
        for name in (layout.FORK_PARENT, layout.FORK):
            path = self._run / name
            if not path.exists():
                continue

            try:
                fork = files.read_signed(path, ("parent", "generation", "manifest"))
                if type(fork["generation"]) is not int:
                    raise InputError(Problem(str(path), "names no generation", files.DAMAGED))
            except InputError as error:
                yield _unreadable(path, error)
                self._inherited = layout.MOST
                continue

            if name == layout.FORK:
                g = fork["generation"]
                self._inherited = max(self._inherited, g)
                manifest = layout.generation_folder(self._run, g) / layout.MANIFEST
                if _hash(manifest) != fork["manifest"]:
                    yield Fault(manifest, "is not the one that the fork was made from", g)

    def _of_generation(self, g: int) -> Iterator[Fault]:
        folder = layout.generation_folder(self._run, g)
        if g in self._finished:
            yield from self._of_finished(g)
        elif g < self._last:
            yield self._fault(g, layout.MANIFEST, "is missing")
        elif (folder / "samples.safetensors").exists() and not (folder / hashes.HASH_LIST).exists():
            what = "is missing, and so is the list of stages that are done"
            yield self._fault(g, layout.MANIFEST, what)

        # An unfinished generation has a list of the files that are complete.
        else:
            for name, what in hashes.faults(folder):
                yield self._fault(g, name, what)

    def _of_finished(self, g: int) -> Iterator[Fault]:
        """Check the manifest of a finished generation, and its files by the manifest."""
        try:
            manifest = reading.read_manifest(self._run, g)
        except InputError as error:
            yield replace(self._fault(g, layout.MANIFEST, _what(error)), source=error)
            return

        if manifest["generation"] != g:
            what = f"is the manifest of generation {manifest['generation']}"
            yield self._fault(g, layout.MANIFEST, what)
        yield from self._of_inputs(g, manifest)
        yield from self._of_predecessor(g, manifest)
        yield from self._of_files(g, manifest)

        for name, sha in manifest["shared"].items():
            if self._shared.setdefault(name, sha) != sha:
                what = f"records a different hash for shared/{name} than an earlier generation"
                yield self._fault(g, layout.MANIFEST, what)

    def _of_inputs(self, g: int, manifest: dict[str, object]) -> Iterator[Fault]:
        """Compare the run's config, environment and fork.json with those of a manifest."""
        keys = ["environment"] if g <= self._inherited else ["environment", "config"]
        expected = {key: self._hashes[key] for key in keys if key in self._hashes}
        if g == self._last and g > self._inherited:
            expected["fork"] = _hash(self._run / layout.FORK)

        # No earlier generation can then say that it is the run's own file that was exchanged.
        is_first = g in (0, self._inherited + 1)
        for key, sha in expected.items():
            if manifest.get(key) == sha:
                continue

            if not is_first and key != "fork":
                what = f"belongs to another {key} than the run's"
                yield self._fault(g, layout.MANIFEST, what)
            elif sha is None:
                yield Fault(self._run / RECORDED[key], "is missing")
            else:
                what = f"is not the one that generation {g} was made with"
                yield Fault(self._run / RECORDED[key], what)

    def _of_predecessor(self, g: int, manifest: dict[str, object]) -> Iterator[Fault]:
        if g == 0:
            return
        previous = layout.generation_folder(self._run, g - 1) / layout.MANIFEST
        if previous.is_file() and manifest["previous"] != _hash(previous):
            yield self._fault(g, layout.MANIFEST, f"does not follow generation {g - 1} of this run")

    def _of_files(self, g: int, manifest: dict[str, dict[str, object]]) -> Iterator[Fault]:
        folder = layout.generation_folder(self._run, g)
        for name, what in hashes.changed(folder, manifest["files"]):
            yield self._fault(g, name, what)
        for name in sorted(set(hashes.names(folder)) - set(manifest["files"])):
            yield self._fault(g, name, "is not in the manifest")

    def _of_shared(self) -> Iterator[Fault]:
        """Check shared/ by the manifests and by its own hash list; a missing file is made again."""
        shared = self._run / "shared"
        wrong = {**dict(hashes.changed(shared, self._shared)), **dict(hashes.faults(shared))}
        for name, what in wrong.items():
            if exists(shared / hashes.top_of(name)):
                yield Fault(shared / name, what, aside=shared)

    def _fault(self, g: int, name: str, what: str) -> Fault:
        """Return a fault of a generation; a fork cannot make again what it was given."""
        folder = layout.generation_folder(self._run, g)
        aside = None if g <= self._inherited else folder
        return Fault(folder / name, what, g, aside)


def _hash(path: Path) -> str | None:
    """Return the sha256 of a file; None: it does not exist or cannot be read."""
    try:
        return files.sha256_file(path)
    except OSError:
        return None


def _unreadable(path: Path, error: InputError) -> Fault:
    return Fault(path, _what(error), source=error)


def _what(error: InputError) -> str:
    return error.problems[0].what
