"""What a person looks at for text: prompts and their continuations by each generation."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from itertools import zip_longest

import regex
from rich.cells import cell_len
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from imglab.safe_text import printable
from imglab.store.layout import spread_generations
from imglab.text.repeats import DOCUMENT_END, REPEATED, repeated_words

WIDTH = 44
"""Cells of a column: a letter of Chinese, Japanese or Korean, or an emoji, takes two."""

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
    shown: Sequence[tuple[Tensor | None, Tensor]],
    tokenizer: PreTrainedTokenizerBase,
    end: str | None = None,
) -> str:
    """Return the text of a sheet: each prompt above its continuations, in columns.

    shown  for each generation, the prompts, int64 [N, P], and their continuations, int64 [N, T]
    end    text of the token that ends a document; None: no token does
    """
    generations = spread_generations(range(len(shown)), COLUMNS)
    head = SEPARATOR.join(f"generation {g}".ljust(WIDTH) for g in generations).rstrip()
    rule = "-" * min(len(head), LONGEST_RULE)

    lines = [EXPLANATION]
    prompts, continuations = shown[-1]
    for row in range(len(continuations)):
        if prompts is not None:
            prompt = " ".join(readable(prompts[row], tokenizer, end).split())
            lines += wrap_cells(f"{row + 1}. {printable(prompt)} ...", WIDTH * 3)

        texts = [readable(shown[g][1][row], tokenizer, end) for g in generations]
        lines += ["", head, *_side_by_side(texts), "", rule, ""]
    return "\n".join(lines).rstrip() + "\n"


def _side_by_side(texts: Sequence[str]) -> list[str]:
    """Return the lines of texts in columns, with repeated words marked."""
    columns = [wrap_cells(printable(mark_repeats(text)), WIDTH) for text in texts]
    rows = list(zip_longest(*columns, fillvalue=""))
    if not rows:  # all texts are blank
        rows = [("",) * len(columns)]
    return [SEPARATOR.join(map(_filled, row)).rstrip() for row in rows]


def _filled(cell: str) -> str:
    return cell + " " * (WIDTH - cell_len(cell))


def wrap_cells(text: str, width: int) -> list[str]:
    """Break a text into lines of at most `width` cells of a terminal, at spaces where it has any.

    A character stays with its marks. Text of one cell a letter is broken as `textwrap` breaks it.
    """
    if all(cell_len(character) == 1 for character in text):
        return textwrap.wrap(text, width)

    lines = [""]
    for word in text.split():
        if lines[-1] and cell_len(lines[-1]) + 1 + cell_len(word) <= width:
            lines[-1] += f" {word}"
            continue

        # A word that is longer than a line fills what is left of the last one.
        if cell_len(word) <= width or cell_len(lines[-1]) + 3 > width:
            lines.append("")
        elif lines[-1]:
            lines[-1] += " "
        for character in regex.findall(r"\X", word):
            if cell_len(lines[-1]) + cell_len(character) > width:
                lines.append("")
            lines[-1] += character
    return [line for line in lines if line]


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


def readable(tokens: Tensor, tokenizer: PreTrainedTokenizerBase, end: str | None) -> str:
    """Decode a text for a reader, with a sign in place of `end`, the token that ends a document."""
    text = str(tokenizer.decode(tokens))
    if not end:
        return text
    return re.sub(f" ?{re.escape(end)} ?", f" {DOCUMENT_END} ", text)
