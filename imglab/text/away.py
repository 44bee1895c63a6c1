"""Decoding with guidance away from another language model."""

from __future__ import annotations

from torch import Tensor

from imglab.text.readers import Reader


def away_reader(read: Reader, read_other: Reader, w: float) -> Reader:
    """Return what reads with guidance away from another network (SIMS, 2408.16333, for logits).

    Log-probabilities become (1 + w) log p - w log q, which `softmax` brings to sum 1.
    """

    def read_both(tokens: Tensor) -> Tensor:
        likely = read(tokens).float().log_softmax(-1)
        return likely + w * (likely - read_other(tokens).float().log_softmax(-1))

    return read_both
