"""What is marked in a text for its reader: words that came before, ends of documents. No torch."""

from __future__ import annotations

from collections.abc import Sequence

DOCUMENT_END = "¶"
"""What a reader sees in place of the token that ends a document."""

REPEATED = 3
"""Words in a row that count as repeated when they come again in the same text."""


def repeated_words(words: Sequence[str], n: int = REPEATED) -> list[bool]:
    """Say of each word whether it is in n words in a row that occurred before."""
    seen: set[tuple[str, ...]] = set()
    is_repeated = [False] * len(words)
    for start in range(len(words) - n + 1):
        ngram = tuple(words[start : start + n])
        if ngram in seen:
            is_repeated[start : start + n] = [True] * n
        seen.add(ngram)
    return is_repeated
