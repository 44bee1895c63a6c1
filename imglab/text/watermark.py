"""The watermark of Kirchenbauer et al. 2023 (2301.10226), through transformers.

Drawing favours some tokens after each token; a z-score counts the favoured ones afterwards.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import (
    PreTrainedConfig,
    WatermarkDetector,
    WatermarkingConfig,
    WatermarkLogitsProcessor,
)

NO_TOKEN = -1


def watermark_processor(
    vocabulary: int, *, key: int, strength: float, device: torch.device
) -> WatermarkLogitsProcessor:
    """Return what adds `strength` to the logits of the tokens favoured after the last token."""
    config = WatermarkingConfig(bias=strength, hashing_key=key)
    return config.construct_processor(vocabulary, device)


def watermark_z_scores(tokens: Tensor, vocabulary: int, *, key: int) -> Tensor:
    """Return the z-score of favoured tokens in each text, float64 [N].

    It is about N(0, 1) in prose without the mark. Repeated pairs of tokens count once, so that
    text that repeats itself is not mistaken for marked text.

    tokens  int64 [N, T]
    """
    detector = WatermarkDetector(
        PreTrainedConfig(vocab_size=vocabulary, bos_token_id=NO_TOKEN),
        "cpu",
        WatermarkingConfig(hashing_key=key),
        ignore_repeated_ngrams=True,
    )
    return torch.from_numpy(detector(tokens.cpu(), return_dict=True).z_score).double()
