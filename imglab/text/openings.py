"""One held-out opening that every generation continues, and the panel that shows them together."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from imglab.measures import Continuation
from imglab.model import GenerativeModel
from imglab.safe_text import printable
from imglab.text.model import TextModel
from imglab.text.render import CLOSE, OPEN, mark_repeats, readable
from imglab.text.repeats import DOCUMENT_END
from imglab.text.scoring import score_tokens

MOST_OPENINGS = 32
"""Openings among which one is chosen; generation 0's model reads all of them."""

FEWEST_OPENINGS = 3
"""With fewer documents that are long enough, blocks of held-out text serve as openings."""

WIDTH = 100
"""Characters of a line of the panel."""

LABEL = 15
"""Characters of the column that says who continues."""


def real_openings(documents: Sequence[Sequence[int]], blocks: Tensor) -> Tensor:
    """Return how held-out documents begin: two blocks of tokens each, int64 [M, 2 T].

    Where fewer than three documents are so long, successive pairs of held-out blocks serve.

    documents  tokens of each
    blocks     the held-out text in blocks, int64 [N, T]
    """
    length = 2 * blocks.shape[1]
    openings = [document[:length] for document in documents if len(document) >= length]
    if len(openings) >= FEWEST_OPENINGS:
        rows = torch.tensor(openings, dtype=torch.int64)
    else:
        rows = blocks[: len(blocks) // 2 * 2].reshape(-1, length)

    if len(rows) <= MOST_OPENINGS:
        return rows
    return rows[torch.arange(MOST_OPENINGS) * len(rows) // MOST_OPENINGS]


def continue_opening(
    openings: Tensor,
    model: GenerativeModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    first: Continuation | None,
    seed: int,
) -> Continuation | None:
    """Let a model continue one opening; None where it, or the data, allow no such thing.

    openings  int64 [M, 2 T]: half of each is continued, the other half is how it goes on
    first     what generation 0 made of it, which names the opening; None: `model` is generation 0,
              and the opening of median perplexity under it is chosen
    """
    if not len(openings) or not isinstance(model.members[0], TextModel):
        return None

    if first is None:
        row, perplexity = _median(openings, model.members[0])
    else:
        row = first.row
        perplexity = first.perplexity

    opening, real = openings[row].chunk(2)
    text = model.sample(1, conditions=opening[None], seed=seed).data[0]
    end = tokenizer.eos_token
    return Continuation(
        opening=readable(opening, tokenizer, end),
        real=readable(real, tokenizer, end),
        text=readable(text, tokenizer, end),
        row=row,
        among=len(openings),
        perplexity=perplexity,
    )


def _median(openings: Tensor, model: TextModel) -> tuple[int, float | None]:
    """Return the opening of median perplexity, and its perplexity; None if that is infinite.

    Of an even number of openings it is the lower one of the two in the middle.
    """
    scores = score_tokens(model.network, openings, openings.shape[1] - 1)
    nats = -scores.log_likelihood.mean(1)
    row = int(nats.argsort(stable=True)[(len(nats) - 1) // 2])
    perplexity = float(nats[row].exp())
    if not math.isfinite(perplexity):
        return row, None
    return row, perplexity


def write_panel(panel: Mapping[int, Continuation]) -> str:
    """Return the panel as text: an opening, how it really goes on, and each generation's words.

    panel  by generation, at least one
    """
    some = next(iter(panel.values()))
    of_median = "of median perplexity under generation 0"
    if some.perplexity is not None:
        of_median = f"{of_median} ({some.perplexity:.3g})"
    about = (
        f"One held-out opening, the one of {some.among} {of_median}, continued by generations; "
        f"{OPEN}brackets{CLOSE} mark words that the continuation had before, "
        f"{DOCUMENT_END} ends a document."
    )

    lines = [*textwrap.wrap(about, WIDTH), ""]
    lines += [*_labelled("opening", some.opening), "", *_labelled("real text", some.real), ""]
    for g, continuation in panel.items():
        lines += [*_labelled(f"generation {g}", mark_repeats(continuation.text)), ""]
    return "\n".join(lines)


def _labelled(label: str, text: str) -> list[str]:
    """Return a text in lines, with a label beside the first."""
    words = " ".join(printable(text).split())
    lines = textwrap.wrap(words, WIDTH - LABEL) or [""]
    head = [f"{label:<{LABEL}}{lines[0]}".rstrip()]
    return head + [" " * LABEL + line for line in lines[1:]]
