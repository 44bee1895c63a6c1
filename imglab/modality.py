"""The contract of a kind of data: `Modality`. One method is required, `real`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import torch
from PIL import Image
from torch import Tensor

from imglab import seeds
from imglab.measures import Continuation, Measures
from imglab.model import GenerativeModel, HasAbilities, ignores_generation0
from imglab.samples import Samples, TrainingSet

Split = Literal["train", "test"]


@dataclass(frozen=True)
class Spec:
    """What one sample of a modality looks like.

    shape       of one sample's data, e.g. (C, H, W)
    dtype       of the data, e.g. torch.uint8
    conditions  names of the classes, or the prompts, that `Samples.condition` counts; None: none
    prompts     whether they are prompts
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    conditions: tuple[str, ...] | None = None
    prompts: bool = False


class Extractor(ABC):
    """Turns samples into the feature vectors that every distribution metric reads."""

    def prepare(self, real: Any, shared: Path) -> None:  # noqa: B027 (some have nothing to prepare)
        """Make, or load from the folder `shared`, the weights.

        real  the training set as the modality holds it: `LabelledImages`, or tokens int64 [N, T]
        """

    @property
    @abstractmethod
    def name(self) -> str:
        """Its name, with `@` and a hash of its weights where it has any.

        Scores are comparable only between equal names.
        """

    @abstractmethod
    def features(self, data: Tensor) -> Tensor:
        """Return the features of samples' data, [N, ...], as float32 [N, D].

        A row depends on its own sample alone, not on the others that are passed with it.
        """

    def __str__(self) -> str:
        return self.name


class DataVectors(Extractor):
    """Takes the data themselves as features, as one float vector for each sample."""

    name = "data"

    def features(self, data: Tensor) -> Tensor:
        """Return the data as float32 [N, D]."""
        return data.flatten(1).float()


@runtime_checkable
class Judge(Protocol):
    """The ability to judge samples."""

    def confidence(self, samples: Samples) -> Tensor:
        """Return how sure the judge is of each sample, in [0, 1], float [N].

        For samples with a condition: how sure it is that they are what the condition says.
        """
        ...


@runtime_checkable
class WatermarkDetector(Protocol):
    """The ability to find a watermark."""

    def watermark_scores(self, samples: Samples, *, key: int) -> Tensor:
        """Return how strongly each sample carries the watermark of `key`, float64 [N]."""
        ...


@runtime_checkable
class Exporter(Protocol):
    """The ability to write samples as files of other programs."""

    def export(self, samples: Samples, folder: Path) -> list[str]:
        """Write each sample as a file into `folder`; return the files' names, in order."""
        ...


@runtime_checkable
class FreshData(Protocol):
    """The ability to give real samples that no generation has trained on: a stream of them."""

    def fresh(self, n: int, *, first: int, seed: int) -> Samples:
        """Return samples `first` to `first + n - 1` of the stream; ValueError if it ends before."""
        ...

    def fresh_available(self) -> int | None:
        """Return the length of the stream; None means endless."""
        ...


@runtime_checkable
class HeldOutLoss(Protocol):
    """The ability to say how well a model expects real data that it has not seen."""

    def held_out_loss(self, model: GenerativeModel) -> float | None:
        """Return the mean loss on held-out real data, above 0; None: this model has none."""
        ...


@dataclass(frozen=True)
class Damage:
    """One known way of damaging real samples, by which metrics are calibrated.

    name         of the damage, e.g. `blur`
    description  what it does, and what its strengths mean
    apply        `apply(pool, n, strength=s, seed=k)` draws n damaged samples from a pool of real
                 ones; s in (0, 1], where 1 is the strongest; raises ValueError where the pool does
                 not allow it
    """

    name: str
    description: str
    apply: Callable[..., Samples]


@runtime_checkable
class Damageable(Protocol):
    """The ability to damage real samples in known ways."""

    def damages(self) -> Sequence[Damage]:
        """Return the damages that make sense for this kind of data."""
        ...


@runtime_checkable
class SampleMetrics(Protocol):
    """The ability to measure samples by their data alone, whatever drew them."""

    def sample_metrics(self, samples: Samples) -> Measures:
        """Measure what needs only the samples and the real data."""
        ...


@runtime_checkable
class MatchesMoments(Protocol):
    """The ability to undo a change of mean and scale, so that what is left is a change of shape."""

    def matched(self, samples: Samples, real: Samples) -> Samples:
        """Return the samples with the mean and the scale of the real ones."""
        ...

    def variance(self, samples: Samples) -> float:
        """Return the total variance of the samples' data, summed over their dimensions."""
        ...


