"""Where things are pushed to and pulled from: a repository of the hub, or a folder."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from imglab.errors import InputError, Problem, first_line
from imglab.store import files

Kind = Literal["model", "dataset"]
"""What a repository of the hub is for."""

HUB = "hub:"
CARD = "README.md"
NOT_CONTENT = (".gitattributes", ".cache", ".git")
"""What the hub adds to a folder."""


class Place(Protocol):
    """Keeps one folder and its card."""

    def put(self, folder: Path, card: str, kind: Kind, *, private: bool) -> None:
        """Keep a copy of a folder, under a card of its own in place of its README.md, if any."""
        ...

    def take(self, to: Path) -> str:
        """Copy what is kept into the new folder `to`, without the card, which is returned."""
        ...


def place_of(text: str) -> Place:
    """Return the place that `hub:OWNER/NAME`, or a path, stands for."""
    if not text.startswith(HUB):
        return Folder(Path(text).expanduser())

    name = text.removeprefix(HUB)
    owner, _, repository = name.partition("/")
    if not owner or not repository or "/" in repository:
        what = f"{text!r} does not name a repository of the hub"
        raise InputError(Problem("hub", what, "write hub:OWNER/NAME, or a folder's path"))
    return Repository(name)


@dataclass(frozen=True)
class Folder:
    """A folder, e.g. on a disk that a group shares."""

    path: Path

    def put(self, folder: Path, card: str, kind: Kind, *, private: bool) -> None:
        """Copy into the folder, which must be new or empty."""
        if private:
            what = "is a folder: who may read it, its file system decides"
            raise InputError(Problem("--private", what, "leave it out"))
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            what = "exists and is not an empty folder"
            raise InputError(Problem(str(self.path), what, "choose another place"))
        if folder.resolve() in self.path.resolve().parents:
            what = "lies in what is pushed"
            raise InputError(Problem(str(self.path), what, "choose a place outside of it"))

        def write(new: Path) -> None:
            shutil.copytree(folder, new, dirs_exist_ok=True, ignore=_card_of(folder))
            (new / CARD).write_text(card)

        files.make_folder(self.path.parent)
        files.write_atomically(self.path, write)

    def take(self, to: Path) -> str:
        """Copy from the folder."""
        card = self.path / CARD
        if not card.is_file():
            what = "is no folder that imglab push has filled: it has no README.md"
            raise InputError(Problem(str(self.path), what, "name what was pushed"))
        shutil.copytree(self.path, to, dirs_exist_ok=True, ignore=_card_of(self.path))
        return card.read_text()


def _card_of(folder: Path) -> Any:
    """Return what leaves out of a copy: the card, temporary files and what the hub adds."""

    def ignored(place: str, names: Sequence[str]) -> set[str]:
        left_out = {name for name in names if name.endswith(".tmp")}
        if Path(place) == folder:
            left_out |= {CARD, *NOT_CONTENT}
        return left_out

    return ignored


@dataclass(frozen=True)
class Repository:
    """A repository of the Hugging Face hub."""

    name: str

    def put(self, folder: Path, card: str, kind: Kind, *, private: bool) -> None:
        """Upload in one commit after the repository is made, where there is none."""
        from huggingface_hub import HfApi

        api = HfApi()
        with _answered(f"{HUB}{self.name}"):
            api.create_repo(self.name, repo_type=kind, private=private, exist_ok=True)
            keys: dict[str, Any] = {"repo_id": self.name, "repo_type": kind}
            api.upload_folder(folder_path=str(folder), ignore_patterns=[CARD, "*.tmp"], **keys)
            api.upload_file(path_or_fileobj=card.encode(), path_in_repo=CARD, **keys)

    def take(self, to: Path) -> str:
        """Download; a data set if there is one of this name, else a model."""
        from huggingface_hub import HfApi, snapshot_download
        from huggingface_hub.utils import disable_progress_bars

        if not sys.stderr.isatty():
            disable_progress_bars()
        api = HfApi()
        with _answered(f"{HUB}{self.name}"):
            kind: Kind = "model"
            if api.repo_exists(self.name, repo_type="dataset"):
                kind = "dataset"
            snapshot_download(self.name, repo_type=kind, local_dir=str(to))

        card = ""
        if (to / CARD).is_file():
            card = (to / CARD).read_text()
            (to / CARD).unlink()
        _remove_additions(to)
        return card


def _remove_additions(folder: Path) -> None:
    """Remove what the hub and its client add to a folder."""
    for name in NOT_CONTENT:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def _answered(name: str) -> Iterator[None]:
    """Tell the failure of a client of the hub in our own words."""
    if os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("1", "true", "yes", "on"):
        raise InputError(Problem(name, "is not asked for: HF_HUB_OFFLINE is set", "unset it"))
    try:
        yield
    # The hub's client raises a dozen kinds of errors, and its library for HTTP some more.
    except Exception as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise
        remedy = "look at the name and the network; `hf auth login` signs you in"
        raise InputError(Problem(name, f"the hub says: {first_line(error)}", remedy)) from error
