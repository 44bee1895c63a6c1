"""Faults of what is made again from other files: results of runs, and the cache of a sweep.

No torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from imglab.errors import InputError
from imglab.store import files, hashes, layout, links
from imglab.store.fault import Fault, exists


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


def _may_be_result(name: str) -> bool:
    results = {"summary.json", "report.html", "report_files"}
    if name in {*links.OWN, *links.WRITTEN} - results:
        return False
    return not name.startswith((".", "generation_"))


def find_faults_of_group(folder: Path) -> Iterator[Fault]:
    """Yield the faults of what lies beside the runs of a sweep: its results, and their cache."""
    yield from find_faults_of_results(folder)
    for entry in layout.cache_entries(folder):
        for part in (entry, entry / "shared"):
            for name, what in hashes.faults(part):
                yield Fault(part / name, what, aside=entry)

    for choices in layout.cached_choices(folder):
        try:
            files.read_signed(choices, ("choices",))
        except InputError as error:
            yield Fault(choices, error.problems[0].what, aside=choices, source=error)
