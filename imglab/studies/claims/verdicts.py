"""claims.json: the verdicts of a folder, those of earlier calls included. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imglab.store import files
from imglab.studies.claims.catalog import Catalog
from imglab.studies.claims.costs import cost_of, read_costs
from imglab.studies.claims.finding import Result
from imglab.studies.claims.multiplicity import corrected
from imglab.studies.claims.protocol import Profile

VERDICTS = "claims.json"
REPLACED = "other_sizes"
"""Verdicts at a size at which the claim was not judged last: a later look goes on from them."""
Entry = dict[str, Any]


def read_verdicts(folder: Path) -> Entry:
    """Return what claims.json of a folder holds; InputError if it is damaged."""
    tree = files.read_json(folder / VERDICTS, ("profile", "claims"))
    tree.setdefault("measurements", [])
    tree.setdefault(REPLACED, [])
    return tree


def earlier_look(folder: Path, name: str, size: str | None) -> Entry:
    """Return how a claim was last judged with the chains of this size; empty: it never was."""
    if size is None or not (folder / VERDICTS).exists():
        return {}
    tree = read_verdicts(folder)
    return _by_size([*_judged_in(tree), *tree[REPLACED]]).get((name, size), {})


def merged_verdicts(
    folder: Path, catalog: Catalog, profile: Profile, results: Sequence[Result]
) -> Entry:
    """Write claims.json with these results in it, and return what it holds.

    What earlier calls judged stays, with the profile that judged it: where a claim's chains have
    not run this time, and where they have run at another size, though `claims` then has the later
    verdict alone. What is returned says of the former that they are blocked.

    The chances of error are corrected for all claims of a family that have a verdict by now.
    """
    entries: dict[str, Entry] = {}
    replaced: dict[tuple[str, str], Entry] = {}
    if (folder / VERDICTS).exists():
        tree = read_verdicts(folder)
        entries = {each["name"]: each for each in _judged_in(tree)}
        replaced = _by_size(tree[REPLACED])

    asked = {each.name: {**each.described(), "profile": profile} for each in results}
    judged: dict[str, Entry] = {}
    for name, each in asked.items():
        before = entries.get(name, each)
        if each["size"] or not before["size"]:
            judged[name] = each
            replaced.pop((name, each["size"]), None)
            if before["size"] not in ("", each["size"]):
                replaced[name, before["size"]] = before

    tree = _tree({**entries, **judged}, catalog, profile)
    if replaced:
        tree[REPLACED] = list(replaced.values())
    files.write_json(folder / VERDICTS, tree)

    not_run = {name: each for name, each in asked.items() if name not in judged}
    for key in {"claims", "measurements"} & set(tree):
        tree[key] = [not_run.get(each["name"], each) for each in tree[key]]
    return tree


def _judged_in(tree: Entry) -> list[Entry]:
    """Return the verdicts and measurements of a file; those of early formats are left out.

    An entry that does not name the profile that judged it has that of the file.
    """
    entries = [each for each in (*tree["claims"], *tree["measurements"]) if "chains" in each]
    return [{"profile": tree["profile"], **each} for each in entries]


def _by_size(entries: Sequence[Entry]) -> dict[tuple[str, str], Entry]:
    return {(each["name"], each["size"]): each for each in entries}


def _tree(entries: Mapping[str, Entry], catalog: Catalog, profile: Profile) -> Entry:
    """Return what claims.json holds of these verdicts and measurements, by claim."""
    decided = [_uncorrected(each) for each in entries.values() if "verdict" in each]
    measured = [each for each in entries.values() if "verdict" not in each]
    tree: Entry = {"profile": profile, "claims": corrected(decided, catalog.family_sizes)}
    if measured:
        tree["measurements"] = measured
    return tree


def _uncorrected(entry: Entry) -> Entry:
    """Return a verdict as its findings alone give it: others of its family may be new."""
    if entry.get("alone") is None:
        return {**entry, "p": entry.get("p"), "alone": _alone(entry)}
    return {**entry, **entry["alone"]}


def _alone(entry: Entry) -> Entry:
    return {"verdict": entry["verdict"], "why": entry["why"]}


def with_costs(folder: Path, tree: Mapping[str, Any], names: Sequence[str]) -> Entry:
    """Return the verdicts on these claims with the CPU seconds that their chains have taken.

    Chains that several claims share count in each of them. `profile` names all profiles that judged
    one of them.
    """
    costs = read_costs(folder)

    def described(entry: Entry) -> Entry:
        seconds = cost_of(entry["chains"], costs)
        return {**entry, "cost": {**entry["cost"], "cpu_seconds": seconds}}

    shown: Entry = {"profile": tree["profile"]}
    profiles: dict[str, None] = {}
    for key in ("claims", "measurements"):
        chosen = [described(each) for each in tree.get(key, []) if each["name"] in names]
        profiles |= dict.fromkeys(each.get("profile", tree["profile"]) for each in chosen)
        if chosen or key == "claims":
            shown[key] = chosen
    if profiles:
        shown["profile"] = " and ".join(profiles)
    return shown
