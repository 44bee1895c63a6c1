"""Texts cut into documents, without the sentences and the blank ones that a source leaves out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from imglab.text.expressions import Expression
from imglab.text.source_settings import FilesSource, HubSource

SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[\"'(]?\s?[A-Z0-9])")
"""White space between sentences: after a full stop and the like, before a capital or a digit."""


@dataclass(frozen=True)
class Part:
    """Documents of a part of a source, and the name of each one's group where a column says it."""

    texts: list[str]
    groups: list[str] | None = None

    def rows(self, numbers: Iterable[int]) -> Part:
        """Return the documents of these numbers."""
        chosen = list(numbers)
        groups = self.groups
        if groups is not None:
            groups = [groups[number] for number in chosen]
        return Part([self.texts[number] for number in chosen], groups)


def documents_of(part: Part, source: FilesSource | HubSource) -> Part:
    """Cut texts before each line that begins a document, and drop what the source leaves out.

    What is cut from a text is of the group of the text.
    """
    documents = part.texts
    of_texts: Sequence[int] = range(len(documents))
    size = sum(map(len, documents))
    if source.document_start is not None:
        example = "'^ = [^=]+ = $' for WikiText"
        begins = Expression(source.document_start, "document_start", example, size)
        cut = [_cut(text, begins) for text in documents]
        of_texts = [number for number, pieces in enumerate(cut) for _ in pieces]
        documents = [piece for pieces in cut for piece in pieces]

    if source.leave_out is not None:
        unwanted = Expression(source.leave_out, "leave_out", "'<unk>'", size)
        documents = [_without_sentences(text, unwanted) for text in documents]

    groups = part.groups
    if groups is not None:
        groups = [groups[number] for number in of_texts]
    cut_part = Part(documents, groups)
    return cut_part.rows(n for n, document in enumerate(documents) if document.strip())


def _cut(text: str, begins: Expression) -> list[str]:
    """Cut a text before each line in which an expression matches."""
    documents: list[list[str]] = [[]]
    for line in text.splitlines(keepends=True):
        if begins.matches(line.rstrip("\r\n")):
            documents.append([])
        documents[-1].append(line)
    return ["".join(lines) for lines in documents]


def _without_sentences(text: str, unwanted: Expression) -> str:
    """Return a text without the sentences in which an expression matches."""
    lines = []
    for line in text.splitlines(keepends=True):
        if unwanted.matches(line):
            end = line[len(line.rstrip()) :]
            sentences = SENTENCE_END.split(line.rstrip())
            line = " ".join(each for each in sentences if not unwanted.matches(each)) + end
        lines.append(line)
    return "".join(lines)


def without_blank(documents: Iterable[str]) -> list[str]:
    """Drop documents of white space alone."""
    return [document for document in documents if document.strip()]
