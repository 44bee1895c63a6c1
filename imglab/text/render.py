"""What a person looks at for text: prompts and their continuations by each generation."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from itertools import zip_longest

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from imglab.safe_text import printable
from imglab.store.layout import spread_generations
from imglab.text.repeats import DOCUMENT_END, REPEATED, repeated_words

WIDTH = 44
"""Characters of a column."""

COLUMNS = 6
"""Generations that are shown, at most."""

SEPARATOR = "   "
LONGEST_RULE = 160
"""Characters of the rule below a sample, at most."""

OPEN = "["
CLOSE = "]"

EXPLANATION = (
    f"The same prompts continued by every generation; {OPEN}brackets{CLOSE} mark {REPEATED} or "
    f"more words in a row that the continuation had before, {DOCUMENT_END} ends a document.\n"
)


def write_sheet(
    shown: Sequence[tuple[Tensor | None, Tensor]], tokenizer: PreTrainedTokenizerBase
) -> str:
    """Return the text of a sheet: each prompt above its continuations, in columns.

    shown  for each generation, the prompts, int64 [N, P], and their continuations, int64 [N, T]
    """
    generations = spread_generations(range(len(shown)), COLUMNS)
    head = SEPARATOR.join(f"generation {g}".ljust(WIDTH) for g in generations).rstrip()
    rule = "-" * min(len(head), LONGEST_RULE)

    lines = [EXPLANATION]
    prompts, continuations = shown[-1]
    for row in range(len(continuations)):
        if prompts is not None:
            prompt = " ".join(readable(prompts[row], tokenizer).split())
            lines += textwrap.wrap(f"{row + 1}. {printable(prompt)} ...", WIDTH * 3)

        texts = [readable(shown[g][1][row], tokenizer) for g in generations]
        lines += ["", head, *_side_by_side(texts), "", rule, ""]
    return "\n".join(lines).rstrip() + "\n"


def _side_by_side(texts: Sequence[str]) -> list[str]:
    """Return the lines of texts in columns, with repeated words marked."""
    columns = [textwrap.wrap(printable(mark_repeats(text)), WIDTH) for text in texts]
    rows = list(zip_longest(*columns, fillvalue=""))
    if not rows:  # all texts are blank
        rows = [("",) * len(columns)]
    return [SEPARATOR.join(cell.ljust(WIDTH) for cell in row).rstrip() for row in rows]


def mark_repeats(text: str, n: int = REPEATED) -> str:
    """Put brackets around each run of words whose n-grams occurred in the text before."""
    words = text.split()
    is_repeated = repeated_words(words, n)

    # A run begins and ends where a word that is repeated stands beside one that is not.
    before = [False, *is_repeated[:-1]]
    after = [*is_repeated[1:], False]
    for number in range(len(words)):
        if is_repeated[number] and not before[number]:
            words[number] = OPEN + words[number]
        if is_repeated[number] and not after[number]:
            words[number] = words[number] + CLOSE
    return " ".join(words)


def readable(tokens: Tensor, tokenizer: PreTrainedTokenizerBase) -> str:
    """Decode a text for a reader, with a sign in place of the token that ends a document."""
    text = str(tokenizer.decode(tokens))
    end = tokenizer.eos_token
    if not end:
        return text
    return re.sub(f" ?{re.escape(end)} ?", f" {DOCUMENT_END} ", text)
