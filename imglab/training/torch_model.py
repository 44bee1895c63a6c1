"""`TorchModel`: a generative model for anyone with a torch network, a loss and a sampler."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from imglab import seeds
from imglab.constructors import check_constructor
from imglab.model import WEIGHTS, GenerativeModel, read_weights
from imglab.progress import Stage
from imglab.samples import Samples, TrainingSet
from imglab.training.batches import WEIGHT
from imglab.training.devices import device
from imglab.training.fit import fit
from imglab.training.folders import LARGEST_SIZE, check_layout, layout
from imglab.training.moving import joined_training, moved_network
from imglab.training.recipe import Recipe
from imglab.training.trainer import Batch

if TYPE_CHECKING:
    from typing_extensions import Self

Network = TypeVar("Network", bound=nn.Module)
NOISE = "noise."
"""Stands before the names of noise in a batch, apart from the columns of samples."""

ARGUMENT = "argument."
"""Stands before the names of the constructor's tensors in the weights, apart from the network's."""


class TorchModel(GenerativeModel, Generic[Network]):
    """A model with one torch network. Write `new_network`, `loss` and `sample_batch`.

    The fit, its checkpoints, averaged weights, mixed precision, several processes, progress,
    noise by index, saving and loading come with this class. Settings are arguments of the
    constructor, JSON values or tensors, which keeps each under its own name (`self.width = width`);
    `modality` need not be kept. docs/extend/model.md shows a whole model.
    """

    recipe: Recipe = Recipe()
    """How the network is trained."""

    fine_tuning: Recipe | None = None
    """How a fit that starts from another model trains it; None: as `recipe` says."""

    sampling_batch: int = 1024
    """How many samples are drawn at a time."""

    _network: Network | None = None
    _shape: tuple[int, ...] = ()
    _training: Mapping[str, Any] = {}

    @abstractmethod
    def new_network(self, shape: tuple[int, ...]) -> Network:
        """Return a network with new weights, drawn from torch's global generator.

        The caller has seeded that generator and restores it afterwards.

        shape  of one sample's data
        """

    @abstractmethod
    def loss(self, network: Network, batch: Samples, noise: Mapping[str, Tensor]) -> Tensor:
        """Return the mean loss over the samples of a batch, a scalar.

        batch  samples on the network's device
        noise  what `training_noise` drew for them
        """

    @abstractmethod
    def sample_batch(self, network: Network, noise: Tensor, conditions: Tensor | None) -> Tensor:
        """Return the data of one sample for each row of noise; gradients are off.

        noise       standard normal, float32 [N, *noise_shape]: row i belongs to sample i alone
        conditions  int64, N rows, where the model is `conditional`; None otherwise
        """

    def training_noise(self, batch: Samples, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Draw everything random that the loss reads, by name, with a row for each sample.

        By default standard normal `noise` of the data's shape. It is drawn on the CPU, for the
        whole batch at once: several processes then take the same steps as one.
        """
        return {"noise": torch.randn(batch.data.shape, generator=generator)}

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of the noise that a sample is made of; by default the shape of its data."""
        return self._shape

    @property
    def network(self) -> Network:
        """The fitted network."""
        if self._network is None:
            raise ValueError("the model has not been fitted")
        return self._network

    @property
    def training(self) -> Mapping[str, Any]:
        """How many samples the fit saw, and the unit of its budget."""
        return self._training

    def fit(
        self,
        train: TrainingSet,
        *,
        start: GenerativeModel | None,
        seed: int,
        resume: dict[str, Tensor] | None = None,
    ) -> Stage[GenerativeModel]:
        """Train a new network, or one with the weights of `start`, as the recipe says."""
        recipe = self.recipe
        if start is not None and self.fine_tuning is not None:
            recipe = self.fine_tuning

        with seeds.isolated(seed, "weights"):
            network = self.new_network(train.shape)
        if start is not None:
            network.load_state_dict(self.check_start(start).network.state_dict())

        objective = _Objective(self, seed)
        fitted = yield from fit(network, objective, train, recipe, seed=seed, resume=resume)
        return self._around(fitted.network, train.shape, fitted.training)

    def _around(
        self, network: Network, shape: tuple[int, ...], training: Mapping[str, Any]
    ) -> Self:
        """Return a model like this one around a fitted network."""
        model = copy.copy(self)
        model._network = network
        model._shape = shape
        model._training = dict(training)
        return model

    def check_start(self, start: GenerativeModel) -> Self:
        """Raise ValueError unless `start` is a fitted model of this class with the same layers."""
        if not isinstance(start, type(self)):
            raise ValueError(f"a {type(self).__name__} cannot start from a {type(start).__name__}")

        if self._shape and start._shape != self._shape:
            raise ValueError(f"it draws samples of shape {start._shape}, expected {self._shape}")

        with seeds.isolated("weights"):
            network = self.new_network(start._shape)
        expected = layout(network.state_dict())
        weights = layout(start.network.state_dict())

        for name in {**expected, **weights}:
            if weights.get(name) != expected.get(name):
                what = f"{name} is {weights.get(name)}, expected {expected.get(name)}"
                raise ValueError(f"architecture differs: {what}")
        return start

    @torch.inference_mode()
    def draw(self, indices: range, *, conditions: Tensor | None, seed: int) -> Iterator[Samples]:
        """Yield samples whose noise is of (seed, i), in batches of `sampling_batch`."""
        network = self.network
        place = device()
        for first in range(0, len(indices), self.sampling_batch):
            part = slice(first, first + self.sampling_batch)
            noise = seeds.normal(self.noise_shape, indices[part], seed=seed).to(place)

            if self.conditional and conditions is not None:
                labels = conditions[part]
                data = self.sample_batch(network, noise, labels.to(place))
                yield Samples.drawn(data.cpu(), labels)
            else:
                data = self.sample_batch(network, noise, None)
                yield Samples.drawn(data.cpu())

    def moved_away(self, other: GenerativeModel, w: float) -> Self:
        """Return a model with the weights (1 + w) self - w other (`imglab.remedies.neon`)."""
        network = moved_network(self.network, self.check_start(other).network, w)
        training = joined_training(self.training, other.training)
        return self._around(network, self._shape, training)

    def check_weights(self) -> None:
        """Do nothing: a fit reads the weights of its training set, whatever the settings are."""

    def weights(self) -> Mapping[str, Tensor]:
        """Return the tensors of the network, and those that the constructor takes."""
        tensors = dict(self.network.state_dict())
        for name, value in self._tensor_arguments().items():
            tensors[f"{ARGUMENT}{name}"] = value
        return {name: tensor.cpu().clone() for name, tensor in tensors.items()}

    def _tensor_arguments(self) -> Mapping[str, Tensor]:
        """Return the constructor's tensors; a class with a description of its own says itself."""
        if type(self).description is not TorchModel.description:
            return {}
        return super().weights()

    def check_loadable(self) -> None:
        """Raise InputError if what `save` writes could not be opened again."""
        check_constructor(type(self), TorchModel)

    def description(self) -> Mapping[str, Any]:
        """Return the constructor's arguments, the shape of a sample and how the fit went."""
        described: dict[str, Any] = {
            "settings": dict(super().description()),
            "shape": list(self._shape),
            "training": dict(self._training),
        }
        tensors = list(self._tensor_arguments())
        if tensors:
            described["tensors"] = tensors
        return described

    @classmethod
    def restore(cls, description: Mapping[str, Any], path: Path) -> Self:
        """Return the model that `description` and the weights in the folder `path` make."""
        fitted = TorchDescription.model_validate(description)
        weights = read_weights(path)
        tensors = {name: weights.pop(f"{ARGUMENT}{name}", None) for name in fitted.tensors}
        missing = [name for name, tensor in tensors.items() if tensor is None]
        if missing:
            raise ValueError(f"{WEIGHTS} lacks the tensor {missing[0]!r}")
        model = cls.repeated({**fitted.settings, **tensors})

        with seeds.isolated("weights"):
            network = model.new_network(fitted.shape)
        check_layout(weights, network.state_dict(), WEIGHTS)
        network.load_state_dict(weights)
        return model._around(network.eval().to(device()), fitted.shape, fitted.training)


