"""Charts of the page: points lie where their values are."""

from __future__ import annotations

import io
import itertools
import re

import numpy as np
import pytest
from PIL import Image

from imglab.report.assets import asset
from imglab.report.explanations import clipped_band, explanation, range_of, within
from imglab.report.figures import PALETTE, spread_apart
from imglab.report.sheets import sheet_png
from imglab.report.svg import SHAPES, Line, line_chart, stacked_chart
from imglab.report.svg_histogram import histogram_chart
from imglab.store import metric_order
from tests.conftest import ROOT


class TestSheets:
    @pytest.mark.parametrize("shape", [(1, 1, 8, 8), (10, 1, 8, 8), (9, 3, 5, 7), (4, 2, 3, 3)])
    def test_every_image_lies_where_the_layout_says(self, shape):
        images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        content, layout = sheet_png(images)
        sheet = np.asarray(Image.open(io.BytesIO(content)))
        sheet = sheet[:, :, None] if sheet.ndim == 2 else sheet
        assert sheet.shape[:2] == (layout["height"], layout["width"])
        for at, image in enumerate(images):
            left = at % layout["columns"] * (layout["w"] + layout["gap"]) + layout["gap"]
            top = at // layout["columns"] * (layout["h"] + layout["gap"]) + layout["gap"]
            cut = sheet[top : top + layout["h"], left : left + layout["w"]]
            assert np.array_equal(cut, image[: sheet.shape[2]].transpose(1, 2, 0))
        assert layout["scale"] == int(layout["scale"]) >= 1


class TestCharts:
    def test_points_lie_where_their_values_are(self):
        chart = line_chart(
            "m", [Line("a", [(0, 1.0, 1.0, 1.0), (1, 0.5, 0.4, 0.6), (2, 0.0, 0.0, 0.0)], 0)], 2
        )
        (points,) = re.findall(r'polyline class="line s0" points="([^"]+)"', chart)
        (x0, y0), (x1, y1), (x2, y2) = (map(float, point.split(",")) for point in points.split())
        assert x1 - x0 == pytest.approx(x2 - x1, abs=0.1)
        assert y1 - y0 == pytest.approx(y2 - y1, abs=0.11), "0.5 lies in the middle"
        assert y0 < y2
        assert "band" in chart
        assert 'aria-label="m: a 1 to 0"' in chart

    @pytest.mark.parametrize(("count", "markers"), [(30, 30), (31, 0)])
    def test_every_point_says_its_value(self, count, markers):
        points = [(g, g / 8, g / 8 - 0.1, g / 8 + 0.1) for g in range(count)]
        chart = line_chart("m", [Line('a"', points, 0)], count - 1)
        assert chart.count("<title>") == markers
        assert ('data-name="a&quot;"' in chart) == (not markers)
        values = re.findall(r'data-values="([^"]+)"', chart)
        assert bool(values) == (not markers)
        for text in values:
            assert text.split(",")[8] == "8:1:0.9:1.1"

    def test_what_is_not_there_is_not_drawn(self):
        assert "polyline" not in line_chart("m", [Line("a", [], 0)], 3)
        assert 'class="floor"' not in line_chart("m", [], 3, {"mean": None, "sd": None})
        assert 'class="floor"' in line_chart("m", [], 3, {"mean": 0.5, "sd": 0.1})

    def test_shares_are_stacked_to_one(self):
        chart = stacked_chart("a", [("real", [1.0, 0.25]), ("generation 0", [0.0, 0.75])], 1)
        tops = [
            min(float(p.split(",")[1]) for p in points.split())
            for points in re.findall(r'points="([^"]+)"', chart)
        ]
        assert tops[0] == tops[1], "the whole is as high as all real"

    def test_names_are_escaped(self):
        for chart in (
            line_chart("<b>", [Line("<i>", [(0, 1.0, 1.0, 1.0)], 0)], 0),
            histogram_chart('"><script>', [0.0, 1.0], {0: [1.0]}),
            stacked_chart("<b>", [("<i>", [1.0])], 0),
        ):
            assert not re.search(r"<(b|i|script)>", chart)


class TestExplanations:
    def test_every_metric_of_the_documentation_is_explained(self):
        text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
        table = text[text.index("| metric | says |") : text.index("**The floor.**")]
        rows = [line.split(" | ")[0] for line in table.splitlines()[2:] if line.strip()]
        names = {name for row in rows for name in re.findall(r"`([a-z0-9_]{3,})`", row)}
        assert len(names) > 80
        assert [name for name in names - {"accepted"} if explanation(name) is None] == []
        assert explanation("of_another_package") is None

    def test_what_is_explained_stands_for_itself(self):
        for name in metric_order.FIRST:
            words = explanation(name)
            assert words is not None, name
            assert "the same" not in words.says.lower()

    @pytest.mark.parametrize(
        ("metric", "low", "high"),
        [
            ("recall_bounded", 0.0, 1.0),
            ("fid", 0.0, None),
            ("kid", None, None),
            ("perplexity", 1.0, None),
            ("vendi", 1.0, None),
            ("clip_score", 0.0, 100.0),
            ("recall_shape", 0.0, 1.0),
            ("distinct_3", 0.0, 1.0),
            ("of_another_package", None, None),
        ],
    )
    def test_bands_end_where_the_range_does(self, metric, low, high):
        assert range_of(metric) == (low, high)
        bottom, top = within(metric, 1.0, 1e6)
        assert (bottom, top) == (
            -999_999.0 if low is None else low,
            1_000_001.0 if high is None else high,
        )

    def test_a_value_beyond_its_range_is_still_drawn(self):
        assert clipped_band("recall", 1.2, 1.1, 1.3) == (1.1, 1.2)

    def test_a_chart_draws_no_band_and_no_floor_beyond_the_range(self):
        lines = [Line("a", [(0, 0.99, 0.9, 1.1), (1, 0.5, 0.4, 0.6)], 0)]
        chart = line_chart("m", lines, 1, {"mean": 0.95, "sd": 0.1}, metric="recall")
        assert "(0.9 to 1)" in chart
        assert "<title>Share of real samples" in chart
        highest = re.findall(r'<text x="[\d.]+" y="([\d.]+)" text-anchor="end">1.0', chart)
        (top,) = re.findall(r'rect class="floor" x="\d+" y="([\d.]+)"', chart)
        assert float(top) == pytest.approx(float(highest[0]) - 3.5, abs=0.2)


class TestLabels:
    def test_labels_are_apart_and_keep_their_order(self):
        places = [50.0, 51.0, 49.5, 0.0, 100.0]
        free = spread_apart(places, 6, 100)
        assert sorted(range(5), key=free.__getitem__) == sorted(range(5), key=places.__getitem__)
        ordered = sorted(free)
        assert all(b - a >= 6 - 1e-9 for a, b in itertools.pairwise(ordered))
        assert ordered[0] >= 0
        assert ordered[-1] <= 100
        assert free[3:] == [0.0, 100.0], "what has room stays where it is"

    @pytest.mark.parametrize("count", [1, 2, 30])
    def test_crowded_labels_fill_the_room(self, count):
        free = spread_apart([100.0] * count, 6, 100)
        assert min(free) >= -1e-9
        assert max(free) == 100

    def test_page_and_figures_have_the_same_ten_colours(self):
        css = asset("page.css")
        light = css[: css.index("@media")]
        for number, colour in enumerate(PALETTE):
            assert f"--c{number}: {colour};" in light.replace("#777;", "#777777;")
            assert f".chart .line.s{number} " in css
        assert len(set(PALETTE)) == len(SHAPES) == 10
