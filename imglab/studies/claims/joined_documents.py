"""docs/claims.md of several folders of claims: rows stay where no later folder judges them.

Claims run where there is a machine for them, so that no folder may hold all. No torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from imglab.studies.claims.document import count_text

NAME = re.compile(r"^(?:\| |- )`(\w+)`")
VERDICT = re.compile(r"\| \*\*([a-z ]+)\*\* \|")
COST = re.compile(r"^- (\w[\w ]*): ")
COUNTS = re.compile(r"^Profile `(.*)`: .*$", re.M)
MEASURED = "## Measurements: open questions, without a verdict"
NOT_RUN = "## Not run"

Sections = dict[str, list[str]]
"""Lines below each heading of the second level, in the order of the document."""


def _sections_of(text: str) -> tuple[str, Sections]:
    """Divide a document into what stands before its first section, and its sections."""
    head, *parts = re.split(r"^(?=## )", text, flags=re.M)
    sections = {}
    for part in parts:
        heading, *lines = part.rstrip("\n").split("\n")
        sections[heading] = lines
    return head, sections


def _named(lines: list[str]) -> dict[str, str]:
    """Return the rows, or items, of a section by the claim that they are about."""
    rows = {}
    for line in lines:
        match = NAME.match(line)
        if match:
            rows[match[1]] = line
    return rows


def merged(new: str, old: str) -> str:
    """Return `new` with the rows of `old` on claims, and measurements, that it has not."""
    head, sections = _sections_of(new)
    head_before, before = _sections_of(old)
    judged: set[str] = set()
    for heading, lines in sections.items():
        if heading != NOT_RUN:
            judged |= _named(lines).keys()

    together: Sections = {}
    for heading in dict.fromkeys([*before, *sections]):
        if heading != NOT_RUN:
            together[heading] = _joined(before.get(heading, []), sections.get(heading, []), judged)

    # A claim is done that has a row of its name; a measurement, one of its question.
    done = {name for lines in together.values() for name in _named(lines)}
    done |= {line.strip("| ").split(" | ")[0] for line in together.get(MEASURED, [])}
    together[NOT_RUN] = list(_still_missing(sections.get(NOT_RUN, []), done))
    return _written(COUNTS.sub(_counted(together, head_before, head), head), together)


def _still_missing(lines: list[str], done: set[str]) -> Iterator[str]:
    """Yield the claims that have not run, and the costs of their protocols alone."""
    protocols = set()
    for line in lines:
        match = NAME.match(line)
        cost = COST.match(line)
        if match:
            _, question, protocol = line.strip("| ").split(" | ")
            if done & {match[1], question}:
                continue
            protocols.add(protocol)
        if cost and cost[1] not in protocols:
            continue
        yield line


def _joined(before: list[str], after: list[str], judged: set[str]) -> list[str]:
    """Return a section with the items before, but those judged anew, and the new ones below."""
    head, old_items = _divided(before)
    if after:
        head, _ = _divided(after)
    items = [line for line in old_items if not _named([line]).keys() & judged]
    _, new_items = _divided(after)
    items += [line for line in new_items if line not in items]
    if not items:
        return []
    return [*head, *items]


def _divided(lines: list[str]) -> tuple[list[str], list[str]]:
    """Divide a section into its beginning, the head of a table included, and its items."""
    first = 0
    for place, line in enumerate(lines):
        if line.startswith("|---"):
            first = place + 1
    while first < len(lines) and not lines[first].startswith(("| ", "- ")):
        first += 1
    return lines[:first], [line for line in lines[first:] if line]


def _counted(sections: Sections, *heads: str) -> str:
    """Return the line that counts the verdicts, and names the profiles of these beginnings."""
    profiles: dict[str, None] = {}
    for head in heads:
        match = COUNTS.search(head)
        if match:
            profiles |= dict.fromkeys(match[1].split(" and "))

    lines = [line for section in sections.values() for line in section]
    verdicts = [match[1] for match in map(VERDICT.search, lines) if match]
    text = count_text([{"verdict": verdict} for verdict in verdicts])
    missing = len(_named(sections[NOT_RUN]))
    if missing:
        text += f" {missing} more have not run."
    return f"Profile `{' and '.join(profiles)}`: {text}"


def _written(head: str, sections: Sections) -> str:
    """Return the document; a section without items is left out."""
    texts = []
    for heading, below in sections.items():
        if below and not (heading == NOT_RUN and not _named(below)):
            texts.append("\n".join([heading, *below]).rstrip("\n"))
    return head + "\n\n".join(texts) + "\n"
