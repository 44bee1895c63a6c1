"""What pydantic finds wrong with a config, in the words of the person who wrote it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from imglab.config.section import Section
from imglab.errors import Problem, nearest

MOST_TOLD = 100
"""Problems that are told at once, about: nobody reads more."""
SHOWN = 60
"""Signs of a value that a message repeats."""


def problems_of(
    where: str, tree: Any, model: type[Section], error: ValidationError
) -> list[Problem]:
    """Turn pydantic's errors into problems as `problem_of` does; of very many, tell the first."""
    found = error.errors(include_url=False)
    told = [problem_of(where, tree, model, details) for details in found[:MOST_TOLD]]
    more = len(found) - len(told)
    return [*told, Problem(where, f"{more} more problems", "mend these first")] if more else told


def problem_of(where: str, tree: Any, model: type[Section], details: ErrorDetails) -> Problem:
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
        what = f"{shortened(tag)} is not one of them" if tag else "is missing"
        return Problem(f"{at}.kind", what, nearest(tag[:SHOWN], expected))
    message = details["msg"].removeprefix("Value error, ")
    given = (
        ""
        if isinstance(details["input"], (dict, Section))
        else f", not {shortened(details['input'])}"
    )
    if details["type"] == "literal_error" and isinstance(details["input"], str):
        options = str(details.get("ctx", {}).get("expected", "")).replace(" or ", ", ").split(", ")
        named = nearest(details["input"][:SHOWN], [option.strip("'") for option in options])
        return Problem(at, f"{message}{given}", named)
    return Problem(at, f"{message[:1].lower()}{message[1:]}{given}")


def _keys_as_written(
    tree: Any, model: type[Section], loc: Sequence[Any]
) -> tuple[list[Any], list[type[Section]]]:
    """Drop pydantic's own words (the tag of a choice) from an error's path; also return the sections it ends in."""
    keys: list[Any] = []
    sections, inner = [model], [model]
    for part in loc:
        fields = [section.model_fields[part] for section in inner if part in section.model_fields]
        if fields or (isinstance(tree, (dict, list)) and _has(tree, part)):
            keys.append(part)
            if not isinstance(part, int):  # a place in a list is of the list's sections
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


def shortened(value: Any) -> str:
    """Show a value, or the beginning of a long one."""
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits
        return "such a number"
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def kind_of_value(value: Any) -> str:
    """Say in plain words what was given where a mapping was asked for."""
    return {type(None): "nothing", list: "a list", str: "text"}.get(
        type(value), type(value).__name__
    )
