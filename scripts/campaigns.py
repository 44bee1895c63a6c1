"""Disturb the lab in four ways, count how it ends, and say it in a table.

python scripts/campaigns.py --all --write      all of it, an hour and a half on one core;
the table goes into docs/reliability.md
python scripts/campaigns.py kills errors       some of the campaigns

kills          runs that are killed and resumed come to the same bytes (tests/faults, by pytest)
errors         errors of the system at file operations of all commands (scripts/inject_errors.py)
transient      faults that pass: nothing good is set aside (the same script)
interleavings  two commands at a time, in drawn orders (scripts/interleave.py)
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/reliability.md"
PLACE = re.compile(r"(?<=<!-- campaigns -->\n).*?(?=<!-- end of campaigns -->)", re.S)
COUNTS = {"errors": 2_000, "transient": 500, "interleavings": 1_000}
KILLED = ("tests/faults", "tests/running/test_processes.py", "-k", "killed or dies")


@dataclass(frozen=True)
class Row:
    """What a campaign has tried, how that ended, and what has broken a promise."""

    title: str
    tried: str
    ends: str
    broken: list[str]

    def line(self) -> str:
        return f"| {self.title} | {self.tried} | {self.ends} | {len(self.broken)} |"


def kills(seed: int) -> Row:
    """Run the tests that kill; each says how often it did."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "kills.xml")
        command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-m", "slow", *KILLED]
        subprocess.run([*command, f"--junitxml={report}"], cwd=ROOT, check=False)
        cases = list(ET.parse(report).iter("testcase"))

    counts = Counter[str]()
    broken = []
    for case in cases:
        name = case.get("name", "").partition("[")[0]
        for each in case.iter("property"):
            counts[name] += int(each.get("value", 0))
        if case.find("failure") is not None or case.find("error") is not None:
            broken.append(case.get("name", ""))
    skipped = sum(case.find("skipped") is not None for case in cases)
    tried = f"{counts.total()} in {len(cases) - skipped} tests"
    return Row("kills", tried, "the same bytes, but for the last column", broken)


def errors(seed: int) -> Row:
    return _injected("errors of the system", COUNTS["errors"], 0, seed)


def transient(seed: int) -> Row:
    return _injected("faults that pass", 0, COUNTS["transient"], seed)


def _injected(title: str, stay: int, passing: int, seed: int) -> Row:
    from inject_errors import COMMANDS, LOOKING, inject

    where = f"{len(COMMANDS)} commands"
    if passing:
        where = f"{len(LOOKING)} commands that look for damage"

    with tempfile.TemporaryDirectory() as folder:
        campaign, broken = inject(stay, passing, seed, Path(folder))
    return Row(title, f"{campaign.codes.total()} in {where}", _ends(campaign.codes), broken)


def interleavings(seed: int) -> Row:
    from interleave import PAIRS, interleave

    with tempfile.TemporaryDirectory() as folder:
        campaign, broken = interleave(COUNTS["interleavings"], seed, Path(folder))
    codes = Counter(code for pair in campaign.codes.elements() for code in pair)
    tried = f"{campaign.codes.total()} of {len(PAIRS)} pairs, {campaign.operations:,} operations"
    return Row("two commands at a time", tried, _ends(codes), broken)


def _ends(codes: Counter[int | None] | Counter[int]) -> str:
    ends = sorted(codes.items(), key=lambda item: str(item[0]))
    return ", ".join(f"{count} with exit code {code}" for code, count in ends)


CAMPAIGNS: dict[str, Callable[[int], Row]] = {
    "kills": kills,
    "errors": errors,
    "transient": transient,
    "interleavings": interleavings,
}


def table(rows: list[Row]) -> str:
    head = ["| campaign | tried | ends | broken promises |", "|---|---|---|---|"]
    return "\n".join([*head, *(row.line() for row in rows)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", choices=[*CAMPAIGNS, []])
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()

    # The commands that are disturbed have arguments of their own.
    sys.path.insert(0, str(Path(__file__).parent))
    rows = [CAMPAIGNS[name](asked.seed) for name in (CAMPAIGNS if asked.all else asked.names)]
    print(table(rows))
    if asked.write:
        PAGE.write_text(PLACE.sub(lambda _: f"\n{table(rows)}\n\n", PAGE.read_text()))
    for what in (broken for row in rows for broken in row.broken[:20]):
        print(what)
    raise SystemExit(any(row.broken for row in rows))
