"""The page of a folder of claims: verdicts, a forest plot, and the chains behind each of them."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from markupsafe import Markup

from imglab.errors import InputError, Problem
from imglab.report.assets import style, template
from imglab.report.forest import forest_row, interval_text
from imglab.store import files
from imglab.studies.claims.document import by_question, count_text
from imglab.studies.claims.table import mark_of, null_text
from imglab.studies.claims.verdicts import VERDICTS, read_verdicts, with_costs
from imglab.version import __version__

PAGE = "report.html"
TITLE = "What published claims about model collapse came to here"


def is_claims_folder(folder: Path) -> bool:
    """Say whether a folder holds the verdicts of `imglab claims`."""
    return (folder / VERDICTS).is_file()


def write_claims(folder: Path, out: Path | None = None) -> Path:
    """Write the page of a folder of claims, by default its report.html, and return its path."""
    page = out or folder / PAGE
    files.make_folder(page.parent)
    files.write_bytes(page, claims_page(folder, page.parent).encode("utf-8", "backslashreplace"))
    return page


def claims_page(folder: Path, beside: Path, address: Callable[[str], str] | None = None) -> str:
    """Return the page of a folder of claims; InputError if claims.json is damaged.

    beside   the folder in which the page will lie, to which its links are relative
    address  returns where a chain has its page instead; empty: it has none
    """
    tree = read_verdicts(folder)
    try:
        entries = [*tree["claims"], *tree["measurements"]]
        shown = with_costs(folder, tree, [entry["name"] for entry in entries])
        decided = shown["claims"]
        everything = [*decided, *shown.get("measurements", [])]
        beside_page = partial(_address, _relative(folder, beside))
        groups = [
            {
                "question": question,
                "claims": [_claim(entry, address or beside_page) for entry in of_question],
            }
            for question, of_question in by_question(everything)
        ]
        summary = count_text(decided)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        what = "is damaged: it has not the form of verdicts on claims"
        raise InputError(Problem(str(folder / VERDICTS), what, "run the claims again")) from error

    return template("claims.html.j2").render(
        version=__version__,
        css=style(),
        title=TITLE,
        profile=str(shown["profile"]),
        summary=summary,
        withdrawn=[entry["name"] for entry in decided if entry["withdrawn"]],
        groups=groups,
    )


def _claim(entry: Mapping[str, Any], address: Callable[[str], str]) -> dict[str, Any]:
    """Return what the template shows of a claim or a measurement."""
    verdict = entry.get("verdict")
    rows = [_row(finding, measured=verdict is None) for finding in entry["findings"]]
    head = next((row for row in rows if row["says"] == entry["statement"]), None)
    null = entry.get("null") or {}
    seconds = entry["cost"].get("cpu_seconds")
    return {
        "name": entry["name"],
        "verdict": verdict or "measured",
        "withdrawn": entry.get("withdrawn", False),
        "claims": entry["claims"],
        "source": ", ".join(filter(None, [entry["source"], entry["section"]])),
        "head": head,
        "rows": rows,
        "null": null and f"{null['says']}: {null['verdict']}",
        "why": entry["why"],
        "p": entry.get("p_holm"),
        "substitutions": entry["substitutions"],
        "limits": entry["limits"],
        "cost": seconds,
        "chains": [{"name": chain, "url": address(chain)} for chain in entry["chains"]],
    }


def _row(finding: Mapping[str, Any], *, measured: bool) -> dict[str, Any]:
    mark = None
    if not measured:
        mark = mark_of(finding)
    return {
        "says": finding["says"],
        "svg": Markup(forest_row(finding, mark)),
        "interval": interval_text(finding),
        "required": "" if measured else finding["required"],
        "mark": mark or "measured",
        "power": finding["power"],
        "n": finding["n"],
        "null": finding["null"] and null_text(finding["null"]),
        "bound": finding["bound"],
        "why": finding["why"],
    }


def _address(base: str, chain: str) -> str:
    """Return where the page of a chain is, or the file of unscored chains."""
    target = chain
    if not chain.endswith(".json"):
        target = f"{chain}/{PAGE}"
    return posixpath.normpath(posixpath.join(base, target))


def _relative(folder: Path, beside: Path) -> str:
    """Return the way from the page's folder to that of the claims; never an absolute path.

    A page that lies elsewhere than its claims links to them as if they lay beside it.
    """
    here: Sequence[str] = beside.resolve().parts
    target = folder.resolve().parts
    if target[: len(here)] == here:
        return "/".join(target[len(here) :]) or "."
    return folder.resolve().name
