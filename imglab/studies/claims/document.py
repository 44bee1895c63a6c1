"""docs/claims.md: the table of a finished folder of claims, grouped by question. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from imglab.studies.claims.catalog import Catalog
from imglab.studies.claims.claim import Claim
from imglab.studies.claims.finding import Verdict
from imglab.studies.claims.table import mark_of, number_text

Entry = Mapping[str, Any]
"""A claim or a measurement as claims.json has it, with its costs."""

OTHER = "Other questions"
COLUMNS = ("claim", "source", "verdict", "effect, 95% interval, region", "power", "null", "cost")
HEAD = """\
# What the claims came to

This page is written by `python scripts/claims_table.py {folder} docs/claims.md --keep` from folders
of `imglab claims`, never by hand. What the words mean stands in
[sweeps and claims](sweeps_and_claims.md#claims); `imglab claims NAME --explain` prints section,
protocol, substitutions, null run, what would falsify a claim, and limits. "Does not hold" is said
of the protocol that ran here, at its size, and not of the paper. The effect is that of the
statement on which the verdict rests; of laws, the mean over 300 or more chains in units of the law,
where |z| is largest. Power is the smallest effect seen with a chance of 80%: a factor for ratios, a
relative error for laws. The null run has the phenomenon absent, or the wrong law, and must not
hold, which takes an interval wholly outside its region; so regions begin at the smallest effect
that is worth claiming. Cost is CPU seconds of the chains, those shared with other claims included;
it is empty where the process that ran some of them was cut off.
"""


def claims_document(tree: Entry, catalog: Catalog, folder: str) -> str:
    """Return the document.

    tree     the verdicts of a folder, with costs
    catalog  all claims: those without a verdict are listed as not run
    folder   what to call the folder in the command that the document names
    """
    decided = tree["claims"]
    measured = tree.get("measurements", [])
    names = {entry["name"] for entry in [*decided, *measured]}
    missing = [claim for claim in catalog.claims.values() if claim.name not in names]

    lines = [HEAD.format(folder=folder)]
    lines.append(f"Profile `{tree['profile']}`: {count_text(decided)}{_not_run_text(missing)}\n")
    for question, entries in by_question(decided):
        lines += [f"## {question}\n", *_table(entries), ""]
    lines += _measurements(measured)
    lines += _withdrawn(decided)
    lines += _undecided(decided)
    lines += _not_run(missing, catalog)
    return "\n".join(lines).rstrip() + "\n"


def count_text(entries: Sequence[Entry]) -> str:
    """Return how many claims came to each verdict, as a sentence.

    >>> count_text([{"verdict": "holds"}, {"verdict": "blocked"}, {"verdict": "holds"}])
    '2 of 3 claims hold, 1 is blocked.'
    """
    counts = Counter(entry["verdict"] for entry in entries)
    words = {
        "holds": ("holds", "hold"),
        "does not hold": ("does not hold", "do not hold"),
        "not decided": ("is not decided", "are not decided"),
        "blocked": ("is blocked", "are blocked"),
    }
    parts = []
    for verdict in get_args(Verdict):
        if counts[verdict]:
            one, several = words[verdict]
            parts.append((counts[verdict], one if counts[verdict] == 1 else several))
    if not parts:
        return "no claim has run."

    (first, verb), *others = parts
    texts = [f"{first} of {len(entries)} claims {verb}", *(f"{n} {verb}" for n, verb in others)]
    return f"{', '.join(texts)}."


def by_question(entries: Sequence[Entry]) -> list[tuple[str, list[Entry]]]:
    """Group claims by their question, in the order in which the questions first stand."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry["question"] or OTHER, []).append(entry)
    return list(groups.items())


def _table(entries: Sequence[Entry]) -> Iterator[str]:
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"|{'---|' * len(COLUMNS)}"
    for entry in entries:
        verdict = entry["verdict"]
        if entry["withdrawn"]:
            verdict = "withdrawn"
        cells = (
            f"`{entry['name']}`",
            entry["source"],
            f"**{verdict}**",
            _effect(entry),
            number_text(entry["power"]) if entry["power"] is not None else "",
            _null(entry["null"]),
            _cost(entry),
        )
        yield f"| {' | '.join(_cell(text) for text in cells)} |"


def _effect(entry: Entry) -> str:
    """Return the finding on which a verdict rests, or why there is none."""
    if not entry["findings"]:
        return str(entry["why"])
    head = next(each for each in entry["findings"] if each["says"] == entry["statement"])
    text = f"{head['says']}: {_interval(head)}, {head['required']}"
    others = len(entry["findings"]) - 1
    if others:
        holding = sum(mark_of(each) == "holds" for each in entry["findings"])
        text += f" ({holding} of {others + 1} statements hold)"
    return text


def _interval(finding: Entry) -> str:
    low = number_text(finding["low"])
    high = number_text(finding["high"])
    return f"{number_text(finding['estimate'])} ({low} to {high})"


def _null(null: Entry) -> str:
    """Return the verdict of a null run; of laws, the |z| by which the nearest one is rejected."""
    if not null:
        return ""
    if "laws" in null:
        z = "no bound"
        if null["z"] is not None:
            z = f"{abs(null['z']):.3g}"
        return f"{null['verdict']}: wrong law, |z| {z}"
    return str(null["verdict"])


def _cost(entry: Entry) -> str:
    seconds = entry["cost"].get("cpu_seconds")
    if seconds is None:
        return ""
    # Of thousands of seconds three digits would be written as a power of ten.
    rounded = f"{seconds:.3g}"
    if seconds >= 1000:
        rounded = f"{seconds:.0f}"
    return f"{rounded} s, {entry['cost']['chains']} chains"


def _measurements(entries: Sequence[Entry]) -> Iterator[str]:
    if not entries:
        return
    yield "## Measurements: open questions, without a verdict\n"
    yield "| question | measured | 95% interval | seeds |"
    yield "|---|---|---|---|"
    for entry in entries:
        for finding in entry["findings"]:
            cells = (entry["claims"], finding["says"], _interval(finding), str(finding["n"]))
            yield f"| {' | '.join(_cell(text) for text in cells)} |"
    yield ""


def _withdrawn(entries: Sequence[Entry]) -> Iterator[str]:
    names = [f"`{entry['name']}`" for entry in entries if entry["withdrawn"]]
    if names:
        yield "## Withdrawn\n"
        why = "These hold with the phenomenon absent, too, and so show nothing"
        yield f"{why}: {', '.join(names)}.\n"


def _undecided(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield why claims are not decided or blocked."""
    open_ones = [each for each in entries if each["verdict"] in ("not decided", "blocked")]
    if not open_ones:
        return
    yield "## Not decided or blocked, and why\n"
    for entry in open_ones:
        whys = [finding["why"] for finding in entry["findings"] if mark_of(finding) != "holds"]
        reasons = "; ".join(filter(None, [entry["why"], *whys]))
        yield f"- `{entry['name']}` ({entry['verdict']}): {reasons}"
    yield ""


def _not_run(missing: Sequence[Claim], catalog: Catalog) -> Iterator[str]:
    """Yield the claims without a verdict, and what their protocols are expected to cost."""
    if not missing:
        return
    yield "## Not run\n"
    yield "Nothing is said about these here; `imglab claims NAME` runs them.\n"
    yield "| claim | asks | chains of |"
    yield "|---|---|---|"
    costs: dict[str, str] = {}
    for claim in missing:
        name = claim.protocol or "its own"
        if claim.protocol is not None:
            sizes = catalog.protocols[claim.protocol].profiles
            costs[name] = "; ".join(f"`{size}`: {each.cost}" for size, each in sizes.items())
        cells = (f"`{claim.name}`", claim.claims, name)
        yield f"| {' | '.join(_cell(text) for text in cells)} |"

    yield "\nWhat these chains are expected to cost, by profile:\n"
    for name, cost in costs.items():
        yield f"- {name}: {cost}"


def _not_run_text(missing: Sequence[Claim]) -> str:
    if not missing:
        return ""
    return f" {len(missing)} more have not run."


def _cell(text: str) -> str:
    """Return a text that stands in one cell."""
    return " ".join(text.split()).replace("|", "\\|")
