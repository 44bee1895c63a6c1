"""The section of a config that says what a factor changes. No torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from imglab.config.section import Section

ERRORS = ("statistical", "expressivity", "approximation")
"""The three errors of Shumailov et al. 2024: too few samples, too small a model, too poor a fit."""

MOST_LEVELS = 9
"""Levels of a factor: the names of cells have one digit for each factor."""


class Factor(Section):
    """One intervention, in several strengths."""

    error: Literal["statistical", "expressivity", "approximation"] | None = None
    """Which of the three errors it changes. Default: the factor's name, if it is an error's."""
    key: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Key of the base that it changes, e.g. `model.channels`."""
    levels: list[Any] | dict[str, dict[str, Any]]
    """Values of `key`, the reference first; `3x` is three times what the base has. Without `key`:
    changes of the base by the name of the level, for interventions on several keys."""
    since: Literal[0, 1] = 0
    """First generation that it changes. 1 leaves generation 0 as the base has it, so that cells
    share it."""

    def error_of(self, name: str) -> str | None:
        """Return which error a factor of this name changes; None: none of the three."""
        if self.error is None and name in ERRORS:
            return name
        return self.error

    @model_validator(mode="after")
    def _has_form(self) -> Factor:
        if isinstance(self.levels, list) and self.key is None:
            raise ValueError("has levels of no key: name one under `key`")
        if isinstance(self.levels, dict) and self.key is not None:
            raise ValueError("has `key` and levels with names: leave out `key`")

        if not 2 <= len(self.levels) <= MOST_LEVELS:
            levels = f"{len(self.levels)} under `levels`"
            raise ValueError(f"a factor has 2 to {MOST_LEVELS} levels to compare, not {levels}")
        return self
