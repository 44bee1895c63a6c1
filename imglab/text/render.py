"""What a person looks at for text: the same prompts continued by every generation, beside each other."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from imglab.safe_text import printable
from imglab.store.layout import spread_generations

WIDTH = 44
COLUMNS = 6
REPEATED = 3
"""Words in a row that, when they come again in the same continuation, are marked."""
OPEN, CLOSE = "[", "]"


def write_sheet(
    shown: Sequence[tuple[Tensor | None, Tensor]], tokenizer: PreTrainedTokenizerBase
) -> str:
    """Return the text of a sheet.

    shown  of each generation, the prompts, int64 [N, P], and their continuations, int64 [N, T]
    """
    chosen = spread_generations(range(len(shown)), COLUMNS)
    head = "   ".join(f"generation {g}".ljust(WIDTH) for g in chosen).rstrip()
    parts = [
        f"The same prompts continued by every generation; {OPEN}brackets{CLOSE} mark {REPEATED} or more words in a row "
        "that the continuation had before.\n"
    ]
    prompts = shown[-1][0]
    for row in range(len(shown[-1][1])):
        if prompts is not None:
            prompt = printable(" ".join(_decode(prompts[row], tokenizer).split()))
            parts += textwrap.wrap(f"{row + 1}. {prompt} ...", WIDTH * 3)
        columns = []
        for g in chosen:
            text = _decode(shown[g][1][row], tokenizer)
            columns.append(textwrap.wrap(printable(mark_repeats(text)), WIDTH) or [""])
        parts += ["", head]
        for line in range(max(map(len, columns))):
            cells = [column[line] if line < len(column) else "" for column in columns]
            parts.append("   ".join(cell.ljust(WIDTH) for cell in cells).rstrip())
        parts += ["", "-" * min(len(head), 160), ""]
    return "\n".join(parts).rstrip() + "\n"


def mark_repeats(text: str, n: int = REPEATED) -> str:
    """Put brackets around each run of words whose n-grams stood in the text before."""
    found = text.split()
    seen: set[tuple[str, ...]] = set()
    repeated = [False] * len(found)
    for at in range(len(found) - n + 1):
        gram = tuple(found[at : at + n])
        if gram in seen:
            repeated[at : at + n] = [True] * n
        seen.add(gram)
    marked = []
    for at, word in enumerate(found):
        opens = repeated[at] and not (at and repeated[at - 1])
        closes = repeated[at] and not (at + 1 < len(found) and repeated[at + 1])
        marked.append(f"{OPEN if opens else ''}{word}{CLOSE if closes else ''}")
    return " ".join(marked)


def _decode(tokens: Tensor, tokenizer: PreTrainedTokenizerBase) -> str:
    return str(tokenizer.decode(tokens))
