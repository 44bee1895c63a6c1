"""Tokens by inversion: where the cumulated distribution of logits passes a uniform number."""

from __future__ import annotations

import torch
from torch import Tensor

MANY_TOKENS = 8192
"""Size of a vocabulary from which on top-p looks at the most likely tokens first."""

TOP_TOKENS = 512
"""How many of them it looks at."""

ROUNDING = 1e-5
"""Far more than sums of probabilities in fp32 are off."""

LARGEST = 0x7FFFFFFF
"""The largest int32: all bits but the sign."""

TOKEN = 0xFFFFFFFF
"""The bits of a key that number its token."""


def invert(
    logits: Tensor, uniform: Tensor, *, top_k: int | None = None, top_p: float = 1.0
) -> Tensor:
    """Return where the cumulated distribution of logits passes `uniform`: tokens, int64 [B].

    logits   [B, V]
    uniform  [B]
    top_k    draw from the k most likely tokens
    top_p    draw from the fewest of these whose probabilities sum to p (Holtzman et al. 2020),
             each in proportion to its probability
    """
    if top_k is None and top_p == 1:
        return _passed(logits.softmax(-1).cumsum(-1, dtype=torch.float64), uniform)
    if top_k is None and logits.shape[1] >= MANY_TOKENS:
        return _invert_from_the_top(logits, uniform, top_p)
    return _invert_sorted(logits, uniform, top_k, top_p)


def _invert_sorted(logits: Tensor, uniform: Tensor, top_k: int | None, top_p: float) -> Tensor:
    """Return what `invert` returns, from the tokens in the order of their probabilities."""
    if top_k:
        likely, order = logits.topk(min(top_k, logits.shape[1]))
    else:
        likely, order = by_probability(logits)

    cumulated = likely.softmax(-1).cumsum(-1, dtype=torch.float64)
    if top_p < 1:
        last = (cumulated < top_p).sum(-1, keepdim=True).clamp(max=cumulated.shape[1] - 1)
        cumulated = torch.minimum(cumulated, cumulated.gather(1, last))
    return order.gather(1, _passed(cumulated, uniform)[:, None]).squeeze(1)


def by_probability(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits from the highest to the lowest, and their tokens, int64, both [B, V].

    Of equal ones the token with the lower number comes first, as in a stable sort. On a CPU numpy
    sorts fp32 logits and tokens as one number, which takes half to three quarters of torch's time.

    logits  float [B, V]
    """
    if logits.device.type != "cpu" or logits.dtype != torch.float32:
        likely, order = logits.sort(dim=-1, descending=True, stable=True)
        return likely, order

    # Of floats without their sign the bits rise as the numbers do; 0.0 and -0.0 are equal.
    bits = (logits + 0.0).view(torch.int32)
    rising = bits ^ ((bits >> 31) & LARGEST)
    keys = ((~rising).long() << 32) | torch.arange(logits.shape[1])
    keys.numpy().sort(axis=-1)
    order = keys & TOKEN
    return logits.gather(1, order), order


def _invert_from_the_top(logits: Tensor, uniform: Tensor, top_p: float) -> Tensor:
    """Return the tokens that `_invert_sorted` returns, mostly without sorting the vocabulary.

    The few most likely tokens decide where they hold the mass `top_p` and no sum lies so near to
    a border that rounding, or the order of equal logits, could matter. Other rows are sorted.
    """
    likely, order = logits.topk(TOP_TOKENS)
    cumulated = (likely - logits.logsumexp(-1, keepdim=True)).exp().cumsum(-1, dtype=torch.float64)
    last = (cumulated < top_p).sum(-1, keepdim=True).clamp(max=TOP_TOKENS - 1)
    level = uniform.double()[:, None] * cumulated.gather(1, last)
    place = (cumulated <= level).sum(-1, keepdim=True).clamp(max=TOP_TOKENS - 2)

    # Equal logits stand next to each other, in an order that sorting need not share.
    chosen = likely.gather(1, place)
    tied = likely.gather(1, place + 1) == chosen
    tied |= (likely.gather(1, (place - 1).clamp(min=0)) == chosen) & (place > 0)
    distance = torch.minimum((cumulated - top_p).abs(), (cumulated - level).abs())
    is_sure = (cumulated[:, -1] > top_p) & (distance > ROUNDING).all(-1) & ~tied.squeeze(1)

    tokens = order.gather(1, place).squeeze(1)
    unsure = (~is_sure).nonzero().squeeze(1)
    if len(unsure):
        tokens[unsure] = _invert_sorted(logits[unsure], uniform[unsure], None, top_p)
    return tokens


def _passed(cumulated: Tensor, uniform: Tensor) -> Tensor:
    """Return the first place whose cumulated probability is above uniform times the whole.

    cumulated  float64 [B, V]
    """
    level = uniform.double()[:, None] * cumulated[:, -1:]
    places = torch.searchsorted(cumulated, level, right=True).squeeze(1)
    return places.clamp(max=cumulated.shape[1] - 1)
