"""What `auto` in a model's section becomes: measured by the models once, then a value like any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imglab.config.section import PlugIn, auto_keys
from imglab.modality import Modality
from imglab.model import Choice, GenerativeModel, Tunable
from imglab.samples import TrainingSet


def left_open(section: Any, path: str = "") -> str:
    """Name the kinds and `auto` keys of a model's section."""
    members = getattr(section, "models", ())
    own = "" if isinstance(section, PlugIn) else ",".join(auto_keys(section))
    return f"{path}{getattr(section, 'kind', '')}:{own};" + "".join(
        left_open(each, f"{at}.") for at, each in enumerate(members)
    )


def choices(
    models: Sequence[GenerativeModel], modality: Modality, generations: int
) -> dict[str, Choice]:
    """Let the models measure what is left to `auto`; those that take turns share the run's fits."""
    train, turns = TrainingSet.of(modality.real("train")), len(models)
    found: dict[str, Choice] = {}
    for at, model in enumerate(models):
        tunable = model.ability(Tunable)
        if tunable is None:
            continue
        each = tunable.choices(train, fits=-(-generations // turns))
        begin = f"models.{at}." if turns > 1 else ""
        found |= {f"{begin}{key}": choice for key, choice in each.items()}
    return found


def with_values(section: Any, values: Mapping[str, Any]) -> Any:
    """Return a section with values in place of some keys; `models.<number>.<key>` is a key of a member's."""
    own = {key: value for key, value in values.items() if "." not in key}
    members = list(getattr(section, "models", ()))
    for at, member in enumerate(members):
        begin = f"models.{at}."
        members[at] = with_values(
            member,
            {
                key.removeprefix(begin): value
                for key, value in values.items()
                if key.startswith(begin)
            },
        )
    return section.model_copy(update={**own, **({"models": members} if members else {})})


def settled(section: Any, stored: Any) -> Any:
    """Return a section whose `auto` keys are what a run has chosen for them."""
    if isinstance(section, PlugIn):
        return section
    members = [
        settled(*pair)
        for pair in zip(getattr(section, "models", ()), getattr(stored, "models", ()), strict=True)
    ]
    chosen = {key: getattr(stored, key) for key in auto_keys(section)}
    return section.model_copy(update={**chosen, **({"models": members} if members else {})})
