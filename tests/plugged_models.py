"""A model of another package, as a config names it."""

from __future__ import annotations

from imglab.samples import Samples
from imglab.solvable.gaussian.model import GaussianModel
from imglab.solvable.gaussian.settings import GaussianModelSettings


class Sevens(GaussianModel):
    """Fits as its base does and draws nothing but sevens."""

    def __init__(self, settings=None, *arguments, modality=None, **others):
        given = () if modality is None else (modality,)
        super().__init__(settings or GaussianModelSettings(), *given, *arguments, **others)

    def draw(self, indices, *, conditions, seed):
        for part in super().draw(indices, conditions=conditions, seed=seed):
            yield Samples.drawn(part.data.clone().fill_(7.0))


class Mistaken(Sevens):
    """Opens a folder with a mistake in its own code."""

    @classmethod
    def restore(cls, description, path):
        return cls.no_such_method(description)  # type: ignore[attr-defined]