@runtime_checkable
class ContinuesOpenings(Protocol):
    """The ability to let generations continue one held-out real opening; it is not scored."""

    def continuation(
        self, model: GenerativeModel, *, first: Continuation | None, seed: int
    ) -> Continuation | None:
        """Let a generation's model continue the opening; None where it cannot continue any.

        first  what generation 0 made of it; None: `model` is generation 0, and chooses the opening
        """
        ...

    def render_panel(
        self, shown: Sequence[Samples], panel: Mapping[int, Continuation], path: Path
    ) -> None:
        """Write what `Modality.render` writes, with these generations' continuations above it."""
        ...


class Modality(ABC, HasAbilities):
    """A kind of data: where real samples come from, how to measure them, how to show them.

    A class named in a config as `module:Class` is made with the keys of its section as keyword
    arguments. Its optional abilities are Judge, WatermarkDetector, Exporter, FreshData,
    HeldOutLoss, Damageable, SampleMetrics, MatchesMoments, ContinuesOpenings and Grouped.
    """

    picture: ClassVar[str] = "grid.png"  # the file that `render` writes
    pictures: ClassVar[Literal["each", "last"]] = "each"  # which generations have a picture
    data_line: str = ""  # what was found in the source of real data, and what was left out

    headline: ClassVar[tuple[str, ...]] = (
        "fid",
        "variance_ratio",
        "fid_shape",
        "precision_bounded",
        "recall_bounded",
        "recall_shape",
        "coverage",
    )
    """Metrics that a person looks at first, where there is no room for all."""

    gate: ClassVar[Mapping[str, float]] = MappingProxyType({})
    """Thresholds that generation 0 must meet before its chain is called a collapse, by the names
    that `imglab.measure.gate` explains; `measure.gate` in a config changes them."""

    trusted: ClassVar[tuple[str, ...]] = ()
    """Metrics that calibration trusts: the gate's threshold `trusted` applies to them."""

    @abstractmethod
    def real(self, split: Split) -> Samples:
        """Return the real samples of a split; `train` and `test` share none."""

    def prepare(self, shared: Path) -> None:
        """Make, or load from the folder `shared`, what all generations use, such as an extractor.

        Called once, before anything else; on the same folder it must come to the same state again.
        """

    @property
    def spec(self) -> Spec:
        """What one sample looks like: by default as the real training samples do."""
        real = self.real("train")
        conditions = None
        if real.condition is not None:
            classes = int(real.condition.max()) + 1
            conditions = tuple(str(number) for number in range(classes))
        return Spec(tuple(real.data.shape[1:]), real.data.dtype, conditions)

    @property
    def extractor(self) -> Extractor | str:
        """The feature extractor; or its name alone, where the modality has its own `features`."""
        return DataVectors()

    def features(self, samples: Samples) -> Tensor:
        """Return the extractor's features, float32 [N, D], which distribution metrics read."""
        extractor = self.extractor
        if isinstance(extractor, str):
            raise TypeError(f"{type(self).__name__} names an extractor but has no `features`")
        return extractor.features(samples.data)

    def conditions(self, train: TrainingSet, n: int, *, seed: int) -> Tensor | None:
        """Return conditions for the next n samples, drawn as `train` has them, if it has."""
        conditions = train.condition
        if conditions is None:
            return None
        return conditions[torch.randint(len(conditions), (n,), generator=seeds.generator(seed))]

    @ignores_generation0
    def metrics(
        self,
        samples: Samples,
        *,
        model: GenerativeModel,
        generation0: GenerativeModel,
        seed: int,
    ) -> Measures:
        """Measure what only this kind of data has: by default, what `sample_metrics` does."""
        of_samples = self.ability(SampleMetrics)
        return of_samples.sample_metrics(samples) if of_samples else Measures()

    def read(self, samples: Samples) -> list[dict[str, str]] | None:
        """Return what a person reads of each sample; None where there is nothing to read.

        A sample has its `text`, the `prompt` that it continues and its class as `label`, each
        where there is one.
        """
        return None

    def render(self, shown: Sequence[Samples], path: Path) -> None:
        """Write what a person looks at to `path`, which is named `picture`.

        shown  `shown[g]` is what generation g drew from the same noise or prompts; the last one
               is the one to show

        The same samples must give the same bytes. By default each sample is a row of grey values.
        """
        rows = shown[-1].data.flatten(1).double().nan_to_num()
        low, high = rows.aminmax()
        grey = (rows - low) / (high - low).clamp(min=torch.finfo(torch.float64).tiny) * 255
        with path.open("wb") as file:
            Image.fromarray(grey.round().to(torch.uint8).numpy()).save(file, format="png")
