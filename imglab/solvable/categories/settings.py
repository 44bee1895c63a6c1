"""Keys of the categories' sections of a config. Read without torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from imglab.config.section import MOST_NUMBERS, Section


class CategoriesSettings(Section):
    """`modality:` of a chain of categories."""

    kind: Literal["categories"] = "categories"
    categories: Annotated[int, Field(ge=2, le=4096)] = 100
    """Number of categories."""
    distribution: Literal["uniform", "zipf"] = "zipf"
    """How often the categories are: all alike, or by Zipf's law."""
    exponent: Annotated[float, Field(ge=0, le=10)] = 1.0
    """Exponent of `zipf`: the category of rank r has a frequency in proportion to r^-exponent."""
    n_train: Annotated[int, Field(ge=2, le=10**8)] = 500
    """Number of real samples to train on."""
    n_test: Annotated[int, Field(ge=2, le=10**8)] = 500
    """Number of real samples held out for testing."""
    data_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of the real samples; chains of different `seed` may share it, and so their real data."""

    @model_validator(mode="after")
    def _fits_in_memory(self) -> CategoriesSettings:
        numbers = (self.n_train + self.n_test) * self.categories
        if numbers > MOST_NUMBERS:
            raise ValueError(
                f"n_train and n_test times categories are {numbers} numbers, at most {MOST_NUMBERS}"
            )
        return self

    @property
    def frequencies(self) -> list[float]:
        """The true frequencies, descending, of sum 1."""
        exponent = 0.0
        if self.distribution == "zipf":
            exponent = self.exponent

        weights = [rank**-exponent for rank in range(1, self.categories + 1)]
        total = sum(weights)
        return [weight / total for weight in weights]


class FrequenciesSettings(Section):
    """`model:` of a chain of categories."""

    kind: Literal["categories"] = "categories"


class MemorizerSettings(Section):
    """`model:` that knows exactly the categories it has seen ("A Tale of Tails")."""

    kind: Literal["memorizer"] = "memorizer"


class PreferencesSettings(Section):
    """`model:` whose user sees several draws and keeps one, by its reward."""

    kind: Literal["preferences"] = "preferences"
    choices: Annotated[int, Field(ge=1, le=64)] = 4
    """K: of so many draws the user keeps one, x with a chance in proportion to e^r(x)."""
    reward: Annotated[float, Field(ge=-20, le=20)] = 1.0
    """Reward of the last category; it rises in equal steps from 0, that of the first category."""

    def rewards(self, categories: int) -> list[float]:
        """Return r(x) of each category."""
        return [self.reward * number / (categories - 1) for number in range(categories)]
