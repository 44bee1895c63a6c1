"""Statistics of text itself, whatever model wrote it: pure functions of tokens, words and counts.

All but `repetition` depend on how much text there is: compare them at one token budget only.
"""

from __future__ import annotations

import gzip
import unicodedata
from collections.abc import Mapping, Sequence

import regex
import torch
from torch import Tensor

UNSPACED = r"\p{Han}\p{Hiragana}\p{Line_Break=Complex_Context}"
"""Scripts that put no spaces between words: Chinese, Japanese, and those in which only a dictionary
finds where a line may break (Thai, Lao, Khmer, Burmese; UAX 14)."""

LETTER = rf"[[\w]--[\d\p{{Pc}}{UNSPACED}]]"
"""A letter, or a mark, which belongs to the letter before it (of scripts that have spaces)."""

FIRST = rf"[{LETTER}--[\p{{M}}\u200c\u200d]]"
"""What begins a word: marks and joiners that follow no letter belong to an emoji."""

JOINT = r"['\u2019\u00b7\u05f3\u05f4\u200c\u200d]"
"""What may stand within a word: apostrophes, the dot of Catalan, the quotes of Hebrew, joiners."""

WORD = regex.compile(
    rf"(?V1){FIRST}{LETTER}*(?:{JOINT}{LETTER}+)*|[[{UNSPACED}]--\p{{M}}]\p{{M}}*",
    cache_pattern=False,
)
SOFT_HYPHEN = "\u00ad"

BANDS = ((1, 1), (2, 3), (4, 7), (8, 15), (16, 31), (32, None))
"""Words by how often the real training text has them: from, to (None: without end)."""

RARE = 7
"""Occurrences in the real training text up to which a word is rare."""

REPEATED = 4
"""Length of the n-grams that `repetition` counts."""


def ngram_ids(tokens: Tensor, n: int) -> Tensor:
    """Number the n-grams within each text, int64 [N, T] -> int64 [N, T - n + 1].

    Equal n-grams have equal numbers.
    """
    ids: Tensor = torch.unique(tokens, return_inverse=True)[1]
    single = ids
    kinds = int(ids.max()) + 1

    for length in range(1, n):
        # Numbered anew at each length, so that they fit 64 bits whatever n and vocabulary are.
        longer = ids[:, :-1] * kinds + single[:, length:]
        ids = torch.unique(longer, return_inverse=True)[1]
    return ids


def distinct(tokens: Tensor, n: int) -> float:
    """Return distinct-n of texts int64 [N, T], T >= n: different n-grams over all n-grams.

    N-grams lie within a text (Li et al. 2016).
    """
    ids = ngram_ids(tokens, n)
    return len(torch.unique(ids)) / ids.numel()


def repetition(tokens: Tensor, n: int = REPEATED) -> Tensor:
    """Return, for each text of int64 [N, T], T >= n, the share of repeated n-grams: float64 [N].

    The share is 1 - different n-grams / n-grams, "seq-rep-n" of Welleck et al. 2020.
    """
    ordered = ngram_ids(tokens, n).sort(1).values
    repeated = (ordered[:, 1:] == ordered[:, :-1]).sum(1)
    return repeated.double() / ordered.shape[1]


def gzip_ratio(text: str) -> float:
    """Return compressed over plain size of a text in bytes; lower is more repetitive."""
    plain = text.encode()
    return len(gzip.compress(plain, 9, mtime=0)) / len(plain)


def words(text: str) -> list[str]:
    """Return the words of a text in lower case: runs of letters, with apostrophes between them.

    Marks belong to their letters, and what Unicode can write in two ways is the same (NFC). In
    scripts that put no spaces between words each character, with its marks, is a word.
    """
    composed = unicodedata.normalize("NFC", text.lower())
    matches: list[str] = WORD.findall(composed.replace(SOFT_HYPHEN, ""))
    return matches


def zipf_slope(counts: Tensor) -> float | None:
    """Return the slope of log count over log rank, by least squares, of word counts int64 [K].

    It is near -1 in prose. None where fewer than two different counts are above zero: then there is
    no slope.
    """
    ordered = counts[counts > 0].sort(descending=True).values.double()
    if len(ordered) < 2 or ordered[0] == ordered[-1]:
        return None

    count = ordered.log()
    rank = torch.arange(1, len(ordered) + 1).double().log()
    centred = rank - rank.mean()
    return float((centred * (count - count.mean())).sum() / centred.square().sum())


def survival(reference: Tensor, counts: Tensor, least: int, most: int | None) -> float | None:
    """Return the share of the words with `least` to `most` occurrences in `reference` that survive.

    reference, counts  occurrences of the same words, int64 [K]; a word survives if `counts` has it
    most               None: without end

    None where the reference has no such word.
    """
    chosen = reference >= least
    if most is not None:
        chosen &= reference <= most
    if not bool(chosen.any()):
        return None
    return float((counts[chosen] > 0).double().mean())


def band_names() -> list[str]:
    """Return the names of BANDS, such as `1`, `2-3` and `32+`."""
    return [_band_name(least, most) for least, most in BANDS]


def _band_name(least: int, most: int | None) -> str:
    if most is None:
        return f"{least}+"
    if least == most:
        return str(least)
    return f"{least}-{most}"


def mean_and_error(column: Tensor) -> tuple[float, float | None]:
    """Return mean and standard error of float64 [N]; a single value has no error."""
    mean = float(column.mean())
    if len(column) < 2:
        return mean, None
    return mean, float(column.std()) / len(column) ** 0.5


class WordIndex:
    """The words of real texts, numbered, so that texts are vectors of word counts."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Number the words of the real texts in alphabetical order."""
        vocabulary = sorted({word for text in texts for word in words(text)})
        self._number: Mapping[str, int] = {word: number for number, word in enumerate(vocabulary)}

    def __len__(self) -> int:
        return len(self._number)

    def counts(self, text: str) -> Tensor:
        """Count each indexed word in a text, int64 [K]; other words are left out."""
        numbers = [self._number[word] for word in words(text) if word in self._number]
        return torch.bincount(torch.tensor(numbers, dtype=torch.int64), minlength=len(self))
