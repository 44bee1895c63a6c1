"""Text statistics of many samples: taken on portions of one token budget, so that they have an error and a floor."""

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

FLOOR_PORTIONS = 20
SCALARS = (
    "distinct_1",
    "distinct_2",
    "distinct_3",
    "gzip_ratio",
    "zipf_slope",
    "rare_word_survival",
)


@dataclass(frozen=True)
class SubsampleStatistics:
    """Takes the statistics of samples, against the words of the real training text.

    real       blocks of the real training text, int64 [N, T]
    held_out   blocks of the real test text, int64 [M, T]
    budget     tokens of a portion
    """

    real: Tensor
    held_out: Tensor
    tokenizer: PreTrainedTokenizerBase
    budget: int
    _floors: dict[int, dict[str, Tensor | None]] = field(default_factory=dict)

    def by_chance(self, samples: int, generation: int) -> dict[str, float | None]:
        """Return, for each band of words, the share that would survive if chance alone chose the words.

        Every generation then draws as many words as its `samples` blocks hold from the frequencies of the last one,
        and a portion of the budget is looked at (multinomial resampling, `imglab.solvable.theory.tails`).
        """
        total = int(self._reference.sum())
        drawn = max(1, round(total * samples / len(self.real)))
        seen = round(
            total * min(samples, max(1, self.budget // self.real.shape[1])) / len(self.real)
        )
        found: dict[str, float | None] = {}
        for band, (least, most) in zip(statistics.band_names(), BANDS, strict=True):
            chosen = self._reference[
                (self._reference >= least) & (self._reference <= (most or total))
            ]
            counts, times = torch.unique(chosen, return_counts=True)
            shares = [
                chance_alive(count / total, drawn, generation + 1, seen) * many
                for count, many in zip(counts.tolist(), times.tolist(), strict=True)
            ]
            found[band] = sum(shares) / len(chosen) if len(chosen) else None
        return found

    def measure(self, tokens: Tensor) -> Measures:
        """Return the statistics of samples int64 [N, T], T >= 4, with those of real text as their floor.

        Each is the mean over disjoint portions of the budget, `_se` its standard error.
        """
        each = min(len(tokens), max(1, self.budget // tokens.shape[1]))
        # In random order: neighbours continue neighbouring prompts, and a portion of one topic has fewer words.
        order = torch.randperm(len(tokens), generator=seeds.generator("portions", len(tokens)))
        portions = [tokens[rows] for rows in order.split(each) if len(rows) == each]
        found = [self._statistics(portion, self._reference) for portion in portions]
        floor = {
            **self._floor(each, len(portions)),
            "repetition": _spread(self._real_repetition, len(tokens)),
        }
        values: dict[str, object] = {"token_budget": each * tokens.shape[1]}
        reasons = {}
        for name in SCALARS:
            column = _column([statistic[name] for statistic in found])
            if column is None:
                values[name] = None
                reasons[name] = (
                    "a portion has too few different words, or the real text no rare one"
                )
            else:
                values |= _with_error(name, column)
        bands = {
            band: _column([statistic[band] for statistic in found])
            for band in statistics.band_names()
        }
        values["word_survival"] = {
            band: None if column is None else float(column.mean()) for band, column in bands.items()
        }
        values |= _with_error("repetition", statistics.repetition(tokens))
        return Measures(values, reasons, floor=floor)

    def _statistics(self, portion: Tensor, reference: Tensor) -> Mapping[str, float | None]:
        text = "\n".join(self._texts(portion))
        counts = self._words.counts(text)
        every = torch.tensor(list(Counter(statistics.words(text)).values()), dtype=torch.int64)
        bands = zip(statistics.band_names(), BANDS, strict=True)
        return {
            **{f"distinct_{n}": statistics.distinct(portion, n) for n in (1, 2, 3)},
            "gzip_ratio": statistics.gzip_ratio(text) if text else None,
            "zipf_slope": statistics.zipf_slope(every),
            "rare_word_survival": statistics.survival(reference, counts, 1, RARE),
            **{
                name: statistics.survival(reference, counts, least, most)
                for name, (least, most) in bands
            },
        }

    @cached_property
    def _words(self) -> WordIndex:
        return WordIndex([self._running(self.real), self._running(self.held_out)])

    @cached_property
    def _reference(self) -> Tensor:
        return self._words.counts(self._running(self.real))

    def _running(self, blocks: Tensor) -> str:
        """Return blocks that follow each other as one text: words across their borders are whole."""
        return str(self.tokenizer.decode(blocks.flatten(), skip_special_tokens=True))

    def _texts(self, tokens: Tensor) -> list[str]:
        texts: list[str] = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return texts

    def _floor(self, each: int, portions: int) -> dict[str, Any]:
        """Mean and standard deviation over random portions of real text, whose rare words are those of the rest."""
        everything = torch.cat([self.real, self.held_out])
        if len(everything) < 2 * each:
            reason = f"a floor needs {2 * each} real blocks, there are {len(everything)}"
            return {**dict.fromkeys(SCALARS), "text_reason": reason}
        if each not in self._floors:
            whole = self._words.counts(self._running(self.real)) + self._words.counts(
                self._running(self.held_out)
            )
            found = []
            for split in range(FLOOR_PORTIONS):
                rows = torch.randperm(
                    len(everything), generator=seeds.generator("text floor", split)
                )[:each]
                portion = everything[rows]
                rest = (whole - self._words.counts("\n".join(self._texts(portion)))).clamp(min=0)
                found.append(self._statistics(portion, rest))
            self._floors[each] = {
                name: _column([statistic[name] for statistic in found]) for name in SCALARS
            }
        return {name: _spread(column, portions) for name, column in self._floors[each].items()}

    @cached_property
    def _real_repetition(self) -> Tensor:
        return statistics.repetition(torch.cat([self.real, self.held_out]))


def _with_error(name: str, column: Tensor) -> dict[str, float]:
    """Return a value with its standard error, where it has one."""
    mean, error = statistics.mean_and_error(column)
    return {name: mean} if error is None else {name: mean, f"{name}_se": error}


def _column(values: Sequence[float | None]) -> Tensor | None:
    """Return values as float64 [N]; None where one is missing."""
    known = [value for value in values if value is not None]
    return torch.tensor(known, dtype=torch.float64) if len(known) == len(values) else None


def _spread(column: Tensor | None, n: int) -> dict[str, float] | None:
    """Return mean, and standard deviation of the mean of n such values."""
    return (
        None
        if column is None
        else {"mean": float(column.mean()), "sd": float(column.std()) / n**0.5}
    )
