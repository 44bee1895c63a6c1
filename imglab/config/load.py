"""From YAML to a validated config, with all errors at once. It is read without torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError, create_model

from imglab.config import kinds
from imglab.config.merge import changed_tree, check_number, merged
from imglab.config.presets import read_config
from imglab.config.problems import MOST_TOLD, SHOWN, kind_of_value, problems_of, shortened
from imglab.config.remedy_sections import listed
from imglab.config.schema import InstalledPlugIn, Named, RunConfig, SideBySideConfig, is_chain_name
from imglab.config.section import PlugIn, Section, is_plug_in, spell_out
from imglab.config.shared_problems import SharedProblems
from imglab.config.yaml import dump_yaml
from imglab.errors import InputError, Problem, nearest

BUILT = {
    "modality": (kinds.MODALITIES, "imglab.modalities"),
    "model": (kinds.MODELS, "imglab.models"),
}
"""The sections whose settings depend on their kind: table of kinds, and entry-point group."""

STUDIES = {
    "sizes": ("a scaling study", "scale"),
    "arms": ("a sweep", "sweep"),
    "factors": ("a decomposition", "decompose"),
    "over": ("a map", "map"),
}
"""Keys by which a config is one of many runs, and the command that runs those."""

Changes = Sequence[str] | Mapping[str, Any]
"""Changes of a config: `key.sub=value` texts as `--set` takes them, or values by dotted key."""


def load_config(path: Path, changes: Changes = ()) -> RunConfig | SideBySideConfig:
    """Read a config file, apply changes and validate the result.

    Raises InputError with every problem.
    """
    tree = read_config(path)
    if isinstance(tree, dict):
        tree.setdefault("name", path.stem)
    return load_tree(tree, changes, str(path))


def load_tree(tree: Any, changes: Changes, where: str) -> RunConfig | SideBySideConfig:
    """Apply changes to a config as read from YAML, and validate it; `where` names it in messages.

    Raises InputError with every problem.
    """
    tree = _changed(tree, changes, where)
    for key, (what, command) in STUDIES.items():
        if isinstance(tree, dict) and key in tree:
            remedy = f"run it with: imglab {command} {where}"
            raise InputError(Problem(f"{where}: {key}", f"this is {what}", remedy))
    if isinstance(tree, dict) and "chains" in tree:
        return validate_chains(tree, where)
    return validate_config(tree, where)


def _changed(tree: Any, changes: Changes, where: str) -> Any:
    """Return a config tree with its profile and then the changes applied."""
    if not isinstance(changes, Mapping):
        return changed_tree(tree, changes, where)

    # The profile comes first, so that values of one's own stand above it.
    values = dict(changes)
    if "profile" in values and isinstance(tree, dict):
        tree = {**tree, "profile": values.pop("profile")}
    tree = changed_tree(tree, (), where)
    if not isinstance(tree, dict):
        return tree
    return merged(tree, values, where)


def validate_chains(tree: Mapping[str, Any], where: str) -> SideBySideConfig:
    """Validate a config with `chains:`; a chain's keys override the common ones beside `chains`."""
    chains = tree["chains"]
    if not isinstance(chains, dict) or not chains:
        what = "must hold chains by name, each with its modality and model"
        raise InputError(Problem(f"{where}: chains", what, "see configs/side_by_side.yaml"))
    check_number(chains, f"{where}: chains")

    # Two names that differ only in case would share a directory on some file systems.
    names = Counter(str(name).casefold() for name in chains)
    common = {key: value for key, value in tree.items() if key not in ("chains", "name")}
    configs: dict[str, RunConfig] = {}
    problems: list[Problem] = []
    shared = SharedProblems(where, "chains", len(chains))
    for name, section in chains.items():
        if len(problems) + len(shared) >= MOST_TOLD:
            break

        at = f"{where}: chains.{name}"
        problem = _chain_problem(name, section, at, names)
        if problem is not None:
            problems.append(problem)
            continue

        chain = {**common, **section, "name": name}
        config = shared.run(f"chains.{name}", at, partial(validate_config, chain, at))
        if config is not None:
            configs[name] = config

    problems += shared.joined()
    problems += _name_problems(tree, where)
    if problems:
        raise InputError(problems, shared.sources)
    return SideBySideConfig(str(tree["name"]), configs)


def _chain_problem(name: Any, section: Any, at: str, names: Mapping[str, int]) -> Problem | None:
    """Return what is wrong with the name or the form of one of several chains.

    names  how many chains have each name, upper and lower case being the same
    """
    if not isinstance(section, dict):
        return Problem(at, f"must be a mapping of keys, not {kind_of_value(section)}")
    if not is_chain_name(name):
        remedy = "use letters, digits, `-` and `_`, and begin with a letter"
        return Problem(at, "is not a valid name for a chain", remedy)

    if names[name.casefold()] > 1:
        what = "differs from the name of another chain only in upper and lower case"
        return Problem(at, what, "rename it")
    if "chains" in section or "name" in section:
        return Problem(at, "a chain cannot set `name` or `chains`", "its key is its name")
    return None


