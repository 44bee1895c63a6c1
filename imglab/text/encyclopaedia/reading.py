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
    stated                  facts, of which those of things that do not exist cannot be true
    of_band, right          facts of things that exist, and how many of them are true, by the band
                            of their subject
    things                  ranks of the things that the sentences are about
    fact_types              types of facts that they state, as (kind of thing, name of the fact)
    facts                   true facts that they state, as (rank of the thing, name of the fact)
    """

    sentences: int = 0
    well_formed: int = 0
    mentions: int = 0
    invented: int = 0
    stated: int = 0
    of_band: list[int] = field(default_factory=lambda: [0] * len(BANDS))
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


def read_sample(text: str, world: World, *, end: str) -> Counts:
    """Count what a sample states. Each sentence names its subject, so it is read by itself.

    A sentence with a word that the tokenizer does not know is a sentence that is not well-formed.
    """
    counts = Counts()
    for sentence in split_sentences(text, end):
        counts.sentences += 1
        statement = read_sentence(sentence)
        if statement is not None:
            counts.well_formed += 1
            _count_statement(statement, world, counts)
    return counts


def _count_statement(statement: Statement, world: World, counts: Counts) -> None:
    names = [(statement.kind, statement.subject)]
    for name, value in statement.facts.items():
        if name in THINGS:
            names.append((THINGS[name], value))
    counts.mentions += len(names)
    counts.invented += sum(name not in world.by_name for name in names)

    # Nothing is true of a thing that does not exist.
    counts.stated += len(statement.facts)
    subject = world.by_name.get((statement.kind, statement.subject))
    if subject is None:
        return

    counts.things.add(subject.rank)
    band = world.band(subject)
    for name, value in statement.facts.items():
        counts.fact_types.add((statement.kind, name))
        counts.of_band[band] += 1
        if subject.facts[name] == value:
            counts.right[band] += 1
            counts.facts.add((subject.rank, name))
