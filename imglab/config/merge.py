"""Changing, merging and comparing trees of keys."""

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
    """Raise InputError where there are more chains, arms or profiles than one config may hold."""
    if len(named) > MOST_NAMED:
        raise InputError(Problem(where, f"there are {len(named)} of them", f"at most {MOST_NAMED}"))


def changed_tree(tree: Any, changes: Sequence[str], where: str) -> Any:
    """Apply the profile (`profiles:` by name, chosen by `profile:`) of a config, then `key.sub=value` changes."""
    choosing = [change for change in changes if change.partition("=")[0].strip() == "profile"]
    others = [change for change in changes if change not in choosing]
    if not isinstance(tree, dict) or not ("profiles" in tree or choosing or "profile" in tree):
        return with_changes(tree, changes)
    tree = with_changes(tree, choosing)
    profiles, chosen = tree.pop("profiles", {}), tree.pop("profile", None)
    if not isinstance(profiles, dict) or not all(
        isinstance(keys, dict) for keys in profiles.values()
    ):
        raise InputError(
            Problem(
                f"{where}: profiles", "holds profiles by name, each with the keys that it changes"
            )
        )
    check_number(profiles, f"{where}: profiles")
    if chosen is not None and not (isinstance(chosen, str) and chosen in profiles):
        what = (
            f"there is no profile {shortened(chosen)}"
            if profiles
            else "this config has no profiles"
        )
        remedy = (
            nearest(str(chosen)[:SHOWN], [name[:SHOWN] for name in profiles]) if profiles else ""
        )
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
                raise InputError(
                    Problem(f"{where}.{key}", f"{part} is not a mapping", "give it whole")
                )
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
                raise InputError(
                    Problem(where, f"{parent} is a list", f"give it whole: {parent}=[...]")
                )
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
            yield from differences(
                before.get(key), after.get(key), f"{path}.{key}" if path else str(key)
            )
    elif json.dumps(before, sort_keys=True) != json.dumps(after, sort_keys=True):
        yield path, before, after
