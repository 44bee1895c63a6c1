"""Let mkdocstrings show this project's docstrings: lists of names as lists, examples as code.

mkdocs.yml names it. A docstring lists what it describes in two columns,

    rows     which rows, int64 [N]
    columns  which columns; a longer description goes on
             below its first line

which Markdown would run together into one paragraph.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import griffe

ENTRY = re.compile(r"^(\w[\w,. ()|`*=-]*?) {2,}(\S.*)$")
EXAMPLE = ">>> "


class Columns(griffe.Extension):  # type: ignore[misc]
    """Rewrites each docstring as Markdown before it is shown."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Rewrite the docstring of one module, class, function or attribute."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """Return a docstring as Markdown."""
    return "\n\n".join(_paragraphs(text))


def _paragraphs(text: str) -> Iterator[str]:
    """Yield the paragraphs of a docstring, as Markdown."""
    for paragraph in re.split(r"\n\s*\n", text):
        lines = paragraph.splitlines()
        if lines[0].startswith(EXAMPLE):
            yield "```pycon\n" + paragraph + "\n```"
        elif ENTRY.match(lines[0]):
            yield _without_tags("\n".join(_items(lines)))
        else:
            yield _without_tags(paragraph)


def _items(lines: list[str]) -> Iterator[str]:
    """Yield the lines of a list: an entry where a name begins, else more of the last one."""
    for line in lines:
        entry = ENTRY.match(line)
        if entry:
            yield f"- `{entry[1].strip('`')}`: {entry[2]}"
        else:
            yield f"  {line.strip()}"


def _without_tags(text: str) -> str:
    """Return Markdown in which `<` outside code begins no HTML."""
    pieces = text.split("`")
    pieces[::2] = [piece.replace("<", "&lt;") for piece in pieces[::2]]
    return "`".join(pieces)
