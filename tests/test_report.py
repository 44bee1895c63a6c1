"""Tables and figures from metrics alone."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from imglab.report.figures import curves_png, strip_png
from imglab.report.table import format_table, frechet_label, metric_names


def row(g, **changes):
    floor = {"fid": {"mean": 4.0, "sd": 0.5}, "precision": {"mean": 0.9, "sd": 0.01}, "vendi": None}
    values = {"generation": g, "fid": 10.0 + g, "fid_se": 0.25, "precision": 0.8, "precision_se": 0.01, "vendi": 3.0}
    described = {"extractor": "classifier@0123456789ab", "reference": "test", "n_real": 50, "n_synthetic": 60}
    return {**values, "duplicate_share": 0.0, **described, "floor": floor, "reasons": {}, "real_share": 1.0, **changes}


def test_names_with_extractor():
    assert frechet_label("classifier@abc") == "FID (classifier)"
    assert frechet_label("inception@abc") == "FID (inception)"
    assert frechet_label("text encoder@abc") == "FD (text encoder)"


def test_table_shows_floor_errors_and_extractor():
    text = format_table([row(0), row(1)])
    lines = text.splitlines()
    assert "FID (classifier)" in lines[0]
    assert lines[1].startswith("floor")
    assert "4.000 ±0.500" in lines[1]
    assert "10 ±0.250" in lines[2]
    assert lines[3].startswith("1 ")
    assert "classifier@0123456789ab, 50 real (test) against 60 synthetic" in text


def test_undefined_is_said_with_its_reason():
    text = format_table([row(0, precision=None, reasons={"precision": "needs at least 6 samples, has 5"})])
    assert "undefined" in text
    assert "undefined: precision: needs at least 6 samples, has 5" in text


@pytest.mark.parametrize("width", [40, 60, 200])
def test_table_fits_its_width(width):
    lines = format_table([row(0), row(1)], width).splitlines()
    assert all(len(line) <= width for line in lines[:4])
    assert any(line.startswith("no room for:") for line in lines) == (width < 200)


def test_metrics_are_told_from_bookkeeping():
    assert metric_names([row(0, colour_drift=0.5)]) == ["fid", "precision", "vendi", "duplicate_share", "colour_drift"]


def test_curves_of_one_and_of_many_runs():
    counted = [row(g, class_counts={"cat": 5 - g, "dog": 1}) for g in range(3)]
    assert Image.open(io.BytesIO(curves_png({"": counted}))).size[0] > 400
    assert curves_png({"": counted}) == curves_png({"": counted}), "the same metrics, the same bytes"
    both = curves_png({"replace": counted, "accumulate": [row(0), row(1, fid=None)]}, ["fid", "precision"])
    assert Image.open(io.BytesIO(both)).format == "PNG"


def test_strip_of_many_generations_keeps_the_first_and_the_last(tmp_path):
    for g in range(100):
        Image.new("RGB", (20, 20), (2 * g, 0, 0)).save(tmp_path / f"{g}.png")
    strip = Image.open(io.BytesIO(strip_png({g: tmp_path / f"{g}.png" for g in range(100)})))
    reds = {strip.getpixel((x, y))[0] for x in range(strip.width) for y in range(strip.height)}
    assert {0, 198} <= reds
    assert strip.width < 120, "twelve pictures stand in rows of four"
