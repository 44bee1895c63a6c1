"""From YAML to a validated config, with all errors at once. Read without torch."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import Field, SerializeAsAny, ValidationError, create_model
from pydantic_core import ErrorDetails

from imglab import plugins
from imglab.errors import InputError, Problem, nearest
from imglab.settings import PlugIn, Section, choice, is_plug_in, spell_out

MAX_DEPTH = 32
MAX_BYTES = 1 << 20


class ReplaceSettings(Section):
    """Train on the last generation's samples alone."""

    kind: Literal["replace"] = "replace"


class AccumulateSettings(Section):
    """Train on the real data and all generations so far."""

    kind: Literal["accumulate"] = "accumulate"


class AccumulateSubsampleSettings(Section):
    """Train on a draw of fixed size from the real data and all generations so far."""

    kind: Literal["accumulate_subsample"] = "accumulate_subsample"


class MixSettings(Section):
    """Train on a share of real data and the last generation's samples."""

    kind: Literal["mix"] = "mix"
    real_fraction: Annotated[float, Field(ge=0, le=1)]
    real: Literal["fixed", "resampled", "fresh"] = "fixed"


REGIMES = (ReplaceSettings, AccumulateSettings, AccumulateSubsampleSettings, MixSettings)


class MeasureSettings(Section):
    """What generations are compared with, and how."""

    reference: Literal["train", "test"] = "test"
    precision_recall_k: Annotated[int, Field(ge=1, le=10**6)] = 3
    density_coverage_k: Annotated[int, Field(ge=1, le=10**6)] = 5
    floor_splits: Annotated[int, Field(ge=20, le=1000)] = 20


class RunConfig(Section):
    """One chain. `modality` and `model` hold the sections of the kinds that they name."""

    name: Annotated[str, Field(pattern=r"^[^./\\\x00-\x1f][^/\\\x00-\x1f]*$", max_length=100)]
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    generations: Annotated[int, Field(ge=1, le=32_000)] = 6
    regime: choice(*REGIMES, plug_in=True) = ReplaceSettings()  # type: ignore[valid-type]
    start: Literal["previous", "base", "scratch"] = "previous"
    base: str | None = None
    samples: Annotated[int, Field(ge=1, le=10**9)] | None = None
    shown: Annotated[int, Field(ge=1, le=1024)] = 64
    checkpoint_every: Annotated[int, Field(ge=1, le=10**12)] | None = None
    """Samples seen in a fit between checkpoints in the middle of it; without it, a fit that is cut starts again."""
    threads: Annotated[int, Field(ge=1, le=4096)] | Literal["auto"] = "auto"
    modality: SerializeAsAny[Section | PlugIn]
    model: SerializeAsAny[Section | PlugIn]
    measure: MeasureSettings = MeasureSettings()


def load_config(path: Path, changes: Sequence[str] = ()) -> RunConfig:
    """Read a config file, apply `key.sub=value` changes and validate; InputError holds every problem."""
    tree = read_yaml(path)
    if isinstance(tree, dict):
        tree.setdefault("name", path.stem)
    return validate_config(with_changes(tree, changes), str(path))


def validate_config(tree: Any, where: str) -> RunConfig:
    """Validate a config as read from YAML; `where` names it in messages."""
    if not isinstance(tree, dict):
        raise InputError(Problem(where, f"a config is a mapping of keys, not {_kind_of_value(tree)}", "see configs/"))
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
        problems += [_problem(where, tree, model, details) for details in error.errors(include_url=False)]
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


def read_yaml(path: Path) -> Any:
    """Read a YAML file: safe tags only, no duplicate keys, no aliases, bounded depth and size."""
    if not path.exists():
        beside = [str(found) for found in path.parent.glob("[!.]*.yaml")] if path.parent.is_dir() else []
        remedy = nearest(str(path), beside) if beside else "give the path of a .yaml file"
        raise InputError(Problem(str(path), "there is no such file", remedy))
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(Problem(str(path), f"is larger than {MAX_BYTES} bytes", "a config is a short YAML file"))
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(Problem(str(path), f"cannot be read: {error}", "a config is a UTF-8 text file")) from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, where: str) -> Any:
    """Parse YAML as `read_yaml` does."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        what = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise InputError(Problem(f"{where}{line}", f"is not usable YAML: {what}")) from None
    except (ValueError, RecursionError, OverflowError) as error:
        raise InputError(Problem(where, f"is not usable YAML: {error}")) from None


class _Loader(yaml.SafeLoader):
    """Safe YAML in which `1e-3` is a number, and a key twice, an alias or deep nesting is an error."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases are not used in configs", problem_mark=mark)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise yaml.YAMLError(f"nested deeper than {MAX_DEPTH} levels")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            if key.value in seen if isinstance(key, yaml.ScalarNode) else True:
                what = (
                    f"the key {key.value!r} is there twice"
                    if isinstance(key, yaml.ScalarNode)
                    else "a key must be a word"
                )
                raise yaml.MarkedYAMLError(problem=what, problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


PLAIN = ("null", "bool", "int", "float", "str", "seq", "map")
_Loader.yaml_constructors = {
    tag: construct
    for tag, construct in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.rpartition(":")[2] in PLAIN
}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*)(\.\d*)?[eE][-+]?\d+$"),
    list("-+0123456789"),
)


