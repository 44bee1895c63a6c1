"""Keys that the sections of all image models share. Read without torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from imglab.config.section import (
    WATERMARK_KEY,
    BatchSize,
    Count,
    LearningRate,
    Section,
    Seed,
    TrainingPlan,
)

SamplingBias = Annotated[float, Field(gt=0, le=1)]


class TrainingSettings(TrainingPlan):
    """How long and how fast a model is fitted."""

    images: Count = 76_800
    """Training budget in images seen; it is the same in every regime."""
    batch: BatchSize = 128
    """Images in a training batch."""
    learning_rate: LearningRate = 1e-3
    """Largest learning rate of the schedule."""


class FineTuningSettings(TrainingSettings):
    """How long and how fast a model is fitted that starts from another model's weights."""

    images: Count = 38_400
    """Training budget in images seen; it is the same in every regime."""
    learning_rate: LearningRate = 5e-4
    """Largest learning rate of the schedule."""


class ImageWatermarkSettings(Section):
    """Mark all drawn images with an invisible pattern that the key chooses (docs/watermark.md)."""

    key: Seed = WATERMARK_KEY
    """Secret number that chooses the pattern; detection needs the same number."""
    strength: Annotated[float, Field(gt=0, le=255)] = 8.0
    """Root mean square of the pattern in grey levels (0 to 255)."""
