"""What a finished run gets beside its generations, and the command that makes it."""

from __future__ import annotations

import csv
import io
import json
import sys

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from imglab.cli import main
from imglab.errors import InputError
from imglab.report.results import metrics_csv, write_results
from imglab.running.export import export
from imglab.store.reading import read_metrics


def imglab(monkeypatch, *arguments):
    """Run the command line; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["imglab", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code or 0


class TestTakeAway:
    @pytest.mark.slow
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

    def test_the_same_export_can_be_given_again_and_no_other(self, finished_runs, tmp_path):
        run = finished_runs["replace"]
        out = tmp_path / "exported"
        count = export(f"{run}@1", out)
        first = next(path for path in sorted(out.rglob("*")) if path.suffix in (".png", ".txt"))
        before = first.stat().st_mtime_ns

        assert export(f"{run}@1", out) == count
        assert first.stat().st_mtime_ns == before

        with pytest.raises(InputError, match="not an empty folder"):
            export(f"{run}@2", out)
        (out / "mine").touch()
        with pytest.raises(InputError, match="not an empty folder"):
            export(f"{run}@1", out)
        (out / "mine").unlink()
        first.write_bytes(b"changed")
        with pytest.raises(InputError, match="not an empty folder"):
            export(f"{run}@1", out)
        assert first.read_bytes() == b"changed"

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
