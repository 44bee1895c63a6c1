"""The page of runs: what it says, what it holds, and what it does with damaged, strange and large
input.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from imglab import Report
from imglab.cli import main
from imglab.errors import InputError
from imglab.report import gallery
from imglab.report.arms import comparable, differences, read_arms
from imglab.report.build import build_page, write_report
from imglab.report.live import LiveReport
from imglab.report.results import metrics_csv, write_results
from imglab.report.sheets import sheet_png
from imglab.report.svg import Line, line_chart, stacked_chart
from imglab.report.svg_histogram import histogram_chart
from imglab.report.verdict import short, verdict
from imglab.store import files
from imglab.store.reading import read_environment, read_metrics
from tests.page_fixtures import IMAGES, run_chain_in


def data_of(html):
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)
    return json.loads(data)


def imglab(monkeypatch, *arguments):
    """Run the command line; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["imglab", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code or 0


@pytest.fixture
def copy(finished_runs, tmp_path):
    """Copy a run, so that a test may spoil it."""

    def copied(name, to=None):
        return shutil.copytree(finished_runs[name], tmp_path / (to or name))

    return copied


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


class TestVerdict:
    def test_numbers_are_short(self):
        told = {
            0.9123: "0.91",
            0.0642: "0.064",
            13.04: "13",
            145.6: "146",
            2.5: "2.5",
            0.0: "0.00",
            3e7: "3e+07",
        }
        assert {value: short(value) for value in told} == told

    def test_the_sentence_is_made_from_the_numbers(self, finished_runs):
        arm = read_arms([finished_runs["replace"]])[0]
        floor = {"recall": {"mean": 0.89, "sd": 0.01}, "fid": None}
        arms = []
        for name, recall in (
            ("replace", (0.91, 0.48)),
            ("a tenth real", (0.91, 0.8)),
            ("fresh", (0.91, 0.7)),
        ):
            rows = [
                {
                    **row,
                    "recall": value,
                    "recall_se": 0.02,
                    "fid": 10 / value,
                    "fid_se": 0.1,
                    "floor": floor,
                }
                for row, value in zip(arm.rows, recall, strict=False)
            ]
            arms.append(type(arm)(name, arm.folder, rows))
        assert verdict(arms) == [
            "Recall of replace fell from 0.91 to 0.48 (real against real: 0.89), "
            "while a tenth real kept 0.80; FID (classifier) of replace rose from 11 to 20.8, "
            "while a tenth real had 12.5 in 1 generation."
        ]

    def test_arms_that_fare_alike_are_not_played_off(self, finished_runs):
        arm = read_arms([finished_runs["replace"]])[0]

        def fell(name, *recall):
            values = {"recall_se": 0.02, "floor": {}, "fid": None}
            rows = [
                {**arm.rows[0], **values, "generation": g, "recall": value}
                for g, value in enumerate(recall)
            ]
            return type(arm)(name, arm.folder, rows)

        alike = verdict([fell("one", 0.38, 0.08), fell("two", 0.23, 0.1)])[0]
        assert alike == "Recall of one fell from 0.38 to 0.08 in 1 generation."
        less = verdict([fell("one", 0.9, 0.1), fell("two", 0.9, 0.4)])[0]
        assert "while that of two fell from 0.90 to 0.40" in less
        behind = verdict([fell("one", 0.9, 0.6, 0.2), fell("two", 0.9, 0.6)])[0]
        assert behind == "Recall of one fell from 0.90 to 0.60 in 1 generation."
        first = verdict([fell("one", 0.9)])[0]
        assert first == "Recall is 0.90 in generation 0, trained on real data alone."

    def test_the_last_seed_that_has_a_value_says_nothing_of_the_others(self, finished_runs):
        arm = read_arms([finished_runs["replace"]])[0]
        band: dict[str, list[float | None]] = {
            "mean": [0.9, 0.5, 0.1],
            "low": [0.88, 0.4, None],
            "high": [0.92, 0.6, None],
        }
        rows = [{**row, "fid": None, "floor": {}} for row in arm.rows]
        swept = type(arm)(arm.name, arm.folder, rows, bands={"recall": band}, seeds=5)
        assert "fell from 0.90 to 0.50" in verdict([swept])[0]

    def test_a_change_within_the_noise_is_none(self, finished_runs):
        arm = read_arms([finished_runs["replace"]])[0]
        rows = [
            {**row, "recall": 0.8 + 0.001 * g, "recall_se": 0.02} for g, row in enumerate(arm.rows)
        ]
        same = type(arm)(arm.name, arm.folder, rows)
        assert verdict([same])[0].startswith("Recall stayed at 0.80")
        fell = type(arm)(
            arm.name, arm.folder, [{**row, "recall": 0.8 - 0.2 * g} for g, row in enumerate(rows)]
        )
        assert verdict([fell])[0].startswith("Recall fell from 0.80 to 0.40")


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


class TestPage:
    def test_one_page_of_all_kinds(self, finished_runs):
        html = build_page(read_arms(list(finished_runs.values()))).html
        found = data_of(html)
        assert [arm["kind"] for arm in found["arms"]] == ["images", "images", "texts", "images"]
        assert found["last"] == 3
        assert len(found["sheets"]) == len(set(found["sheets"])), "each picture once"
        replace, mixed = found["arms"][:2]
        assert replace["generations"][0]["sheet"] == mixed["generations"][0]["sheet"], (
            "they share generation 0"
        )
        assert not re.search(r"""(src|href)=["']?(https?:)?//""", html), "nothing is fetched"
        assert "Measured in different ways" in html

    def test_neighbours_are_the_nearest_real_samples(self, finished_runs):
        run = finished_runs["replace"]
        kept = load_file(run / "generation_001" / "exhibit.safetensors")
        found = data_of(build_page(read_arms([run])).html)
        arm = found["arms"][0]
        assert arm["generations"][1]["near"] == kept["index"].tolist()
        real = found["real"][arm["data"]]
        assert set(map(int, real["place"])) >= set(kept["rows"].tolist())
        distances = np.array(arm["generations"][1]["far"])
        assert (np.diff(distances, axis=1) >= 0).all(), "nearest first"

    def test_texts_are_those_of_the_run_and_cannot_leave_their_place(self, copy):
        run = copy("texts")
        path = run / "generation_002" / "exhibit.json"
        words = json.loads(path.read_text())
        evil = '</script><script>alert(1)</script><img src=x onerror="alert(2)">\u2028'
        words["shown"][0]["text"] = evil
        path.write_text(json.dumps(words))
        html = build_page(read_arms([run])).html
        assert "<script>alert" not in html
        assert "<img src=x" not in html
        assert data_of(html)["arms"][0]["generations"][2]["words"][0] == evil

    def test_a_run_that_is_not_finished_is_shown_and_marked(self, copy):
        run = copy("replace")
        (run / "generation_002" / "manifest.json").unlink()
        html = build_page(read_arms([run])).html
        assert "2 of 3 generations so far" in html
        shutil.rmtree(run / "generation_001")
        shutil.rmtree(run / "generation_000")
        with pytest.raises(InputError, match="no finished generation"):
            read_arms([run])
        other = copy("mixed")
        assert "replace has no finished generation yet" in build_page(read_arms([run, other])).html

    @pytest.mark.parametrize("name", ["shown.safetensors", "exhibit.safetensors", "exhibit.json"])
    @pytest.mark.parametrize("content", [None, b"", b"\x00" * 50, b"{}"])
    def test_damaged_and_missing_files_leave_the_rest(self, copy, name, content):
        run = copy("replace")
        path = run / "generation_001" / name
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        generations = data_of(build_page(read_arms([run])).html)["arms"][0]["generations"]
        assert generations[0]["near"]
        assert generations[2]["near"]
        if content == b"" or (content is None and name == "shown.safetensors"):
            assert "cannot be read" in generations[1]["note"]

    def test_what_cannot_be_read_of_one_arm_hides_no_other(self, copy, finished_runs):
        broken, short = copy("texts"), copy("replace")
        (broken / "environment.json").unlink()
        (short / "generation_001" / "metrics.json").unlink()
        arms = read_arms([broken, finished_runs["vectors"], short])
        assert [len(arm.rows) for arm in arms] == [0, 4, 1]
        html = build_page(arms).html
        assert "environment.json: cannot be read" in html
        assert "metrics.json: cannot be read" in html
        assert "shown are 1 generation" in html
        with pytest.raises(InputError, match=r"environment\.json"):
            read_arms([broken])

    def test_a_damaged_histogram_leaves_the_rest(self, copy):
        run = copy("texts")
        (run / "generation_001" / "per_sample.safetensors").write_bytes(b"junk")
        assert "per_sample.safetensors: cannot be read" in build_page(read_arms([run])).html

    def test_an_arm_is_clickable_without_its_first_picture(self, copy):
        run = copy("replace")
        (run / "generation_000" / "shown.safetensors").unlink()
        entry = gallery.collect(read_arms([run])).arms[0]
        assert entry["layout"]["count"] > 1

    def test_runs_on_other_data_are_not_compared(self, copy):
        one, other = copy("replace"), copy("replace", "other")
        told = read_environment(other)
        told["data"]["test"] = "0" * 64
        files.write_signed(other / "environment.json", told)
        assert len(comparable(read_arms([one, other]))) == 2

    def test_what_arms_differ_in(self, finished_runs):
        arms = read_arms([finished_runs["replace"], finished_runs["mixed"]])
        found = differences(arms)
        assert found["regime.kind"] == ["replace", "mix"]
        assert found["regime.real_fraction"] == [None, 0.5]
        assert "name" not in found
        assert [len(group) for group in comparable(arms)] == [2]

    def test_names_are_told_apart(self, finished_runs, copy):
        copied = copy("replace")
        names = [arm.name for arm in read_arms([finished_runs["replace"], copied, copied])]
        assert len(set(names)) == 3

    def test_what_is_too_much_goes_beside(self, finished_runs, tmp_path, monkeypatch):
        monkeypatch.setattr(gallery.collect, "__defaults__", (None, 2500))
        page = write_report([finished_runs["replace"]], tmp_path / "out" / "page.html")
        found = data_of(page.html)
        outside = [url for url in found["sheets"] if not url.startswith("data:")]
        assert outside == ["page_files/0-001.png"]
        assert (tmp_path / "out" / outside[0]).read_bytes()[:4] == b"\x89PNG"
        assert "generations 0, 2 are in this page" in page.html

    @pytest.mark.slow
    def test_a_sweep_is_its_arms_with_bands(self, tmp_path):
        for seed in (0, 1, 2):
            for arm, changes in (("control", {"regime": "real_only"}), ("replace", {})):
                folder = tmp_path / arm
                folder.mkdir(exist_ok=True)
                run_chain_in(folder, f"seed-{seed}", IMAGES, seed=seed, generations=2, **changes)
        described = {
            "arms": ["replace", "control"],
            "seeds": [0, 1, 2],
            "contrasts": [],
            "generations": {"replace": 2},
        }
        files.write_signed(tmp_path / "sweep.json", described)
        arms = read_arms([tmp_path])
        assert [(arm.name, arm.seeds) for arm in arms] == [("replace", 3), ("control", 3)]
        g, mean, low, high = arms[0].series("fid")[1]
        seeds = [
            read_metrics(tmp_path / "replace" / f"seed-{seed}")[1]["fid"] for seed in (0, 1, 2)
        ]
        assert g == 1
        assert min(seeds) <= mean <= max(seeds)
        assert low < mean < high
        assert "replace (3 seeds)" in build_page(arms).html


class TestTakeAway:
    def test_a_finished_run_has_all_of_it(self, copy):
        run = copy("replace")
        made = write_results(run)
        assert made[0] == run / "report.html"
        for name in ("curves.png", "curves.svg", "tails.svg", "strip.png", "metrics.csv"):
            assert (run / name).stat().st_size > 100
        with Image.open(run / "grid.webp") as animation:
            assert getattr(animation, "n_frames", 1) == 3
        once = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
        write_results(run)
        assert {name: (run / name).read_bytes() for name in once} == once, (
            "the same run, the same bytes"
        )

    def test_the_table_as_csv(self, finished_runs):
        rows = read_metrics(finished_runs["vectors"])
        table = list(csv.DictReader(io.StringIO(metrics_csv(rows).decode())))
        assert [line["generation"] for line in table] == ["floor", "0", "1", "2", "3"]
        assert float(table[2]["fid"]) == rows[1]["fid"]
        assert float(table[0]["fid"]) == rows[0]["floor"]["fid"]["mean"]

    def test_images_as_an_image_folder(self, finished_runs, tmp_path, monkeypatch):
        from datasets import load_dataset
        from torchvision.datasets import ImageFolder

        run = finished_runs["replace"]
        assert imglab(monkeypatch, "export", f"{run}@1", "--to", tmp_path / "out") == 0
        samples = load_file(run / "generation_001" / "samples.safetensors")
        found = ImageFolder(str(tmp_path / "out"))
        assert len(found) == len(samples["data"])
        first = np.asarray(Image.open(found.samples[0][0]))
        assert np.array_equal(first, samples["data"][0, 0])
        dataset = load_dataset(
            "imagefolder", data_dir=str(tmp_path / "out"), cache_dir=str(tmp_path / "cache")
        )
        assert len(dataset["train"]) == len(found)
        manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
        assert manifest["generation"] == 1
        assert len(manifest["files"]) == len(found)

    def test_texts_as_text_files(self, finished_runs, tmp_path, monkeypatch):
        from datasets import load_dataset

        run, out = finished_runs["texts"], tmp_path / "out"
        assert imglab(monkeypatch, "export", f"{run}@2", "--to", out) == 0
        dataset = load_dataset(
            "text",
            data_dir=str(out / "texts"),
            sample_by="document",
            cache_dir=str(tmp_path / "cache"),
        )
        assert len(dataset["train"]) == json.loads((out / "manifest.json").read_text())["samples"]

    def test_an_export_refuses_what_it_cannot_do(
        self, finished_runs, tmp_path, monkeypatch, capsys
    ):
        full = tmp_path / "full"
        full.mkdir()
        (full / "mine").touch()
        for source, to, told in (
            (f"{finished_runs['replace']}@1", full, "not an empty folder"),
            (f"{finished_runs['replace']}@7", tmp_path / "x", "generations 0 to 2 are finished"),
            (
                f"{finished_runs['vectors']}@1",
                tmp_path / "y",
                "no form in which samples are exported",
            ),
        ):
            assert imglab(monkeypatch, "export", source, "--to", to) == 2
            assert told in capsys.readouterr().err
        assert [path.name for path in full.iterdir()] == ["mine"]
        assert not (tmp_path / "y").exists()

    def test_a_model_says_what_it_is(self, finished_runs):
        cards = {
            name: (run / "generation_001" / "model" / "README.md")
            for name, run in finished_runs.items()
        }
        assert all("Generation 1 of a chain on" in card.read_text() for card in cards.values())
        first = (finished_runs["replace"] / "generation_000" / "model" / "README.md").read_text()
        assert "trained on real data only" in first


class TestCommand:
    def test_report(self, finished_runs, tmp_path, monkeypatch, capsys):
        out = tmp_path / "deep" / "both.html"
        assert (
            imglab(
                monkeypatch,
                "report",
                finished_runs["replace"],
                finished_runs["texts"],
                "--out",
                out,
            )
            == 0
        )
        assert str(out) in capsys.readouterr().out
        assert out.read_text().startswith("<!doctype html>")

    def test_no_run_directory(self, tmp_path, monkeypatch, capsys):
        assert imglab(monkeypatch, "report", tmp_path) == 2
        assert "is not a run directory" in capsys.readouterr().err
        assert not list(tmp_path.iterdir())


class TestLive:
    @pytest.fixture(autouse=True)
    def impatient(self, monkeypatch):
        monkeypatch.setattr("imglab.report.live.PATIENCE", 0.0)

    def fetch(self, url, **headers):
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return answer.read().decode()

    def test_follows_a_run(self, copy):
        run = copy("replace")
        last = (run / "generation_002").rename(run.parent / "later")
        with LiveReport(run) as live:
            html = self.fetch(live.url)
            assert data_of(html)["last"] == 1
            before = json.loads(self.fetch(live.url + "state"))
            assert before["state"] == data_of(html)["live"]
            last.rename(run / "generation_002")
            after = json.loads(self.fetch(live.url + "state"))
            assert after["state"] != before["state"]
            assert data_of(self.fetch(live.url))["last"] == 2

    def test_before_the_first_generation(self, tmp_path):
        with LiveReport(tmp_path) as live:
            assert "No generation is finished yet" in self.fetch(live.url)

    def test_answers_to_this_machine_only(self, finished_runs):
        with LiveReport(finished_runs["replace"]) as live:
            assert live.url.startswith("http://127.0.0.1:")
            for path, headers, code in (
                ("", {"Host": "evil.example"}, 403),
                ("config.yaml", {}, 404),
                ("../../etc/passwd", {}, 404),
            ):
                with pytest.raises(urllib.error.HTTPError) as refused:
                    self.fetch(live.url + path, **headers)
                assert refused.value.code == code


class TestTracker:
    def test_numbers_reach_tensorboard(self, tmp_path):
        pytest.importorskip("tensorboard")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        run = run_chain_in(tmp_path, "run", IMAGES, generations=2, tracker="tensorboard")
        found = EventAccumulator(str(run / "tracking" / "run"))
        found.Reload()
        assert [event.step for event in found.Scalars("fid")] == [0, 1]
        assert found.Scalars("fid")[1].value == pytest.approx(read_metrics(run)[1]["fid"], rel=1e-5)

    def test_one_that_fails_stops_nothing(self, tmp_path, monkeypatch):
        pytest.importorskip("tensorboard")
        from accelerate import Accelerator

        def broken(*_, **__):
            raise ConnectionError("no such host")

        monkeypatch.setattr(Accelerator, "log", broken)
        with pytest.warns(UserWarning, match="the run goes on without it: ConnectionError"):
            run = run_chain_in(tmp_path, "run", IMAGES, generations=2, tracker="tensorboard")
        assert len(read_metrics(run)) == 2

    def test_one_that_is_not_installed_is_told_at_once(self, tmp_path, monkeypatch):
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(InputError, match="pip install wandb"):
            run_chain_in(tmp_path, "run", IMAGES, tracker="wandb")

    def test_it_changes_no_byte_of_a_generation(self, finished_runs, tmp_path):
        pytest.importorskip("tensorboard")
        tracked = run_chain_in(tmp_path, "replace", IMAGES, generations=1, tracker="tensorboard")
        for path in sorted((tracked / "generation_000").rglob("*")):
            if path.is_file() and path.name != "manifest.json":
                same = finished_runs["replace"] / path.relative_to(tracked)
                assert path.read_bytes() == same.read_bytes(), path.name


class TestNotebook:
    def test_a_run_shows_its_page(self, finished_runs):
        shown = Report(finished_runs["replace"])._repr_html_()
        assert shown.startswith("<iframe")
        assert 'sandbox="allow-scripts"' in shown
        assert "<script" not in shown, "the page is escaped into the frame"

    def test_a_generation_shows_its_numbers_and_images(self, tmp_path):
        from imglab import Run
        from imglab.config.load import validate_config

        run = Run(
            validate_config({"name": "run", **IMAGES, "generations": 1}, "test"), tmp_path / "run"
        )
        empty = run._repr_html_() or ""
        assert "no finished generation" in empty or "not a run directory" in empty
        generation = next(iter(run.generations()))
        html = generation._repr_html_() or ""
        assert "real against real" in html
        assert "data:image/png;base64," in html
        assert "<iframe" in (run._repr_html_() or "")

    def test_every_class_that_has_a_view_shows_it(self, finished_runs):
        from imglab import Generation, Run, SideBySide, Sweep
        from imglab.report.notebook import VIEWS
        from imglab.store.views import HasView

        classes = (Generation, Run, SideBySide, Sweep)
        assert {kind.__name__ for kind in classes} == set(VIEWS)
        for kind in classes:
            assert issubclass(kind, HasView)

        class Mine(SideBySide):
            """A class of a user's own has the view of its base class."""

        shown = Mine.__new__(Mine)
        shown.folder = finished_runs["replace"]
        assert shown._repr_html_() == Report(finished_runs["replace"])._repr_html_()
        assert HasView()._repr_html_() is None

    def test_the_report_is_imported_when_something_is_shown(self):
        code = """
import sys
from imglab.store.views import HasView

class Run(HasView):
    folder = "no such run"

assert not [name for name in sys.modules if name.startswith(("imglab.report", "torch"))]
assert "no such run" in Run()._repr_html_()
assert "imglab.report.notebook" in sys.modules
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def test_nothing_below_the_report_imports_it(self):
        package = Path(gallery.__file__).parent.parent
        above = {package / "__init__.py", package / "__main__.py"}
        for path in sorted(package.rglob("*.py")):
            if path in above or path.relative_to(package).parts[0] in ("report", "cli"):
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [f"{node.module}.{alias.name}" for alias in node.names]
                for name in names:
                    assert not f"{name}.".startswith("imglab.report."), f"{path}: {name}"


def test_neighbours_agree_with_brute_force():
    import torch

    from imglab.metrics import nearest_samples

    generator = torch.Generator().manual_seed(0)
    train, synthetic = (
        torch.randn(200, 6, generator=generator),
        torch.randn(7, 6, generator=generator),
    )
    train[17] = train[3]  # a tie: the lower index first
    synthetic[0] = train[3]
    index, distance = nearest_samples(train=train, synthetic=synthetic, k=3)
    every = (synthetic[:, None].double() - train[None].double()).norm(dim=2)
    expected = every.sort(dim=1, stable=True)
    assert torch.equal(index, expected.indices[:, :3])
    assert torch.allclose(distance, expected.values[:, :3])
    assert index[0, :2].tolist() == [3, 17]
    assert nearest_samples(train=train[:2], synthetic=synthetic, k=3)[0].shape == (7, 2)


def test_arrays_that_are_no_images_are_not_shown_as_such(copy):
    run = copy("replace")
    path = run / "generation_000" / "shown.safetensors"
    columns = load_file(path)
    save_file({**columns, "data": np.zeros((3, 2), dtype=np.uint8)}, path)
    assert data_of(build_page(read_arms([run])).html)["arms"][0]["kind"] == "images", (
        "the run's own grid stands in"
    )
