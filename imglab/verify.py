"""Whether every file of a run is as it was written, and the way back to the last good generation. No torch."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from imglab import files, processes, runs, seals
from imglab.errors import InputError, Problem
from imglab.run_config import config_hash, read_sealed

DAMAGED = "damaged"
"""Folder of a run that takes what a repair sets aside; nothing is deleted."""


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
        return Problem(str(self.path), self.what, remedy if self.aside else "put it back from a copy")


def check_run(run: Path) -> None:
    """Raise InputError, with every fault, unless what a run goes on from is as it was written, and lies in it."""
    if processes.leads():
        runs.check_links(run)
    begun = (run / "config.yaml").exists()
    found = list(_of_run(run)) if begun and processes.leads() else []
    if found:
        raise InputError(fault.problem(f"imglab verify {run} --repair") for fault in found)


def find_faults(run: Path) -> Iterator[Fault]:
    """Compare every file of a run directory with what seals it."""
    yield from _of_run(run)
    yield from _of_results(run)


def _of_results(run: Path) -> Iterator[Fault]:
    """Yield the faults of what is made again from the generations; a person may remove it."""
    wrong = dict(seals.faults(run))
    yield from (Fault(run / name, what, aside=run / name) for name, what in wrong.items() if _lies(run / name))


def _of_run(run: Path) -> Iterator[Fault]:
    signs: dict[str, str | None] = {"config": None, "environment": None}
    try:
        signs["config"] = config_hash(read_sealed(run / "config.yaml"))
    except (InputError, OSError) as error:
        yield Fault(run / "config.yaml", _what(error))
    environment = run / "environment.json"
    try:
        if environment.exists():  # it is written when a run begins, after config.yaml
            runs.read_environment(run)
            signs["environment"] = files.sha256_file(environment)
        elif runs.finished(run, 0):
            yield Fault(environment, "is missing")
    except InputError as error:
        yield Fault(environment, _what(error))
    forked = yield from _of_fork(run)
    shared: dict[str, object] = {}
    last_finished = max((g for g in range(_last(run) + 1) if runs.finished(run, g)), default=-1)
    for g in range(_last(run) + 1):
        folder = runs.generation_folder(run, g)
        if runs.finished(run, g):
            yield from _of_finished(run, g, signs if g > forked else {**signs, "config": None}, shared)
        elif g < last_finished:
            yield Fault(folder / runs.MANIFEST, "is missing", g, folder)
        elif (folder / "samples.safetensors").exists() and not (folder / seals.SEAL).exists():
            yield Fault(folder / runs.MANIFEST, "is missing, and so is the list of stages that are done", g, folder)
        else:
            yield from (Fault(folder / name, what, g, folder) for name, what in seals.faults(folder))
    common = run / "shared"
    wrong = {**dict(seals.changed(common, shared)), **dict(seals.faults(common))}
    yield from (Fault(common / name, what, aside=common) for name, what in wrong.items() if _lies(common / _top(name)))


def _of_finished(run: Path, g: int, signs: dict[str, str | None], shared: dict[str, object]) -> Iterator[Fault]:
    """Yield the faults of a finished generation; add what its manifest lists of the run's shared files to `shared`."""
    folder = runs.generation_folder(run, g)

    def of_manifest(what: str) -> Fault:
        return Fault(folder / runs.MANIFEST, what, g, folder)

    try:
        manifest = runs.read_manifest(run, g)
    except InputError as error:
        yield of_manifest(_what(error))
        return
    if manifest["generation"] != g:
        yield of_manifest(f"is that of generation {manifest['generation']}")
    for key, sign in signs.items():
        if sign is not None and manifest[key] != sign:
            yield of_manifest(f"belongs to another {key} than the run's")
    before = runs.generation_folder(run, g - 1) / runs.MANIFEST if g else None
    if before is not None and before.is_file() and manifest["previous"] != files.sha256_file(before):
        yield of_manifest(f"does not follow the generation {g - 1} that is there")
    yield from (Fault(folder / name, what, g, folder) for name, what in seals.changed(folder, manifest["files"]))
    for name in sorted(set(seals.names(folder)) - set(manifest["files"])):
        yield Fault(folder / name, "is not in the manifest", g, folder)
    for name, sign in manifest["shared"].items():
        if shared.setdefault(name, sign) != sign:
            yield of_manifest(f"tells otherwise of shared/{name} than an earlier one")


