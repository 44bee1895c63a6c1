"""Pulling what was pushed: into a new folder, checked where it is a run."""

from __future__ import annotations

from pathlib import Path

from imglab.errors import InputError, Problem
from imglab.running.sharing.places import CARD, Place
from imglab.store import files
from imglab.store.faults import check_run
from imglab.store.listing import is_run


def pull(place: Place, to: Path) -> str:
    """Copy what a place keeps into the new folder `to`; return what it is, in a few words.

    Of a run every file is compared with its hash. Of models and samples the card stays beside
    them as README.md. Raises InputError where `to` exists, or a run has been changed.
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        what = "exists and is not an empty folder"
        raise InputError(Problem(str(to), what, "choose another folder"))

    def write(folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        card = place.take(folder)
        if is_run(folder):
            check_run(folder)
        elif card:
            (folder / CARD).write_text(card)

    files.make_folder(to.parent)
    files.write_atomically(to, write)
    return described(to)


def described(folder: Path) -> str:
    """Say what a folder that was pulled is, and what to do with it."""
    if is_run(folder):
        return f"a run, whole: imglab report {folder}"
    if (folder / "manifest.json").is_file():
        return f"samples: imglab score REAL {folder}"
    return f"a model: its card is {folder / CARD}"
