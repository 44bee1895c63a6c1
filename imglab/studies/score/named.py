"""What REAL or SYNTHETIC names: files, a hub data set, a run, a stored reference. No torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from imglab.errors import InputError, Problem
from imglab.images.image_formats import IMAGE_SUFFIXES

Role = Literal["REAL", "SYNTHETIC"]
Kind = Literal[
    "images", "npz", "texts", "jsonl", "parquet", "hub", "run", "generation", "reference"
]

REFERENCE = "reference:"
HUB = "hub:"
GENERATION = re.compile(r".+@\d+")
RUN_MARKS = ("config.yaml", "environment.json")

SUFFIXES: dict[str, Kind] = {
    ".npz": "npz",
    ".txt": "texts",
    ".jsonl": "jsonl",
    ".parquet": "parquet",
    **dict.fromkeys(sorted(IMAGE_SUFFIXES), "images"),
}

FORMS = (
    "give a folder of images or of .txt files, an .npz, .txt, .jsonl or .parquet file, "
    "hub:owner/name[:split], or RUN@G"
)

MOST_NAMED = 5
"""Files left out that are named one by one."""


@dataclass(frozen=True)
class Named:
    """What one side names.

    text      as the user wrote it
    path      the file or folder; of a generation its run; None of hub data sets and references
    paths     the files that are read, in their order
    left_out  files of a folder that are not read: they are of another kind
    """

    role: Role
    text: str
    kind: Kind
    path: Path | None = None
    paths: tuple[Path, ...] = ()
    left_out: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """A short name, for titles and folders."""
        if self.path is None:
            return self.text
        if self.kind == "generation":
            return f"{self.path.resolve().name}@{self.text.rpartition('@')[2]}"
        return self.path.resolve().name

    @property
    def place(self) -> str:
        """What tells it from any other, for the file that a page is written into."""
        if self.path is None or self.kind == "generation":
            folder, sign, number = self.text.rpartition("@")
            return f"{Path(folder).resolve()}{sign}{number}" if sign and self.path else self.text
        return str(self.path.resolve())

    def notes(self) -> list[str]:
        """Say which files of a folder are left out."""
        if not self.left_out:
            return []
        names = ", ".join(path.name for path in self.left_out[:MOST_NAMED])
        more = len(self.left_out) - MOST_NAMED
        if more > 0:
            names += f" and {more:,} more"
        number = f"{len(self.left_out):,} files"
        if len(self.left_out) == 1:
            number = "1 file"
        return [f"{self.text}: {number} left out ({names}), not of the kind that is scored"]


def parse(text: str, role: Role) -> Named:
    """Find out what a side names; InputError where nothing, or nothing that can be scored."""
    path = Path(text)
    if text.startswith(REFERENCE):
        if role == "SYNTHETIC":
            remedy = "give the reference first: imglab score reference:NAME SYNTHETIC"
            raise InputError(Problem(role, f"{text!r} is a reference of real data", remedy))
        return Named(role, text, "reference")
    if text.startswith(HUB):
        return Named(role, text, "hub")
    if not path.exists():
        if GENERATION.fullmatch(text):
            return Named(role, text, "generation", Path(text.rpartition("@")[0]))
        raise InputError(Problem(role, f"there is no file or folder {text!r}", FORMS))

    if path.is_file():
        return _file(text, path, role)
    if all((path / mark).is_file() for mark in RUN_MARKS):
        if role == "SYNTHETIC":
            what = f"{text!r} is a run, and each of its generations drew samples"
            raise InputError(Problem(role, what, f"name one of them: {text}@0"))
        return Named(role, text, "run", path)
    return _folder(text, path, role)


def _file(text: str, path: Path, role: Role) -> Named:
    kind = SUFFIXES.get(path.suffix.lower())
    if kind == "images":
        raise InputError(Problem(role, f"{text!r} is a single image", "give a folder of images"))
    if kind is None:
        what = f"{text!r} is not a kind of file that can be scored"
        raise InputError(Problem(role, what, FORMS))
    return Named(role, text, kind, path, (path,))


def _folder(text: str, path: Path, role: Role) -> Named:
    """Take the kind that most files of a folder have, and leave out the others."""
    by_kind: dict[Kind | None, list[Path]] = {}
    for file in sorted(path.rglob("*")):
        if not file.is_dir():
            by_kind.setdefault(SUFFIXES.get(file.suffix.lower()), []).append(file)

    usable = {kind: files for kind, files in by_kind.items() if kind not in (None, "npz")}
    if not usable:
        what = f"{text!r} holds no images, texts, JSON lines or parquet files"
        if not by_kind:
            what = f"{text!r} is an empty folder"
        raise InputError(Problem(role, what, FORMS))

    kind = max(usable, key=lambda each: len(usable[each]))
    if sum(len(files) == len(usable[kind]) for files in usable.values()) > 1:
        what = (
            f"{text!r} holds as many files of one kind as of another: {', '.join(map(str, usable))}"
        )
        raise InputError(Problem(role, what, "give a folder with one kind of data"))
    others = [file for each, files in by_kind.items() if each != kind for file in files]
    assert kind is not None
    return Named(role, text, kind, path, tuple(usable[kind]), tuple(sorted(others)))


def check_apart(real: Named, synthetic: Named) -> None:
    """Raise InputError where the two sides are, or share, the same data."""
    remedy = "scores would say that real data are like themselves; give two sets"
    if real.place == synthetic.place:
        what = f"is the same as REAL: {real.text!r}"
        raise InputError(Problem("SYNTHETIC", what, remedy))

    # A run holds both its real data and its generations, and they are different sets.
    if real.path is None or synthetic.path is None or "generation" in (real.kind, synthetic.kind):
        return
    one = real.path.resolve()
    other = synthetic.path.resolve()
    if one in other.parents or other in one.parents:
        what = f"{synthetic.text!r} and {real.text!r} lie one inside the other"
        raise InputError(Problem("SYNTHETIC", what, remedy))
