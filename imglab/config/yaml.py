"""YAML from anybody: plain values only, no key twice, no aliases, bounded depth and size."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import yaml

from imglab.errors import InputError, Problem, nearest

try:
    from yaml import CSafeLoader as Base
except ImportError:  # PyYAML without libyaml: the same, slower
    from yaml import SafeLoader as Base  # type: ignore[assignment]

MAX_DEPTH = 32
MAX_BYTES = 1 << 20
MAX_VALUES = 40_000
MAX_KEY = 255
"""Signs of a key: messages repeat it."""
MAX_DIGITS = 100
MAX_MESSAGE = 200
REMEDY = "give the path of a .yaml file"


def read_yaml(path: Path) -> Any:
    """Read a YAML file of anybody's: nothing in it makes this slow, large or do anything else."""
    try:
        if not path.exists():
            beside = (
                [str(found) for found in path.parent.glob("[!.]*.yaml")]
                if path.parent.is_dir()
                else []
            )
            remedy = nearest(str(path), beside) if beside else REMEDY
            raise InputError(Problem(str(path), "there is no such file", remedy))
        if not path.is_file():  # a pipe or a device may never end
            raise InputError(Problem(str(path), "is not a regular file", REMEDY))
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise InputError(
                Problem(
                    str(path), f"is larger than {MAX_BYTES} bytes", "a config is a short YAML file"
                )
            )
        text = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        what = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        raise InputError(Problem(str(path), what, "a config is a UTF-8 text file")) from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, where: str) -> Any:
    """Parse YAML as `read_yaml` does."""
    try:
        _check(text)
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        what = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise InputError(
            Problem(f"{where}{line}", f"is not usable YAML: {what[:MAX_MESSAGE]}")
        ) from error
    except (ValueError, RecursionError, OverflowError) as error:
        raise InputError(
            Problem(where, f"is not usable YAML: {str(error)[:MAX_MESSAGE]}")
        ) from error


def dump_yaml(tree: Any) -> str:
    """Return YAML from which `parse_yaml` reads the same tree."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _check(text: str) -> None:
    """Refuse, before anything is built, what is costly to build or leads out of plain values."""
    depth = values = 0
    for event in yaml.parse(text, Loader=Base):
        what = ""
        if isinstance(event, yaml.AliasEvent):
            what = "aliases are not used in configs"
        elif getattr(event, "tag", None):
            what = f"tags are not used in configs: {event.tag}"  # type: ignore[attr-defined]
        values += isinstance(event, yaml.NodeEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(
            event, yaml.CollectionEndEvent
        )
        if values > MAX_VALUES:
            what = f"it holds more than {MAX_VALUES} values"
        elif depth > MAX_DEPTH:
            what = f"nested deeper than {MAX_DEPTH} levels"
        if what:
            mark: Any = event.start_mark
            raise yaml.MarkedYAMLError(problem=what, problem_mark=mark)


class _Loader(Base):
    """YAML of null, booleans, finite numbers, text, lists and mappings of words, each of them there once."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            what = ""
            if not isinstance(key, yaml.ScalarNode):
                what = "a key must be a word"
            elif len(key.value) > MAX_KEY or "\n" in key.value:
                what = f"a key is one line of at most {MAX_KEY} signs"
            elif key.value in seen:
                what = f"the key {key.value!r} is there twice"
            elif key.tag != "tag:yaml.org,2002:str":
                what = f"the key {key.value!r} is not a word: put it in quotes"
            if what:
                raise yaml.MarkedYAMLError(problem=what, problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def finite_number(self, node: Any) -> Any:
        """Return a number that everything which is done with it later can hold."""
        if len(node.value) <= MAX_DIGITS:
            construct = (
                self.construct_yaml_float
                if node.tag.endswith(":float")
                else self.construct_yaml_int
            )
            found = construct(node)
            if math.isfinite(found):
                return found
        what = f"{node.value[:20]}{'...' * (len(node.value) > 20)} is no finite number of at most {MAX_DIGITS} digits"
        raise yaml.MarkedYAMLError(problem=what, problem_mark=node.start_mark)


class _Dumper(yaml.SafeDumper):
    """Writes what is the same to `_Loader` and to other readers of YAML."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def text(self, data: str) -> Any:
        """Escape what ends a line besides the line feed: in other quotes PyYAML makes it a space."""
        quotes = '"' if any(end in data for end in "\x85\u2028\u2029") else None
        return self.represent_scalar(f"{_TAG}str", data, style=quotes)


_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"^[-+]?(?:0|[1-9][0-9_]*|0b[01]+|0x[0-9a-fA-F]+)$")
_FLOAT = re.compile(
    r"^(?:[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
"""`1e-3` is a number, and neither `1:30` nor `010` is one: YAML 1.1 takes them for 90 and 8."""
_Loader.yaml_constructors = {
    tag: construct
    for tag, construct in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.removeprefix(_TAG) in ("null", "bool", "str", "seq", "map")
}
_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern) for tag, pattern in resolvers if tag.removeprefix(_TAG) in ("null", "bool")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _kind, _pattern, _first in (
    ("int", _INTEGER, "-+0123456789"),
    ("float", _FLOAT, "-+.0123456789"),
):
    _Loader.add_constructor(f"{_TAG}{_kind}", _Loader.finite_number)
    _Loader.add_implicit_resolver(f"{_TAG}{_kind}", _pattern, list(_first))
_Dumper.add_representer(str, _Dumper.text)
_Dumper.add_implicit_resolver(f"{_TAG}float", _FLOAT, list("-+.0123456789"))
