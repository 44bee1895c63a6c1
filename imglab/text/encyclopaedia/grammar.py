"""The sentences of the encyclopaedia: how facts are written, and how they are read back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from string import Formatter

from imglab.text.encyclopaedia.words import (
    ANIMAL_ADJECTIVES,
    BUILDING_TYPES,
    PLACE_ADJECTIVES,
    VALUES,
)

BANDS = ("frequent", "middle", "rare")
"""Parts of the things, and of the facts, by how frequent they are."""

SUBJECT = "subject"

THINGS: Mapping[str, str] = {
    **dict.fromkeys(("twin", "site", "birthplace"), "place"),
    **dict.fromkeys(("architect", "spouse", "describer"), "person"),
}
"""Facts whose value is another thing, and of which kind it is."""


def _any_of(words: Sequence[str]) -> str:
    """Return the expression of any of these words, the longest first."""
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


ADJECTIVES = _any_of(PLACE_ADJECTIVES)
TYPES = _any_of(BUILDING_TYPES)

FORMS: Mapping[str, str] = {
    "place": rf"(?:{ADJECTIVES}) [A-Z]\w+",
    "building": rf"[A-Z]\w+ (?:{TYPES})",
    "person": rf"(?!(?:{ADJECTIVES}) )[A-Z]\w+ (?!(?:{TYPES})\b)[A-Z]\w+",
    "animal": rf"(?:{_any_of(ANIMAL_ADJECTIVES)}) [a-z]+",
}
"""Expressions of the names of each kind of thing, whether or not there is such a thing."""


@dataclass(frozen=True)
class Sentence:
    """A sentence that an article may have. It states facts of its subject, in one of two wordings.

    share  of the articles about this kind of thing that have the sentence
    band   of its facts, an index of BANDS
    """

    kind: str
    share: float
    band: int
    wordings: tuple[str, str]

    @cached_property
    def facts(self) -> tuple[str, ...]:
        """The names of the facts that it states."""
        slots = [name for _, name, _, _ in Formatter().parse(self.wordings[0]) if name]
        return tuple(name for name in slots if name != SUBJECT)

    @cached_property
    def expressions(self) -> list[re.Pattern[str]]:
        """The expressions of its wordings; each has a group for the subject and for each fact."""
        forms = {SUBJECT: FORMS[self.kind]}
        for name in self.facts:
            forms[name] = FORMS[THINGS[name]] if name in THINGS else _any_of(VALUES[name])
        groups = {name: f"(?P<{name}>{form})" for name, form in forms.items()}
        return [re.compile(_escaped(wording).format(**groups)) for wording in self.wordings]


def _escaped(wording: str) -> str:
    return wording.replace(".", r"\.")


RANKS = (1.0, 0.9, 0.7, 0.5, 0.3, 0.15, 0.07)
"""How many of the articles have the first sentence of a kind of thing, the second, and so on."""

RANK_BANDS = (0, 0, 1, 1, 2, 2, 2)

WORDINGS: Mapping[str, Sequence[tuple[str, str]]] = {
    "place": (
        (
            "{subject} is a {type} in {region}.",
            "In {region} lies the {type} of {subject}.",
        ),
        (
            "{subject} was founded in {founded} on the river {river}.",
            "Founded in {founded}, {subject} stands on the river {river}.",
        ),
        (
            "{subject} is known for its {product}.",
            "Merchants come to {subject} for its {product}.",
        ),
        (
            "{subject} has {population} inhabitants.",
            "About {population} people live in {subject}.",
        ),
        (
            "{subject} is twinned with {twin}.",
            "The twin town of {subject} is {twin}.",
        ),
        (
            "The traditional dish of {subject} is {dish}.",
            "Guests of {subject} are served {dish}.",
        ),
        (
            "The fair of {subject} is held in {month}.",
            "Every {month} there is a fair in {subject}.",
        ),
    ),
    "building": (
        (
            "{subject} is a {style} building in {site}.",
            "The {style} {subject} stands in {site}.",
        ),
        (
            "{subject} was built in {built} by {architect}.",
            "In {built}, {architect} built {subject}.",
        ),
        (
            "{subject} is made of {material} and is {height} metres high.",
            "Made of {material}, {subject} is {height} metres high.",
        ),
        (
            "Today {subject} serves as a {use}.",
            "{subject} is now used as a {use}.",
        ),
        (
            "{subject} houses a famous {treasure}.",
            "Visitors come to see the {treasure} of {subject}.",
        ),
        (
            "{subject} was once damaged by a {cause}.",
            "After a {cause}, {subject} was repaired.",
        ),
        (
            "{subject} has a {door} door.",
            "The door of {subject} is {door}.",
        ),
    ),
    "person": (
        (
            "{subject} was a {profession} from {birthplace}.",
            "{subject}, a {profession}, was born in {birthplace}.",
        ),
        (
            "{subject} lived from {born} to {died}.",
            "Born in {born}, {subject} died in {died}.",
        ),
        (
            "{subject} wrote a book about {topic}.",
            "A book about {topic} made {subject} famous.",
        ),
        (
            "{subject} taught {field} for many years.",
            "For many years {subject} studied {field}.",
        ),
        (
            "{subject} was married to {spouse}.",
            "The letters of {subject} to {spouse} have survived.",
        ),
        (
            "{subject} played the {instrument}.",
            "In the evenings {subject} played the {instrument}.",
        ),
        (
            "{subject} was awarded the {medal} medal.",
            "The {medal} medal was given to {subject}.",
        ),
    ),
    "animal": (
        (
            "The {subject} is a {class} of the {habitat}.",
            "The {subject} is a {class} that lives in {habitat}.",
        ),
        (
            "The {subject} feeds on {food} at {time}.",
            "At {time} the {subject} feeds on {food}.",
        ),
        (
            "The {subject} grows to {length} centimetres and lives for {age} years.",
            "Living for {age} years, the {subject} grows to {length} centimetres.",
        ),
        (
            "The {subject} is found in {range}.",
            "In {range} the {subject} is common.",
        ),
        (
            "The {subject} was first described by {describer}.",
            "It was {describer} who first described the {subject}.",
        ),
        (
            "The {subject} is threatened by {threat}.",
            "Because of {threat} the {subject} has become rare.",
        ),
        (
            "The {subject} calls like a {sound}.",
            "The call of the {subject} sounds like a {sound}.",
        ),
    ),
}
"""By kind of thing, its sentences from the most frequent one on."""

KINDS = tuple(WORDINGS)

SENTENCES: Mapping[str, tuple[Sentence, ...]] = {
    kind: tuple(
        Sentence(kind, share, band, wordings)
        for share, band, wordings in zip(RANKS, RANK_BANDS, of_kind, strict=True)
    )
    for kind, of_kind in WORDINGS.items()
}

FACT_BANDS: Mapping[tuple[str, str], int] = {
    (kind, fact): sentence.band
    for kind, sentences in SENTENCES.items()
    for sentence in sentences
    for fact in sentence.facts
}
"""All types of facts, as (kind of thing, name of the fact), and their bands."""

MOST_WORDS = 14
"""Words of the longest sentence."""


@dataclass(frozen=True)
class Statement:
    """What a well-formed sentence says: of which thing, by name, and the value of each fact."""

    kind: str
    subject: str
    facts: Mapping[str, str]


@lru_cache(maxsize=100_000)
def read_sentence(sentence: str) -> Statement | None:
    """Return what a sentence states; None unless one of the wordings can have written it.

    >>> read_sentence("Old Kelora has 700 inhabitants.").facts
    {'population': '700'}
    >>> read_sentence("Old Kelora 700 inhabitants has.") is None
    True
    """
    for kind, sentences in SENTENCES.items():
        for form in sentences:
            for expression in form.expressions:
                match = expression.fullmatch(sentence)
                if match:
                    facts = match.groupdict()
                    return Statement(kind, facts.pop(SUBJECT), facts)
    return None
