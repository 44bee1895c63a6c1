"""Every key of a config, read from the sections themselves: for people, and as a JSON schema."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, get_args

from pydantic import create_model

from imglab.config import kinds
from imglab.config.schema import RunConfig
from imglab.config.section import PlugIn, Section, choice

PLUG_IN = "module:Class"
"""What stands for the kinds of other packages."""

LISTED = {"remedy", "synthetic"}
"""Keys whose list may be its only entry instead."""

OF_STUDIES = {
    "chains": "Chains by name, each with its keys: `imglab run` runs one after the other.",
    "arms": "Arms of a sweep by name, each with the keys that it changes: `imglab sweep`.",
    "seeds": "Seeds of a sweep, a decomposition, a map or a scaling study.",
    "contrasts": "Questions that a sweep answers: a metric of two arms.",
    "warning": "The event and the alarms of early warning in a sweep.",
    "factors": "Factors of a decomposition, with their levels: `imglab decompose`.",
    "outcomes": "Metrics that a decomposition explains.",
    "design": "Which combinations of levels a decomposition runs.",
    "generation": "The generation that a decomposition compares.",
    "sizes": "The key that a scaling study scales, with its sizes: `imglab scale`.",
    "metric": "The error that a scaling study follows.",
    "over": "Ranges of the keys that a map goes over: `imglab map`.",
    "criterion": "When a chain of a map holds.",
    "halvings": "How often a map halves the range of its first key.",
    "columns": "Values of a map's second key.",
    "new_data": "Whether each seed of a map draws real data of its own.",
    "profiles": "Changes for other machines, by name: `--set profile=NAME` makes them.",
}
"""Keys of the files that hold several runs; their own pages explain them."""

FILLED_IN = {"name": "the config file's name"}
"""What stands for keys that a run needs and a config may leave out."""


@dataclass(frozen=True)
class Key:
    """A key of a config.

    path         dotted, e.g. `model.steps`
    kinds        of the sections around it that it belongs to, outermost first; () for all
    values       what it may be, in words
    default      as in YAML; "" where the key is required
    description  what it does
    """

    path: str
    kinds: tuple[str, ...]
    values: str
    default: str
    description: str


@cache
def all_keys() -> tuple[Key, ...]:
    """Return every key of every kind that ships, in the order of the sections."""
    return tuple(_keys_of(_whole_config(), "", ()))


def keys_at(path: str) -> list[Key]:
    """Return the keys with this path, one for each kind of section that has it."""
    return [key for key in all_keys() if key.path == path]


def keys_below(path: str) -> list[Key]:
    """Return the keys of the section at this path, without those of sections in it."""
    prefix = f"{path}."
    return [
        key
        for key in all_keys()
        if key.path.startswith(prefix) and "." not in key.path.removeprefix(prefix)
    ]


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of config files, which editors check and complete by."""
    schema = _whole_config().model_json_schema()
    definitions = {_whole_config().__name__: schema, **schema["$defs"]}
    for name, section in _sections_by_name().items():
        if name in definitions:
            _describe(definitions[name], _descriptions(section))
    for name, description in OF_STUDIES.items():
        schema["properties"].setdefault(name, {"description": description})
    schema["properties"]["base"]["anyOf"].append({"type": "object"})  # of a decomposition
    del schema["required"]  # a file may hold several runs, or only changes

    _loosen(schema)
    title = "A config of imglab"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": title}


def _describe(definition: dict[str, Any], texts: Mapping[str, str]) -> None:
    """Give the keys of a section's schema the descriptions that stand in its source."""
    for key, schema in definition.get("properties", {}).items():
        if key in texts:
            schema.setdefault("description", " ".join(texts[key].split()))


@cache
def _whole_config() -> type[RunConfig]:
    """Return the class of a config whose data and model may be of any kind that ships."""
    unions = {}
    for key, table in (("modality", kinds.MODALITIES), ("model", kinds.MODELS)):
        sections = [kinds.settings_class(kind, table) for kind in table]
        unions[key] = (choice(*sections, plug_in=True), RunConfig.model_fields[key])
    return create_model("Config", __base__=RunConfig, **unions)  # type: ignore[call-overload,no-any-return]


@cache
def _schema_of(section: type[Section]) -> dict[str, Any]:
    return section.model_json_schema()


