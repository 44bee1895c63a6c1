"""Tables and figures from metrics alone."""

from __future__ import annotations

import io
import shutil

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from imglab.report.curves import curves_figure
from imglab.report.figures import figure_names, finish_panel, png
from imglab.report.histograms import histograms_figure
from imglab.report.per_sample import histogram
from imglab.report.pictures import strip_png
from imglab.report.study_files import write_study
from imglab.report.table import format_table, frechet_label, streamed
from imglab.report.video import video
from imglab.store.reading import metric_names


def row(g, **changes):
    floor = {"fid": {"mean": 4.0, "sd": 0.5}, "precision": {"mean": 0.9, "sd": 0.01}, "vendi": None}
    values = {
        "generation": g,
        "fid": 10.0 + g,
        "fid_se": 0.25,
        "precision": 0.8,
        "precision_se": 0.01,
        "vendi": 3.0,
    }
    described = {
        "extractor": "classifier@0123456789ab",
        "reference": "test",
        "n_real": 50,
        "n_synthetic": 60,
    }
    return {
        **values,
        "duplicate_share": 0.0,
        **described,
        "floor": floor,
        "reasons": {},
        "real_share": 1.0,
        **changes,
    }


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


def test_an_axis_names_few_values():
    figure = curves_figure({"": [row(g, fid=10.0 + 0.37 * g) for g in range(5)]})
    for panel in figure.axes:
        low, high = panel.get_ylim()
        assert 2 <= sum(low <= place <= high for place in panel.get_yticks()) <= 6


def test_one_value_has_room_around_it():
    panel = Figure().add_subplot()
    # Where a line for the floor crosses 0, matplotlib may round its end.
    panel.plot([0, 1, 2], [0.0, -5.6e-17, 0.0])
    finish_panel(panel, "duplicate share", [0, 1, 2])
    assert panel.get_ylim() == pytest.approx((-0.05, 0.05))


@pytest.mark.parametrize(
    ("values", "is_flat"), [([1e-13, 2e-13, 3e-13], False), ([1e5, 1e5 + 1e-10, 1e5], True)]
)
def test_values_are_one_value_by_their_size(values, is_flat):
    panel = Figure().add_subplot()
    panel.plot([0, 1, 2], values)
    finish_panel(panel, "w2", [0, 1, 2])
    low, high = panel.get_ylim()
    assert (high - low > 2 * (max(values) - min(values)) + 1e-15) == is_flat


def test_undefined_is_said_with_its_reason():
    text = format_table(
        [row(0, precision=None, reasons={"precision": "needs at least 6 samples, has 5"})]
    )
    assert "undefined" in text
    assert "undefined: precision: needs at least 6 samples, has 5" in text


@pytest.mark.parametrize("width", [30, 40, 60, 200])
def test_a_table_that_is_too_wide_goes_on_below(width):
    lines = format_table([row(0), row(1)], width).splitlines()
    headers = [line for line in lines if line.startswith("generation")]
    assert all(len(line) <= width for line in lines[: 5 * len(headers) - 1])
    assert (len(headers) > 1) == (width < 200)
    for label in ("FID (classifier)", "precision", "Vendi", "duplicate share"):
        assert sum(label in line for line in headers) == 1


def test_what_matters_most_is_streamed_first():
    header, line = streamed(row(0, headline=["vendi", "no such metric"]), 40)
    assert header.splitlines()[0].split()[:2] == ["generation", "Vendi"]
    assert line.split()[:2] == ["0", "3.000"]


def test_histograms_count_every_sample():
    generator = np.random.default_rng(0)
    values = {g: generator.lognormal(g, 1, 500).astype(np.float32) for g in range(3)}
    edges, counts = histogram(values)
    assert all(column.sum() == 500 for column in counts.values())
    assert len(edges) == len(counts[0]) + 1
    ratios = edges[1:] / edges[:-1]
    assert np.allclose(ratios, ratios[0], rtol=1e-3), "wide positive values have bins of one ratio"
    values[1][:7] = np.inf
    assert histogram(values)[1][1].sum() == 493
    assert histogram({0: np.full(5, 2.0)})[1][0].sum() == 5, "all equal"
    assert png(histograms_figure({"reference_perplexity": values})) == png(
        histograms_figure({"reference_perplexity": values})
    )