def plug_ins(config: RunConfig) -> dict[str, str]:
    """Return the sections that name a class or function of another package: dotted key -> what it names."""
    extractor = getattr(config.modality, "extractor", None)
    sections = {
        "modality": config.modality,
        "modality.extractor": extractor,
        "model": config.model,
        "regime": config.regime,
    }
    return {key: section.kind for key, section in sections.items() if isinstance(section, PlugIn)}


def dump_config(config: RunConfig) -> str:
    """Return the YAML of a config with every key spelled out."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def differences(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (dotted key, before, after) for each value in which two config trees differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            yield from differences(before.get(key), after.get(key), f"{path}.{key}" if path else str(key))
    elif json.dumps(before, sort_keys=True) != json.dumps(after, sort_keys=True):
        yield path, before, after


def _problem(where: str, tree: Any, model: type[Section], details: ErrorDetails) -> Problem:
    """Turn pydantic's error into one that names the key as the user wrote it, and the nearest valid one."""
    keys, sections = _keys_as_written(tree, model, details["loc"])
    at = f"{where}: {'.'.join(map(str, keys))}" if keys else where
    if details["type"] == "extra_forbidden":
        fields = sorted({name for section in sections for name in section.model_fields})
        return Problem(at, "unknown key", nearest(str(keys[-1]), fields))
    if details["type"] == "missing":
        return Problem(at, "this key is missing")
    if details["type"] == "union_tag_invalid":
        context = details.get("ctx", {})
        expected = [name.strip("' ") for name in str(context.get("expected_tags", "")).split(",")]
        tag = str(context.get("tag"))
        return Problem(f"{at}.kind", f"{tag!r} is not one of them" if tag else "is missing", nearest(tag, expected))
    message = details["msg"].removeprefix("Value error, ")
    given = "" if isinstance(details["input"], (dict, Section)) else f", not {_short(details['input'])}"
    if details["type"] == "literal_error" and isinstance(details["input"], str):
        options = str(details.get("ctx", {}).get("expected", "")).replace(" or ", ", ").split(", ")
        return Problem(at, f"{message}{given}", nearest(details["input"], [option.strip("'") for option in options]))
    return Problem(at, f"{message[:1].lower()}{message[1:]}{given}")


def _keys_as_written(tree: Any, model: type[Section], loc: Sequence[Any]) -> tuple[list[Any], list[type[Section]]]:
    """Drop pydantic's own words (the tag of a choice) from an error's path; also return the sections it ends in."""
    keys: list[Any] = []
    sections, inner = [model], [model]
    for part in loc:
        fields = [section.model_fields[part] for section in inner if part in section.model_fields]
        if fields or (isinstance(tree, (dict, list)) and _has(tree, part)):
            keys.append(part)
            sections = inner
            inner = [found for field in fields for found in _sections_in(field.annotation)]
            tree = tree[part] if _has(tree, part) else None
        else:
            tagged = [section for section in inner if _tag(section) == part]
            inner = tagged or inner
    return keys, sections


def _has(tree: Any, part: Any) -> bool:
    if isinstance(tree, dict):
        return part in tree
    return isinstance(tree, list) and isinstance(part, int) and part < len(tree)


def _sections_in(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections_in(inner)


def _tag(section: type[Section]) -> Any:
    return section.model_fields["kind"].default if "kind" in section.model_fields else None


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits
        return "such a number"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _kind_of_value(value: Any) -> str:
    return {type(None): "nothing", list: "a list", str: "text"}.get(type(value), type(value).__name__)
