"""The table of kinds: which settings and which class stand behind a name in a config. Read without torch.

What ships is listed here by name, so that a config is judged without importing what it will run. A third party adds
a kind by an entry point (`imglab.modalities`, `imglab.models`, `imglab.regimes`), or names `module:Class` in a config.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import entry_points
from typing import Any, TypeVar

from imglab.config.section import PlugIn, Section
from imglab.errors import InputError, Problem, nearest

T = TypeVar("T")


@dataclass(frozen=True)
class Kind:
    """Where the settings and the class of a kind are, as `module:name`."""

    settings: str
    target: str


MODALITIES: Mapping[str, Kind] = {
    "image": Kind("imglab.images.settings:ImageSettings", "imglab.images.modality:ImageModality"),
    "text": Kind("imglab.text.settings:TextSettings", "imglab.text.modality:TextModality"),
    "gaussian": Kind(
        "imglab.solvable.gaussian.settings:GaussianDataSettings",
        "imglab.solvable.gaussian.modality:GaussianModality",
    ),
    "categories": Kind(
        "imglab.solvable.categories.settings:CategoriesSettings",
        "imglab.solvable.categories.modality:CategoriesModality",
    ),
}


MODELS: Mapping[str, Kind] = {
    "diffusion": Kind(
        "imglab.images.settings:DiffusionSettings", "imglab.images.diffusion:DiffusionModel"
    ),
    "pipeline": Kind(
        "imglab.images.settings:PipelineSettings", "imglab.images.pipelines:PipelineModel"
    ),
    "vae": Kind("imglab.images.settings:VaeSettings", "imglab.images.vae:VaeModel"),
    "language_model": Kind(
        "imglab.text.settings:LanguageModelSettings", "imglab.text.language_model:LanguageModel"
    ),
    "ngram": Kind("imglab.text.settings:NgramSettings", "imglab.text.ngram:NgramModel"),
    "gaussian": Kind(
        "imglab.solvable.gaussian.settings:GaussianModelSettings",
        "imglab.solvable.gaussian.model:GaussianModel",
    ),
    "kde": Kind(
        "imglab.solvable.gaussian.settings:KdeSettings", "imglab.solvable.gaussian.kde:KdeModel"
    ),
    "mixture": Kind(
        "imglab.solvable.gaussian.settings:MixtureSettings",
        "imglab.solvable.gaussian.mixture:MixtureModel",
    ),
    "categories": Kind(
        "imglab.solvable.categories.settings:FrequenciesSettings",
        "imglab.solvable.categories.model:FrequenciesModel",
    ),
    "population": Kind(
        "imglab.mixed.settings:PopulationSettings", "imglab.mixed.population:Population"
    ),
    "alternating": Kind(
        "imglab.mixed.settings:AlternatingSettings", "imglab.mixed.population:Population"
    ),
}


MIXED = ("population", "alternating")
"""Models that are made of others."""


def resolve(name: str) -> Any:
    """Import what `module:name` stands for."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


@cache
def installed(group: str) -> Mapping[str, str]:
    """Return the kinds that other packages add to a group, name -> `module:name`."""
    return {point.name: point.value for point in entry_points(group=group)}


def settings_class(kind: str, shipped: Mapping[str, Kind]) -> type[Section]:
    """Return the settings behind a kind that ships."""
    found: type[Section] = resolve(shipped[kind].settings)
    return found


def build(section: Any, shipped: Mapping[str, Kind], contract: type[T], *given: Any) -> T:
    """Make the class that ships for this section, from its settings and `given`."""
    made = resolve(shipped[section.kind].target)(section, *given)
    assert isinstance(made, contract)
    return made


def located(section: PlugIn, group: str) -> PlugIn:
    """Replace the name of an entry point by the `module:Class` that it stands for."""
    return section.model_copy(update={"kind": installed(group).get(section.kind, section.kind)})


def bind_function(section: PlugIn, where: str, given: set[str]) -> Any:
    """Import the function that a section names and bind the section's keys to it; `given` come with each call."""
    function = _import(section, where)
    if not callable(function) or inspect.isclass(function):
        raise InputError(Problem(f"{where}.kind", f"{section.kind!r} is not a function"))
    signature = inspect.signature(function)
    _check_keys(section, where, [name for name in signature.parameters if name not in given])
    try:
        signature.bind(**dict.fromkeys(given), **section.keys)
    except TypeError as error:
        raise InputError(Problem(where, f"{section.kind}: {error}")) from error
    return partial(function, **section.keys)


def build_plug_in(section: PlugIn, contract: type[T], where: str, **given: Any) -> T:
    """Import the class that a section names and make it with `given` and the section's keys.

    Raises InputError if there is no such class, it is not a `contract`, or a key is not one of its parameters.
    """
    found = _import(section, where)
    if not (inspect.isclass(found) and issubclass(found, contract)):
        raise InputError(Problem(f"{where}.kind", f"{section.kind!r} is not a {contract.__name__}"))
    parameters = inspect.signature(found).parameters
    _check_keys(section, where, [name for name in parameters if name not in given])
    usable = {name: value for name, value in given.items() if name in parameters}
    try:
        return found(**usable, **section.keys)
    except (TypeError, ValueError) as error:
        raise InputError(Problem(where, f"{section.kind} refused its keys: {error}")) from error


def _import(section: PlugIn, where: str) -> Any:
    try:
        return resolve(section.kind)
    except Exception as error:  # whatever another package's code raises when it is imported
        what = f"cannot import {section.kind!r}: {type(error).__name__}: {error}"
        problem = Problem(f"{where}.kind", what, "is the package installed?")
        raise InputError(problem) from error


def _check_keys(section: PlugIn, where: str, accepted: Sequence[str]) -> None:
    unknown = [key for key in section.keys if key not in accepted]
    if unknown:
        what = f"{section.kind} has no such key"
        raise InputError(
            [Problem(f"{where}.{key}", what, nearest(key, accepted)) for key in unknown]
        )
