"""YAML from anybody: safe tags only, no duplicate keys, no aliases, bounded depth and size."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from imglab.errors import InputError, Problem, nearest

MAX_DEPTH = 32
MAX_BYTES = 1 << 20


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
