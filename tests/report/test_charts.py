"""Charts of the page: points lie where their values are."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image

from imglab.report.sheets import sheet_png
from imglab.report.svg import Line, line_chart, stacked_chart
from imglab.report.svg_histogram import histogram_chart


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
