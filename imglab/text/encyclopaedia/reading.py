"""Reading a text of the encyclopaedia: which sentences are well-formed, and what they state."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from imglab.text.encyclopaedia.grammar import (
    BANDS,
    MOST_WORDS,
    THINGS,
    Statement,
    read_sentence,
)
from imglab.text.encyclopaedia.world import World

PARTS = re.compile(r"[^.]*\.|[^.]+$")


@dataclass
class Counts:
    """What was read in one sample.

    sentences, well_formed  sentences, and how many of them one of the wordings can have written
    mentions, invented      names of things, and how many of them name nothing that exists
    stated, right           facts, and how many of them are true, by the band of their subject
    things                  ranks of the things that the sentences are about
    fact_types              types of facts that they state, as (kind of thing, name of the fact)
    facts                   true facts that they state, as (rank of the thing, name of the fact)
    """

    sentences: int = 0
    well_formed: int = 0
    mentions: int = 0
    invented: int = 0
    stated: list[int] = field(default_factory=lambda: [0] * len(BANDS))
    right: list[int] = field(default_factory=lambda: [0] * len(BANDS))
    things: set[int] = field(default_factory=set)
    fact_types: set[tuple[str, str]] = field(default_factory=set)
    facts: set[tuple[int, str]] = field(default_factory=set)


def split_sentences(text: str, end: str) -> Iterator[str]:
    """Yield the sentences of a sample.

    A sample begins and ends anywhere, so what may be the end or the beginning of a sentence is left
    out, unless it is longer than any sentence of the encyclopaedia.

    end  what closes a document; it also closes a sentence that has no full stop
    """
    documents = text.split(end)
    for number, document in enumerate(documents):
        parts = [part.strip() for part in PARTS.findall(document)]
        for place, part in enumerate(parts):
            lacks_beginning = number == place == 0
            lacks_end = number == len(documents) - 1 and not part.endswith(".")
            is_whole = not (lacks_beginning or lacks_end)
            if part and (is_whole or len(part.split()) > MOST_WORDS):
                yield part


def read_sample(text: str, world: World, *, end: str, unknown: str | None) -> Counts:
    """Count what a sample states. Each sentence names its subject, so it is read by itself.

    unknown  the tokenizer's token for words that it cannot read: sentences with one are left out
    """
    counts = Counts()
    for sentence in split_sentences(text, end):
        if unknown is not None and unknown in sentence:
            continue

        counts.sentences += 1
        statement = read_sentence(sentence)
        if statement is not None:
            counts.well_formed += 1
            _count_statement(statement, world, counts)
    return counts


def _count_statement(statement: Statement, world: World, counts: Counts) -> None:
    subject = world.by_name.get((statement.kind, statement.subject))
    counts.mentions += 1
    if subject is None:
        counts.invented += 1
    else:
        counts.things.add(subject.rank)

    for name, value in statement.facts.items():
        if name in THINGS:
            counts.mentions += 1
            if (THINGS[name], value) not in world.by_name:
                counts.invented += 1
                continue

        # Nothing is true or false of a thing that does not exist.
        if subject is not None:
            band = world.band(subject)
            counts.fact_types.add((statement.kind, name))
            counts.stated[band] += 1
            if subject.facts[name] == value:
                counts.right[band] += 1
                counts.facts.add((subject.rank, name))