def _of_fork(run: Path) -> Generator[Fault, None, int]:
    """Yield the faults of what says where a fork comes from; return its last shared generation, -1 for none."""
    shared = -1
    for path in (run / runs.FORK_PARENT, run / runs.FORK):
        try:
            described = runs.read_signed(path, ("parent", "generation", "manifest")) if path.exists() else None
        except InputError as error:
            yield Fault(path, _what(error))
            continue
        if described and path.name == runs.FORK:
            shared = int(described["generation"])
            manifest = runs.generation_folder(run, shared) / runs.MANIFEST
            if not manifest.is_file() or files.sha256_file(manifest) != described["manifest"]:
                yield Fault(manifest, "is not the one that the fork was made from", shared, manifest.parent)
    return shared


def verify(folder: Path, *, repair: bool = False) -> Iterator[str]:
    """Check a run, or each of a side-by-side run or a sweep, and say of each that it is whole or what was set aside.

    InputError, once all are checked, holds every fault that is left.

    repair  set aside what is damaged and the generations after it, in `damaged/` of the run, where it stays as it was:
            the run goes on from the last good generation
    """
    problems: list[Problem] = []
    group = folder / runs.CHAINS if (folder / runs.CHAINS).is_file() else folder / runs.SWEEP
    each = runs.run_folders(folder)
    if group.is_file():
        yield from _answer(folder, list(_of_results(folder)), problems, repair=repair)
    for run in each:
        if (run / "config.yaml").is_file():
            yield from _answer(run, list(find_faults(run)), problems, repair=repair)
        elif not group.is_file():
            problems.append(Problem(str(run), "is not a run directory: it has no config.yaml", "give what --out named"))
        elif any(run.glob("generation_*")):
            problems.append(Problem(str(run / "config.yaml"), "is missing", "put it back from a copy"))
    if problems:
        raise InputError(problems)


def _answer(folder: Path, found: list[Fault], problems: list[Problem], *, repair: bool) -> Iterator[str]:
    if repair and found:
        for path in _repaired(folder, found):
            yield f"{folder}: set aside {path.relative_to(folder)}"
        found = [fault for fault in found if fault.aside is None]
    problems += [fault.problem(f"imglab verify {folder} --repair") for fault in found]
    if not found:
        finished = runs.count_finished(folder)
        yield f"{folder}: whole" + (f", {finished} generations" if finished else "")


def _repaired(run: Path, found: list[Fault]) -> list[Path]:
    try:
        with FileLock(run / ".lock", timeout=0):
            return list(_set_aside(run, found))
    except Timeout:
        problem = Problem(str(run), "another process is writing this run", "stop it, or wait for it")
        raise InputError(problem) from None


def _set_aside(run: Path, found: list[Fault]) -> Iterator[Path]:
    aside = {fault.aside for fault in found if fault.aside is not None and fault.generation is None}
    broken = [fault.generation for fault in found if fault.generation is not None]
    if broken:
        aside |= {runs.generation_folder(run, g) for g in range(min(broken), _last(run) + 1)}
    there = sorted(filter(_lies, aside), reverse=True)
    place = _free(run / DAMAGED)
    for path in there:  # the last generation first: cut in the middle, it leaves a run without a gap
        files.make_folder(place)
        path.rename(place / path.name)
        files.sync_folder(place)
        files.sync_folder(run)
        yield place / path.name
    if (run / seals.SEAL).exists():
        with seals.written(run, *(path.name for path in there)):
            pass  # what is made again is listed again then


def _free(folder: Path) -> Path:
    return next(place for n in range(1, 10**6) if not (place := folder / str(n)).exists())


def _top(name: str) -> str:
    """Return the file or folder that is made again as a whole."""
    return PurePosixPath(name).parts[0] if PurePosixPath(name).parts else name


def _lies(path: Path) -> bool:
    """Say whether something lies there: what is missing is made again."""
    return path.exists() or path.is_symlink()


def _last(run: Path) -> int:
    numbers = [path.name.rpartition("_")[2] for path in run.glob("generation_*")]
    return max((int(number) for number in numbers if number.isdecimal()), default=-1)


def _what(error: InputError | OSError) -> str:
    return error.problems[0].what if isinstance(error, InputError) else f"cannot be read: {error.strerror}"
