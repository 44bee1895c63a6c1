"""From YAML to a validated config, with all errors at once. Read without torch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny, ValidationError, create_model

from imglab import plugins
from imglab.config_errors import MOST_TOLD, SHOWN, kind_of_value, problems_of, shortened
from imglab.errors import InputError, Problem, nearest
from imglab.runs import is_chain_name
from imglab.sections import CURATIONS, REGIMES, MeasureSettings, ReplaceSettings
from imglab.settings import PathName, PlugIn, Section, choice, is_plug_in, spell_out
from imglab.yaml_files import MAX_DEPTH, MAX_KEY, dump_yaml, parse_yaml, read_yaml

MOST_NAMED = 256
"""Chains, arms or profiles of one config."""


class Named(Section):
    """What has a name that is also a folder's."""

    name: Annotated[str, Field(pattern=r"^[^./\\\p{C}][^/\\\p{C}]*$", max_length=100)]


class RunConfig(Named):
    """One chain. `modality` and `model` hold the sections of the kinds that they name."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    generations: Annotated[int, Field(ge=1, le=32_000)] = 6
    regime: choice(*REGIMES, plug_in=True) = ReplaceSettings()  # type: ignore[valid-type]
    curate: choice(*CURATIONS, plug_in=True) | None = None  # type: ignore[valid-type]
    """Which of the samples drawn go on to the pool."""
    start: Literal["previous", "base", "scratch"] = "previous"
    base: PathName | None = None
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
    chains = tree["chains"]
    if not isinstance(chains, dict) or not chains:
        what = "holds chains by name, each with its modality and model"
        raise InputError(Problem(f"{where}: chains", what, "see configs/side_by_side.yaml"))
    check_number(chains, f"{where}: chains")
    common = {key: value for key, value in tree.items() if key not in ("chains", "name")}
    found: dict[str, RunConfig] = {}
    problems: list[Problem] = []
    folded = Counter(str(name).casefold() for name in chains)
    for name, section in chains.items():
        at = f"{where}: chains.{name}"
        if len(problems) >= MOST_TOLD:
            break
        if not isinstance(section, dict):
            problems.append(Problem(at, f"is a mapping of keys, not {kind_of_value(section)}"))
        elif not is_chain_name(name):
            problems.append(Problem(at, "is no name for a chain", "letters, digits, `-` and `_`, a letter first"))
        elif folded[name.casefold()] > 1:
            problems.append(Problem(at, "differs from another chain only in upper and lower case", "rename it"))
        elif "chains" in section or "name" in section:
            problems.append(Problem(at, "a chain has no `name` or `chains` of its own", "its key is its name"))
        else:
            try:
                found[name] = validate_config({**common, **section, "name": name}, at)
            except InputError as error:
                problems += error.problems
    try:
        Named.model_validate({"name": tree["name"]})
    except ValidationError as error:
        problems += problems_of(where, tree, Named, error)
    if problems:
        raise InputError(problems)
    return SideBySideConfig(str(tree["name"]), found)


def check_number(named: Mapping[str, Any], where: str) -> None:
    """Raise InputError where there are more chains, arms or profiles than one config may hold."""
    if len(named) > MOST_NAMED:
        raise InputError(Problem(where, f"there are {len(named)} of them", f"at most {MOST_NAMED}"))


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
            named = isinstance(section, dict) and "kind" in section
            what = f"{shortened(kind)} is no {key}" if named else "`kind` is missing"
            near = kind[:SHOWN] if isinstance(kind, str) else ""
            problems.append(Problem(f"{where}: {key}.kind", what, nearest(near, known)))
        sections[key] = found or Any
        tree = {**tree, key: section} if key in tree else tree
    model = _config_class(**sections)
    try:
        config = model.model_validate(tree)
    except ValidationError as error:
        problems += problems_of(where, tree, model, error)
    if problems:
        raise InputError(problems)
    return config


@cache
def _config_class(modality: Any, model: Any) -> type[RunConfig]:
    return create_model("RunConfig", __base__=RunConfig, modality=(modality, ...), model=(model, ...))


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
    check_number(profiles, f"{where}: profiles")
    if chosen is not None and not (isinstance(chosen, str) and chosen in profiles):
        what = f"there is no profile {shortened(chosen)}" if profiles else "this config has no profiles"
        remedy = nearest(str(chosen)[:SHOWN], [name[:SHOWN] for name in profiles]) if profiles else ""
        raise InputError(Problem(f"{where}: profile", what, remedy))
    laid = tree if chosen is None else merged(tree, profiles[chosen], f"{where}: profiles.{chosen}")
    return with_changes(laid, others)


def merged(tree: Mapping[str, Any], changes: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return a config tree with changes laid over it; a change is a key, or a dotted path of keys.

    A section that names its `kind` replaces the one that was there; one that does not changes keys of it.
    """
    result: dict[str, Any] = dict(tree)
    for key, value in changes.items():
        node, (*parents, last) = result, _steps(str(key), f"{where}.{key}")
        for part in parents:
            inner = node.get(part)
            inner = {"kind": inner} if isinstance(inner, str) else {} if inner is None else inner
            if not isinstance(inner, dict):
                raise InputError(Problem(f"{where}.{key}", f"{part} is not a mapping", "give it whole"))
            node[part] = dict(inner)
            node = node[part]
        before = node.get(last)
        if isinstance(value, dict) and "kind" not in value and isinstance(before, dict):
            node[last] = merged(before, value, f"{where}.{key}")
        else:
            node[last] = value
    return result