def _keys_of(section: type[Section], path: str, of_kinds: tuple[str, ...]) -> Iterator[Key]:
    whole = _schema_of(section)
    properties = whole["properties"]
    definitions = whole.get("$defs", {})
    descriptions = _descriptions(section)
    for name, field in section.model_fields.items():
        if name == "kind":
            continue
        at = f"{path}{name}"
        schema = properties[name]
        default = FILLED_IN.get(at, "")
        if not field.is_required():
            default = _as_yaml(schema.get("default", field.get_default(call_default_factory=True)))

        sections = list(dict.fromkeys(_sections_in(field.annotation)))
        description = " ".join((field.description or descriptions.get(name, "")).split())
        yield Key(at, of_kinds, _in_words(schema, definitions), default, description)
        for inner in sections:
            kind = _kind_of(inner)
            yield from _keys_of(inner, f"{at}.", (*of_kinds, kind) if kind else of_kinds)


def _sections_by_name() -> dict[str, type[Section]]:
    """Return every section that a config can have, by the name of its class."""
    sections: dict[str, type[Section]] = {}
    waiting: list[type[Section]] = [_whole_config()]
    while waiting:
        section = waiting.pop()
        if section.__name__ in sections:
            continue
        sections[section.__name__] = section
        for field in section.model_fields.values():
            waiting += _sections_in(field.annotation)
    return sections


@cache
def _descriptions(section: type[Section]) -> dict[str, str]:
    """Return what stands below each key in the source of a section and of those it builds on."""
    texts: dict[str, str] = {}
    for base in reversed(section.__mro__):
        if not issubclass(base, Section) or base.__module__.startswith("pydantic"):
            continue
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        except (OSError, TypeError):  # made by a function, such as the section of a regime
            continue

        assert isinstance(tree.body[0], ast.ClassDef)
        for key, text in pairwise(tree.body[0].body):
            if not (isinstance(key, ast.AnnAssign) and isinstance(key.target, ast.Name)):
                continue
            if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                texts[key.target.id] = str(text.value.value)
    return texts


def _sections_in(annotation: Any) -> Iterator[type[Section]]:
    """Yield the sections of the lab that a type names, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        if not issubclass(annotation, PlugIn):
            yield annotation
        return
    for argument in get_args(annotation):
        yield from _sections_in(argument)


def _kind_of(section: type[Section]) -> str:
    """Return the kind by which a config names a section; "" where it is the only one."""
    if "kind" not in section.model_fields:
        return ""
    return str(get_args(section.model_fields["kind"].annotation)[0])


def _in_words(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Say what values a JSON schema allows."""
    if "$ref" in schema:
        return _section_in_words(definitions[schema["$ref"].rpartition("/")[2]])
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return _joined(_in_words(each, definitions) for each in schema[several])
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    if schema.get("type") == "array":
        return f"list of {_in_words(schema.get('items', {}), definitions)}"
    return _plain_in_words(schema)


def _plain_in_words(schema: Mapping[str, Any]) -> str:
    """Say what numbers, truth values or words a JSON schema allows."""
    names = {"integer": "whole number", "boolean": "true or false", "string": "text"}
    name = schema.get("type", "anything")
    word = names.get(name, name)

    bounds = (
        ("minimum", "from"),
        ("exclusiveMinimum", "above"),
        ("maximum", "to"),
        ("exclusiveMaximum", "below"),
    )
    limits = [f"{sign} {schema[key]:,}" for key, sign in bounds if key in schema]
    return " ".join([word, *limits])


def _section_in_words(definition: Mapping[str, Any]) -> str:
    kind = definition.get("properties", {}).get("kind", {})
    if "const" in kind:
        return f"section {kind['const']}"
    if definition.get("title") == PlugIn.__name__:
        return f"section {PLUG_IN}"
    return "section"


def _joined(parts: Iterable[str]) -> str:
    """Join alternatives; sections of several kinds are named together."""
    each = list(dict.fromkeys(parts))
    sections = [part.removeprefix("section ") for part in each if part.startswith("section ")]
    others = [part for part in each if not part.startswith("section ")]
    if len(sections) > 1:
        return ", or ".join([f"section of kind {', '.join(sections)}", *others])
    return ", or ".join(each)


def _as_yaml(value: Any) -> str:
    """Return a default as a config has it, on one line."""
    if isinstance(value, Section):
        value = value.model_dump(mode="json")
    if isinstance(value, Mapping):
        if not value:
            return "{}"
        if set(value) == {"kind"}:
            return str(value["kind"])
        return "its keys' own"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _loosen(schema: Any) -> None:
    """Let sections be named by their kinds; leave out patterns that some editors cannot read."""
    if isinstance(schema, dict):
        for each in schema.values():
            _loosen(each)
        if r"\p{" in str(schema.get("pattern")):
            del schema["pattern"]
        if "oneOf" in schema:
            schema["anyOf"] = [*schema.pop("oneOf"), {"type": "string"}]
        for key in LISTED & schema.get("properties", {}).keys():
            several = schema["properties"][key]
            schema["properties"][key] = {"anyOf": [several, several["items"]]}
    elif isinstance(schema, list):
        for each in schema:
            _loosen(each)
