"""What pydantic finds wrong with a config, in the words of the person who wrote it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from imglab.config.section import FORMS, Section
from imglab.errors import Problem, nearest

MOST_TOLD = 100
"""About how many problems are reported at once: nobody reads more."""
SHOWN = 60
"""How many characters of a value a message repeats."""
UNKNOWN = "unknown key"
MISSING = "this key is missing"
COMPLETE = ("value_error", "too_short", "too_long")
"""Types of pydantic's errors whose message says all about the value."""


def problems_of(
    where: str, tree: Any, model: type[Section], error: ValidationError
) -> list[Problem]:
    """Turn pydantic's errors into problems as `problem_of` does; of very many, report the first."""
    errors = error.errors(include_url=False)
    reported = errors[:MOST_TOLD]
    more = len(errors) - len(reported)
    reported = _of_the_form_written(tree, model, reported)

    problems = []
    for _, group in groupby(reported, lambda details: _place(tree, model, details)):
        problems.append(problem_of(where, tree, model, *group))

    if more:
        problems.append(Problem(where, f"there are {more} more problems", "fix these first"))
    return _without_misspelt(problems)


def _of_the_form_written(
    tree: Any, model: type[Section], errors: Sequence[ErrorDetails]
) -> list[ErrorDetails]:
    """Leave out that a mapping is no word, where a word may do and keys in it are wrong."""
    places = [tuple(_keys_as_written(tree, model, details["loc"])[0]) for details in errors]
    outer = {place[:depth] for place in places for depth in range(len(place))}
    return [
        details
        for details, place in zip(errors, places, strict=True)
        if not (details["type"] == "literal_error" and place in outer)
    ]


def _without_misspelt(problems: Sequence[Problem]) -> list[Problem]:
    """Leave out a missing key that an unknown one beside it stands for: one mistake, one message.

    Two keys lie in one section where their places differ in the last name alone.
    """
    meant = set()
    for problem in problems:
        if problem.what == UNKNOWN:
            meant.add((_section_and_key(problem.where)[0], problem.remedy))

    left = []
    for problem in problems:
        section, key = _section_and_key(problem.where)
        if problem.what != MISSING or (section, nearest(key, [key])) not in meant:
            left.append(problem)
    return left


def _section_and_key(where: str) -> tuple[str, str]:
    """Return a place without its last name, and that name.

    >>> _section_and_key("a.yaml: modality.source.path")
    ('a.yaml: modality.source.', 'path')
    """
    end = 1 + max(where.rfind(separator) for separator in ".: ")
    return where[:end], where[end:]


def problem_of(where: str, tree: Any, model: type[Section], *alternatives: ErrorDetails) -> Problem:
    """Turn pydantic's error into one that names the key as written, and the nearest valid one.

    A key that allows several types has an error for each of them: these are the alternatives.
    """
    details = alternatives[0]
    keys, sections = _keys_as_written(tree, model, details["loc"])
    at = f"{where}: {'.'.join(map(str, keys))}" if keys else where

    if details["type"] == "extra_forbidden":
        fields = sorted({name for section in sections for name in section.model_fields})
        return Problem(at, UNKNOWN, nearest(str(keys[-1]), fields))
    if details["type"] == "missing":
        return Problem(at, MISSING)
    if details["type"] == "union_tag_invalid":
        return _wrong_kind(at, details)

    what = " or ".join(_message(alternative) for alternative in alternatives)
    if details["type"] not in COMPLETE and not isinstance(details["input"], (dict, Section)):
        what += f", not {shortened(details['input'])}"
    return Problem(at, what, _nearest_literal(alternatives))


def _place(tree: Any, model: type[Section], details: ErrorDetails) -> tuple[Any, ...]:
    """Return what the errors of one key have in common, although its types are several."""
    keys, _ = _keys_as_written(tree, model, details["loc"])
    unknown = details["type"] == "extra_forbidden"
    return (*keys, unknown)


def _message(details: ErrorDetails) -> str:
    """Return pydantic's message in words that go on from the name of the key."""
    if details["type"] == "string_pattern_mismatch":
        pattern = details.get("ctx", {}).get("pattern")
        return FORMS.get(str(pattern), f"must match the pattern {pattern}")
    if details["type"] in ("model_type", "dict_type", "model_attributes_type"):
        return "must be a mapping of keys"

    message = details["msg"].removeprefix("Value error, ").replace(" after validation", "")
    subject, should, rest = message.partition(" should ")
    if should and " " not in subject:  # "Input should be ...", "List should have ..."
        return f"must {rest}"
    return f"{message[:1].lower()}{message[1:]}"


def _nearest_literal(alternatives: Sequence[ErrorDetails]) -> str:
    """Return the valid word nearest to one that is not valid, if words are all that is valid."""
    details = alternatives[0]
    if len(alternatives) > 1 or details["type"] != "literal_error":
        return ""
    if not isinstance(details["input"], str):
        return ""

    expected = str(details.get("ctx", {}).get("expected", "")).replace(" or ", ", ")
    options = [option.strip("'") for option in expected.split(", ")]
    return nearest(details["input"][:SHOWN], options)


def _wrong_kind(at: str, details: ErrorDetails) -> Problem:
    """Return the problem of a section whose `kind` is missing or names none of the choice."""
    context = details.get("ctx", {})
    kind = str(context.get("tag"))
    expected = [name.strip("' ") for name in str(context.get("expected_tags", "")).split(",")]
    what = f"{shortened(kind)} is not a known kind" if kind else MISSING
    return Problem(f"{at}.kind", what, nearest(kind[:SHOWN], expected))


def _keys_as_written(
    tree: Any, model: type[Section], loc: Sequence[Any]
) -> tuple[list[Any], list[type[Section]]]:
    """Drop pydantic's own words (the tag of a choice) from an error's path.

    Returns the keys that are left, and the sections in which the last of them stands.
    """
    keys: list[Any] = []
    sections = [model]
    inner = [model]
    for part in loc:
        # One value may stand for a list of one, which has no places.
        if isinstance(part, int) and isinstance(tree, dict):
            continue

        fields = [section.model_fields[part] for section in inner if part in section.model_fields]

        # A word of pydantic's own may be the tag of a choice: it says which section follows.
        if not fields and not _has(tree, part):
            tagged = [section for section in inner if _tag(section) == part]
            inner = tagged or inner
            continue

        keys.append(part)
        if not isinstance(part, int):  # a place in a list belongs to the sections of the list
            sections = inner
            inner = [section for field in fields for section in _sections_in(field.annotation)]

        # From here on, `loc` is a path in what this key holds.
        tree = tree[part] if _has(tree, part) else None
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
    if "kind" not in section.model_fields:
        return None
    return section.model_fields["kind"].default


def shortened(value: Any) -> str:
    """Return a value as Python writes it, or the beginning of a long one."""
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits
        return "a number of thousands of digits"
    if len(text) <= SHOWN:
        return text
    return f"{text[: SHOWN - 3]}..."


def kind_of_value(value: Any) -> str:
    """Return a plain word for the type of a value that stands where a mapping is expected."""
    words = {
        type(None): "nothing",
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "text",
        list: "a list",
    }
    return words.get(type(value), type(value).__name__)
