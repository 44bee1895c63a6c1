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
Entry = dict[str, Any]


def read_verdicts(folder: Path) -> Entry:
    """Return what claims.json of a folder holds; InputError if it is damaged."""
    tree = files.read_json(folder / VERDICTS, ("profile", "claims"))
    tree.setdefault("measurements", [])
    return tree


def earlier_verdicts(folder: Path, catalog: Catalog, profile: Profile) -> dict[str, Entry]:
    """Return the verdicts and measurements of earlier calls, by claim.

    Those of another profile count where this one would run the same chains.
    """
    if not (folder / VERDICTS).exists():
        return {}
    tree = read_verdicts(folder)
    entries = [each for each in (*tree["claims"], *tree["measurements"]) if "chains" in each]
    if tree["profile"] == profile:
        return {entry["name"]: entry for entry in entries}

    sizes = {name: catalog.size_of(claim, profile) for name, claim in catalog.claims.items()}
    return {each["name"]: each for each in entries if each["size"] == sizes.get(each["name"])}


def merged_verdicts(
    folder: Path, catalog: Catalog, profile: Profile, results: Sequence[Result]
) -> Entry:
    """Write claims.json with these results in it, and return what it holds.

    The chances of error are corrected for all claims of a family that have a verdict by now.
    """
    entries = earlier_verdicts(folder, catalog, profile)
    for result in results:
        entries[result.name] = result.described()

    decided = [_uncorrected(each) for each in entries.values() if "verdict" in each]
    measured = [each for each in entries.values() if "verdict" not in each]
    tree: Entry = {"profile": profile, "claims": corrected(decided, catalog.family_sizes)}
    if measured:
        tree["measurements"] = measured
    files.write_json(folder / VERDICTS, tree)
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

    Chains that several claims share count in each of them.
    """
    costs = read_costs(folder)

    def described(entry: Entry) -> Entry:
        seconds = cost_of(entry["chains"], costs)
        return {**entry, "cost": {**entry["cost"], "cpu_seconds": seconds}}

    shown: Entry = {"profile": tree["profile"]}
    for key in ("claims", "measurements"):
        chosen = [described(each) for each in tree.get(key, []) if each["name"] in names]
        if chosen or key == "claims":
            shown[key] = chosen
    return shown
