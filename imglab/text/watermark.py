"""The watermark of Kirchenbauer et al. 2023 through transformers: favoured tokens when drawing, a z-score after."""

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
    """Return what adds `strength` to the logits of the tokens favoured after the last one."""
    config = WatermarkingConfig(bias=strength, hashing_key=key)
    return config.construct_processor(vocabulary, device)


def watermark_z_scores(tokens: Tensor, vocabulary: int, *, key: int) -> Tensor:
    """Return the z-score of favoured tokens in each text, int64 [N, T] -> float64 [N]: about N(0, 1) in unmarked prose.

    Repeated pairs of tokens count once, so that text that repeats itself is not taken for marked.
    """
    detector = WatermarkDetector(
        PreTrainedConfig(vocab_size=vocabulary, bos_token_id=NO_TOKEN),
        "cpu",
        WatermarkingConfig(hashing_key=key),
        ignore_repeated_ngrams=True,
    )
    return torch.from_numpy(detector(tokens.cpu(), return_dict=True).z_score).double()
