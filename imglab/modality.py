"""The two contracts that a kind of data fulfils: `Modality` and `GenerativeModel`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor

from imglab import seeds
from imglab.measures import Measures
from imglab.model import GenerativeModel
from imglab.samples import Samples, TrainingSet

Split = Literal["train", "test"]


@dataclass(frozen=True)
class Spec:
    """What one sample of a modality looks like.

    shape       of one sample's data, e.g. (C, H, W)
    dtype       of the data, e.g. torch.uint8
    conditions  names of the classes, or the prompts, that `Samples.condition` counts; None where there are none
    prompts     whether they are prompts
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    conditions: tuple[str, ...] | None = None
    prompts: bool = False


class Modality(ABC):
    """A kind of data: where real samples come from, how to measure them, how to show them.

    A class named in a config as `module:Class` is made with the keys of its section as keyword arguments.
    """

    picture: ClassVar[str] = "grid.png"
    """Name of the file that `render` writes for each generation."""

    headline: ClassVar[tuple[str, ...]] = (
        "fid",
        "kid",
        "precision",
        "recall",
        "density",
        "coverage",
    )
    """Metrics that a person looks at first, where there is no room for all."""

    def prepare(self, shared: Path) -> None:  # noqa: B027 (most modalities have nothing to prepare)
        """Make, or load from the folder `shared`, what all generations use: an extractor, a tokenizer.

        Called once, before anything else; called again on the same folder it must come to the same state.
        """

    @property
    @abstractmethod
    def spec(self) -> Spec:
        """What one sample looks like."""

    @property
    @abstractmethod
    def extractor(self) -> str:
        """Name of the feature extractor, with `@` and a hash of its weights where it has any."""

    @abstractmethod
    def real(self, split: Split) -> Samples:
        """Return the real samples of a split; `train` and `test` share none."""

    def fresh(self, n: int, *, first: int, seed: int) -> Samples:
        """Return real samples `first` to `first + n - 1` of the stream that no generation has trained on.

        Raises ValueError where the stream ends before that. The base class has no such stream.
        """
        raise ValueError(
            f"{type(self).__name__} has no fresh data: {n} samples from position {first} asked for"
        )

    def fresh_available(self) -> int | None:
        """Return the length of the stream of fresh data; None means endless."""
        return 0

    def conditions(self, train: TrainingSet, n: int, *, seed: int) -> Tensor | None:
        """Return the conditions of the next n samples, drawn as `train` has them; None where there are none."""
        had = train.condition
        if had is None:
            return None
        return had[torch.randint(len(had), (n,), generator=seeds.generator(seed))]

    @abstractmethod
    def features(self, samples: Samples) -> Tensor:
        """Return float32 [N, D]; every distribution metric reads only this."""

    def metrics(
        self, samples: Samples, *, model: GenerativeModel, first: GenerativeModel, seed: int
    ) -> Measures:
        """Measure what only this kind of data has; `first` is generation 0's model."""
        return Measures()

    @property
    def abilities(self) -> frozenset[str]:
        """Which of `confidence`, `watermark_scores` and `export` it has; curation asks before a run begins."""
        return frozenset()

    def confidence(self, samples: Samples) -> Tensor:
        """Return how sure the modality's own judge is of each sample, in [0, 1], float [N].

        Of samples with a condition: that they are what it says.
        """
        raise NotImplementedError(f"{type(self).__name__} has no judge")

    def watermark_scores(self, samples: Samples, *, key: int) -> Tensor:
        """Return how strongly each sample carries the watermark of `key`, float64 [N]; higher is stronger."""
        raise NotImplementedError(f"{type(self).__name__} has no watermark")

    def read(self, samples: Samples) -> list[dict[str, str]] | None:
        """Return what a person reads of each sample: its `text`, the `prompt` that it continues, its class as `label`.

        Each where there is one; None where there is nothing to read.
        """
        return None

    def export(self, samples: Samples, folder: Path) -> list[str]:
        """Write each sample as a file that other programs open into `folder`; return their names, in order."""
        raise NotImplementedError(f"{type(self).__name__} has no form for export")

    @abstractmethod
    def render(self, shown: Sequence[Samples], path: Path) -> None:
        """Write what a person looks at to `path` (named `picture`).

        `shown[g]` is what generation g drew from the same latents or prompts; the last one is the one to show.
        The same samples give the same bytes.
        """
