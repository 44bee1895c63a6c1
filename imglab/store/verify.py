"""`imglab verify`: check every file of a run, and repair what can be made again. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from imglab.errors import InputError, Problem
from imglab.failures import Unavailable
from imglab.store import groups, layout, links
from imglab.store.fault import Fault, sources_of
from imglab.store.faults import find_faults
from imglab.store.made_again import find_faults_of_group
from imglab.store.pruned import read_pruned
from imglab.store.repair import lasting
from imglab.store.repair import repair as repair_folder


def verify(folder: Path, *, repair: bool = False) -> Iterator[str]:
    """Check a run, or each run of a side-by-side run or a sweep; yield what to say of each.

    Each run is whole, or something of it was set aside. InputError, once all runs are checked,
    holds every fault that is left.

    repair  take what is damaged from another run that has the same bytes, or else set it aside, and
            the generations after it, in the folder `damaged` of the run, unchanged: the run goes on
            from the last good generation. If something is wrong that only a copy mends, nothing is
            moved
    """
    links.check_links(folder)
    verdicts = _Verdicts(repair)

    in_group = (folder / layout.CHAINS).is_file() or (folder / layout.SWEEP).is_file()
    if in_group:
        yield from verdicts.check(folder, find_faults_of_group)

    for run in groups.all_run_folders(folder):
        config = run / "config.yaml"
        if config.is_file():
            yield from verdicts.check(run, find_faults)
        elif not in_group:
            what = "is not a run directory: it has no config.yaml"
            verdicts.problems.append(Problem(str(run), what, "give what --out named"))

        # A run of a group that has not begun has no config.yaml either.
        elif any(run.glob("generation_*")):
            problem = Problem(str(config), "is missing", "put it back from a copy")
            verdicts.problems.append(problem)
    verdicts.end()


class _Verdicts:
    """What is wrong with the folders that were checked."""

    def __init__(self, repair: bool) -> None:
        self._repair = repair
        self.problems: list[Problem] = []

        # The errors that some of the problems come from.
        self._sources: list[InputError] = []
        self._unavailable: Unavailable | None = None

    def check(self, folder: Path, find: Callable[[Path], Iterator[Fault]]) -> Iterator[str]:
        """Check one folder, and mend it if that is wanted; yield what to say of it.

        What cannot be read now is not damaged: then nothing of the folder is moved.
        """
        try:
            faults = lasting(folder, find)
            if faults and self._repair:
                yield from repair_folder(folder, find)
                faults = lasting(folder, find)
        except Unavailable as error:
            self._unavailable = error
            yield f"{folder}: not checked to its end: {error}"
            return

        self.problems += [fault.problem(f"imglab verify {folder} --repair") for fault in faults]
        self._sources += sources_of(faults)
        if faults:
            return
        finished = layout.count_finished(folder)
        if finished:
            removed = read_pruned(folder).line()
            if removed:
                removed = f"; removed to save space: {removed}"
            yield f"{folder}: whole, {finished} generations{removed}"
        else:
            yield f"{folder}: whole"

    def end(self) -> None:
        """Raise InputError with every fault; Unavailable if only something could not be read."""
        if self.problems:
            raise InputError(self.problems, self._sources)
        if self._unavailable is not None:
            raise self._unavailable
