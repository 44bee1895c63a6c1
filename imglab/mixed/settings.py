"""Config keys of models that consist of other models. Read without torch."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny, model_validator

from imglab.config import kinds
from imglab.config.section import Section, choice, newer_key

MEMBERS = [
    kinds.settings_class(kind, kinds.MODELS) for kind in kinds.MODELS if kind not in kinds.MIXED
]
"""The settings of each kind of model that can be a member."""

Member: Any = choice(*MEMBERS, plug_in=True)
Members = Annotated[list[SerializeAsAny[Member]], Field(min_length=2, max_length=100)]


class AlternatingSettings(Section):
    """`model:` of a chain whose generations are fitted by several models in turn.

    Generation g is fitted by model number g modulo the number of models.
    """

    kind: Literal["alternating"] = "alternating"
    models: Members
    """The models, each a section as `model:` has it, in the order of their turns."""


class PopulationSettings(Section):
    """`model:` of a chain of several models at once, trained on what all of them drew."""

    kind: Literal["population"] = "population"
    models: Members
    """The models, each a section as `model:` has it."""
    shares: list[Annotated[float, Field(gt=0, le=1)]] | None = None
    """Share of the samples that each model draws; equal shares if left out."""

    train_on: Literal["pool", "parts"] = newer_key("pool")
    """What each model is trained on: the whole pool, or a part of it that no other model sees, of
    the size of its share (Hodel and West 2025). Parts are dealt anew in every generation."""

    @model_validator(mode="after")
    def _shares_add_up(self) -> PopulationSettings:
        if self.shares is None:
            return self
        if len(self.shares) != len(self.models):
            raise ValueError(f"shares has {len(self.shares)} values for {len(self.models)} models")
        if not math.isclose(sum(self.shares), 1, abs_tol=1e-9):
            raise ValueError(f"shares sum to {sum(self.shares):.6g}, not to 1")
        return self

    @property
    def weights(self) -> list[float]:
        """Share of each model."""
        return self.shares or [1 / len(self.models)] * len(self.models)
