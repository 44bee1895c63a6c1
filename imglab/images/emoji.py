"""Emoji with their names, categories and skin tones, from `emoji-datasource-google` of npm."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from imglab import seeds
from imglab.config.fetched import locate
from imglab.errors import InputError, Problem, first_line, nearest
from imglab.failures import raise_if_unavailable
from imglab.groups.numbering import NO_GROUP
from imglab.images.arrays import stack_images
from imglab.images.group_columns import grouped
from imglab.images.image_reading import open_images
from imglab.images.labelled import LabelledImages, SourceImages, class_names
from imglab.images.settings import ImageSettings
from imglab.images.source_settings import EmojiSource

WHERE = "modality.source.path"
CATEGORIES = "modality.source.categories"

TABLE = "emoji.json"
PICTURES = "img/google/64"
FILE = re.compile(r"[0-9a-f]+(-[0-9a-f]+)*\.png")

TEST_SHARE = 0.2
"""Share of the pictures that are held out for testing, at least, where `n_test` is not set."""

TONES = {
    "1F3FB": "light",
    "1F3FC": "medium-light",
    "1F3FD": "medium",
    "1F3FE": "medium-dark",
    "1F3FF": "dark",
}
"""Names of the skin tones in Unicode, by the characters that ask for them."""


@dataclass(frozen=True)
class Emoji:
    """One picture.

    drawing  number of its drawing, which may come in several skin tones
    tones    names of the skin tones of the people in it; empty if it is drawn in none
    """

    file: str
    name: str
    category: str
    drawing: int
    tones: tuple[str, ...] = ()

    @property
    def tone(self) -> str | None:
        """The skin tone, if all people in it have the same one."""
        if len(set(self.tones)) == 1:
            return self.tones[0]
        return None

    @property
    def caption(self) -> str:
        """The name and the tones in Unicode's form, e.g. `waving hand sign: dark skin tone`."""
        words = self.name.lower()
        if self.tones:
            words += ": " + ", ".join(f"{tone} skin tone" for tone in self.tones)
        return words


def read_emoji(source: EmojiSource, settings: ImageSettings) -> SourceImages:
    """Read the pictures that the source asks for, with a test split by drawings.

    Raises InputError for a folder that does not hold the package, for a category that it does not
    have, and for pictures that are listed but missing or unreadable.
    """
    folder = Path(locate(source.path, WHERE))
    emoji = _wanted(_read_table(folder / TABLE), source)
    paths = [folder / PICTURES / each.file for each in emoji]
    images = stack_images(open_images(paths, settings.size).arrays, [str(path) for path in paths])

    names = _label_names(emoji, source.labels)
    numbers = {name: number for number, name in enumerate(names)}
    labels = torch.tensor([numbers[_label(each, source.labels)] for each in emoji])

    pictures = LabelledImages(images, labels)
    is_test = _held_out(emoji, settings)
    train = pictures[(~is_test).nonzero().flatten()]
    test = pictures[is_test.nonzero().flatten()]
    split = SourceImages(train, test, names)
    if source.labels == "name":
        split = SourceImages(train, test, None, names)
    if settings.groups is None:
        return split
    order = [*(~is_test).nonzero().flatten().tolist(), *is_test.nonzero().flatten().tolist()]
    return grouped(split, _groups([emoji[row] for row in order], settings.groups), TABLE)


def _groups(emoji: Sequence[Emoji], column: str) -> list[str]:
    """Return the group of each picture; those that show no skin tone, or two, have none."""
    if column == "category":
        return [each.category for each in emoji]
    if column == "skin_tone":
        return [each.tone or NO_GROUP for each in emoji]
    what = f"there is no column {column!r} of emoji"
    raise InputError(Problem("modality.groups", what, nearest(column, ("category", "skin_tone"))))


def _read_table(path: Path) -> list[Emoji]:
    """Return all pictures that the package lists, in its order."""
    try:
        if path.exists() and not path.is_file():  # reading a pipe would never end
            raise OSError("it is not a regular file")
        rows = json.loads(path.read_text(encoding="utf-8"))
        emoji = [each for number, row in enumerate(rows) for each in _pictures(row, number)]
    except (OSError, ValueError, RecursionError) as error:
        raise_if_unavailable(error, path)
        what = f"{str(path)!r} cannot be read: {first_line(error)}"
        remedy = "run `imglab get emoji`, or name a folder of emoji-datasource-google"
        raise InputError(Problem(WHERE, what, remedy)) from error
    # A row that is not an object with the package's keys.
    except (KeyError, TypeError, AttributeError) as error:
        what = f"{str(path)!r} is not the table of emoji-datasource-google: {error!r}"
        raise InputError(Problem(WHERE, what, "run `imglab get emoji`")) from error
    return emoji


def _pictures(row: Any, drawing: int) -> list[Emoji]:
    """Return the pictures of one drawing, of which the package may lack some."""
    variations: dict[tuple[str, ...], Any] = {(): row}
    for key, variation in row.get("skin_variations", {}).items():
        variations[tuple(TONES[part] for part in key.split("-"))] = variation

    name = row["name"]
    category = row["category"]
    if not isinstance(name, str) or not isinstance(category, str):
        raise ValueError(f"row {drawing} has no name or no category")

    pictures = []
    for tones, variation in variations.items():
        if not variation["has_img_google"]:
            continue
        if not FILE.fullmatch(variation["image"]):
            raise ValueError(f"{variation['image']!r} is not the name of a picture")
        pictures.append(Emoji(variation["image"], name, category, drawing, tones))
    return pictures


def _wanted(emoji: list[Emoji], source: EmojiSource) -> list[Emoji]:
    """Return the pictures of the wanted categories which have a label."""
    categories = {each.category for each in emoji}
    problems = []
    for name in source.categories or []:
        if name not in categories:
            what = f"there is no category {name!r}"
            problems.append(Problem(CATEGORIES, what, nearest(name, categories)))
    if problems:
        raise InputError(problems)

    wanted = [each for each in emoji if each.category in (source.categories or categories)]
    if source.labels == "skin_tone":
        wanted = [each for each in wanted if each.tone is not None]
    if len({each.drawing for each in wanted}) < 2:
        what = f"{len(wanted)} pictures are left, which cannot be split"
        raise InputError(Problem("modality.source", what, "choose other categories or labels"))
    return wanted


def _label(emoji: Emoji, labels: str) -> str:
    """Return the name of a picture's label."""
    if labels == "name":
        return emoji.caption
    if labels == "category":
        return emoji.category
    return str(emoji.tone)


def _label_names(emoji: Sequence[Emoji], labels: str) -> tuple[str, ...]:
    """Return the names that occur: skin tones from light to dark, all others by the alphabet."""
    names = {_label(each, labels) for each in emoji}
    if labels == "skin_tone":
        return tuple(tone for tone in TONES.values() if tone in names)
    return class_names(sorted(names), WHERE)


def _held_out(emoji: Sequence[Emoji], settings: ImageSettings) -> torch.Tensor:
    """Say which pictures are for testing, bool [N]: whole drawings, at random."""
    drawings = torch.tensor([each.drawing for each in emoji])
    numbers, counts = torch.unique(drawings, return_counts=True)
    order = torch.randperm(
        len(numbers), generator=seeds.generator(settings.split_seed, "split", "emoji")
    )

    wanted = settings.n_test or round(TEST_SHARE * len(emoji))
    before = counts[order].cumsum(0) - counts[order]
    chosen = numbers[order[before < wanted]]
    return torch.isin(drawings, chosen)
