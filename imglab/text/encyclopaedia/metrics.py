"""What a text of the encyclopaedia gets right, without a judge: its facts, names and grammar."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from imglab import seeds
from imglab.measures import Measures
from imglab.text.encyclopaedia.grammar import BANDS, FACT_BANDS
from imglab.text.encyclopaedia.reading import Counts, read_sample
from imglab.text.encyclopaedia.world import World

FLOOR_DRAWS = 20
"""Draws of real text behind the floors of what is alive."""

REASONS: Mapping[str, str] = {
    "facts_right": "no sentence is well-formed, so none states a fact",
    "invented_entities": "no sentence is well-formed, so none names a thing",
    "grammar_kept": "no sample has a whole sentence",
}


@dataclass(frozen=True)
class FactCheck:
    """Compares texts with everything that is true in a world.

    real, held_out  blocks of the real training and test text, int64 [N, T]
    """

    world: World
    tokenizer: PreTrainedTokenizerBase
    real: Tensor
    held_out: Tensor

    def metrics(self, tokens: Tensor) -> Measures:
        """Measure samples, int64 [N, T]; docs/metrics.md defines each metric.

        The floor of shares is what held-out real text scores, and that of what is alive is what as
        many blocks of real text have.
        """
        counts = self._read(tokens)
        values: dict[str, object] = {}
        reasons = {}
        for name, (part, whole) in _shares(counts).items():
            values |= _share(name, part, whole)
            if values[name] is None:
                reasons[name] = REASONS[name]
        values["facts_right_by_band"] = _by_band(counts)

        for name, (bands, seen) in self._alive(counts).items():
            values |= _alive(name, bands, seen, len(counts))
        return Measures(values, reasons, floor=self._floor(len(counts)))

    def _read(self, tokens: Tensor) -> list[Counts]:
        end = str(self.tokenizer.eos_token)
        texts: list[str] = self.tokenizer.batch_decode(tokens)
        return [read_sample(text, self.world, end=end) for text in texts]

    @cached_property
    def _thing_bands(self) -> Mapping[Hashable, int]:
        return {thing.rank: self.world.band(thing) for thing in self.world.things}

    @cached_property
    def _bands_of_facts(self) -> Mapping[Hashable, int]:
        """The bands of the things that the single facts are about."""
        bands: dict[Hashable, int] = {}
        for thing in self.world.things:
            for name in thing.facts:
                bands[thing.rank, name] = self.world.band(thing)
        return bands

    def _alive(
        self, counts: Sequence[Counts]
    ) -> Mapping[str, tuple[Mapping[Hashable, int], Counter[Hashable]]]:
        """Return by metric the bands of what can be alive, and how many samples have each."""
        things: Counter[Hashable] = Counter()
        fact_types: Counter[Hashable] = Counter()
        facts: Counter[Hashable] = Counter()
        type_bands: dict[Hashable, int] = dict(FACT_BANDS.items())
        for sample in counts:
            things.update(sample.things)
            fact_types.update(sample.fact_types)
            facts.update(sample.facts)
        return {
            "entities_alive": (self._thing_bands, things),
            "fact_types_alive": (type_bands, fact_types),
            "facts_alive": (self._bands_of_facts, facts),
        }

    @cached_property
    def _real_counts(self) -> list[Counts]:
        return self._read(torch.cat([self.real, self.held_out]))

    def _floor(self, samples: int) -> dict[str, dict[str, float]]:
        held_out = self._real_counts[len(self.real) :]
        floor = {}
        for name, (part, whole) in _shares(held_out).items():
            mean = _share(name, part, whole)[name]
            if mean is not None:
                floor[name] = {"mean": mean, "sd": 0.0}

        # As many real blocks as there are samples, at random.
        columns: dict[str, list[float]] = {}
        for draw in range(FLOOR_DRAWS):
            generator = seeds.generator("encyclopaedia floor", draw)
            order = torch.randperm(len(self._real_counts), generator=generator)[:samples]
            counts = [self._real_counts[at] for at in order.tolist()]
            for name, (bands, seen) in self._alive(counts).items():
                columns.setdefault(name, []).append(_alive_share(bands, seen))
        for name, column in columns.items():
            of_draws = torch.tensor(column, dtype=torch.float64)
            floor[name] = {"mean": float(of_draws.mean()), "sd": float(of_draws.std())}
        return floor


def _shares(counts: Sequence[Counts]) -> Mapping[str, tuple[Tensor, Tensor]]:
    """Return by metric its numerator and its denominator in each sample, float64 [N]."""

    def column(values: Sequence[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64)

    return {
        "facts_right": (
            column([sum(sample.right) for sample in counts]),
            column([sample.stated for sample in counts]),
        ),
        "invented_entities": (
            column([sample.invented for sample in counts]),
            column([sample.mentions for sample in counts]),
        ),
        "grammar_kept": (
            column([sample.well_formed for sample in counts]),
            column([sample.sentences for sample in counts]),
        ),
    }


def _share(name: str, part: Tensor, whole: Tensor) -> dict[str, float | None]:
    """Return the ratio of two sums over samples and its standard error, by the delta method."""
    total = float(whole.sum())
    if not total:
        return {name: None}

    share = float(part.sum()) / total
    n = len(part)
    if n < 2:
        return {name: share}
    deviation = float((part - share * whole).square().sum() * n / (n - 1)) ** 0.5
    return {name: share, f"{name}_se": deviation / total}


def _by_band(counts: Sequence[Counts]) -> dict[str, float | None]:
    """Return the share of right facts among those about the things of each band."""
    shares: dict[str, float | None] = {}
    for band, name in enumerate(BANDS):
        stated = sum(sample.of_band[band] for sample in counts)
        shares[name] = None
        if stated:
            shares[name] = sum(sample.right[band] for sample in counts) / stated
    return shares


def _alive(
    name: str, bands: Mapping[Hashable, int], seen: Counter[Hashable], samples: int
) -> dict[str, object]:
    """Return the share that is alive, its standard error, and the share in each band.

    Over samples drawn again, what k of N samples have is missing with probability (1 - k / N)^N.
    """
    variance = 0.0
    for item in bands:
        missing = (1 - seen[item] / samples) ** samples
        variance += missing * (1 - missing) * (seen[item] > 0)

    by_band = {}
    for band, title in enumerate(BANDS):
        items = [item for item, of_item in bands.items() if of_item == band]
        by_band[title] = _alive_share(items, seen)
    return {
        name: _alive_share(bands, seen),
        f"{name}_se": variance**0.5 / len(bands),
        f"{name}_by_band": by_band,
    }


def _alive_share(items: Collection[Hashable], seen: Counter[Hashable]) -> float:
    return sum(seen[item] > 0 for item in items) / len(items)
