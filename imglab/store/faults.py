"""Faults of a run: files that do not match the hashes recorded for them. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from imglab import distributed
from imglab.errors import InputError, Problem
from imglab.failures import raise_if_unavailable
from imglab.store import files, hashes, layout, links, reading
from imglab.store.fault import Fault, exists, sources_of
from imglab.store.head import read_head
from imglab.store.made_again import find_faults_of_results
from imglab.store.pruned import PRUNED, Pruned, read_pruned
from imglab.store.sealed_config import config_hash, read_sealed

RECORDED = {"config": "config.yaml", "environment": "environment.json", "fork": layout.FORK}
"""The files of a run whose hashes are in each manifest, by the key of the hash."""


def check_run(run: Path) -> None:
    """Raise InputError, with every fault, unless everything that a run goes on from is intact.

    Unavailable if the system does not let the run be read now, which is no fault of the run.
    """
    if not distributed.is_main():
        return

    links.check_links(run)
    if not (run / "config.yaml").exists():
        return
    faults = list(_Inspection(run).faults())
    if faults:
        problems = [fault.problem(f"imglab verify {run} --repair") for fault in faults]
        raise InputError(problems, sources_of(faults))


def find_faults(run: Path) -> Iterator[Fault]:
    """Compare every file of a run with its recorded hash. If there are links, no file is opened."""
    linked = [Fault(path, what) for path, what in links.linked(run)]
    if linked:
        yield from linked
        return

    yield from _Inspection(run).faults()
    yield from find_faults_of_results(run)


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
        self._pruned = Pruned()

    def faults(self) -> Iterator[Fault]:
        yield from self._of_pruned()
        yield from self._of_config()
        yield from self._of_environment()
        yield from self._of_fork()
        for g in range(max(layout.generations_in(self._run), default=-1) + 1):
            yield from self._of_generation(g)
        yield from self._of_head()
        yield from self._of_shared()

    def _of_pruned(self) -> Iterator[Fault]:
        """Read what was removed by a policy."""
        try:
            self._pruned = read_pruned(self._run)
        except InputError as error:
            yield _unreadable(self._run / PRUNED, error)

    def _of_config(self) -> Iterator[Fault]:
        path = self._run / "config.yaml"
        try:
            self._hashes["config"] = config_hash(read_sealed(path))
        except InputError as error:
            yield _unreadable(path, error)
        except OSError as error:
            raise_if_unavailable(error, path, ours=True)
            yield Fault(path, f"cannot be read: {error.strerror}")

    def _of_head(self) -> Iterator[Fault]:
        """Compare how many generations there are with how many the run had finished."""
        path = self._run / layout.HEAD
        try:
            head = read_head(self._run)
        except InputError as error:
            yield replace(_unreadable(path, error), aside=path)
            return

        # A run that is going on writes a manifest before its head, so the count is the later look.
        # Generations with a gap before them are named one by one.
        count = max(layout.finished_ones(self._run), default=-1) + 1
        if head is not None and head > count:
            what = f"the run had finished {head} generations, and {count} are there"
            yield Fault(path, what, aside=path)

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
                    what = "is not the one that the fork was made from"
                    yield Fault(manifest, what, g, sha=_text(fork["manifest"]))

    def _of_generation(self, g: int) -> Iterator[Fault]:
        folder = layout.generation_folder(self._run, g)
        if g in self._finished:
            yield from self._of_finished(g)
        elif g < self._last:
            yield self._fault(g, layout.MANIFEST, "is missing", self._recorded_later(g))
        elif self._lacks_both_lists(g):
            what = "is missing, and so is the list of stages that are done"
            yield self._fault(g, layout.MANIFEST, what)

        # An unfinished generation has a list of the files that are complete.
        else:
            for name, what in hashes.faults(folder):
                yield self._fault(g, name, what)

    def _lacks_both_lists(self, g: int) -> bool:
        """Say whether a generation that has samples has neither its hash list nor a manifest.

        A run that is going on writes the manifest before it removes the list.
        """
        folder = layout.generation_folder(self._run, g)
        is_drawn = (folder / "samples.safetensors").exists()
        has_list = (folder / hashes.HASH_LIST).exists()
        return is_drawn and not has_list and not layout.finished(self._run, g)

    def _of_finished(self, g: int) -> Iterator[Fault]:
        """Check the manifest of a finished generation, and its files by the manifest."""
        try:
            manifest = reading.read_manifest(self._run, g)
        except InputError as error:
            sha = self._recorded_later(g)
            yield replace(self._fault(g, layout.MANIFEST, _what(error), sha), source=error)
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
            else:
                what = f"is not the one that generation {g} was made with"
                if sha is None:
                    what = "is missing"
                yield Fault(self._run / RECORDED[key], what, sha=_text(manifest.get(key)))

    def _of_predecessor(self, g: int, manifest: dict[str, object]) -> Iterator[Fault]:
        if g == 0:
            return
        previous = layout.generation_folder(self._run, g - 1) / layout.MANIFEST
        if previous.is_file() and manifest["previous"] != _hash(previous):
            yield self._fault(g, layout.MANIFEST, f"does not follow generation {g - 1} of this run")

    def _of_files(self, g: int, manifest: dict[str, dict[str, object]]) -> Iterator[Fault]:
        folder = layout.generation_folder(self._run, g)
        for name, what in hashes.changed(folder, manifest["files"]):
            # What a policy removed is not damaged, and what is put back must match.
            if self._pruned.has_removed(g, name) and not exists(folder / name):
                continue
            yield self._fault(g, name, what, _hash_of(name, manifest["files"]))
        for name in sorted(set(hashes.names(folder)) - set(manifest["files"])):
            yield self._fault(g, name, "is not in the manifest")

    def _of_shared(self) -> Iterator[Fault]:
        """Check shared/ by the manifests and by its own hash list; a missing file is made again."""
        shared = self._run / "shared"
        wrong = {**dict(hashes.changed(shared, self._shared)), **dict(hashes.faults(shared))}
        for name, what in wrong.items():
            if exists(shared / hashes.top_of(name)):
                sha = _hash_of(name, self._shared)
                yield Fault(shared / name, what, aside=shared, sha=sha)

    def _recorded_later(self, g: int) -> str | None:
        """Return the hash of generation g's manifest that the next generation recorded."""
        try:
            return _text(reading.read_manifest(self._run, g + 1)["previous"])
        except InputError:
            return None

    def _fault(self, g: int, name: str, what: str, sha: str | None = None) -> Fault:
        """Return a fault of a generation; a fork cannot make again what it was given."""
        folder = layout.generation_folder(self._run, g)
        aside = None if g <= self._inherited else folder
        return Fault(folder / name, what, g, aside, sha=sha)


def _text(value: object) -> str | None:
    """Return a value of a file if it is a text, as hashes are."""
    if isinstance(value, str):
        return value
    return None


def _hash_of(name: str, recorded: Mapping[str, object]) -> str | None:
    """Return the hash of a listed file; None for one outside its folder, which is never mended."""
    if hashes.leads_outside(name):
        return None
    return _text(recorded.get(name))


def _hash(path: Path) -> str | None:
    """Return the sha256 of a file; None: there is no such file."""
    try:
        return files.sha256_file(path)
    except OSError as error:
        raise_if_unavailable(error, path, ours=True)
        return None


def _unreadable(path: Path, error: InputError) -> Fault:
    return Fault(path, _what(error), source=error)


def _what(error: InputError) -> str:
    return error.problems[0].what
