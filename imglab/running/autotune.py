"""What `auto` in a model's section becomes: a value that the model measures, once in a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from imglab import distributed
from imglab.config.section import AUTO, PlugIn, auto_keys
from imglab.lineage import Lineage
from imglab.modality import Modality
from imglab.model import Choice, Tunable
from imglab.progress import Progress, Stage
from imglab.running.build import Experiment, build_models
from imglab.running.cache import RunCache
from imglab.samples import TrainingSet
from imglab.store.base import Store
from imglab.training.devices import device, layout_of


def autotune(experiment: Experiment, store: Store, cache: RunCache | None) -> Stage[Experiment]:
    """Return the experiment with a value for each `auto` of its model's section; the log says why.

    cache  runs that share it choose alike: otherwise the speed of a machine would tell them apart
    """
    config = experiment.config
    # Most sections leave nothing open.
    if AUTO not in str(config.model):
        return experiment

    yield Progress("trying what is auto in model", 0, 1)

    # The clock of the main process decides for all.
    chosen: dict[str, Choice] = {}
    with distributed.main_first():
        if distributed.is_main():
            chosen = _measure(experiment, cache)
    chosen = distributed.broadcast(chosen)
    if not chosen:
        return experiment

    for key, choice in chosen.items():
        store.log(event="auto", key=f"model.{key}", chosen=choice.value, why=choice.why)
    section = with_values(config.model, {key: choice.value for key, choice in chosen.items()})
    config = config.model_copy(update={"model": section})
    return replace(experiment, config=config, models=build_models(config, experiment.modality))


def _measure(experiment: Experiment, cache: RunCache | None) -> dict[str, Choice]:
    config = experiment.config
    measure = partial(choices, experiment.lineage, experiment.modality, config.generations)
    if cache is None:
        return measure()
    return cache.agreed(left_open(config.model), measure)


def choices(lineage: Lineage, modality: Modality, generations: int) -> dict[str, Choice]:
    """Let the models measure what is left to `auto`; those that take turns share the run's fits."""
    train = TrainingSet.of(modality.real("train"))
    fits = lineage.fits(generations)

    chosen: dict[str, Choice] = {}
    for number, model in enumerate(lineage.models):
        tunable = model.ability(Tunable)
        if tunable is None:
            continue

        prefix = f"models.{number}." if len(lineage.models) > 1 else ""
        for key, choice in tunable.choices(train, fits=fits).items():
            chosen[f"{prefix}{key}"] = choice
    return chosen


def left_open(section: Any, prefix: str = "") -> str:
    """Name the kinds and the `auto` keys of a model's section, as a key of the run cache."""
    open_keys = "" if isinstance(section, PlugIn) else ",".join(auto_keys(section))
    text = f"{prefix}{getattr(section, 'kind', '')}:{open_keys};"
    for number, member in enumerate(getattr(section, "models", ())):
        text += left_open(member, f"{number}.")
    return text


def with_values(section: Any, values: Mapping[str, Any]) -> Any:
    """Return a section with values in place of some keys.

    `models.<number>.<key>` is a key of a member of an alternating model or a population.
    """
    update = {key: value for key, value in values.items() if "." not in key}

    members = []
    for number, member in enumerate(getattr(section, "models", ())):
        prefix = f"models.{number}."
        of_member = {key: value for key, value in values.items() if key.startswith(prefix)}
        inner = {key.removeprefix(prefix): value for key, value in of_member.items()}
        members.append(with_values(member, inner))

    return section.model_copy(update=_with_members(update, members))


def settled(section: Any, stored: Any) -> Any:
    """Return a section whose `auto` keys have the values in `stored`, the same section of a run."""
    if isinstance(section, PlugIn):
        return section

    pairs = zip(getattr(section, "models", ()), getattr(stored, "models", ()), strict=True)
    members = [settled(member, stored_member) for member, stored_member in pairs]
    update = {key: getattr(stored, key) for key in auto_keys(section)}
    return section.model_copy(update=_with_members(update, members))


def layout_by_rule(section: Any) -> str | None:
    """Return the memory layout of a section in a new run: to be measured where precision is."""
    if section.precision == AUTO:
        return AUTO
    return layout_of(device(), bf16=section.precision == "bf16")


def former_layout(section: Any) -> str | None:
    """Return the memory layout of runs that began before there was a choice."""
    return "channels_last"


def with_layout(section: Any, stored: Any, default: Callable[[Any], str | None]) -> Any:
    """Return a section with a memory layout where it has that key and leaves it open.

    stored   the same section of the run that goes on, whose layout it takes; None: a new run
    default  gives the layout of a section of a new run
    """
    if stored is not None and type(stored) is not type(section):
        return section

    members = []
    for number, member in enumerate(getattr(section, "models", ())):
        before = None
        if stored is not None:
            before = dict(enumerate(stored.models)).get(number, member)
        members.append(with_layout(member, before, default))

    update = {}
    if not isinstance(section, PlugIn) and getattr(section, "layout", "") is None:
        update["layout"] = default(section) if stored is None else stored.layout
    return section.model_copy(update=_with_members(update, members))


def _with_members(update: dict[str, Any], members: list[Any]) -> dict[str, Any]:
    """Return what to update of a section; only mixed models have members."""
    if not members:
        return update
    return {**update, "models": members}
