"""Names and texts of strangers are shown as text wherever they are shown."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import tempfile
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imglab import load_model
from imglab.report.arms import read_arms
from imglab.report.build import build_page, write_report
from imglab.report.curves import curves_figure
from imglab.report.figures import svg as figure_svg
from imglab.report.live import LiveReport
from imglab.report.results import FORMULAS, metrics_csv, write_results
from imglab.report.table import format_table, streamed
from imglab.running.export import export
from imglab.store import layout, reading
from tests.hostile.files import ask, lab, resealed
from tests.hostile.fuzzing import written
from tests.page_fixtures import IMAGES, run_chain_in

HOSTILE_SIGNS = st.sampled_from(
    [
        *(
            "<script>alert(1)</script>",
            "</title>",
            '"><img src=x onerror=alert(1)>',
            "&lt;",
            "-->",
            "]]>",
            "{{ 7*7 }}",
        ),
        *(
            "\x1b[31m",
            "\x1b]8;;http://x\x07y\x1b]8;;\x07",
            "\x9b31m",
            "\x07",
            "\x00",
            "\x7f",
            "\u202e",
            "\u2028",
            "\r",
            "\n",
        ),
        *(
            "=cmd()",
            "+1",
            "-1",
            "@sum",
            "\t=1",
            "$\\frac$",
            "'",
            "javascript:",
            "日本",
            "\U0001f600",
        ),
    ]
)


HOSTILE = st.lists(st.one_of(HOSTILE_SIGNS, st.text(max_size=5)), min_size=1, max_size=4).map(
    "".join
)


class Reader(HTMLParser):
    """Reads a page back: its text and the elements that it has."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.attributes: list[str] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        self.attributes += [value or "" for _, value in attrs]

    def handle_data(self, data):
        self.text.append(data)


def controls(text: str) -> list[str]:
    """Return what would drive a terminal, or turn its text round."""
    return [sign for sign in text if not sign.isprintable() and sign != "\n"]


MANY = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def plain_page(finished_runs) -> Reader:
    """The page of a run whose names and texts nobody changed."""
    arms = read_arms([finished_runs["texts"]])
    return Reader(build_page([type(arm)("name", arm.folder, arm.rows) for arm in arms]).html)


