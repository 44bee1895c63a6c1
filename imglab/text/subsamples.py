"""Text statistics of many samples, taken on subsamples of one token budget.

So they compare between sets of different sizes, and have an error and a floor.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from imglab import seeds
from imglab.measures import Measures
from imglab.solvable.theory.tails import chance_alive
from imglab.text import statistics
from imglab.text.statistics import BANDS, RARE, WordIndex

FLOOR_SUBSAMPLES = 20
"""Subsamples of real text behind each floor."""

SCALARS = (
    "distinct_1",
    "distinct_2",
    "distinct_3",
    "gzip_ratio",
    "zipf_slope",
    "rare_word_survival",
)

UNDEFINED = "a portion has too few different words, or the real text no rare one"


@dataclass(frozen=True)
class SubsampleStatistics:
    """Computes the statistics of samples, given the words of the real training text.

    real      blocks of the real training text, int64 [N, T]
    held_out  blocks of the real test text, int64 [M, T]
    budget    tokens of a subsample
    """

    real: Tensor
    held_out: Tensor
    tokenizer: PreTrainedTokenizerBase
    budget: int
    _floors: dict[int, dict[str, Tensor | None]] = field(default_factory=dict)

    def metrics(self, tokens: Tensor) -> Measures:
        """Return the statistics of samples int64 [N, T], T >= 4, beside those of real text.

        Each is the mean over disjoint subsamples of the budget, and `_se` its standard error.
        """
        subsamples = self._subsamples(tokens)
        each = len(subsamples[0])
        of_each = [self._statistics(subsample, self._reference) for subsample in subsamples]

        reasons = {}
        values: dict[str, object] = {"token_budget": each * tokens.shape[1]}
        for name in SCALARS:
            column = _column(of_each, name)
            if column is not None:
                values |= _with_error(name, column)
                continue
            values[name] = None
            reasons[name] = UNDEFINED

        values["word_survival"] = {
            band: _mean(_column(of_each, band)) for band in statistics.band_names()
        }
        values |= _with_error("repetition", statistics.repetition(tokens))

        floor = self._floor(each, len(subsamples))
        floor["repetition"] = _spread(self._real_repetition, len(tokens))
        return Measures(values, reasons, floor=floor)

    def survival_by_chance(self, samples: int, generation: int) -> dict[str, float | None]:
        """Return, for each band of words, the share that would survive if chance alone chose words.

        Every generation then draws as many words as its `samples` blocks hold, by the frequencies
        of the last one, and one subsample is looked at (multinomial resampling,
        `imglab.solvable.theory.tails`).
        """
        total = int(self._reference.sum())
        drawn = max(1, round(total * samples / len(self.real)))
        seen = round(total * self._blocks_of_subsample(samples) / len(self.real))

        by_chance: dict[str, float | None] = {}
        for band, (least, most) in zip(statistics.band_names(), BANDS, strict=True):
            in_band = self._reference[self._reference >= least]
            if most is not None:
                in_band = in_band[in_band <= most]
            if not len(in_band):
                by_chance[band] = None
                continue

            # Words of the same frequency have the same chance.
            survivors = 0.0
            counts, repeats = torch.unique(in_band, return_counts=True)
            for count, repeat in zip(counts.tolist(), repeats.tolist(), strict=True):
                chance = chance_alive(count / total, drawn, generation + 1, seen)
                survivors += chance * repeat
            by_chance[band] = survivors / len(in_band)
        return by_chance

    def _blocks_of_subsample(self, samples: int) -> int:
        """Return how many blocks of so many samples make up a subsample of the budget."""
        return min(samples, max(1, self.budget // self.real.shape[1]))

    def _subsamples(self, tokens: Tensor) -> list[Tensor]:
        """Divide texts [N, T] into subsamples of the budget; texts that are left over are dropped.

        The order is random: neighbours continue neighbouring prompts, and a subsample with one
        topic has fewer words.
        """
        each = min(len(tokens), max(1, self.budget // tokens.shape[1]))
        order = torch.randperm(len(tokens), generator=seeds.generator("portions", len(tokens)))
        return [tokens[rows] for rows in order.split(each) if len(rows) == each]

    def _statistics(self, tokens: Tensor, reference: Tensor) -> Mapping[str, float | None]:
        """Return all statistics of a subsample [N, T], given counts of words in real text [K]."""
        text = "\n".join(self._texts(tokens))
        word_counts = Counter(statistics.words(text))
        all_counts = torch.tensor(list(word_counts.values()), dtype=torch.int64)
        indexed_counts = self._words.counts(text)

        values: dict[str, float | None] = {}
        for n in (1, 2, 3):
            values[f"distinct_{n}"] = statistics.distinct(tokens, n)
        values["gzip_ratio"] = None
        if text:
            values["gzip_ratio"] = statistics.gzip_ratio(text)
        values["zipf_slope"] = statistics.zipf_slope(all_counts)

        values["rare_word_survival"] = statistics.survival(reference, indexed_counts, 1, RARE)
        for band, (least, most) in zip(statistics.band_names(), BANDS, strict=True):
            values[band] = statistics.survival(reference, indexed_counts, least, most)
        return values

    @cached_property
    def _words(self) -> WordIndex:
        return WordIndex([self._running_text(self.real), self._running_text(self.held_out)])

    @cached_property
    def _reference(self) -> Tensor:
        """Occurrences of each word in the real training text, int64 [K]."""
        return self._words.counts(self._running_text(self.real))

    def _running_text(self, blocks: Tensor) -> str:
        """Return successive blocks as one text, so that words across their borders are whole."""
        return str(self.tokenizer.decode(blocks.flatten(), skip_special_tokens=True))

    def _texts(self, tokens: Tensor) -> list[str]:
        texts: list[str] = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return texts

    def _floor(self, each: int, subsamples: int) -> dict[str, Any]:
        """Return mean and standard deviation of real text, for means of so many subsamples.

        each  blocks of a subsample
        """
        available = len(self.real) + len(self.held_out)
        if available < 2 * each:
            reason = f"a floor needs {2 * each} real blocks, there are {available}"
            return {**dict.fromkeys(SCALARS), "text_reason": reason}

        if each not in self._floors:
            self._floors[each] = self._floor_columns(each)
        columns = self._floors[each]
        return {name: _spread(column, subsamples) for name, column in columns.items()}

    def _floor_columns(self, each: int) -> dict[str, Tensor | None]:
        """Return the statistics of random subsamples of real text, float64 [FLOOR_SUBSAMPLES].

        The rare words of a subsample are those of the rest of the real text.
        """
        everything = torch.cat([self.real, self.held_out])
        held_out_counts = self._words.counts(self._running_text(self.held_out))
        counts = self._reference + held_out_counts

        of_each = []
        for split in range(FLOOR_SUBSAMPLES):
            order = torch.randperm(len(everything), generator=seeds.generator("text floor", split))
            subsample = everything[order[:each]]
            subsample_counts = self._words.counts("\n".join(self._texts(subsample)))
            rest = (counts - subsample_counts).clamp(min=0)
            of_each.append(self._statistics(subsample, rest))
        return {name: _column(of_each, name) for name in SCALARS}

    @cached_property
    def _real_repetition(self) -> Tensor:
        return statistics.repetition(torch.cat([self.real, self.held_out]))


def _column(of_each: Sequence[Mapping[str, float | None]], name: str) -> Tensor | None:
    """Return a statistic of each subsample, float64 [N]; None where one is undefined."""
    values = [of_one[name] for of_one in of_each]
    defined = [value for value in values if value is not None]
    if len(defined) < len(values):
        return None
    return torch.tensor(defined, dtype=torch.float64)


def _mean(column: Tensor | None) -> float | None:
    if column is None:
        return None
    return float(column.mean())


def _with_error(name: str, column: Tensor) -> dict[str, float]:
    """Return the mean with its standard error, if it has one."""
    mean, error = statistics.mean_and_error(column)
    if error is None:
        return {name: mean}
    return {name: mean, f"{name}_se": error}


def _spread(column: Tensor | None, n: int) -> dict[str, float] | None:
    """Return mean, and standard deviation of the mean of n such values."""
    if column is None:
        return None
    return {"mean": float(column.mean()), "sd": float(column.std()) / n**0.5}
