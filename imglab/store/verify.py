"""`imglab verify`: check every file of a run, and repair what can be made again. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from imglab.errors import InputError, Problem
from imglab.store import groups, layout, links
from imglab.store.faults import Fault, find_faults, find_faults_of_results, sources_of
from imglab.store.repair import locked, set_aside


def verify(folder: Path, *, repair: bool = False) -> Iterator[str]:
    """Check a run, or each run of a side-by-side run or a sweep; yield what to say of each.

    Each run is whole, or something of it was set aside. InputError, once all runs are checked,
    holds every fault that is left.

    repair  set aside what is damaged, and the generations after it, in the folder `damaged` of the
            run, unchanged: the run goes on from the last good generation. If something is wrong
            that only a copy mends, nothing is moved
    """
    links.check_links(folder)
    problems: list[Problem] = []
    sources: list[InputError] = []

    in_group = (folder / layout.CHAINS).is_file() or (folder / layout.SWEEP).is_file()
    if in_group:
        yield from _check(folder, find_faults_of_results, problems, sources, repair=repair)

    for run in groups.all_run_folders(folder):
        config = run / "config.yaml"
        if config.is_file():
            yield from _check(run, find_faults, problems, sources, repair=repair)
        elif not in_group:
            what = "is not a run directory: it has no config.yaml"
            problems.append(Problem(str(run), what, "give what --out named"))

        # A run of a group that has not begun has no config.yaml either.
        elif any(run.glob("generation_*")):
            problems.append(Problem(str(config), "is missing", "put it back from a copy"))

    if problems:
        raise InputError(problems, sources)


def _check(
    folder: Path,
    find: Callable[[Path], Iterator[Fault]],
    problems: list[Problem],
    sources: list[InputError],
    *,
    repair: bool,
) -> Iterator[str]:
    """Check one folder and yield what to say of it.

    Its faults are added to `problems`, and the errors that some of them come from to `sources`.
    """
    faults = list(find(folder))
    if faults and repair:
        with locked(folder):
            moved = list(set_aside(folder, list(find(folder))))
            faults = list(find(folder))
        for path in moved:
            yield f"{folder}: set aside {path.relative_to(folder)}"
    elif faults:
        # A run that is going on has files that are not listed yet: look twice.
        lasting = set(find(folder))
        faults = [fault for fault in faults if fault in lasting]

    problems += [fault.problem(f"imglab verify {folder} --repair") for fault in faults]
    sources += sources_of(faults)
    if faults:
        return
    finished = layout.count_finished(folder)
    if finished:
        yield f"{folder}: whole, {finished} generations"
    else:
        yield f"{folder}: whole"
