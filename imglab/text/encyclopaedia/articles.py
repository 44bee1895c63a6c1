"""The articles of the encyclopaedia: each says of one thing some of what is true of it."""

from __future__ import annotations

from imglab.text.encyclopaedia.grammar import SENTENCES
from imglab.text.encyclopaedia.world import Draws, Thing, World
from imglab.text.source_settings import EncyclopaediaSource


def articles(source: EncyclopaediaSource) -> list[str]:
    """Write the articles of a source in a random order, each a paragraph of a few sentences."""
    return [
        _article(thing, Draws(source.seed, "article", number))
        for number, thing in enumerate(_subjects(source))
    ]


def article_kinds(source: EncyclopaediaSource) -> list[str]:
    """Return what each article is about: a place, a building, a person or an animal."""
    return [thing.kind for thing in _subjects(source)]


def _subjects(source: EncyclopaediaSource) -> list[Thing]:
    """Return the thing that each article is about."""
    world = World.of(source)
    counts = article_counts(source)
    subjects = [thing for thing, n in zip(world.things, counts, strict=True) for _ in range(n)]
    return [subjects[at] for at in Draws(source.seed, "order").order(len(subjects))]


def article_counts(source: EncyclopaediaSource) -> list[int]:
    """Return how many articles there are about the thing of each rank.

    Each thing has one, and the others are in proportion to 1 / rank^zipf (Zipf's law).
    """
    weights = [(rank + 1) ** -source.zipf for rank in range(source.things)]
    spare = source.articles - source.things
    exact = [spare * weight / sum(weights) for weight in weights]
    counts = [int(share) for share in exact]

    # The largest remainders get what is left.
    order = sorted(range(source.things), key=lambda rank: (counts[rank] - exact[rank], rank))
    for rank in order[: spare - sum(counts)]:
        counts[rank] += 1
    return [1 + count for count in counts]


def _article(thing: Thing, draws: Draws) -> str:
    sentences = []
    for sentence in SENTENCES[thing.kind]:
        if draws.uniform() < sentence.share:
            wording = draws.one_of(sentence.wordings)
            sentences.append(wording.format(subject=thing.name, **thing.facts))
    return " ".join(sentences)
