"""The contract of a model: `GenerativeModel`. Two methods are required, `fit` and `draw`."""

from __future__ import annotations

import inspect
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from imglab.constructors import check_constructor, constructor_arguments
from imglab.errors import InputError, Problem, first_line
from imglab.failures import raise_if_unavailable
from imglab.measures import Measures
from imglab.progress import Stage
from imglab.samples import Samples, TrainingSet

if TYPE_CHECKING:
    from typing_extensions import Self

Ability = TypeVar("Ability")
Metrics = TypeVar("Metrics", bound=Callable[..., Measures])

WEIGHTS = "model.safetensors"
DESCRIPTION = "imglab.json"
CARD = "README.md"

DAMAGE = (OSError, ValueError, SafetensorError)
"""What a damaged folder raises while a model is opened; anything else is a mistake in the code."""


def ignores_generation0(metrics: Metrics) -> Metrics:
    """Mark a method `metrics` that does not read the model of generation 0.

    Where nothing else reads it either it is not loaded, and the method gets None.
    """
    vars(metrics)["ignores_generation0"] = True
    return metrics


@dataclass(frozen=True)
class Choice:
    """What a setting that was left to `auto` is to be, and the measurements that say so."""

    value: Any
    why: str


NAMED_ABILITIES = frozenset({"confidence", "watermark_scores", "export"})
"""What the property `abilities` of a modality could name in version 0.1."""


class HasAbilities:
    """Something that may have abilities which not all of its kind have: small Protocols."""

    def ability(self, wanted: type[Ability]) -> Ability | None:
        """Return what provides the ability `wanted`, or None; the one way to ask for any of them.

        Here an object has an ability if it has its methods. A class whose settings decide, or
        whose parts do, overrides this. Where a class still names its `abilities`, as in version
        0.1, it has those alone.
        """
        names = getattr(self, "abilities", NAMED_ABILITIES)
        missing = NAMED_ABILITIES - frozenset(names)
        if isinstance(self, wanted) and not missing & vars(wanted).keys():
            return self
        return None


@runtime_checkable
class Density(Protocol):
    """The ability of a model to say how likely samples are."""

    def log_density(self, samples: Samples) -> Tensor:
        """Return the log-likelihood of each sample, or a bound on it, float64 [N]."""
        ...


@runtime_checkable
class Tunable(Protocol):
    """The ability of a model to measure what its settings leave to `auto`."""

    def choices(self, train: TrainingSet, *, fits: int) -> Mapping[str, Choice]:
        """Return key -> what it is to be. A run asks once, before generation 0.

        fits  how many fits the run has, the first from scratch or from pretrained weights
        """
        ...


