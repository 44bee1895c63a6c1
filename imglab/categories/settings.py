"""Keys of the categories' sections of a config. Read without torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from imglab.settings import Section


class CategoriesSettings(Section):
    """`modality:` of a chain of categories."""

    kind: Literal["categories"] = "categories"
    categories: Annotated[int, Field(ge=2, le=4096)] = 100
    distribution: Literal["uniform", "zipf"] = "zipf"
    exponent: Annotated[float, Field(ge=0, le=10)] = 1.0
    """Of `zipf`: the category of rank r has a frequency in proportion to r^-exponent."""
    n_train: Annotated[int, Field(ge=2, le=10**8)] = 500
    n_test: Annotated[int, Field(ge=2, le=10**8)] = 500
    data_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """The real samples are drawn with it: chains of another `seed` may share them or not."""

    @property
    def frequencies(self) -> list[float]:
        """The true frequencies, falling, of sum 1."""
        exponent = self.exponent if self.distribution == "zipf" else 0.0
        weights = [rank**-exponent for rank in range(1, self.categories + 1)]
        whole = sum(weights)
        return [weight / whole for weight in weights]


class FrequenciesSettings(Section):
    """`model:` of a chain of categories."""

    kind: Literal["categories"] = "categories"
