"""What a curator is, and what it may know beside the samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from torch import Tensor

from imglab.constructors import renamed_arguments
from imglab.errors import InputError, Problem
from imglab.modality import Modality
from imglab.model import GenerativeModel, HasAbilities
from imglab.samples import Samples

Ability = TypeVar("Ability")


@renamed_arguments(first="generation0", desk="annotations")
@dataclass(frozen=True)
class Context:
    """What a curator may know beside the samples.

    features     of the samples, float32 [N, D]
    real         features of the real training set, float32 [M, D]
    modality     the kind of data
    generation0  the model of generation 0
    generation   the number of the generation that drew the samples
    seed         of this curation: the same samples and seed give the same choice
    annotations  folder where a person is asked, or None where there is none
    drawer       returns the model that drew the samples
    """

    features: Tensor
    real: Tensor
    modality: Modality
    generation0: GenerativeModel
    generation: int
    seed: int
    annotations: Path | None = None
    drawer: Callable[[], GenerativeModel] | None = None

    @property
    def model(self) -> GenerativeModel:
        """The model that drew the samples."""
        if self.drawer is None:
            raise ValueError("this context does not say which model drew the samples")
        return self.drawer()

    @property
    def first(self) -> GenerativeModel:
        """The name of `generation0` in version 0.1."""
        return self.generation0

    @property
    def desk(self) -> Path | None:
        """The name of `annotations` in version 0.1."""
        return self.annotations


class Curator(Protocol):
    """Chooses the samples that are accepted."""

    def __call__(self, samples: Samples, context: Context) -> Tensor:  # noqa: D102
        ...


def kept_size(drawn: int, keep: float) -> int:
    """Return how many samples a share `keep` of `drawn` is, rounded to the nearest."""
    return round(drawn * keep)


def drawn_size(samples: int, keep: float) -> int:
    """Return how many samples must be drawn for a share `keep` of them to be `samples`."""
    return round(samples / keep)


def required(owner: HasAbilities, ability: type[Ability]) -> Ability:
    """Return what provides an ability; InputError where there is none."""
    provider = owner.ability(ability)
    if provider is None:
        what = f"{type(owner).__name__} does not have what this curator needs"
        raise InputError(Problem("curate.kind", f"{what}: {ability.__doc__}", "choose another"))
    return provider