def _name_problems(tree: Mapping[str, Any], where: str) -> list[Problem]:
    try:
        Named.model_validate({"name": tree["name"]})
    except ValidationError as error:
        return problems_of(where, tree, Named, error)
    return []


def validate_config(tree: Any, where: str) -> RunConfig:
    """Validate a config as read from YAML; `where` names it in messages."""
    if not isinstance(tree, dict):
        what = f"a config must be a mapping of keys, not {kind_of_value(tree)}"
        raise InputError(Problem(where, what, "see configs/"))

    tree = {**tree, **{key: spell_out(tree[key]) for key in BUILT if key in tree}}
    tree = _with_located_regime(tree)
    if "remedy" in tree:
        remedies = [_located(spell_out(each), "imglab.remedies") for each in listed(tree["remedy"])]
        tree["remedy"] = remedies[0] if isinstance(tree["remedy"], str | dict) else remedies

    # The settings of its kind check a section; nothing can check one whose kind is not known.
    sections = {key: _section_class(key, tree.get(key)) for key in BUILT}
    unknown = [key for key in BUILT if key in tree and sections[key] is None]
    problems = [_unknown_kind(key, tree[key], where) for key in unknown]
    model = _config_class(**{key: section or Any for key, section in sections.items()})

    try:
        config = model.model_validate(tree)
    except ValidationError as error:
        raise InputError([*problems, *problems_of(where, tree, model, error)]) from error
    if problems:
        raise InputError(problems)
    return config


def _with_located_regime(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Replace the name of a regime's entry point by the `module:function` that it stands for."""
    if "regime" not in tree:
        return dict(tree)
    return {**tree, "regime": _located(spell_out(tree["regime"]), "imglab.regimes")}


def _located(section: Any, group: str) -> Any:
    """Replace the name of an entry point of a group by the `module:name` that it stands for."""
    if not isinstance(section, dict) or not isinstance(section.get("kind"), str):
        return section
    kind = section["kind"]
    return {**section, "kind": kinds.installed(group).get(kind, kind)}


@cache
def _config_class(modality: Any, model: Any) -> type[RunConfig]:
    return create_model(
        "RunConfig", __base__=RunConfig, modality=(modality, ...), model=(model, ...)
    )


def _section_class(key: str, section: Any) -> type[Section] | type[PlugIn] | None:
    """Return the settings of the kind that a section names; None if the kind is not known."""
    kind = section.get("kind") if isinstance(section, dict) else None
    if not isinstance(kind, str):
        return None
    if is_plug_in(kind):
        return PlugIn

    table, group = BUILT[key]
    if kind in table:
        return kinds.settings_class(kind, table)
    if kind in kinds.installed(group):
        return InstalledPlugIn
    return None


def _unknown_kind(key: str, section: Any, where: str) -> Problem:
    """Return the problem of a section whose kind is missing or not known."""
    table, group = BUILT[key]
    options = [*table, *kinds.installed(group)]
    at = f"{where}: {key}.kind"
    if not isinstance(section, dict) or "kind" not in section:
        return Problem(at, "this key is missing", nearest("", options))

    kind = section["kind"]
    word = kind[:SHOWN] if isinstance(kind, str) else ""
    return Problem(at, f"{shortened(kind)} is not a known {key}", nearest(word, options))


def plug_ins(config: RunConfig) -> dict[str, str]:
    """Return what a config names of other packages: dotted key -> class or function."""
    sections: dict[str, Any] = {"modality": config.modality}
    if not isinstance(config.modality, PlugIn):  # whose keys mean nothing here
        sections["modality.extractor"] = getattr(config.modality, "extractor", None)

    sections["model"] = config.model
    sections["regime"] = config.regime
    sections["curate"] = config.curate
    sections |= {f"remedy.{number}": section for number, section in enumerate(config.remedy)}
    if not isinstance(config.model, PlugIn):
        for number, member in enumerate(getattr(config.model, "models", ())):
            sections[f"model.models.{number}"] = member
    names = {key: each.kind for key, each in sections.items() if isinstance(each, PlugIn)}
    if config.measure.metrics:
        names["measure.metrics"] = ", ".join(config.measure.metrics)
    return names


def dump_config(config: RunConfig) -> str:
    """Return the YAML of a config with every key spelled out."""
    return dump_yaml(config.model_dump(mode="json"))
