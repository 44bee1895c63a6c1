"""Removing from finished generations what a run need not have any more."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from imglab.config.machine import size_text
from imglab.errors import InputError, Problem
from imglab.running.keeping import turns_of
from imglab.store import layout, locks
from imglab.store.faults import check_run
from imglab.store.listing import is_run
from imglab.store.pruned import Keep, Pruned, removable, remove, size_of
from imglab.store.reader import RunFolder
from imglab.store.sealed_config import read_sealed


def prune_run(run: Path, policy: Mapping[str, Keep], *, removes: bool) -> str:
    """Remove what a policy does not keep of a run; return in words what that is, and its size.

    Raises InputError if it is not a run, if a process writes it, or if it may still read samples
    that would be removed.

    policy   what stays, by the keys of `imglab.store.pruned.FILES`
    removes  False: only say what would be removed
    """
    if not is_run(run):
        raise InputError(Problem(str(run), "is not a run directory", "name one"))
    busy = Problem(str(run), "another process is writing this run", "wait for it, or stop it")
    with locks.held(run / locks.RUN, busy):
        check_run(run)
        config = read_sealed(run / "config.yaml")
        count = layout.count_finished(run)
        if count < config.generations and policy.get("samples", "all") != "all":
            what = f"has finished {count} of {config.generations} generations, and may read samples"
            raise InputError(Problem(str(run), what, "finish it, or keep all samples"))

        removed = removable(run, policy, last=count - 1, turns=turns_of(config))
        size = size_text(size_of(run, removed))
        line = Pruned(removed).line() or "nothing"
        if removes:
            stored = RunFolder(run)
            sizes = {g: stored.size(g) for g in removed if "samples" in removed[g]}
            remove(run, removed, sizes)
    return f"{line} ({size})"