def with_changes(tree: Any, changes: Sequence[str]) -> Any:
    """Apply `key.sub=value` changes to a config tree; values are read as YAML."""
    for change in changes:
        key, equals, text = change.partition("=")
        shown = change.partition("\n")[0][:SHOWN]
        where = f"--set {shown}{'...' * (shown != change)}"
        if not equals or not key.strip():
            raise InputError(Problem(where, "is not key=value", "e.g. --set model.steps=20"))
        node = tree
        *parents, last = _steps(key.strip(), where)
        for parent in parents:
            if isinstance(node, dict) and isinstance(node.get(parent), list):
                raise InputError(Problem(where, f"{parent} is a list", f"give it whole: {parent}=[...]"))
            if isinstance(node, dict) and not isinstance(node.get(parent), dict):
                node[parent] = spell_out(node[parent]) if isinstance(node.get(parent), str) else {}
            node = node[parent] if isinstance(node, dict) else node
        if not isinstance(node, dict):
            raise InputError(Problem(where, "the config is not a mapping"))
        node[last] = parse_yaml(text, where)
    return tree


def _steps(key: str, where: str) -> list[str]:
    """Return the parts of a dotted key."""
    steps = key.split(".")
    if len(steps) > MAX_DEPTH:
        raise InputError(Problem(where, f"leads deeper than {MAX_DEPTH} levels"))
    if max(map(len, steps)) > MAX_KEY or "\n" in key:
        raise InputError(Problem(where, f"a key is one line of at most {MAX_KEY} signs"))
    return steps


def plug_ins(config: RunConfig) -> dict[str, str]:
    """Return the sections that name a class or function of another package: dotted key -> what it names."""
    modality, model = (None if isinstance(section, PlugIn) else section for section in (config.modality, config.model))
    sections = {
        "modality": config.modality,
        "modality.extractor": getattr(modality, "extractor", None),
        "model": config.model,
        "regime": config.regime,
        "curate": config.curate,
        **{f"model.models.{at}": member for at, member in enumerate(getattr(model, "models", ()))},
    }
    return {key: section.kind for key, section in sections.items() if isinstance(section, PlugIn)}


def dump_config(config: RunConfig) -> str:
    """Return the YAML of a config with every key spelled out."""
    return dump_yaml(config.model_dump(mode="json"))


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
