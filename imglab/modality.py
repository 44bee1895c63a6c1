"""The two contracts that a kind of data fulfils: `Modality` and `GenerativeModel`."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar

import torch
from torch import Tensor

from imglab import seeds
from imglab.samples import Samples, TrainingSet

Split = Literal["train", "test"]
T = TypeVar("T")


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


@dataclass(frozen=True)
class Features:
    """Features of N samples, float32 [N, D], and the name of the extractor that took them."""

    values: Tensor
    extractor: str


@dataclass(frozen=True)
class Measures:
    """What was measured.

    values      JSON values; None where undefined
    reasons     why, for each None
    per_sample  tensors with a row for each sample
    floor       what real data score at the same sizes, {"mean": .., "sd": ..} or None, where that is known
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    per_sample: Mapping[str, Tensor] = field(default_factory=dict)
    floor: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def joined(cls, parts: Sequence[Measures]) -> Measures:
        """Put together what was measured apart."""
        each = [[getattr(part, column.name) for part in parts] for column in fields(cls)]
        return cls(*({name: value for column in columns for name, value in column.items()} for columns in each))

    def finite(self) -> Measures:
        """Return the same with None, and a reason, for every number that is infinite or none: it overflowed."""
        values = {name: _finite(value) for name, value in self.values.items()}
        lost = [name for name, value in self.values.items() if value != values[name]]
        reasons = {**dict.fromkeys(lost, "overflowed: it is no finite number"), **self.reasons}
        return replace(self, values=values, reasons=reasons, floor={k: _finite(v) for k, v in self.floor.items()})


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_finite(inner) for inner in value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True)
class Exhibit:
    """What stands beside the shown samples, N of them, where a person looks at them.

    index     which real training samples are nearest in feature space, nearest first, int64 [N, K]; K = 0: undefined
    distance  how far they are, in feature units, float64 [N, K]
    rows      all that `index` names, in order, int64 [U]
    real      their data, [U, ...]
    words     what `Modality.read` says of the N shown samples and of the U real ones
    """

    index: Tensor
    distance: Tensor
    rows: Tensor
    real: Tensor
    words: Mapping[str, list[dict[str, str]] | None]


@dataclass(frozen=True)
class Progress:
    """How far a stage has come, in samples.

    state, where a stage offers it, returns the tensors of a checkpoint in the middle of it; giving them back as
    `resume` continues from there and ends with the same bytes.
    """

    stage: str
    seen: int
    total: int
    loss: float | None = None
    state: Callable[[], dict[str, Tensor]] | None = None


@dataclass(frozen=True)
class Choice:
    """What `auto` was chosen to stand for, and why."""

    value: Any
    why: str


Stage: TypeAlias = Generator[Progress, None, T]
"""Work that says how far it has come and returns its result at the end."""


class Modality(ABC):
    """A kind of data: where real samples come from, how to measure them, how to show them.

    A class named in a config as `module:Class` is made with the keys of its section as keyword arguments.
    """

    picture: ClassVar[str] = "grid.png"
    """Name of the file that `render` writes for each generation."""

    headline: ClassVar[tuple[str, ...]] = ("fid", "kid", "precision", "recall", "density", "coverage")
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
        raise ValueError(f"{type(self).__name__} has no fresh data: {n} samples from position {first} asked for")

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

    def metrics(self, samples: Samples, *, model: GenerativeModel, first: GenerativeModel, seed: int) -> Measures:
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


class GenerativeModel(ABC):
    """A way to learn and draw one kind of data. Settings go into the constructor, data into the methods.

    A class named in a config as `module:Class` is made with `modality=` and the keys of its section.
    An instance holds either no weights yet (it can only `fit`), or fitted ones.
    """

    @abstractmethod
    def fit(
        self,
        train: TrainingSet,
        *,
        start: GenerativeModel | None,
        seed: int,
        resume: dict[str, Tensor] | None = None,
    ) -> Stage[GenerativeModel]:
        """Train on `train`, from the weights of `start` (None: from scratch), and return the NEW fitted model.

        Yields Progress on the way; neither `self`, `start` nor `train` changes. All that the new model goes on to do
        follows from what `save` writes, so that a loaded model continues exactly as this one would.
        """

    @property
    def members(self) -> tuple[GenerativeModel, ...]:
        """The models of a population, in the order in which `Samples.source` counts them; most are alone."""
        return (self,)

    @property
    def conditional(self) -> bool:
        """Whether it trains on, and draws by, the classes of samples, and so cannot do without them."""
        return False

    @property
    def pretrained(self) -> GenerativeModel | None:
        """Weights that come with the settings, for a chain to start from; most models have none."""
        return None

    def choices(self, train: TrainingSet, *, fits: int) -> Mapping[str, Choice]:
        """Measure what its settings leave to `auto`: key -> what it is to be. A run asks once, before generation 0.

        fits  how many there will be in the run, the first one from scratch or pretrained weights
        """
        return {}

    def check_start(self, start: GenerativeModel) -> GenerativeModel:
        """Return `start` if a fit can begin from its weights, else raise ValueError with the reason."""
        if not isinstance(start, type(self)):
            raise ValueError(f"a {type(self).__name__} cannot start from a {type(start).__name__}")
        return start

    @abstractmethod
    def draw(self, indices: range, *, conditions: Tensor | None, seed: int) -> Iterator[Samples]:
        """Yield samples `indices` in order, in batches of the model's choice.

        Sample i's noise depends on (seed, i) alone: not on batch or process count. `conditions`, if any, has one row
        for each index; a model that takes none ignores them.
        """

    def measures(self, samples: Samples, *, first: GenerativeModel, seed: int) -> Measures:
        """Measure what only this kind of model has, such as its parameters; `first` is generation 0's model.

        `samples` are those that it drew as its generation.
        """
        return Measures()

    def log_density(self, samples: Samples) -> Tensor:
        """Return the log-likelihood (or a bound on it) of each sample under the fitted model, float64 [N].

        Raises NotImplementedError where the model knows none.
        """
        raise NotImplementedError(f"a {type(self).__name__} knows no density")

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write the fitted model into the folder `path`, which does not exist yet: the same weights, the same bytes."""

    @classmethod
    @abstractmethod
    def load(cls, path: Path) -> GenerativeModel:
        """Open what `save` wrote."""

    @property
    def training(self) -> Mapping[str, Any]:
        """How this model was fitted, for metrics.json: `samples_seen` and `budget` (samples or epochs)."""
        return {}

    def sample(self, n: int, *, conditions: Tensor | None = None, seed: int) -> Samples:
        """Return samples 0 to n - 1."""
        return Samples.concatenate(list(self.draw(range(n), conditions=conditions, seed=seed)))
