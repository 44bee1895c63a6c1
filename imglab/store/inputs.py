"""What a run began with, its data and base models, against what they are now."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imglab.config.merge import differences
from imglab.errors import InputError, Problem
from imglab.store.reading import read_environment


def check_inputs(run: Path, present: Mapping[str, Any]) -> None:
    """Raise InputError if the data or a base model are not those that a run began with.

    present  what environment.json would record; a run that has not begun has no such file
    """
    if not (run / "environment.json").exists():
        return

    recorded = read_environment(run)
    data = changed_data(recorded.get("data"), present.get("data"))
    for key, what in (
        ("data", f"{data} are not those that this run began with"),
        ("base", "the base model is not the one that this run began with"),
    ):
        if recorded.get(key) != present.get(key):
            remedy = f"put it back{or_version(recorded, present)}"
            raise InputError(Problem(str(run), what, remedy))


def or_version(recorded: Mapping[str, Any], present: Mapping[str, Any]) -> str:
    """Return what else brings the data back, to end a remedy: the version that read them then.

    Both are environments; "" if they name the same version.
    """
    version = _code_of(recorded)
    if version == _code_of(present):
        return ""
    return (
        f", or go on with imglab {' '.join(version)}: this version may read the same data otherwise"
    )


def changed_data(recorded: Any, present: Any) -> str:
    """Name what differs between two tables of hashes of data: real data or one's synthetic sets."""
    parts = [part for part, _, _ in differences(recorded, present)]
    sets = [part.removeprefix("synthetic ") for part in parts if part.startswith("synthetic ")]
    if sets and len(sets) == len(parts):
        return f"the synthetic data {', '.join(sets)}"
    return "the real data"


def _code_of(environment: Mapping[str, Any]) -> list[str]:
    """Return the version and the commit of imglab in an environment, as far as it says them."""
    both = (environment.get("packages", {}).get("imglab"), environment.get("git_commit"))
    return [str(each) for each in both if each]