class TorchDescription(BaseModel):
    """What `TorchModel` writes into imglab.json.

    settings  the constructor's arguments that are JSON values
    tensors   names of those that are tensors, which lie with the weights
    """

    settings: dict[str, Any]
    shape: tuple[Annotated[int, Field(ge=1, le=LARGEST_SIZE)], ...]
    training: dict[str, Any]
    tensors: list[str] = []


@dataclass(frozen=True)
class _Objective:
    """Trains a model's network by the model's loss."""

    model: TorchModel[Any]
    seed: int
    device: torch.device = field(default_factory=device)

    def batch(self, samples: Samples, step: int) -> Batch:
        generator = seeds.generator(self.seed, "noise", step)
        noise = self.model.training_noise(samples, generator)

        columns = {f"{NOISE}{name}": tensor for name, tensor in noise.items()}
        columns |= {"data": samples.data, "origin": samples.origin, "source": samples.source}
        if samples.condition is not None:
            columns["condition"] = samples.condition
        return {name: column.to(self.device) for name, column in columns.items()}

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        samples = Samples(batch["data"], batch.get("condition"), batch["origin"], batch["source"])
        noise = {
            name.removeprefix(NOISE): column
            for name, column in batch.items()
            if name.startswith(NOISE)
        }
        weights = batch.get(WEIGHT)
        if weights is None:
            return self.model.loss(network, samples, noise)

        # The loss is a mean over samples: those of equal weight are taken together.
        total = torch.zeros((), device=self.device)
        for weight in weights.unique():
            rows = (weights == weight).nonzero().flatten()
            columns = {name: column[rows] for name, column in noise.items()}
            share = weight * len(rows) / len(weights)
            total = total + share * self.model.loss(network, samples[rows], columns)
        return total
