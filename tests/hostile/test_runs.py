"""Runs of strangers: any file damaged, links, bombs and numbers at the ends."""

from __future__ import annotations

import json
import os
import random
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file, save_file

from imglab.curation import MARKS, NAMES, Context, human
from imglab.errors import Stopped
from imglab.report import gallery
from imglab.report.arms import read_arms
from imglab.report.build import build_page
from imglab.report.live import LiveReport
from imglab.report.results import metrics_csv, write_results
from imglab.report.table import format_table
from imglab.running.export import export
from imglab.running.fork import fork
from imglab.store import files, groups, layout, reading
from tests.hostile.files import ask, encoded, lab, refused, resealed
from tests.hostile.fuzzing import STRANGE, Tally, spoiled, strange, written

SLOW = pytest.mark.slow


SECRET = "the-secret-of-another-file"


def signed_again(path: Path, tree) -> None:
    """Write what a stranger would who signs what he changed."""
    path.unlink()
    try:
        path.write_bytes(
            files.signed_bytes({key: value for key, value in tree.items() if key != "self"})
        )
    except (AttributeError, ValueError):
        path.write_bytes(written(tree))


OF_A_RUN = ("config.yaml", "environment.json", "events.jsonl")


OF_A_GENERATION = (
    *("metrics.json", "manifest.json", "exhibit.json", "exhibit.safetensors", "shown.safetensors"),
    *("per_sample.safetensors", "samples.safetensors"),
)


