"""The page of claims: a forest plot, and the way to the chains behind each verdict."""

from __future__ import annotations

import json
import re
import shutil
from collections import defaultdict
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from imglab.errors import InputError
from imglab.report.claims import claims_page, is_claims_folder, write_claims
from imglab.report.forest import EDGE, WIDTH, forest_row
from imglab.report.view import RunsView

FINDING = {
    "says": "loss <of> one",
    "holds": True,
    "estimate": 0.5,
    "low": 0.25,
    "high": 1.0,
    "required": "below 2",
    "n": 5,
    "why": "",
    "outside": False,
    "power": 1.2,
    "null": {},
    "unit": "ratio",
    "above": None,
    "below": 2.0,
    "bound": "a margin",
}


def entry(name="rises", **changes):
    """A claim as claims.json has it."""
    return {
        "name": name,
        "family": "tiny",
        "question": "Does it rise?",
        "source": "A paper",
        "section": "section 1",
        "claims": "It rises.",
        "verdict": "holds",
        "withdrawn": False,
        "findings": [FINDING],
        "statement": FINDING["says"],
        "null": {"verdict": "not decided", "says": "real data alone"},
        "why": "",
        "p_holm": 0.001,
        "substitutions": ["a small one"],
        "limits": ["one seed"],
        "chains": ["chains/0123", "solved/4567.json"],
        "cost": {"chains": 2, "expected": "little"},
        **changes,
    }


@pytest.fixture
def folder(tmp_path):
    claims = [entry(), entry("falls", withdrawn=True, verdict="not decided")]
    measured = entry("open")
    for key in ("verdict", "null", "p_holm", "withdrawn"):
        del measured[key]
    tree = {"profile": "quick", "claims": claims, "measurements": [measured]}
    (tmp_path / "claims.json").write_text(json.dumps(tree))
    log = {"chains": "chains/0123", "cpu_seconds": 2.0}
    (tmp_path / "events.jsonl").write_text(json.dumps(log))
    return tmp_path


def places(svg):
    """Left and right end of the interval, and the mark."""
    (line,) = re.findall(r'points="([\d.]+),\d+ ([\d.]+),\d+"', svg)
    (mark,) = re.findall(r"translate\(([\d.]+) ", svg)
    return (*map(float, line), float(mark))


def test_a_ratio_lies_on_a_log_scale():
    low, high, mark = places(forest_row(FINDING, "holds"))
    assert mark - low == pytest.approx(high - mark, abs=0.2)


def test_a_region_reaches_to_the_edge_where_it_has_no_end():
    svg = forest_row(FINDING, "holds")
    (left, width) = map(float, re.findall(r'<rect[^>]* x="([\d.]+)"[^>]* width="([\d.]+)"', svg)[0])
    assert left == EDGE
    assert left + width < WIDTH - EDGE
    assert "loss &lt;of&gt; one: 0.5 (0.25 to 1), must be below 2: holds" in svg
    assert "<rect" not in forest_row(FINDING, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"estimate": None, "low": None, "high": None},
        {"low": None, "high": None},
        {"low": 0.5, "high": 0.5, "below": 0.5},
        {"unit": "difference", "low": -1e300, "high": 1e300},
        {"unit": "difference", "estimate": 0.0, "low": 0.0, "high": 0.0, "below": 0.0},
    ],
)
def test_whatever_an_interval_is_there_is_a_row(changes):
    svg = forest_row({**FINDING, **changes}, "not decided")
    assert svg.endswith("</svg>")
    assert "nan" not in svg.split("aria-label")[1].split('"', 2)[2]


def test_the_page_shows_claims_by_question_with_their_chains(folder):
    page = write_claims(folder).read_text()
    assert is_claims_folder(folder)
    assert page.count("<h2>Does it rise?</h2>") == 1
    for text in ("1 of 2 claims holds, 1 is not decided.", "falls: the null run holds, too"):
        assert text in page
    assert '<a href="chains/0123/report.html">chains/0123</a>' in page
    assert '<a href="solved/4567.json">' in page
    assert "It rises." in page
    assert "Limit: one seed." in page
    assert str(folder) not in page, "a page may be sent to others"


def test_a_page_elsewhere_links_to_the_chains(folder):
    page = claims_page(folder, folder.parent)
    assert f'<a href="{folder.name}/chains/0123/report.html">' in page


def test_the_view_of_a_folder_links_to_its_claims(folder, tmp_path_factory):
    """A chain that has a page there is linked to it, and others are not linked at all."""
    root = tmp_path_factory.mktemp("runs")
    shutil.copytree(folder, root / "my claims")
    with RunsView(root) as view, urlopen(view.url) as table:
        address = f"{view.url}claims?run=my%20claims"
        assert address.removeprefix(view.url[:-1]) in table.read().decode()
        with urlopen(address) as answer:
            page = answer.read().decode()
        assert "Does it rise?" in page
        assert "chains/0123" in page
        assert "<a " not in page
        with pytest.raises(HTTPError, match="404"):
            urlopen(f"{view.url}claims?run=..")

    page = claims_page(folder, folder, defaultdict(str, {"chains/0123": "/runs?run=x"}).__getitem__)
    assert '<a href="/runs?run=x">chains/0123</a>, solved/4567.json' in page


def test_damaged_verdicts_are_refused(folder):
    (folder / "claims.json").write_text('{"profile": "quick", "claims": [{"name": 1}]}')
    with pytest.raises(InputError, match="has not the form of verdicts"):
        claims_page(folder, folder)


def test_the_report_command_makes_the_page(lab, folder):
    code, out, _ = lab("report", str(folder), "--out", str(folder / "page.html"))
    assert (code, out.strip()) == (0, str(folder / "page.html"))
