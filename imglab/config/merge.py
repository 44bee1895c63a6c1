"""Changing, merging and comparing config trees, whose keys are written with dots: `model.steps`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from imglab.config.problems import SHOWN, shortened
from imglab.config.section import spell_out
from imglab.config.yaml import MAX_DEPTH, MAX_KEY, parse_yaml
from imglab.errors import InputError, Problem, nearest

MOST_NAMED = 256
"""Chains, arms or profiles of one config."""


def check_number(named: Mapping[str, Any], where: str) -> None:
    """Raise InputError if there are more chains, arms or profiles than one config may hold."""
    if len(named) > MOST_NAMED:
        raise InputError(Problem(where, f"there are {len(named)} of them", f"at most {MOST_NAMED}"))


def changed_tree(tree: Any, changes: Sequence[str], where: str) -> Any:
    """Apply a config's profile (`profiles:` by name, chosen by `profile:`), then the changes.

    changes  `key.sub=value`, as `--set` takes them; one of them may choose the profile
    """
    choosing = [change for change in changes if change.partition("=")[0].strip() == "profile"]
    others = [change for change in changes if change not in choosing]
    if not isinstance(tree, dict) or not (choosing or "profiles" in tree or "profile" in tree):
        return with_changes(tree, changes)

    tree = with_changes(dict(tree), choosing)
    profiles = tree.pop("profiles", {})
    chosen = tree.pop("profile", None)
    _check_profiles(profiles, chosen, where)
    if chosen is not None:
        tree = merged(tree, profiles[chosen], f"{where}: profiles.{chosen}")
    return with_changes(tree, others)


def _check_profiles(profiles: Any, chosen: Any, where: str) -> None:
    """Raise InputError unless profiles are mappings by name and the chosen one is among them."""
    sections = profiles.values() if isinstance(profiles, dict) else [profiles]
    if not all(isinstance(section, dict) for section in sections):
        what = "must hold profiles by name, each with the keys that it changes"
        raise InputError(Problem(f"{where}: profiles", what))
    check_number(profiles, f"{where}: profiles")

    if chosen is None or (isinstance(chosen, str) and chosen in profiles):
        return
    if not profiles:
        raise InputError(Problem(f"{where}: profile", "this config has no profiles"))
    remedy = nearest(str(chosen)[:SHOWN], [name[:SHOWN] for name in profiles])
    what = f"there is no profile {shortened(chosen)}"
    raise InputError(Problem(f"{where}: profile", what, remedy))


def merged(tree: Mapping[str, Any], changes: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return a config tree with changes laid over it, each by a key or a dotted path of keys.

    A section that names its `kind` replaces the one before; one that does not changes its keys.
    """
    result = dict(tree)
    for key, value in changes.items():
        at = f"{where}.{key}"
        *parents, last = _steps(str(key), at)
        section = _opened(result, parents, at)

        before = section.get(last)
        if isinstance(value, dict) and "kind" not in value and isinstance(before, dict):
            section[last] = merged(before, value, at)
        else:
            section[last] = value
    return result


def with_changes(tree: Any, changes: Sequence[str]) -> Any:
    """Return a config tree with `key.sub=value` changes applied, whose values are read as YAML."""
    for change in changes:
        key, equals, text = change.partition("=")
        where = f"--set {_beginning(change)}"

        if not equals or not key.strip():
            raise InputError(Problem(where, "is not key=value", "e.g. --set model.steps=20"))
        *parents, last = _steps(key.strip(), where)
        if not isinstance(tree, dict):
            raise InputError(Problem(where, "the config is not a mapping"))

        tree = dict(tree)
        _opened(tree, parents, where)[last] = parse_yaml(text, where)
    return tree


def _beginning(change: str) -> str:
    """Return a change as messages show it: one line, not too long."""
    shown = change.partition("\n")[0][:SHOWN]
    if shown == change:
        return shown
    return f"{shown}..."


def _steps(key: str, where: str) -> list[str]:
    """Return the parts of a dotted key."""
    steps = key.split(".")
    if len(steps) > MAX_DEPTH:
        raise InputError(Problem(where, f"leads deeper than {MAX_DEPTH} levels"))
    if max(map(len, steps)) > MAX_KEY or "\n" in key:
        what = f"a key is one line of at most {MAX_KEY} characters"
        raise InputError(Problem(where, what))
    return steps


def _opened(tree: dict[str, Any], steps: Sequence[str], where: str) -> dict[str, Any]:
    """Return the section of a tree to which steps lead, ready to be changed.

    Sections on the way are copied, so that nothing else that holds them changes. A word on the way
    is the kind of its section, and a section that is missing is made.
    """
    section = tree
    for step in steps:
        value = spell_out(section.get(step))
        if isinstance(value, list):
            remedy = f"give it whole: {step}=[...]"
            raise InputError(Problem(where, f"{step} is a list", remedy))
        if value is not None and not isinstance(value, dict):
            raise InputError(Problem(where, f"{step} is not a mapping", "give it whole"))

        section[step] = dict(value or {})
        section = section[step]
    return section


def flattened(tree: Any) -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) for each value of a config tree."""
    for key, value, _ in _paired(tree, tree):
        yield key, value


def differences(before: Any, after: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield (dotted key, before, after) for each value in which two config trees differ."""
    for key, old, new in _paired(before, after):
        if json.dumps(old, sort_keys=True) != json.dumps(new, sort_keys=True):
            yield key, old, new


def _paired(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (dotted key, value in one tree, value in the other), down to where one has a value."""
    if not (isinstance(before, dict) and isinstance(after, dict) and (before or after)):
        yield path, before, after
        return

    for key in [*before, *(key for key in after if key not in before)]:
        inner = f"{path}.{key}" if path else str(key)
        yield from _paired(before.get(key), after.get(key), inner)