@pytest.mark.slow
class TestRuns:
    @pytest.mark.parametrize(
        "name", [*(pytest.param(name, marks=SLOW) for name in ("replace", "texts")), "vectors"]
    )
    @pytest.mark.parametrize("file", [*OF_A_RUN, *OF_A_GENERATION])
    def test_any_file_damaged_anywhere(self, name, file, finished_runs, tmp_path):
        tally, run = Tally(), tmp_path / name
        shutil.copytree(finished_runs[name], run)
        for seed in range(12 if file == "metrics.json" else 5):
            chance = random.Random(f"{name} {file} {seed}")
            g = chance.randrange(2)
            path = run / file if file in OF_A_RUN else layout.generation_folder(run, g) / file
            if not path.exists():
                pytest.skip(f"{name} has no {file}")
            whole = path.read_bytes()
            if file.endswith(".json") and chance.random() < 0.8:
                signed_again(path, strange(json.loads(whole), chance)) if "self" in json.loads(
                    whole
                ) else path.write_bytes(written(strange(json.loads(whole), chance)))
            elif file == "events.jsonl":
                lines = whole.decode().splitlines()
                at = chance.randrange(len(lines))
                lines[at] = json.dumps(strange(json.loads(lines[at]), chance))
                path.write_text("\n".join(lines))
            else:
                path.write_bytes(spoiled(whole, chance))
            if file == "metrics.json":  # or nothing in it would be looked at
                resealed(path)
            tally.open("report", lambda: build_page(read_arms([run])))
            tally.open("metrics", lambda: format_table(reading.read_metrics(run)))
            if file in ("metrics.json", "per_sample.safetensors") and seed < 3:
                tally.open("results", lambda: write_results(run))
            if file in ("samples.safetensors", "config.yaml", "environment.json") and seed < 3:
                shutil.rmtree(tmp_path / "out", ignore_errors=True)
                tally.open("export", partial(export, f"{run}@{g}", tmp_path / "out"))
            path.unlink()
            path.write_bytes(whole)
            if file == "metrics.json":
                resealed(path)
        assert tally.tried >= 10

    @pytest.mark.parametrize(
        "value",
        [
            pytest.param(value, marks=() if at % 4 == 0 else SLOW)
            for at, value in enumerate(STRANGE)
        ],
    )
    def test_strange_values_where_numbers_are(self, value, copy):
        run, tally = copy("vectors"), Tally()
        path = run / "generation_001" / "metrics.json"
        whole = json.loads(path.read_text())
        for keys in (
            ["fid"],
            ["fid_se"],
            ["floor", "recall"],
            ["floor", "recall", "sd"],
            ["n_train"],
            ["origins"],
        ):
            tree = json.loads(json.dumps(whole))
            node = tree
            for key in keys[:-1]:
                node = node[key]
            node[keys[-1]] = value
            path.write_bytes(written(tree))
            resealed(path)
            tally.open("report", lambda: build_page(read_arms([run])))
            tally.open("metrics", lambda: format_table(reading.read_metrics(run)))
        assert tally.tried == 12

    @pytest.mark.parametrize("value", [1e308, -1e308, 5e-324, 1e300, 1e-300, 0])
    def test_numbers_at_the_ends_are_drawn(self, value, copy):
        run = copy("vectors")
        for g in range(4):
            path = run / f"generation_{g:03d}" / "metrics.json"
            row = json.loads(path.read_text())
            path.write_bytes(
                written({**row, "fid": value if g % 2 else -value, "fid_se": abs(value)})
            )
            resealed(path)
        rows = reading.read_metrics(run)
        assert (
            "nan"
            not in build_page(read_arms([run]))
            .html.partition('<script type="application/json"')[0]
            .lower()
        )
        assert "generation" in format_table(rows)
        assert metrics_csv(rows)

    @pytest.mark.parametrize(
        "described",
        [
            {"arms": ["../secret"], "seeds": [0]},
            {"arms": ["/secret"], "seeds": [0]},
            {"arms": [None], "seeds": [0]},
            {"arms": ["a"], "seeds": ["../../secret"]},
            {"arms": ["a"], "seeds": [True]},
            {"arms": [], "seeds": []},
            {"arms": {"a": 1}, "seeds": 3},
            {"arms": ["a\0"], "seeds": [0]},
        ],
    )
    def test_a_sweep_does_not_lead_out_of_its_folder(
        self, described, finished_runs, tmp_path, monkeypatch
    ):
        shutil.copytree(finished_runs["texts"], tmp_path / "secret" / "seed-0")
        (tmp_path / "sweep").mkdir()
        files.write_signed(
            tmp_path / "sweep" / "sweep.json", {**described, "contrasts": [], "generations": {}}
        )
        assert "sweep.json" in refused(lambda: read_arms([tmp_path / "sweep"]))
        assert "sweep.json" in refused(lambda: groups.run_folders(tmp_path / "sweep"))
        assert lab(monkeypatch, "metrics", tmp_path / "sweep") == 2
        assert lab(monkeypatch, "report", tmp_path / "sweep") == 2

    @pytest.mark.parametrize(
        "names", [["../secret"], ["/x"], ["."], [""], [None], [{}], {}, "x", [], ["a/b"], ["a\0"]]
    )
    def test_chains_do_not_lead_out_of_their_folder(self, names, finished_runs, tmp_path):
        shutil.copytree(finished_runs["texts"], tmp_path / "secret")
        (tmp_path / "several").mkdir()
        files.write_signed(tmp_path / "several" / "chains.json", {"chains": names})
        assert "chains.json" in refused(lambda: read_arms([tmp_path / "several"]))

    @pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "..", "a\0b", ""])
    def test_paths_in_manifests_are_not_followed(self, name, copy, tmp_path):
        run = copy("replace")
        (tmp_path / "secret").write_text(SECRET)
        for key in ("files", "shared"):
            path = run / "generation_001" / "manifest.json"
            manifest = json.loads(path.read_text())
            signed_again(path, {**manifest, key: {**manifest[key], name: "0" * 64}})
        assert SECRET not in build_page(read_arms([run])).html
        assert "is listed, but lies outside its folder" in refused(
            lambda: export(f"{run}@1", tmp_path / "out")
        )
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        "link",
        [
            *("config.yaml", "environment.json", "events.jsonl", "shared", "generation_001"),
            *(
                f"generation_001/{name}"
                for name in ("metrics.json", "manifest.json", "samples.txt", "exhibit.json")
            ),
            *(
                "generation_001/notes.txt",
                "generation_001/model",
                "generation_001/shown.safetensors",
            ),
        ],
    )
    def test_links_are_not_followed(self, link, copy, tmp_path, monkeypatch, capsys):
        run, outside = copy("texts"), tmp_path / "outside"
        path = run / link
        if path.is_dir():
            shutil.copytree(path, outside)
            shutil.rmtree(path)
        else:
            outside.write_text(json.dumps({"secret": SECRET, "shown": [{"text": SECRET}]}))
            path.unlink(missing_ok=True)
        path.symlink_to(outside)
        for call in (
            lambda: read_arms([run]),
            lambda: reading.read_metrics(run),
            lambda: export(f"{run}@1", tmp_path / "out"),
        ):
            assert "is a symlink" in refused(call)
        assert lab(monkeypatch, "report", run, "--out", tmp_path / "page.html") == 2
        assert (
            lab(
                monkeypatch,
                "fork",
                f"{run}@1",
                "--out",
                tmp_path / "fork",
                "--set",
                "generations=4",
            )
            == 2
        )
        assert SECRET not in capsys.readouterr().err
        assert not (tmp_path / "page.html").exists()
        assert not (tmp_path / "fork").exists()
        with LiveReport(run) as live:
            assert SECRET not in ask(live, "GET / HTTP/1.0\r\nHost: {host}")

    def test_chains_that_are_links_are_not_followed(self, finished_runs, tmp_path):
        folder = tmp_path / "several"
        folder.mkdir()
        (folder / "a").symlink_to(finished_runs["texts"])
        files.write_signed(folder / "chains.json", {"chains": ["a"]})
        assert "is a symlink" in refused(lambda: read_arms([folder]))

    @pytest.mark.parametrize("name", ["metrics.json", "manifest.json", "exhibit.json", "grid.png"])
    def test_pipes_do_not_hang(self, name, copy):
        run = copy("replace")
        path = run / "generation_001" / name
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        message = "is a symlink or a special file"
        assert message in refused(lambda: read_arms([run]))

    def test_a_picture_that_is_a_bomb_is_not_opened(self, copy):
        run = copy("vectors")
        (run / "generation_001" / "grid.png").unlink(missing_ok=True)
        for path in (run / "generation_001").glob("*.png"):
            path.unlink()
        (run / "generation_001" / "a.png").write_bytes(
            encoded(Image.new("1", (20_000, 20_000)), "PNG")
        )
        shown = gallery.collect(read_arms([run])).arms[0]["generations"][1]
        assert "a.png cannot be read" in shown["note"]

    def test_an_exhibit_that_does_not_fit(self, copy):
        run, tally = copy("texts"), Tally()
        path = run / "generation_001" / "exhibit.safetensors"
        whole = load_file(path)
        for name, column in whole.items():
            for changed in (
                column[:1],
                column[:0],
                column.astype(np.float32) * np.nan,
                column.reshape(-1),
                -column,
            ):
                path.unlink()
                save_file({**whole, name: np.ascontiguousarray(changed)}, path)
                tally.open("exhibit", lambda: build_page(read_arms([run])))
        assert tally.opened.total() == tally.tried, "one damaged picture leaves the rest"

    def test_what_a_person_has_marked(self, tmp_path):
        files.write_signed(tmp_path / NAMES, {"names": ["a.png", "b.png"]})
        tally = Tally()
        whole = b"file,keep\na.png,1\nb.png,0\n"
        unused: Any = None
        context = Context(torch.zeros(2, 1), torch.zeros(2, 1), unused, unused, 0, 0, tmp_path)
        unmarked = 0
        for seed in range(60):
            (tmp_path / MARKS).write_bytes(spoiled(whole, random.Random(seed)))
            try:
                tally.open("marks", lambda: human(unused, context))
            except Stopped:  # a mark is missing: the person is asked again
                unmarked += 1
        assert tally.tried + unmarked == 60
        assert tally.tried > 40

    @pytest.mark.parametrize("name", ["replace", "texts", "vectors"])
    def test_forks_of_damaged_runs(self, name, finished_runs, tmp_path):
        tally, run, out = Tally(), tmp_path / name, tmp_path / "fork"
        shutil.copytree(finished_runs[name], run)
        inside = [
            path
            for path in run.rglob("*")
            if path.is_file() and path.parent.name == "generation_001"
        ]
        for seed in range(30):
            chance = random.Random(seed)
            path = chance.choice(
                sorted([*inside, *(run / file for file in ("config.yaml", "environment.json"))])
            )
            whole = path.read_bytes()
            path.unlink()
            path.write_bytes(spoiled(whole, chance))
            tally.open("fork", lambda: fork(f"{run}@1", out, changes=["generations=3"]))
            shutil.rmtree(out, ignore_errors=True)
            path.write_bytes(whole)
        assert tally.tried == 30
