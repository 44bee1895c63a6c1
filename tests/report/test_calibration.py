"""A calibration on the page of the runs that were measured with its extractor."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from imglab.errors import InputError
from imglab.report.assets import template
from imglab.report.calibration import calibration_tables

SEEN = {"units": [0.5, 12.0], "direction": 1, "first": 0.25}
UNSEEN = {"units": [0.1, 0.2], "direction": 0, "first": None}
RESULT: dict[str, Any] = {
    "damages": {"fade": {}, "copy <b>": {}},
    "scores": [
        {"source": "without features", "reactions": {}},
        {"source": "net@1", "reactions": {"fid": {"fade": SEEN, "copy <b>": UNSEEN}}},
        {"source": "other@2", "reactions": {}},
    ],
}


def arm(extractor):
    return SimpleNamespace(rows=[{"extractor": extractor}])


def write(folder, result):
    (folder / "calibration.json").write_text(json.dumps(result))
    return folder


def test_the_table_of_the_runs_extractor_and_of_what_needs_none(tmp_path):
    values = calibration_tables(write(tmp_path, RESULT), [arm("net@1")])
    without, table = values["calibration"]
    assert without["title"] == "without features"
    assert table["rows"] == [("fid", ["+12 (.25)", "."])]
    assert table["blind"] == ["fid: copy <b>"]

    html = template("page.html.j2").render(**values)
    assert "What these numbers react to" in html
    assert "copy &lt;b&gt;" in html


def test_a_page_has_none_unless_asked_for():
    values = calibration_tables(None, [arm("net@1")])
    assert "What these numbers react to" not in template("page.html.j2").render(**values)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, "is not a calibration"),
        ({"damages": {}}, "lacks the key 'scores'"),
        ({"damages": {}, "scores": [{"source": "net@1"}]}, "has not the form of a calibration"),
        ({"damages": {}, "scores": 5}, "has not the form of a calibration"),
        (RESULT, "the runs were measured with mine@3"),
    ],
)
def test_what_is_no_calibration_of_these_runs_is_refused(tmp_path, result, message):
    if result is not None:
        write(tmp_path, result)
    extractor = "net@1"
    if result is RESULT:
        extractor = "mine@3"
    with pytest.raises(InputError, match=message):
        calibration_tables(tmp_path, [arm(extractor)])
