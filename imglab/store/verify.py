"""Whether every file of a run is as it was written, and the way back to the last good generation. No torch."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from imglab import distributed
from imglab.errors import InputError, Problem
from imglab.store import files, groups, hashes, layout, links, reading
from imglab.store.sealed_config import config_hash, read_sealed

DAMAGED = "damaged"
"""Folder of a run that takes what a repair sets aside; nothing is deleted."""
SIGNED = {"config": "config.yaml", "environment": "environment.json", "fork": layout.FORK}
"""What of the run a manifest signs, and its file."""


@dataclass(frozen=True)
class Fault:
    """A file that is not as it was written.

    generation  the one that it belongs to; None for what belongs to the run
    aside       what a repair sets aside; None where only a copy kept elsewhere helps
    """

    path: Path
    what: str
    generation: int | None = None
    aside: Path | None = None

    def problem(self, remedy: str) -> Problem:
        """Say it as one of the problems of an input."""
        return Problem(
            str(self.path), self.what, remedy if self.aside else "put it back from a copy"
        )


def check_run(run: Path) -> None:
    """Raise InputError, with every fault, unless what a run goes on from is as it was written, and lies in it."""
    if not distributed.is_main():
        return
    links.check_links(run)
    if (run / "config.yaml").exists() and (found := list(_of_run(run))):
        raise InputError(fault.problem(f"imglab verify {run} --repair") for fault in found)


def find_faults(run: Path) -> Iterator[Fault]:
    """Compare every file of a run directory with what seals it. Where there are links, no file is opened."""
    if linked := [Fault(path, what) for path, what in links.linked(run)]:
        yield from linked
        return
    yield from _of_run(run)
    yield from _of_results(run)


def _of_results(run: Path) -> Iterator[Fault]:
    """Yield the faults of what is made again from the generations; a person may remove it."""
    for name, what in hashes.faults(run):
        top = _top(name)
        if hashes.leads_outside(name) or (top != hashes.SEAL and not _may_be_result(top)):
            yield Fault(
                run / hashes.SEAL, f"lists {name!r}, which is no result", aside=run / hashes.SEAL
            )
        elif _lies(run / name):
            yield Fault(run / name, what, aside=run / top)


def _may_be_result(name: str) -> bool:
    kept = {*links.OWN, *links.WRITTEN} - {"summary.json", "report.html", "report_files"}
    return name not in kept and not name.startswith((".", "generation_"))


def _of_run(run: Path) -> Iterator[Fault]:
    signs: dict[str, str | None] = {}
    try:
        signs["config"] = config_hash(read_sealed(run / "config.yaml"))
    except (InputError, OSError) as error:
        yield Fault(run / "config.yaml", _what(error))
    environment, finished = run / "environment.json", set(layout.finished_ones(run))
    last = max(finished, default=-1)
    try:
        if environment.exists():  # it is written when a run begins, after config.yaml
            reading.read_environment(run)
            signs["environment"] = _hash(environment)
        elif finished:
            yield Fault(environment, "is missing")
    except InputError as error:
        yield Fault(environment, _what(error))
    forked = yield from _of_fork(run)
    shared: dict[str, object] = {}
    for g in range(max(layout.generations_in(run), default=-1) + 1):
        folder = layout.generation_folder(run, g)
        aside = None if g <= forked else folder  # a fork cannot make again what it was given
        if g in finished:
            told = ("environment",) if g <= forked else ("environment", "config")
            own = {key: signs[key] for key in told if key in signs}
            if g == last > forked:
                own["fork"] = _hash(run / layout.FORK)
            yield from _of_finished(run, g, own, shared, aside, first=g in (0, forked + 1))
        elif g < last:
            yield Fault(folder / layout.MANIFEST, "is missing", g, aside)
        elif (folder / "samples.safetensors").exists() and not (folder / hashes.SEAL).exists():
            yield Fault(
                folder / layout.MANIFEST,
                "is missing, and so is the list of stages that are done",
                g,
                aside,
            )
        else:
            yield from (
                Fault(folder / name, what, g, aside) for name, what in hashes.faults(folder)
            )
    common = run / "shared"
    wrong = {**dict(hashes.changed(common, shared)), **dict(hashes.faults(common))}
    yield from (
        Fault(common / name, what, aside=common)
        for name, what in wrong.items()
        if _lies(common / _top(name))
    )


def _of_finished(
    run: Path,
    g: int,
    signs: dict[str, str | None],
    shared: dict[str, object],
    aside: Path | None,
    *,
    first: bool,
) -> Iterator[Fault]:
    """Yield the faults of a finished generation; add what its manifest lists of the run's shared files to `shared`.

    aside  what a repair sets aside for one
    first  whether no earlier generation can say that it is the run's config, environment or fork.json that is another
    """
    folder = layout.generation_folder(run, g)

    def of_manifest(what: str) -> Fault:
        return Fault(folder / layout.MANIFEST, what, g, aside)

    try:
        manifest = reading.read_manifest(run, g)
    except InputError as error:
        yield of_manifest(_what(error))
        return
    if manifest["generation"] != g:
        yield of_manifest(f"is that of generation {manifest['generation']}")
    for key, sign in signs.items():
        if manifest.get(key) != sign and (first or key == "fork"):
            yield Fault(
                run / SIGNED[key],
                f"is not what generation {g} was made with" if sign else "is missing",
            )
        elif manifest.get(key) != sign:
            yield of_manifest(f"belongs to another {key} than the run's")
    before = layout.generation_folder(run, g - 1) / layout.MANIFEST if g else None
    if before is not None and before.is_file() and manifest["previous"] != _hash(before):
        yield of_manifest(f"does not follow the generation {g - 1} that is there")
    yield from (
        Fault(folder / name, what, g, aside)
        for name, what in hashes.changed(folder, manifest["files"])
    )
    for name in sorted(set(hashes.names(folder)) - set(manifest["files"])):
        yield Fault(folder / name, "is not in the manifest", g, aside)
    for name, sign in manifest["shared"].items():
        if shared.setdefault(name, sign) != sign:
            yield of_manifest(f"tells otherwise of shared/{name} than an earlier one")


def _of_fork(run: Path) -> Generator[Fault, None, int]:
    """Yield the faults of what says where a fork comes from; return its last shared generation, -1 for none.

    Where that cannot be read, no generation is known to be the fork's own.
    """
    shared = -1
    for path in (run / layout.FORK_PARENT, run / layout.FORK):
        try:
            described = (
                files.read_signed(path, ("parent", "generation", "manifest"))
                if path.exists()
                else None
            )
            if described and type(described["generation"]) is not int:
                raise InputError(Problem(str(path), "names no generation", files.DAMAGED))
        except InputError as error:
            yield Fault(path, _what(error))
            shared = layout.MOST
            continue
        if described and path.name == layout.FORK:
            shared = max(shared, described["generation"])
            manifest = layout.generation_folder(run, described["generation"]) / layout.MANIFEST
            if _hash(manifest) != described["manifest"]:
                yield Fault(
                    manifest, "is not the one that the fork was made from", described["generation"]
                )
    return shared


def verify(folder: Path, *, repair: bool = False) -> Iterator[str]:
    """Check a run, or each of a side-by-side run or a sweep, and say of each that it is whole or what was set aside.

    InputError, once all are checked, holds every fault that is left.

    repair  set aside what is damaged and the generations after it, in `damaged/` of the run, where it stays as it was:
            the run goes on from the last good generation. Where something is wrong that only a copy mends, nothing is
            moved
    """
    links.check_links(folder)
    problems: list[Problem] = []
    in_group = (folder / layout.CHAINS).is_file() or (folder / layout.SWEEP).is_file()
    if in_group:
        yield from _answer(folder, _of_results, problems, repair=repair)
    for run in groups.all_run_folders(folder):
        if (run / "config.yaml").is_file():
            yield from _answer(run, find_faults, problems, repair=repair)
        elif not in_group:
            problems.append(
                Problem(
                    str(run),
                    "is not a run directory: it has no config.yaml",
                    "give what --out named",
                )
            )
        elif any(run.glob("generation_*")):
            problems.append(
                Problem(str(run / "config.yaml"), "is missing", "put it back from a copy")
            )
    if problems:
        raise InputError(problems)


def _answer(
    folder: Path, find: Callable[[Path], Iterator[Fault]], problems: list[Problem], *, repair: bool
) -> Iterator[str]:
    found = list(find(folder))
    if found and repair:
        with _alone(folder):
            moved = list(_set_aside(folder, list(find(folder))))
            found = list(find(folder))
        yield from (f"{folder}: set aside {path.relative_to(folder)}" for path in moved)
    elif found:
        again = set(find(folder))  # the run may be going on
        found = [fault for fault in found if fault in again]
    problems += [fault.problem(f"imglab verify {folder} --repair") for fault in found]
    if not found:
        finished = layout.count_finished(folder)
        yield f"{folder}: whole" + (f", {finished} generations" if finished else "")


@contextmanager
def _alone(run: Path) -> Iterator[None]:
    lock = FileLock(run / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        problem = Problem(
            str(run), "another process is writing this run", "stop it, or wait for it"
        )
        raise InputError(problem) from error
    except OSError as error:
        what = f"cannot be repaired: {error.strerror}"
        raise InputError(Problem(str(run), what, "repair a copy that can be written")) from error
    try:
        yield
    finally:
        lock.release()


def _set_aside(run: Path, found: list[Fault]) -> Iterator[Path]:
    if any(fault.aside is None for fault in found):
        return
    aside = {fault.aside for fault in found if fault.aside is not None and fault.generation is None}
    broken = [fault.generation for fault in found if fault.generation is not None]
    if broken:
        aside |= {
            layout.generation_folder(run, g) for g in layout.generations_in(run) if g >= min(broken)
        }
    there = sorted(filter(_lies, aside), key=lambda path: (len(path.name), path.name), reverse=True)
    place = _free(run / DAMAGED)
    for (
        path
    ) in there:  # the last generation first: cut in the middle, it leaves a run without a gap
        files.make_folder(place)
        path.rename(place / path.name)
        files.sync_folder(place)
        files.sync_folder(run)
        yield place / path.name
    if (run / hashes.SEAL).exists():
        with hashes.written(run, *(path.name for path in there)):
            pass  # what is made again is listed again then


def _free(folder: Path) -> Path:
    return next(place for n in range(1, 10**6) if not (place := folder / str(n)).exists())


def _top(name: str) -> str:
    """Return the file or folder that is made again as a whole."""
    return PurePosixPath(name).parts[0] if PurePosixPath(name).parts else name


def _lies(path: Path) -> bool:
    """Say whether something lies there: what is missing is made again."""
    return path.exists() or path.is_symlink()


def _hash(path: Path) -> str | None:
    """Return the sha256 of a file; None where there is none, or none that can be read."""
    try:
        return files.sha256_file(path)
    except OSError:
        return None


def _what(error: InputError | OSError) -> str:
    return (
        error.problems[0].what
        if isinstance(error, InputError)
        else f"cannot be read: {error.strerror}"
    )
