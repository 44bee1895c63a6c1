"""What REAL or SYNTHETIC names: files, a hub data set, a run, a stored reference. No torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from imglab.config.paths import missing_path
from imglab.errors import InputError, Problem
from imglab.images.image_formats import is_image
from imglab.reading import kind_of_files, list_tree
from imglab.text.gate import is_text

Role = Literal["REAL", "SYNTHETIC"]
Kind = Literal["images", "npz", "texts", "hub", "run", "generation", "reference"]

REFERENCE = "reference:"
HUB = "hub:"
GENERATION = re.compile(r".+@\d+")
RUN_MARKS = ("config.yaml", "environment.json")

FORMS = (
    "give a folder of images or texts, an .npz, .txt, .jsonl, .csv or .parquet file, "
    "hub:owner/name[:split], or RUN@G"
)


@dataclass(frozen=True)
class Named:
    """What one side names.

    text  as the user wrote it
    path  the file or folder; of a generation its run; None of hub data sets and references
    """

    role: Role
    text: str
    kind: Kind
    path: Path | None = None

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
        raise InputError(missing_path(text, role, FORMS, "file or folder"))

    if path.is_file():
        return _file(text, path, role)
    if all((path / mark).is_file() for mark in RUN_MARKS):
        if role == "SYNTHETIC":
            what = f"{text!r} is a run, and each of its generations drew samples"
            raise InputError(Problem(role, what, f"name one of them: {text}@0"))
        return Named(role, text, "run", path)
    return _folder(text, path, role)


def _file(text: str, path: Path, role: Role) -> Named:
    if is_image(path):
        raise InputError(Problem(role, f"{text!r} is a single image", "give a folder of images"))
    if path.suffix.lower() == ".npz":
        return Named(role, text, "npz", path)
    if not is_text(path):
        what = f"{text!r} is not a kind of file that can be scored"
        raise InputError(Problem(role, what, FORMS))
    return Named(role, text, "texts", path)


def _folder(text: str, path: Path, role: Role) -> Named:
    """Take a folder for what most of its files are."""
    files = list_tree(path, role).files
    kind = kind_of_files(files, is_image, is_text)
    if kind is not None:
        return Named(role, text, kind, path)

    images = sum(map(is_image, files))
    what = f"{text!r} holds {images:,} images and {sum(map(is_text, files)):,} texts"
    if not images:
        what = f"{text!r} holds no images, texts, JSON lines or tables"
    if not files:
        what = f"{text!r} is an empty folder"
    raise InputError(Problem(role, what, FORMS))


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
