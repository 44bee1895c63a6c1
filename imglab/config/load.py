"""From YAML to a validated config, with all errors at once. Read without torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError, create_model

from imglab.config import kinds
from imglab.config.merge import changed_tree, check_number
from imglab.config.problems import MOST_TOLD, SHOWN, kind_of_value, problems_of, shortened
from imglab.config.schema import InstalledPlugIn, Named, RunConfig, SideBySideConfig, is_chain_name
from imglab.config.section import PlugIn, Section, is_plug_in, spell_out
from imglab.config.shared_problems import SharedProblems
from imglab.config.yaml import dump_yaml, read_yaml
from imglab.errors import InputError, Problem, nearest


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
    shared = SharedProblems(where, "chains", len(chains))
    folded = Counter(str(name).casefold() for name in chains)
    for name, section in chains.items():
        at = f"{where}: chains.{name}"
        if len(problems) + len(shared) >= MOST_TOLD:
            break
        if not isinstance(section, dict):
            problems.append(Problem(at, f"is a mapping of keys, not {kind_of_value(section)}"))
        elif not is_chain_name(name):
            problems.append(
                Problem(
                    at, "is no name for a chain", "letters, digits, `-` and `_`, a letter first"
                )
            )
        elif folded[name.casefold()] > 1:
            problems.append(
                Problem(at, "differs from another chain only in upper and lower case", "rename it")
            )
        elif "chains" in section or "name" in section:
            problems.append(
                Problem(at, "a chain has no `name` or `chains` of its own", "its key is its name")
            )
        else:
            chain = {**common, **section, "name": name}
            config = shared.run(f"chains.{name}", at, partial(validate_config, chain, at))
            if config is not None:
                found[name] = config
    problems += shared.joined()
    try:
        Named.model_validate({"name": tree["name"]})
    except ValidationError as error:
        problems += problems_of(where, tree, Named, error)
    if problems:
        raise InputError(problems)
    return SideBySideConfig(str(tree["name"]), found)


def validate_config(tree: Any, where: str) -> RunConfig:
    """Validate a config as read from YAML; `where` names it in messages."""
    if not isinstance(tree, dict):
        raise InputError(
            Problem(
                where, f"a config is a mapping of keys, not {kind_of_value(tree)}", "see configs/"
            )
        )
    regime = spell_out(tree.get("regime"))
    if isinstance(regime, dict) and isinstance(regime.get("kind"), str):
        added = kinds.installed("imglab.regimes")
        tree = {**tree, "regime": {**regime, "kind": added.get(regime["kind"], regime["kind"])}}
    sections: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, table, group in (
        ("modality", kinds.MODALITIES, "imglab.modalities"),
        ("model", kinds.MODELS, "imglab.models"),
    ):
        section = spell_out(tree.get(key))
        kind = section.get("kind") if isinstance(section, dict) else None
        found = _section_class(kind, table, group)
        if key in tree and found is None:
            known = [*table, *kinds.installed(group)]
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
    return create_model(
        "RunConfig", __base__=RunConfig, modality=(modality, ...), model=(model, ...)
    )


def _section_class(
    kind: Any, table: Mapping[str, kinds.Kind], group: str
) -> type[Section] | type[PlugIn] | None:
    if is_plug_in(kind):
        return PlugIn
    if isinstance(kind, str) and kind in table:
        return kinds.settings_class(kind, table)
    return InstalledPlugIn if isinstance(kind, str) and kind in kinds.installed(group) else None


def plug_ins(config: RunConfig) -> dict[str, str]:
    """Return the sections that name a class or function of another package: dotted key -> what it names."""
    modality, model = (
        None if isinstance(section, PlugIn) else section
        for section in (config.modality, config.model)
    )
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
