"""From YAML to a validated config, with all errors at once. Read without torch."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, SerializeAsAny, ValidationError, create_model

from imglab import plugins
from imglab.config_errors import kind_of_value, problem_of
from imglab.errors import Attempts, InputError, Problem, nearest
from imglab.runs import is_chain_name
from imglab.sections import CURATIONS, REGIMES, MeasureSettings, ReplaceSettings
from imglab.settings import PlugIn, Section, choice, is_plug_in, spell_out
from imglab.yaml_files import parse_yaml, read_yaml


class Named(Section):
    """What has a name that is also a folder's."""

    name: Annotated[str, Field(pattern=r"^[^./\\\x00-\x1f][^/\\\x00-\x1f]*$", max_length=100)]


class RunConfig(Named):
    """One chain. `modality` and `model` hold the sections of the kinds that they name."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    generations: Annotated[int, Field(ge=1, le=32_000)] = 6
    regime: choice(*REGIMES, plug_in=True) = ReplaceSettings()  # type: ignore[valid-type]
    curate: choice(*CURATIONS, plug_in=True) | None = None  # type: ignore[valid-type]
    """Which of the samples drawn go on to the pool."""
    start: Literal["previous", "base", "scratch"] = "previous"
    base: str | None = None
    samples: Annotated[int, Field(ge=1, le=10**9)] | None = None
    shown: Annotated[int, Field(ge=1, le=1024)] = 64
    checkpoint_every: Annotated[int, Field(ge=1, le=10**12)] | None = None
    """Samples seen in a fit between checkpoints in the middle of it; without it, a fit that is cut starts again."""
    tracker: Literal["tensorboard", "wandb", "mlflow", "trackio"] | None = None
    """Where metrics are sent as generations finish; one that fails stops nothing."""
    threads: Annotated[int, Field(ge=1, le=4096)] | Literal["auto"] = "auto"
    modality: SerializeAsAny[Section | PlugIn]
    model: SerializeAsAny[Section | PlugIn]
    measure: MeasureSettings = MeasureSettings()


@dataclass(frozen=True)
class SideBySideConfig:
    """Several chains under common settings, by name."""

    name: str
    chains: Mapping[str, RunConfig]


def load_config(path: Path, changes: Sequence[str] = ()) -> RunConfig | SideBySideConfig:
    """Read a config file, apply `key.sub=value` changes and validate; InputError holds every problem."""
    tree = read_yaml(path)
    if isinstance(tree, dict):
        tree.setdefault("name", path.stem)
    changed = changed_tree(tree, changes, str(path))
    if isinstance(changed, dict) and "arms" in changed:
        raise InputError(Problem(f"{path}: arms", "this is a sweep", f"imglab sweep {path}"))
    if isinstance(changed, dict) and "chains" in changed:
        return validate_chains(changed, str(path))
    return validate_config(changed, str(path))


def validate_chains(tree: Mapping[str, Any], where: str) -> SideBySideConfig:
    """Validate a config with `chains:`; a chain's keys come before the common ones beside `chains`."""
    chains, attempts = tree["chains"], Attempts()
    if not isinstance(chains, dict) or not chains:
        what = "holds chains by name, each with its modality and model"
        raise InputError(Problem(f"{where}: chains", what, "see configs/side_by_side.yaml"))
    common = {key: value for key, value in tree.items() if key not in ("chains", "name")}
    found: dict[str, RunConfig] = {}
    folded = [str(name).casefold() for name in chains]
    for name, section in chains.items():
        at = f"{where}: chains.{name}"
        if not isinstance(section, dict):
            attempts.add(Problem(at, f"is a mapping of keys, not {kind_of_value(section)}"))
        elif not is_chain_name(name):
            attempts.add(Problem(at, "is no name for a chain", "letters, digits, `-` and `_`, a letter first"))
        elif folded.count(name.casefold()) > 1:
            attempts.add(Problem(at, "differs from another chain only in upper and lower case", "rename it"))
        elif "chains" in section or "name" in section:
            attempts.add(Problem(at, "a chain has no `name` or `chains` of its own", "its key is its name"))
        else:
            config = attempts.run(partial(validate_config, {**common, **section, "name": name}, at))
            if config is not None:
                found[name] = config
    try:
        Named.model_validate({"name": tree["name"]})
    except ValidationError as error:
        for details in error.errors(include_url=False):
            attempts.add(problem_of(where, tree, Named, details))
    attempts.finish()
    return SideBySideConfig(str(tree["name"]), found)


def validate_config(tree: Any, where: str) -> RunConfig:
    """Validate a config as read from YAML; `where` names it in messages."""
    if not isinstance(tree, dict):
        raise InputError(Problem(where, f"a config is a mapping of keys, not {kind_of_value(tree)}", "see configs/"))
    regime = spell_out(tree.get("regime"))
    if isinstance(regime, dict) and isinstance(regime.get("kind"), str):
        added = plugins.installed("imglab.regimes")
        tree = {**tree, "regime": {**regime, "kind": added.get(regime["kind"], regime["kind"])}}
    sections: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, table, group in (
        ("modality", plugins.MODALITIES, "imglab.modalities"),
        ("model", plugins.MODELS, "imglab.models"),
    ):
        section = spell_out(tree.get(key))
        kind = section.get("kind") if isinstance(section, dict) else None
        found = _section_class(kind, table, group)
        if key in tree and found is None:
            known = [*table, *plugins.installed(group)]
            what = f"{kind!r} is no {key}" if isinstance(section, dict) and "kind" in section else "`kind` is missing"
            problems.append(Problem(f"{where}: {key}.kind", what, nearest(str(kind or ""), known)))
        sections[key] = (found or Any, ...)
        tree = {**tree, key: section} if key in tree else tree
    model = create_model("RunConfig", __base__=RunConfig, **sections)
    try:
        config = model.model_validate(tree)
    except ValidationError as error:
        problems += [problem_of(where, tree, model, details) for details in error.errors(include_url=False)]
    if problems:
        raise InputError(problems)
    return config


