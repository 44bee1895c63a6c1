"""The table of kinds: which settings and which class stand behind a name in a config.

What ships is listed here by name, so that a config is judged without torch and without importing
what it will run. A third party adds a kind by an entry point (`imglab.modalities`, `imglab.models`,
`imglab.regimes`, `imglab.remedies`), or names `module:Class` in a config.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import entry_points
from typing import Any, TypeVar

from imglab.config.section import PlugIn, Section
from imglab.errors import InputError, Problem, nearest
from imglab.regimes import REGIMES, BoundRegime
from imglab.regimes.registry import CALL

T = TypeVar("T")


@dataclass(frozen=True)
class Kind:
    """The settings and the class of a kind, each as `module:name`."""

    settings: str
    target: str


MODALITIES: Mapping[str, Kind] = {
    "image": Kind("imglab.images.settings:ImageSettings", "imglab.images.modality:ImageModality"),
    "text": Kind(
        "imglab.text.settings:TextSettings", "imglab.text.encyclopaedia_modality:text_modality"
    ),
    "gaussian": Kind(
        "imglab.solvable.gaussian.settings:GaussianDataSettings",
        "imglab.solvable.gaussian.modality:GaussianModality",
    ),
    "categories": Kind(
        "imglab.solvable.categories.settings:CategoriesSettings",
        "imglab.solvable.categories.modality:CategoriesModality",
    ),
    "counts": Kind(
        "imglab.solvable.counts.settings:CountsSettings",
        "imglab.solvable.counts.modality:CountsModality",
    ),
    "labels": Kind(
        "imglab.solvable.labels.settings:LabelsSettings",
        "imglab.solvable.labels.modality:LabelsModality",
    ),
    "regression": Kind(
        "imglab.solvable.regression.settings:RegressionDataSettings",
        "imglab.solvable.regression.modality:RegressionModality",
    ),
}


MODELS: Mapping[str, Kind] = {
    "diffusion": Kind(
        "imglab.images.diffusion.settings:DiffusionSettings",
        "imglab.images.diffusion.model:DiffusionModel",
    ),
    "pipeline": Kind(
        "imglab.images.diffusion.settings:PipelineSettings", "imglab.images.pipelines:PipelineModel"
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
    "stopped_diffusion": Kind(
        "imglab.solvable.gaussian.settings:StoppedDiffusionSettings",
        "imglab.solvable.gaussian.stopped_diffusion:StoppedDiffusionModel",
    ),
    "mixture": Kind(
        "imglab.solvable.gaussian.settings:MixtureSettings",
        "imglab.solvable.gaussian.mixture:MixtureModel",
    ),
    "categories": Kind(
        "imglab.solvable.categories.settings:FrequenciesSettings",
        "imglab.solvable.categories.model:FrequenciesModel",
    ),
    "memorizer": Kind(
        "imglab.solvable.categories.settings:MemorizerSettings",
        "imglab.solvable.categories.memorizer:MemorizerModel",
    ),
    "preferences": Kind(
        "imglab.solvable.categories.settings:PreferencesSettings",
        "imglab.solvable.categories.preferences:PreferencesModel",
    ),
    "rate": Kind(
        "imglab.solvable.counts.settings:RateSettings", "imglab.solvable.counts.model:RateModel"
    ),
    "labeller": Kind(
        "imglab.solvable.labels.settings:LabellerSettings",
        "imglab.solvable.labels.model:LabellerModel",
    ),
    "ridge": Kind(
        "imglab.solvable.regression.settings:RidgeSettings",
        "imglab.solvable.regression.model:RidgeModel",
    ),
    "population": Kind(
        "imglab.mixed.settings:PopulationSettings", "imglab.mixed.population:Population"
    ),
    "alternating": Kind(
        "imglab.mixed.settings:AlternatingSettings", "imglab.mixed.population:Population"
    ),
}


REMEDIES: Mapping[str, str] = {
    "anneal": "imglab.remedies.anneal:Anneal",
    "negative_guidance": "imglab.remedies.negative_guidance:NegativeGuidance",
    "neon": "imglab.remedies.neon:Neon",
    "token_editing": "imglab.remedies.token_editing:TokenEditing",
    "truncated_loss": "imglab.remedies.truncated_loss:TruncatedLoss",
    "weights": "imglab.remedies.weights:Weights",
}
"""The class of each remedy that ships; its settings are in `imglab.config.remedy_sections`."""

MIXED = ("population", "alternating")
"""Models that consist of other models."""


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
    settings: type[Section] = resolve(shipped[kind].settings)
    return settings


def build(section: Any, shipped: Mapping[str, Kind], contract: type[T], *arguments: Any) -> T:
    """Make an object of the class that ships for this section, from the section and `arguments`."""
    target = resolve(shipped[section.kind].target)(section, *arguments)
    assert isinstance(target, contract)
    return target


def located(section: PlugIn, group: str) -> PlugIn:
    """Replace the name of an entry point by the `module:Class` that it stands for."""
    return section.model_copy(update={"kind": installed(group).get(section.kind, section.kind)})


def bound_regime(section: Any) -> BoundRegime:
    """Return the regime that a section of a config names, with its keys.

    Another package's function is imported, and its keys include the defaults of those left out.
    Raises InputError if that fails, or if the function does not accept a key.
    """
    if not isinstance(section, PlugIn):
        return BoundRegime(REGIMES[section.kind], section.model_dump(exclude={"kind"}))

    bound = bind_function(section, "regime", set(CALL))
    function = bound.func
    if bound.args:  # the function was a partial one itself
        function = partial(function, *bound.args)

    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in CALL and parameter.default is not inspect.Parameter.empty
    }
    return BoundRegime(function, {**defaults, **bound.keywords})


def bind_function(section: PlugIn, where: str, call: set[str]) -> Any:
    """Import the function that a section names and bind the section's keys to it.

    call  the parameters that come with each call, which no key can set
    """
    function = _import(section, where)
    if not callable(function) or inspect.isclass(function):
        raise InputError(Problem(f"{where}.kind", f"{section.kind!r} is not a function"))

    signature = _signature(section, where, function)
    _check_keys(section, where, signature, call)
    try:
        signature.bind(**dict.fromkeys(call), **section.keys)
    except TypeError as error:
        raise InputError(Problem(where, f"{section.kind}: {error}")) from error
    return partial(function, **section.keys)


def build_plug_in(section: PlugIn, contract: type[T], where: str, **arguments: Any) -> T:
    """Import the class that a section names and make an object of it with the section's keys.

    Raises InputError if there is no such class, if it is not a `contract`, or if a key is wrong.

    arguments  are passed beside the keys as far as the class has parameters of these names
    """
    target = _import(section, where)
    if not (inspect.isclass(target) and issubclass(target, contract)):
        raise InputError(Problem(f"{where}.kind", f"{section.kind!r} is not a {contract.__name__}"))

    signature = _signature(section, where, target)
    _check_keys(section, where, signature, arguments.keys())
    usable = {name: value for name, value in arguments.items() if name in signature.parameters}
    try:
        return target(**usable, **section.keys)
    except (TypeError, ValueError) as error:
        raise InputError(Problem(where, f"{section.kind} refused its keys: {error}")) from error


def _import(section: PlugIn, where: str) -> Any:
    try:
        return resolve(section.kind)
    except Exception as error:  # another package's code may raise anything when it is imported
        what = f"cannot import {section.kind!r}: {type(error).__name__}: {error}"
        problem = Problem(f"{where}.kind", what, "is the package installed?")
        raise InputError(problem) from error


def _signature(section: PlugIn, where: str, target: Any) -> inspect.Signature:
    try:
        return inspect.signature(target)
    except ValueError as error:  # a few built-in functions have none
        what = f"the parameters of {section.kind!r} cannot be read"
        problem = Problem(f"{where}.kind", what, "name a class or function written in Python")
        raise InputError(problem) from error


def _check_keys(
    section: PlugIn, where: str, signature: inspect.Signature, call: Collection[str]
) -> None:
    """Raise InputError for each key of a section that is not a parameter of what it names.

    call  parameters that are passed beside the keys, which no key can set
    """
    parameters = signature.parameters.values()
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    names = [
        parameter.name
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        and parameter.name not in call
    ]

    problems = []
    for key in section.keys:
        if key in names or (takes_any and key not in call):
            continue
        what = f"{section.kind} has no such key"
        problems.append(Problem(f"{where}.{key}", what, nearest(key, names)))
    if problems:
        raise InputError(problems)