class GenerativeModel(ABC, HasAbilities):
    """A way to learn and draw one kind of data: settings in the constructor, data in the methods.

    A class named in a config as `module:Class` is made with `modality=` and the keys of its
    section. An instance either holds no weights yet (it can only `fit`), or fitted ones.
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
        """Train on `train` from the weights of `start`, and return the NEW fitted model.

        start   None: from scratch
        resume  the state of a checkpoint in the middle of this fit, as Progress offered it

        Yields Progress on the way; neither `self`, `start` nor `train` changes. Everything that
        the new model goes on to do follows from what `save` writes, so that a loaded model
        continues exactly as this one would.
        """

    @abstractmethod
    def draw(self, indices: range, *, conditions: Tensor | None, seed: int) -> Iterator[Samples]:
        """Yield samples `indices` in order, in batches of the model's choice.

        Sample i's noise depends on (seed, i) alone: not on batch or process count. `conditions`,
        if there are any, has one row for each index; a model that takes none ignores them.
        """

    def sample(self, n: int, *, conditions: Tensor | None = None, seed: int) -> Samples:
        """Return samples 0 to n - 1."""
        return Samples.concatenate(list(self.draw(range(n), conditions=conditions, seed=seed)))

    @property
    def members(self) -> tuple[GenerativeModel, ...]:
        """The models of a population, in the order of `Samples.source`; most models are alone."""
        return (self,)

    @property
    def conditional(self) -> bool:
        """Whether it trains on, and draws by, the classes of samples, and cannot do without."""
        return False

    @property
    def pretrained(self) -> GenerativeModel | None:
        """Weights that come with the settings, for a chain to start from; most models have none."""
        return None

    @property
    def training(self) -> Mapping[str, Any]:
        """How it was fitted, for metrics.json: `samples_seen` and `budget` (samples or epochs)."""
        return {}

    def check_start(self, start: GenerativeModel) -> GenerativeModel:
        """Return `start` if a fit can begin from its weights; ValueError with the reason if not."""
        if not isinstance(start, type(self)):
            raise ValueError(f"a {type(self).__name__} cannot start from a {type(start).__name__}")
        return start

    @ignores_generation0
    def metrics(self, samples: Samples, *, generation0: GenerativeModel, seed: int) -> Measures:
        """Measure what only this kind of model has, such as its parameters.

        samples      those that it drew as its generation
        generation0  the model of generation 0
        """
        return Measures()

    # Saving. By default a fitted model is what its constructor takes: tensors go into
    # model.safetensors, everything else, which must be JSON, into imglab.json.

    def save(self, path: Path) -> None:
        """Write the fitted model into the new folder `path`: the same weights, the same bytes."""
        self.check_loadable()
        self.write_weights(path)
        described = json.dumps(dict(self.description()), indent=1) + "\n"
        (path / DESCRIPTION).write_text(described)
        card = self.card()
        if card is not None:
            (path / CARD).write_text(card)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Open what `save` wrote; InputError that names the folder where it is damaged."""
        description = _read_description(path / DESCRIPTION)
        with naming_damage(path):
            return cls.restore(description, path)

    def check_loadable(self) -> None:
        """Raise InputError if what `save` writes could not be opened again.

        A run asks before generation 0 is fitted.
        """
        check_constructor(type(self), GenerativeModel)

    def weights(self) -> Mapping[str, Tensor]:
        """Return the tensors that the fitted model is made of."""
        arguments = constructor_arguments(self)
        return {name: value for name, value in arguments.items() if isinstance(value, Tensor)}

    def description(self) -> Mapping[str, Any]:
        """Return everything but the tensors that the fitted model is made of, as JSON values."""
        arguments = constructor_arguments(self)
        return {name: value for name, value in arguments.items() if not isinstance(value, Tensor)}

    def card(self) -> str | None:
        """Return the model card, in Markdown, if the model has one."""
        return None

    def write_weights(self, path: Path) -> None:
        """Make the folder `path` and write the tensors into it."""
        path.mkdir()
        tensors = {name: tensor.contiguous() for name, tensor in self.weights().items()}
        if tensors:
            save_file(tensors, path / WEIGHTS)

    @classmethod
    def restore(cls, description: Mapping[str, Any], path: Path) -> Self:
        """Return the model that `description` and the weights in the folder `path` make.

        What cannot be such a model raises one of `DAMAGE`: a ValueError, for instance, where the
        description lacks a key.
        """
        arguments = dict(description)
        if (path / WEIGHTS).is_file():
            arguments |= read_weights(path)
        return cls.repeated(arguments)

    @classmethod
    def repeated(cls, arguments: Mapping[str, Any]) -> Self:
        """Return a model with these arguments; ValueError if the constructor has others."""
        try:
            inspect.signature(cls).bind(**arguments)
        except TypeError as error:
            raise ValueError(f"its arguments are not those of {cls.__name__}: {error}") from error
        return cls(**arguments)


class Contents(dict[str, Any]):
    """What a file of a model folder holds, by name; a name that it lacks is a ValueError."""

    def __missing__(self, name: str) -> Any:
        raise ValueError(f"{name!r} is missing")


def read_weights(path: Path) -> Contents:
    """Return the tensors that lie in the folder `path` of a model."""
    return Contents(load_file(path / WEIGHTS))


@contextmanager
def naming_damage(path: Path) -> Iterator[None]:
    """Turn what a damaged folder `path` raises while it is opened into an InputError."""
    try:
        yield
    except DAMAGE as error:
        raise_if_unavailable(error, path, ours=True)
        what = f"does not open as a model: {first_line(error)}"
        raise InputError(Problem(str(path), what, "the folder is damaged")) from error


def _read_description(file: Path) -> Contents:
    try:
        description = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(description, dict):
            raise ValueError("it holds no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise_if_unavailable(error, file, ours=True)
        what = f"cannot be read: {first_line(error)}"
        raise InputError(Problem(str(file), what, "the file is damaged")) from error
    return Contents(description)


def reads_generation0(owner: Any) -> bool:
    """Say whether `metrics` of a modality or of a model may read the model of generation 0."""
    metrics = getattr(owner, "measures", owner.metrics)
    return not getattr(metrics, "ignores_generation0", False)


def call_metrics(owner: Any, samples: Samples, *, generation0: Any, **keys: Any) -> Measures:
    """Call `metrics` of a modality or of a model.

    Version 0.1 called the metrics of a model `measures`, and the model of generation 0 `first`.
    """
    metrics = getattr(owner, "measures", owner.metrics)
    if "first" in inspect.signature(metrics).parameters:
        keys["first"] = generation0
    else:
        keys["generation0"] = generation0

    measures = metrics(samples, **keys)
    if not isinstance(measures, Measures):
        what = f"metrics must be `imglab.Measures`, not {type(measures).__name__}"
        remedy = "return imglab.Measures({'name': value})"
        raise InputError(Problem(type(owner).__name__, what, remedy))
    return measures
