"""The contract of a model: `GenerativeModel`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from imglab.measures import Measures
from imglab.progress import Stage
from imglab.samples import Samples, TrainingSet


@dataclass(frozen=True)
class Choice:
    """What `auto` was chosen to stand for, and why."""

    value: Any
    why: str


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
