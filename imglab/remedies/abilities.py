"""What remedies ask of models: optional abilities, each a small Protocol.

Models have the methods and need not import this file.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from imglab.model import GenerativeModel
from imglab.samples import Samples


@runtime_checkable
class MovesAway(Protocol):
    """The ability of a fitted model to move its weights away from those of another."""

    def moved_away(self, other: GenerativeModel, w: float) -> GenerativeModel:
        """Return a new model with the weights (1 + w) self - w other.

        Raises ValueError where `other` has another architecture.
        """
        ...


@runtime_checkable
class WeighsSamples(Protocol):
    """The ability of a model to give each training sample the weight that the set has for it."""

    def check_weights(self) -> None:
        """Raise ValueError, with the reason, where its settings do not allow weights.

        A fit reads `TrainingSet.weights`.
        """
        ...


@runtime_checkable
class GuidesAway(Protocol):
    """The ability of a fitted model to be led away from another one as it draws."""

    def check_guidance(self) -> None:
        """Raise ValueError, with the reason, where its settings do not allow guidance."""
        ...

    def guided_away(self, other: GenerativeModel, w: float) -> GenerativeModel:
        """Return a new model with the same weights whose drawing is led away from `other`.

        Saved, it holds both. Raises ValueError where `other` has another architecture, or
        where this model is led away from one already.
        """
        ...


@runtime_checkable
class StopsEarly(Protocol):
    """The ability of a fitted model to stop early as it takes noise away."""

    def check_stop(self, time: float) -> None:
        """Raise ValueError, with the reason, where its settings do not allow to stop at `time`."""
        ...

    def stopped(self, time: float) -> GenerativeModel:
        """Return a new model that draws e^(-time) x + sqrt(1 - e^(-2 time)) z.

        x  what this one draws; z is standard normal
        """
        ...


@runtime_checkable
class TruncatesLoss(Protocol):
    """The ability of a model's settings to leave likely tokens out of the loss of its fits."""

    def truncating(self, threshold: float) -> GenerativeModel:
        """Return the same settings with this loss; 1 leaves out none."""
        ...


@runtime_checkable
class EditsTokens(Protocol):
    """The ability of a fitted model to draw again the tokens of which it is all too sure."""

    def edited(self, samples: Samples, threshold: float, *, seed: int) -> Samples:
        """Return the same texts, where each token above this probability is drawn again."""
        ...
