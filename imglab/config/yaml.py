"""YAML from anybody: plain values only, no key twice, no aliases, bounded depth and size."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from imglab.errors import InputError, Problem, nearest
from imglab.failures import raise_if_unavailable

try:
    from yaml import CSafeLoader as Base
except ImportError:  # PyYAML without libyaml: the same, slower
    from yaml import SafeLoader as Base  # type: ignore[assignment]

MAX_DEPTH = 32
MAX_BYTES = 1 << 20
MAX_VALUES = 40_000
MAX_KEY = 255
"""Characters of a key: messages repeat it."""
MAX_DIGITS = 100
MAX_MESSAGE = 200
REMEDY = "give the path of a .yaml file"


def read_yaml(path: Path) -> Any:
    """Read a YAML file of anybody's: nothing in it makes this slow, large or do anything else."""
    try:
        if not path.exists():
            raise InputError(Problem(str(path), "there is no such file", _nearest_file(path)))
        if not path.is_file():  # a pipe or a device may never end
            raise InputError(Problem(str(path), "is not a regular file", REMEDY))

        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)

        if len(content) > MAX_BYTES:
            what = f"is larger than {MAX_BYTES} bytes"
            raise InputError(Problem(str(path), what, "a config is a short YAML file"))
        text = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise_if_unavailable(error, path)
        what = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        raise InputError(Problem(str(path), what, "a config is a UTF-8 text file")) from error
    return parse_yaml(text, str(path))


def _nearest_file(path: Path) -> str:
    """Return what to do about a path that does not exist."""
    neighbours: list[str] = []
    if path.parent.is_dir():
        neighbours = [str(neighbour) for neighbour in path.parent.glob("[!.]*.yaml")]
    return nearest(str(path), neighbours) or REMEDY


def parse_yaml(text: str, where: str) -> Any:
    """Parse YAML as `read_yaml` does; `where` names it in messages."""
    try:
        _check(text)
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        what = str(getattr(error, "problem", None) or error).splitlines()[0]
        problem = Problem(f"{where}{line}", f"is not usable YAML: {what[:MAX_MESSAGE]}")
        raise InputError(problem) from error

    # What Python raises for a number or a depth that it cannot hold.
    except (ValueError, RecursionError, OverflowError) as error:
        problem = Problem(where, f"is not usable YAML: {str(error)[:MAX_MESSAGE]}")
        raise InputError(problem) from error


def dump_yaml(tree: Any) -> str:
    """Return YAML from which `parse_yaml` reads the same tree."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _check(text: str) -> None:
    """Refuse what is costly to build or is not a plain value, before anything is built."""
    depth = 0
    n_values = 0
    for event in yaml.parse(text, Loader=Base):
        if isinstance(event, yaml.NodeEvent):
            n_values += 1

        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1

        what = _refusal(event, depth, n_values)
        if what:
            mark: Any = event.start_mark
            raise yaml.MarkedYAMLError(problem=what, problem_mark=mark)


def _refusal(event: Any, depth: int, n_values: int) -> str:
    """Say why a text is refused at this event; nothing if it is not."""
    if n_values > MAX_VALUES:
        return f"it holds more than {MAX_VALUES} values"
    if depth > MAX_DEPTH:
        return f"nested deeper than {MAX_DEPTH} levels"

    if isinstance(event, yaml.AliasEvent):
        return "aliases are not allowed in configs"
    if getattr(event, "tag", None):
        return f"tags are not allowed in configs: {event.tag}"
    return ""


class _Loader(Base):
    """YAML of null, booleans, finite numbers, text, lists and mappings of words without repeats."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value:
            what = _wrong_key(key, seen)
            if what:
                raise yaml.MarkedYAMLError(problem=what, problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def finite_number(self, node: Any) -> Any:
        """Return a number that everything which is done with it later can hold."""
        if len(node.value) <= MAX_DIGITS:
            if node.tag.endswith(":float"):
                number = self.construct_yaml_float(node)
            else:
                number = self.construct_yaml_int(node)
            if math.isfinite(number):
                return number

        shown = node.value if len(node.value) <= 20 else f"{node.value[:20]}..."
        what = f"{shown} is not a finite number of at most {MAX_DIGITS} digits"
        raise yaml.MarkedYAMLError(problem=what, problem_mark=node.start_mark)


def _wrong_key(key: Any, seen: Collection[str]) -> str:
    """Say what is wrong with a key of a mapping that has the keys `seen`; nothing if it is fine."""
    if not isinstance(key, yaml.ScalarNode):
        return "a key must be a word"
    if len(key.value) > MAX_KEY or "\n" in key.value:
        return f"a key must be one line of at most {MAX_KEY} characters"

    if key.value in seen:
        return f"the key {key.value!r} occurs twice"
    if key.tag != "tag:yaml.org,2002:str":
        return f"the key {key.value!r} is not a word: put it in quotes"
    return ""


class _Dumper(yaml.SafeDumper):
    """Writes YAML that means the same to `_Loader` and to other readers of YAML."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def text(self, data: str) -> Any:
        """Escape what ends a line beside the line feed: in other quotes PyYAML makes it a space."""
        quotes = '"' if any(end in data for end in "\x85\u2028\u2029") else None
        return self.represent_scalar(f"{_TAG}str", data, style=quotes)


_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"^[-+]?(?:0|[1-9][0-9_]*|0b[01]+|0x[0-9a-fA-F]+)$")
_FLOAT = re.compile(
    r"^(?:[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
"""`1e-3` is a number; `1:30` and `010` are not, although YAML 1.1 takes them for 90 and 8."""

# Only plain values are built, and only null and booleans are recognized as YAML 1.1 does.
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
