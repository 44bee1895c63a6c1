"""Dropping samples that carry a watermark."""

from __future__ import annotations

import torch
from torch import Tensor

from imglab import seeds
from imglab.curation.context import Context, required
from imglab.modality import WatermarkDetector
from imglab.samples import Samples

CALIBRATION_SAMPLES = 4096
"""At most so many real samples set the threshold of the watermark detector."""


def drop_watermarked(
    samples: Samples, context: Context, *, key: int, false_positive_rate: float, error_rate: float
) -> Tensor:
    """Drop samples in which the detector finds the watermark of `key`.

    false_positive_rate  share of the real training set in which it finds the mark: its threshold
    error_rate           probability that a verdict is turned round
    """
    detector = required(context.modality, WatermarkDetector)

    # Set the threshold on real samples, which carry no mark.
    real = context.modality.real("train")
    order = torch.randperm(len(real), generator=seeds.generator("watermark", "calibration"))
    rows = order[:CALIBRATION_SAMPLES].sort().values
    scores = detector.watermark_scores(real[rows], key=key)
    threshold = scores.quantile(1 - false_positive_rate)

    is_unmarked = detector.watermark_scores(samples, key=key) <= threshold
    is_wrong = torch.rand(len(samples), generator=seeds.generator(context.seed)) < error_rate
    return (is_unmarked ^ is_wrong).nonzero().flatten()