def test_what_a_metric_says_of_several_things_gets_a_panel_of_lines():
    plain = [row(g) for g in range(3)]
    banded = [row(g, word_survival={"1": 0.5 - g / 10, "32+": None}) for g in range(3)]
    assert png(curves_figure({"": banded})) != png(curves_figure({"": plain}))


def test_metrics_are_told_from_bookkeeping():
    assert metric_names([row(0, colour_drift=0.5)]) == [
        "fid",
        "precision",
        "vendi",
        "duplicate_share",
        "colour_drift",
    ]


def test_curves_of_one_and_of_many_runs():
    counted = [row(g, class_counts={"cat": 5 - g, "dog": 1}) for g in range(3)]
    assert Image.open(io.BytesIO(png(curves_figure({"": counted})))).size[0] > 400
    assert png(curves_figure({"": counted})) == png(curves_figure({"": counted})), (
        "the same metrics, the same bytes"
    )
    both = png(
        curves_figure(
            {"replace": counted, "accumulate": [row(0), row(1, fid=None)]}, ["fid", "precision"]
        )
    )
    assert Image.open(io.BytesIO(both)).format == "PNG"


def test_strip_of_many_generations_keeps_the_first_and_the_last(tmp_path):
    for g in range(100):
        Image.new("RGB", (20, 20), (2 * g, 0, 0)).save(tmp_path / f"{g}.png")
    strip = Image.open(io.BytesIO(strip_png({g: tmp_path / f"{g}.png" for g in range(100)})))
    reds = set(strip.getchannel("R").tobytes())
    assert {0, 198} <= reds
    assert strip.width < 120, "twelve pictures stand in rows of four"


def frames() -> list[Image.Image]:
    return [Image.new("RGB", (31, 20), colour) for colour in ("red", "green", "blue")]


def test_without_ffmpeg_there_is_no_video(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert video(frames(), 0.7) is None


def test_ffmpeg_gets_the_pixels_of_all_pictures(monkeypatch, tmp_path):
    program = tmp_path / "ffmpeg"
    program.write_text('#!/bin/sh\nfor target; do :; done\nwc -c > "$target"\n')
    program.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda name: str(program))
    assert int(video(frames(), 0.7) or b"0") == 3 * 31 * 20 * 3
    program.write_text("#!/bin/sh\nexit 1\n")
    assert video(frames(), 0.7) is None


def test_ffmpeg_writes_a_video_that_is_the_same_each_time():
    if not shutil.which("ffmpeg"):
        pytest.skip("ffmpeg is not installed")
    film = video(frames(), 0.7)
    assert film is not None
    assert film[4:8] == b"ftyp"
    assert film == video(frames(), 0.7)


def test_values_that_hardly_differ_leave_the_title_alone():
    rows = [row(g, fid=1.08 + 1e-7 * g, fid_se=None, floor={}) for g in range(3)]
    figure = curves_figure({"run": rows}, ["fid"])
    png(figure)
    offsets = [panel.yaxis.get_offset_text().get_text() for panel in figure.axes]
    assert offsets
    assert not any(offsets)


def test_a_study_has_its_figure_in_the_forms_of_a_run(tmp_path):
    paths = write_study(tmp_path, "scaling", "| a |", lambda: Figure(figsize=(1, 1)))
    assert [path.name for path in paths] == ["scaling.md", "scaling.png"]
    names = {path.name for path in tmp_path.glob("scaling.*")}
    assert names == {"scaling.md", *figure_names("scaling")}
    assert (tmp_path / "scaling.pdf").read_bytes().startswith(b"%PDF")