class TestNeutralised:
    @MANY
    @given(text=HOSTILE)
    def test_names_and_texts_on_the_page(self, text, finished_runs, plain_page):
        with tempfile.TemporaryDirectory() as folder:
            run = shutil.copytree(finished_runs["texts"], Path(folder) / "run")
            for g in range(3):
                path = layout.generation_folder(run, g) / "exhibit.json"
                words = json.loads(path.read_text())
                words["shown"][0] = {"text": text, "prompt": text}
                path.write_bytes(written(words))
                path = layout.generation_folder(run, g) / "metrics.json"
                row = {
                    **json.loads(path.read_text()),
                    text: 1.5,
                    "extractor": text,
                    "class_survival": {text: 1.0},
                }
                path.write_bytes(written({**row, "reasons": {text: text}}))
                resealed(path)
            arms = [type(arm)(text, arm.folder, arm.rows) for arm in read_arms([run])]
            html = build_page(arms).html
        read = Reader(html)
        assert {tag for tag, _ in read.elements} == {tag for tag, _ in plain_page.elements}
        assert {names for _, names in read.elements} <= {names for _, names in plain_page.elements}
        assert [tag for tag, _ in read.elements].count("script") == 2
        shown = text.replace("\r\n", "\n").replace("\r", "\n")
        if "\0" not in text:
            assert shown in "".join(read.text).replace("\r\n", "\n").replace("\r", "\n")
        (data,) = re.findall(
            r'<script type="application/json" id="data">(.*?)</script>', html, re.S
        )
        found = json.loads(data)
        assert found["arms"][0]["generations"][0]["words"][0] == text

    @MANY
    @given(text=HOSTILE)
    def test_names_in_the_terminal_and_in_tables(self, text, finished_runs):
        row = reading.read_metrics(finished_runs["vectors"])[0]
        row = {
            **row,
            "extractor": text,
            "reference": text,
            text: 1.5,
            "reasons": {text: text},
            "headline": [text],
        }
        assert not controls(format_table([row, row]))
        assert not any(map(controls, streamed(row)))
        for line in csv.reader(io.StringIO(metrics_csv([row, row]).decode())):
            for cell in line:
                assert not cell.startswith(FORMULAS) or re.fullmatch(r"-\d[\d.e+-]*", cell)

    @settings(max_examples=10, deadline=None)
    @given(text=HOSTILE)
    def test_names_in_figures(self, text):
        floor = {"fid": {"mean": 1.0, "sd": 0.1}}
        described = {
            "extractor": text,
            "reference": "test",
            "n_real": 5,
            "n_synthetic": 5,
            "reasons": {},
            "floor": floor,
        }
        rows = [
            {"generation": g, "fid": 1.0, text: 2.0, "class_counts": {text: 3}, **described}
            for g in range(2)
        ]
        read = Reader(figure_svg(curves_figure({"": rows})).decode())
        assert not {"script", "img", "a", "foreignobject"} & {tag for tag, _ in read.elements}
        assert not [name for _, names in read.elements for name in names if name.startswith("on")]

    @pytest.mark.parametrize(
        "name",
        ["<img src=x onerror=alert(1)>", "=cmd()", "\x1b[31mred", "a\nb", "\u202eback", "$x^$"],
    )
    def test_a_run_directory_may_be_called_anything(
        self, name, finished_runs, tmp_path, monkeypatch, capsys
    ):
        run = shutil.copytree(finished_runs["replace"], tmp_path / name)
        assert lab(monkeypatch, "report", run, "--out", tmp_path / "page.html") == 0
        page = Reader((tmp_path / "page.html").read_text())
        assert not [names for tag, names in page.elements if "onerror" in names]
        assert export(f"{run}@1", tmp_path / "out") > 0
        assert not controls(json.loads((tmp_path / "out" / "manifest.json").read_text())["run"])

    def test_a_run_directory_that_utf8_cannot_say(self, finished_runs, tmp_path):
        run = shutil.copytree(finished_runs["vectors"], tmp_path / os.fsdecode(b"\xff"))
        write_report([run], tmp_path / "page.html")
        assert "\\udcff" in (tmp_path / "page.html").read_text()
        with LiveReport(run) as live:
            assert "200 OK" in ask(live, "GET / HTTP/1.0\r\nHost: {host}")

    @pytest.mark.slow
    def test_classes_and_their_folders(self, finished_runs, tmp_path, monkeypatch):
        names = ["../../x", "=cmd()", "<b>", "a\nb", "\x1b[31m", "x" * 900, "日" * 300, "."]
        images = np.random.default_rng(0).integers(0, 255, (64, 8, 8), dtype=np.uint8)
        labels = np.array(names * 8)
        np.savez(
            tmp_path / "a.npz",
            train_images=images,
            train_labels=labels,
            test_images=images,
            test_labels=labels,
        )
        modality = {
            "kind": "image",
            "source": {"kind": "npz", "path": str(tmp_path / "a.npz")},
            "extractor": {"kind": "classifier", "images": 256},
        }
        model = {"kind": "vae", "hidden": [8], "latent": 2, "training": {"images": 64}}
        changes = {"modality": modality, "model": model, "generations": 1, "samples": 16}
        run = run_chain_in(tmp_path, "run", {**IMAGES, **changes})
        for path in write_results(run):
            assert path.exists()
        assert export(f"{run}@0", tmp_path / "out") == 16
        inside = tmp_path / "out"
        assert all(path.resolve().is_relative_to(inside) for path in inside.rglob("*"))

    def test_the_sheet_of_texts_has_no_control_characters(self, models):
        from imglab.text.render import write_sheet

        model = load_model(models["language_model"])
        evil = model._tokenizer("\x1b[31m \x9b2J \u202e \x07", return_tensors="pt").input_ids
        assert not controls(write_sheet([(evil, evil)], model._tokenizer))
