"""Statistics of text itself, whatever model wrote it: pure functions of tokens, words and their counts.

All but `repetition` depend on how much text there is: compare them at one token budget only.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
BANDS = ((1, 1), (2, 3), (4, 7), (8, 15), (16, 31), (32, None))
"""Words by how often the real training text has them: from, to (None: without end)."""
RARE = 7
"""Rare words: those that the real training text has so many times at most."""
REPEATED = 4
"""Length of the n-grams that `repetition` counts."""


def ngram_ids(tokens: Tensor, n: int) -> Tensor:
    """Number the n-grams within each text, int64 [N, T] -> int64 [N, T - n + 1]: equal n-grams, equal numbers."""
    ids: Tensor = torch.unique(tokens, return_inverse=True)[1]
    single, kinds = ids, int(ids.max()) + 1
    for more in range(1, n):
        # Numbered anew at each length, so that they fit 64 bits whatever n and vocabulary are.
        ids = torch.unique(ids[:, :-1] * kinds + single[:, more:], return_inverse=True)[1]
    return ids


def distinct(tokens: Tensor, n: int) -> float:
    """Return distinct-n, different n-grams over n-grams, within texts int64 [N, T], T >= n (Li et al. 2016)."""
    ids = ngram_ids(tokens, n)
    return len(torch.unique(ids)) / ids.numel()


def repetition(tokens: Tensor, n: int = REPEATED) -> Tensor:
    """Return, for each text of int64 [N, T], T >= n, the share of n-grams that it had before: float64 [N].

    1 - different n-grams / n-grams, "seq-rep-n" of Welleck et al. 2020.
    """
    ordered = ngram_ids(tokens, n).sort(1).values
    return (ordered[:, 1:] == ordered[:, :-1]).sum(1).double() / ordered.shape[1]


def gzip_ratio(text: str) -> float:
    """Return compressed over plain size of a text in bytes; lower is more repetitive."""
    plain = text.encode()
    return len(gzip.compress(plain, 9, mtime=0)) / len(plain)


def words(text: str) -> list[str]:
    """Return the words of a text in lower case: runs of letters, apostrophes within."""
    return WORD.findall(text.lower())


def zipf_slope(counts: Tensor) -> float | None:
    """Return the slope of log count over log rank, by least squares, of word counts int64 [K]; near -1 in prose.

    None where fewer than two different counts are above zero: there is no slope.
    """
    ordered = counts[counts > 0].sort(descending=True).values.double()
    if len(ordered) < 2 or ordered[0] == ordered[-1]:
        return None
    rank, count = torch.arange(1, len(ordered) + 1).double().log(), ordered.log()
    centred = rank - rank.mean()
    return float((centred * (count - count.mean())).sum() / centred.square().sum())


def survival(reference: Tensor, counts: Tensor, least: int, most: int | None) -> float | None:
    """Return the share of words that occur at all, of those that the reference has `least` to `most` times.

    Both are counts of the same words, int64 [K]. None where the reference has no such word.
    """
    chosen = reference >= least if most is None else (reference >= least) & (reference <= most)
    return float((counts[chosen] > 0).double().mean()) if bool(chosen.any()) else None


def band_names() -> list[str]:
    """Return the names of BANDS."""
    return [
        f"{least}+" if most is None else str(least) if least == most else f"{least}-{most}"
        for least, most in BANDS
    ]


def mean_and_error(column: Tensor) -> tuple[float, float | None]:
    """Return mean and standard error of float64 [N]; no error of a single value."""
    error = float(column.std()) / len(column) ** 0.5 if len(column) > 1 else None
    return float(column.mean()), error


class WordIndex:
    """The words of a real text by number, and texts as numbers."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Number the words of the real texts."""
        self._number: Mapping[str, int] = {
            word: at
            for at, word in enumerate(sorted({word for text in texts for word in words(text)}))
        }

    def __len__(self) -> int:
        return len(self._number)

    def counts(self, text: str) -> Tensor:
        """Count each known word in a text, int64 [K]."""
        known = [self._number[word] for word in words(text) if word in self._number]
        return torch.bincount(torch.tensor(known, dtype=torch.int64), minlength=len(self))
