"""Keys of synthetic data that a user gives beside the real data. Read without torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sized
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from imglab.config.section import PathName, Section, newer_key
from imglab.errors import InputError, Problem

if TYPE_CHECKING:
    from torch import Tensor

COPIES = 0.01
"""Share of a synthetic set that may be held-out real samples, as short or plain ones may be."""

TAKEN = ("real", "last")
"""Names that mean something else among the shares of a regime."""


class SyntheticSettings(Section):
    """A set of synthetic data of one's own, of which regimes take shares by its label."""

    label: Annotated[str, Field(pattern=r"^[A-Za-z][\w.-]{0,63}$")]
    """What regimes, tables and pages call the set."""
    path: PathName | None = None
    """Path of the data, in a form that the real data may have: a folder, an archive, text files."""
    hub: PathName | None = None
    """Name of a data set of text or images on the Hugging Face hub, of which the training split is
    taken. Classes of images are the names in its column `label`, if it has one."""
    run: PathName | None = None
    """A generation of a run on the same real data, as RUN@G, whose samples are taken."""
    column: str | None = newer_key(None)
    """Column that holds the text, in files of rows and on the hub, or the images on the hub."""
    classes: Literal["match", "none"] = newer_key("match")
    """Classes or captions of images: `match` them by name with those of the real images, or leave
    the set without (`none`), such as images of another kind."""

    @model_validator(mode="after")
    def _names_one_place(self) -> SyntheticSettings:
        if sum(place is not None for place in (self.path, self.hub, self.run)) != 1:
            raise ValueError("give one of path, hub and run")
        if self.label in TAKEN:
            raise ValueError(f"{self.label!r} means something else in shares: choose another label")
        return self


def _as_list(value: Any) -> Any:
    if isinstance(value, dict):
        return [value]
    return value


def _different(sets: list[SyntheticSettings]) -> list[SyntheticSettings]:
    labels = [each.label for each in sets]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise ValueError(f"two sets have the label {twice!r}")
    return sets


SyntheticSets = Annotated[
    list[SyntheticSettings],
    Field(max_length=16),
    AfterValidator(_different),
    BeforeValidator(_as_list),
]


def place_of(section: SyntheticSettings) -> str:
    """Return what messages call the section of a set."""
    return f"modality.synthetic.{section.label}"


def placed(problems: Iterable[Problem], where: str) -> list[Problem]:
    """Return problems of a set that was read as if it were the source of real data."""
    return [
        Problem(problem.where.replace("modality.source", where), problem.what, problem.remedy)
        for problem in problems
    ]


def check_apart(data: Tensor, held_out: Tensor, where: str) -> None:
    """Raise InputError where synthetic data are held-out real ones: metrics would praise them.

    data, held_out  samples of one shape
    where           names the synthetic data in the message
    """
    from imglab.metrics.rows import HashedRows

    copies = int(HashedRows.of(held_out).contain(data).sum())
    if copies > COPIES * len(data):
        what = f"{copies:,} of its {len(data):,} samples are held-out real ones"
        remedy = "leave the real data out of the synthetic set"
        raise InputError(Problem(where, what, remedy))


def with_given(line: str, sets: Mapping[str, Sized], unit: str) -> str:
    """Add to the line about the real data how many samples each synthetic set has."""
    parts = [f"synthetic {label}: {len(samples):,} {unit}" for label, samples in sets.items()]
    return "; ".join([*filter(None, [line]), *parts])
