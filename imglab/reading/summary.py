"""What was found in people's data, in one line and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imglab.safe_text import one_line

MOST_CLASSES = 10
"""Classes that the line names, with their sizes."""

EXAMPLES = 3
"""Files that are named where there are many."""


@dataclass(frozen=True)
class LeftOut:
    """Files that are not read: what they are, why, and which; or so many rows of files that are."""

    what: str
    why: str
    paths: tuple[Path, ...]
    rows: int = 0

    @property
    def count(self) -> int:
        """How many there are."""
        return self.rows or len(self.paths)

    def __str__(self) -> str:
        text = f"{self.count:,} {self.what}"
        if self.count == 1 and self.what.startswith(("files", "rows", "images", "links")):
            text = f"1 {self.what.replace('s', '', 1)}"
        if self.why:
            text += f" ({self.why})"
        return one_line(text)

    def as_json(self) -> dict[str, Any]:
        """Return what, why, count, and a few examples."""
        examples = [one_line(str(path)) for path in self.paths[:EXAMPLES]]
        return {
            "what": one_line(self.what),
            "why": one_line(self.why),
            "count": self.count,
            "examples": examples,
        }


@dataclass(frozen=True)
class Summary:
    """What was found.

    total     samples that were read
    noun      what they are, in the plural, e.g. `images`
    counts    samples of each class; None: there are no classes
    unsorted  what is said where there are no classes
    split     samples of each part, e.g. {"train": 16, "test": 4}
    left_out  what was not read
    notes     what else a person should know, each a short phrase
    """

    total: int
    noun: str
    counts: Mapping[str, int] | None = None
    split: Mapping[str, int] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
    unsorted: str = ""

    def line(self) -> str:
        """Return one line: `20 images: cat 10, dog 10; train 16, test 4; left out: 3 .avif`."""
        parts = [self.unsorted]
        if self.counts is not None:
            parts = [_counts(self.counts)]
        parts.append(", ".join(f"{name} {count:,}" for name, count in self.split.items()))
        if self.left_out:
            parts.append(f"left out: {', '.join(map(str, self.left_out))}")
        parts += self.notes

        noun = self.noun
        if self.total == 1:
            noun = noun.removesuffix("s")
        return one_line(f"{self.total:,} {noun}: {'; '.join(part for part in parts if part)}")

    def as_json(self) -> dict[str, Any]:
        """Return all of it under the keys classes, counts, split, left_out, notes and total."""
        classes = None
        counts = None
        if self.counts is not None:
            counts = {one_line(name): count for name, count in self.counts.items()}
            classes = list(counts)
        return {
            "total": self.total,
            "noun": self.noun,
            "classes": classes,
            "counts": counts,
            "split": dict(self.split),
            "left_out": [each.as_json() for each in self.left_out],
            "notes": [one_line(note) for note in self.notes],
        }


def _counts(counts: Mapping[str, int]) -> str:
    named = [f"{name} {count:,}" for name, count in list(counts.items())[:MOST_CLASSES]]
    text = ", ".join(named)
    if len(counts) > MOST_CLASSES:
        text = f"{len(counts):,} classes ({text}, ...)"
    return text


def by_suffix(paths: Iterable[Path], why: Mapping[str, str]) -> tuple[LeftOut, ...]:
    """Group files by their suffix, the most frequent first.

    why  reason of a suffix in lower case, e.g. {".avif": "no reader"}; others have none
    """
    groups: dict[str, list[Path]] = {}
    for path in paths:
        groups.setdefault(path.suffix.lower(), []).append(path)

    order = Counter({suffix: len(group) for suffix, group in groups.items()}).most_common()
    left_out = []
    for suffix, _ in order:
        what = suffix or "without a suffix"
        left_out.append(LeftOut(what, why.get(suffix, ""), tuple(groups[suffix])))
    return tuple(left_out)
