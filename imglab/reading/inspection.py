"""What `imglab inspect` says of data: what was found, what is odd, and a config that reads it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imglab.reading.summary import EXAMPLES, Summary
from imglab.reading.tables import Columns
from imglab.safe_text import one_line

LAST_NUMBER = re.compile(r"[\s_.\-]*\(?\d+\)?$")


@dataclass(frozen=True)
class Inspection:
    """What was found in data.

    summary  classes, parts, and what was left out
    facts    further facts, each under its name; one that is a Mapping has a `line` to print
    config   sections of a config that reads the data
    """

    summary: Summary
    facts: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Return what is printed, without the config."""
        lines = [self.summary.line()]
        for name, fact in self.facts.items():
            text = fact
            if isinstance(fact, Mapping):
                text = fact["line"]
            lines.append(one_line(f"{name.replace('_', ' ')}: {text}"))
        return lines

    def as_json(self) -> dict[str, Any]:
        """Return the summary's keys, the facts, and the config."""
        return {**self.summary.as_json(), **self.facts, "config": self.config}


def add_columns(
    facts: dict[str, Any], keys: dict[str, Any], what: str, columns: Iterable[Columns], key: str
) -> None:
    """Add which columns of tables are read, which others hold texts, and how one is chosen.

    facts    get an entry `columns`, if there are tables
    keys     of the source in a config: get `key` where one column is read and others hold texts
    what     what the columns hold, as in "the texts"
    columns  of each table
    key      the source's key that names another column
    """
    tables = list(dict.fromkeys(columns))
    if not tables:
        return
    names = list(dict.fromkeys(each.read for each in tables))
    further = list(dict.fromkeys(name for each in tables for name in each.others))
    line = f"{what} are read from {' or '.join(map(repr, names))}"
    if further:
        line += f"; modality.source.{key} may name another one: {', '.join(map(repr, further))}"
        if len(names) == 1:
            keys[key] = names[0]  # shows in the config what to change
    facts["columns"] = {"line": line, "read": names, "others": further}


def duplicates(names: Sequence[str], digests: Sequence[str], n_train: int) -> dict[str, Any]:
    """Return how many samples repeat an earlier one, and how many of the test part the training.

    n_train  samples of the training part, which come first; all, if there is no test part
    """
    first: dict[str, int] = {}
    repeated = []
    for number, digest in enumerate(digests):
        if digest in first:
            repeated.append((number, first[digest]))
        else:
            first[digest] = number
    across = [pair for pair in repeated if pair[0] >= n_train > pair[1]]

    examples = [[one_line(names[one]) for one in pair] for pair in (across or repeated)[:EXAMPLES]]
    line = f"{len(repeated):,} repeat another, {len(across):,} of the test part one of training"
    if examples:
        line += f", e.g. {' = '.join(examples[0])}"
    return {
        "line": line,
        "count": len(repeated),
        "between_train_and_test": len(across),
        "examples": examples,
    }


def groups(paths: Iterable[Path]) -> dict[str, Any] | None:
    """Return the groups that names show, as `p1_01.png` and `p1_02.png`; None if they show none.

    Samples of one group, such as the frames of a film, resemble each other: a random split puts
    them on both sides.
    """
    stems = [LAST_NUMBER.sub("", path.stem) for path in paths]
    sizes = Counter(stem for stem in stems if stem)
    several = {stem: size for stem, size in sizes.items() if size > 1}
    if len(several) < 2 or sum(several.values()) < len(stems) / 2:
        return None

    largest = dict(Counter(several).most_common(EXAMPLES))
    named = ", ".join(f"{stem} {size:,}" for stem, size in largest.items())
    line = (
        f"{len(several):,} by the names of the files ({named}); if they belong together, put whole "
        "groups into train/ and test/"
    )
    return {"line": line, "count": len(several), "largest": largest}