def _section_class(kind: Any, table: Mapping[str, plugins.Kind], group: str) -> type[Section] | type[PlugIn] | None:
    if is_plug_in(kind):
        return PlugIn
    if isinstance(kind, str) and kind in table:
        return plugins.settings_class(kind, table)
    return InstalledPlugIn if isinstance(kind, str) and kind in plugins.installed(group) else None


class InstalledPlugIn(PlugIn):
    """A section whose `kind` is the name of another package's entry point."""

    kind: str


def changed_tree(tree: Any, changes: Sequence[str], where: str) -> Any:
    """Apply the profile (`profiles:` by name, chosen by `profile:`) of a config, then `key.sub=value` changes."""
    choosing = [change for change in changes if change.partition("=")[0].strip() == "profile"]
    others = [change for change in changes if change not in choosing]
    if not isinstance(tree, dict) or not ("profiles" in tree or choosing or "profile" in tree):
        return with_changes(tree, changes)
    tree = with_changes(tree, choosing)
    profiles, chosen = tree.pop("profiles", {}), tree.pop("profile", None)
    if not isinstance(profiles, dict) or not all(isinstance(keys, dict) for keys in profiles.values()):
        raise InputError(Problem(f"{where}: profiles", "holds profiles by name, each with the keys that it changes"))
    if chosen is not None and not (isinstance(chosen, str) and chosen in profiles):
        what = f"there is no profile {chosen!r}" if profiles else "this config has no profiles"
        raise InputError(Problem(f"{where}: profile", what, nearest(str(chosen), profiles) if profiles else ""))
    laid = tree if chosen is None else merged(tree, profiles[chosen], f"{where}: profiles.{chosen}")
    return with_changes(laid, others)


def merged(tree: Mapping[str, Any], changes: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return a config tree with changes laid over it; a change is a key, or a dotted path of keys.

    A section that names its `kind` replaces the one that was there; one that does not changes keys of it.
    """
    result: dict[str, Any] = copy.deepcopy(dict(tree))
    for key, value in changes.items():
        node, path = result, str(key).split(".")
        for part in path[:-1]:
            inner = node.get(part)
            node[part] = {"kind": inner} if isinstance(inner, str) else {} if inner is None else inner
            node = node[part]
            if not isinstance(node, dict):
                raise InputError(Problem(f"{where}.{key}", f"{part} is not a mapping", "give it whole"))
        last, before = path[-1], node.get(path[-1])
        if isinstance(value, dict) and "kind" not in value and isinstance(before, dict):
            node[last] = merged(before, value, f"{where}.{key}")
        else:
            node[last] = copy.deepcopy(value)
    return result


def with_changes(tree: Any, changes: Sequence[str]) -> Any:
    """Apply `key.sub=value` changes to a config tree; values are read as YAML."""
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals or not key.strip():
            raise InputError(Problem(f"--set {change}", "is not key=value", "e.g. --set model.steps=20"))
        node = tree
        *parents, last = key.strip().split(".")
        for parent in parents:
            if isinstance(node, dict) and isinstance(node.get(parent), list):
                raise InputError(Problem(f"--set {change}", f"{parent} is a list", f"give it whole: {parent}=[...]"))
            if isinstance(node, dict) and not isinstance(node.get(parent), dict):
                node[parent] = spell_out(node[parent]) if isinstance(node.get(parent), str) else {}
            node = node[parent] if isinstance(node, dict) else node
        if not isinstance(node, dict):
            raise InputError(Problem(f"--set {change}", "the config is not a mapping"))
        node[last] = parse_yaml(text, f"--set {change}")
    return tree


def plug_ins(config: RunConfig) -> dict[str, str]:
    """Return the sections that name a class or function of another package: dotted key -> what it names."""
    extractor = getattr(config.modality, "extractor", None)
    sections = {
        "modality": config.modality,
        "modality.extractor": extractor,
        "model": config.model,
        "regime": config.regime,
        "curate": config.curate,
        **{f"model.models.{at}": member for at, member in enumerate(getattr(config.model, "models", ()))},
    }
    return {key: section.kind for key, section in sections.items() if isinstance(section, PlugIn)}


def dump_config(config: RunConfig) -> str:
    """Return the YAML of a config with every key spelled out."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def flattened(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) for each value of a config tree."""
    if not isinstance(tree, dict) or not tree:
        yield path, tree
        return
    for key, value in tree.items():
        yield from flattened(value, f"{path}.{key}" if path else str(key))


def differences(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (dotted key, before, after) for each value in which two config trees differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            yield from differences(before.get(key), after.get(key), f"{path}.{key}" if path else str(key))
    elif json.dumps(before, sort_keys=True) != json.dumps(after, sort_keys=True):
        yield path, before, after
