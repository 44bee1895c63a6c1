"""The things that the encyclopaedia is about, and everything that is true of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from imglab import seeds
from imglab.text.encyclopaedia import words
from imglab.text.encyclopaedia.grammar import BANDS, KINDS, SENTENCES, THINGS
from imglab.text.source_settings import EncyclopaediaSource


@dataclass(frozen=True)
class Thing:
    """A place, a building, a person or an animal.

    rank   by how frequent it is, from 0
    facts  what is true of it, by the name of the fact; a value may be the name of another thing
    """

    kind: str
    name: str
    rank: int
    facts: Mapping[str, str]


@dataclass(frozen=True)
class World:
    """All things, in the order of their ranks."""

    things: Sequence[Thing]

    @classmethod
    def of(cls, source: EncyclopaediaSource) -> World:
        """Invent the things of a source from its seed; the kinds take turns by rank."""
        kinds = [KINDS[rank % len(KINDS)] for rank in range(source.things)]
        names: dict[str, list[str]] = {}
        for kind in KINDS:
            names[kind] = _names(kind, kinds.count(kind), source.seed)

        things = []
        for rank, kind in enumerate(kinds):
            name = names[kind][rank // len(KINDS)]
            things.append(Thing(kind, name, rank, _facts(kind, name, names, source.seed)))
        return cls(things)

    @cached_property
    def by_name(self) -> Mapping[tuple[str, str], Thing]:
        """The things by kind and name."""
        return {(thing.kind, thing.name): thing for thing in self.things}

    def band(self, thing: Thing) -> int:
        """Return the third of the ranks in which a thing is, an index of BANDS."""
        return thing.rank * len(BANDS) // len(self.things)


class Draws:
    """A stream of random choices, by the path of names that seeds it."""

    def __init__(self, *path: int | str) -> None:
        self._generator = seeds.generator("encyclopaedia", *path)

    def below(self, n: int) -> int:
        """Draw a number from 0 to n - 1."""
        return int(torch.randint(n, (), generator=self._generator))

    def uniform(self) -> float:
        """Draw a number in [0, 1)."""
        return float(torch.rand((), generator=self._generator))

    def one_of(self, options: Sequence[str]) -> str:
        """Draw one of the options."""
        return options[self.below(len(options))]

    def order(self, n: int) -> list[int]:
        """Draw an order of n things."""
        order: list[int] = torch.randperm(n, generator=self._generator).tolist()
        return order


def _names(kind: str, n: int, seed: int) -> list[str]:
    """Return n different names: pairs from two short lists, so that many pairs name nothing."""
    draws = Draws(seed, "names", kind)
    if kind == "person":
        stems = list(_stems(words.FIRST_ENDS, max(3, n // 2), draws))
        others: Sequence[str] = list(_stems(words.LAST_ENDS, max(3, n // 2), draws))
    elif kind == "place":
        stems = list(_stems(words.PLACE_ENDS, max(2, n // 2), draws))
        others = words.PLACE_ADJECTIVES
    elif kind == "building":
        stems = list(_stems(words.BUILDING_ENDS, max(2, n // 2), draws))
        others = words.BUILDING_TYPES
    else:
        stems = [stem.lower() for stem in _stems(words.ANIMAL_ENDS, max(2, n // 2), draws)]
        others = words.ANIMAL_ADJECTIVES

    # Names of places and animals begin with the adjective.
    pairs = []
    for number in draws.order(len(stems) * len(others))[:n]:
        pair = [stems[number // len(others)], others[number % len(others)]]
        if kind in ("place", "animal"):
            pair.reverse()
        pairs.append(" ".join(pair))
    return pairs


def _stems(ends: Sequence[str], n: int, draws: Draws) -> Iterator[str]:
    """Yield n different words of two syllables."""
    seen: set[str] = set()
    while len(seen) < n:
        start = draws.one_of(words.OPENINGS) + draws.one_of(words.VOWELS)
        stem = start + draws.one_of(words.MIDDLES) + draws.one_of(ends)
        if stem not in seen:
            seen.add(stem)
            yield stem.capitalize()


def _facts(
    kind: str, name: str, names: Mapping[str, Sequence[str]], seed: int
) -> Mapping[str, str]:
    """Draw what is true of a thing; all values of a fact are equally likely."""
    draws = Draws(seed, "facts", kind, name)
    facts = {}
    for sentence in SENTENCES[kind]:
        for fact in sentence.facts:
            options: Sequence[str] = words.VALUES.get(fact, ())
            if fact in THINGS:
                options = [other for other in names[THINGS[fact]] if other != name]
            facts[fact] = draws.one_of(options)
    return facts
