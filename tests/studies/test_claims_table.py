"""A table of claims that ran in several folders."""

from __future__ import annotations

from pathlib import Path

from imglab.studies.claims.joined_documents import merged

ROOT = Path(__file__).resolve().parents[2]
HEAD = "# What the claims came to\n\nProfile `quick`: {}\n\n"
TABLE = "| claim | verdict |\n|---|---|\n"
OLD = (
    HEAD.format("1 of 2 claims hold, 1 is not decided. 2 more have not run.")
    + f"## First?\n\n{TABLE}| `a` | **holds** | 1 |\n| `b` | **not decided** | 2 |\n\n"
    + "## Not decided or blocked, and why\n\n- `b` (not decided): few seeds\n\n"
    + "## Not run\n\n| claim | asks | chains of |\n|---|---|---|\n"
    + "| `c` | c? | both |\n| `d` | d? | its own |\n\n- both: 1 s\n- its own: 2 s\n"
)
NEW = (
    HEAD.format("2 of 2 claims hold. 2 more have not run.")
    + f"## First?\n\n{TABLE}| `b` | **holds** | 3 |\n\n"
    + f"## Second?\n\n{TABLE}| `c` | **holds** | 4 |\n\n"
    + "## Not run\n\n| claim | asks | chains of |\n|---|---|---|\n"
    + "| `a` | a? | both |\n| `d` | d? | its own |\n\n- both: 1 s\n- its own: 2 s\n"
)
TOGETHER = (
    HEAD.format("3 of 3 claims hold. 1 more have not run.")
    + f"## First?\n\n{TABLE}| `a` | **holds** | 1 |\n| `b` | **holds** | 3 |\n\n"
    + "## Not decided or blocked, and why\n\n"
    + f"## Second?\n\n{TABLE}| `c` | **holds** | 4 |\n\n"
    + "## Not run\n\n| claim | asks | chains of |\n|---|---|---|\n"
    + "| `d` | d? | its own |\n\n- its own: 2 s\n"
)


def test_rows_that_a_folder_does_not_judge_stay():
    assert merged(NEW, OLD) == TOGETHER.replace("## Not decided or blocked, and why\n\n", "")


def test_the_shipped_table_is_the_same_after_nothing_new():
    shipped = (ROOT / "docs/claims.md").read_text()
    assert merged(shipped, shipped) == shipped
