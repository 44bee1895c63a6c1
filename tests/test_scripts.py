"""The scripts are short, and do what they say."""

from __future__ import annotations

import json
import runpy
import sys
from typing import Any

import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.studies.test_side_by_side import BOTH
from tests.tiny_chains import TINY_CHAIN, TINY_IMAGE, write


def script(monkeypatch, capsys, name, *arguments) -> str:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))  # as Python itself does for a script
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    runpy.run_path(str(ROOT / "scripts" / name), run_name="__main__")
    return str(capsys.readouterr().out)


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write(tmp_path, TINY_IMAGE)


def test_run_image_chain_then_show_grid(config, tmp_path, monkeypatch, capsys):
    out = script(
        monkeypatch, capsys, "run_image_chain.py", config, "--out", "mine", "--set", "generations=1"
    )
    assert out.startswith("generation 0: FID ")
    assert "classifier@" in out
    out = script(monkeypatch, capsys, "show_grid.py", "mine", 0, "--count", 9, "--to", "nine.png")
    assert out == "nine.png\n"
    assert Image.open(tmp_path / "nine.png").size == (3 * 52 + 4, 3 * 52 + 4)
    with pytest.raises(SystemExit, match="mine: has no finished generation 7"):
        script(monkeypatch, capsys, "show_grid.py", "mine", 7)


def test_wrong_input_to_a_script_is_one_message(config, monkeypatch, capsys):
    with pytest.raises(SystemExit, match=r"error: none\.yaml: there is no such file"):
        script(monkeypatch, capsys, "run_image_chain.py", "none.yaml")


@pytest.mark.slow
def test_compare_regimes(config, tmp_path, monkeypatch, capsys):
    out = script(monkeypatch, capsys, "compare_regimes.py", config, "--out", "three")
    assert [line.split(":")[0] for line in out.splitlines()[:3]] == [
        "replace",
        "accumulate",
        "10% real",
    ]
    assert Image.open(tmp_path / "three" / "regimes.png").size[0] > 400


def test_run_text_chain(config, tmp_path, monkeypatch, capsys):
    text = write(tmp_path, TINY_CHAIN, "text")
    out = script(
        monkeypatch, capsys, "run_text_chain.py", text, "--out", "mine", "--set", "generations=1"
    )
    first, shown = out.splitlines()
    assert first.startswith("generation 0: perplexity ")
    assert "20 texts" in first
    assert shown.startswith("  ")
    assert shown.isprintable()


@pytest.mark.slow
def test_run_side_by_side(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    both = write(tmp_path, BOTH, "both")
    out = script(monkeypatch, capsys, "run_side_by_side.py", both, "--out", "both").splitlines()
    assert out[0] == "text, generation 0: 100% of generation 0's recall"
    assert [line.split(":")[0] for line in out[1:5]] == [
        "text, generation 1",
        "vectors, generation 0",
        "vectors, generation 1",
        "vectors, generation 2",
    ]
    assert out[5] == "both/side_by_side.png"
    with pytest.raises(SystemExit, match="holds one chain"):
        script(monkeypatch, capsys, "run_side_by_side.py", write(tmp_path, TINY_CHAIN, "one"))


@pytest.mark.slow
def test_compare_decoding(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = write(tmp_path, {**TINY_CHAIN, "model": {"kind": "ngram", "order": 2}}, "text")
    out = script(monkeypatch, capsys, "compare_decoding.py", text, "--out", "three").splitlines()
    assert [line for line in out[:-1] if line[0] != " "] == ["sampling", "top-p", "beam"]
    assert Image.open(tmp_path / "three" / "decoding.png").size[0] > 400


def test_benchmark_prints_one_object(monkeypatch, capsys):
    result = json.loads(script(monkeypatch, capsys, "benchmark.py", "help", "--json"))
    assert {"processor", "threads", "versions", "commit"} <= set(result)
    row = result["rows"]["help"]
    assert row["kind"] == "limit"
    assert row["ours"] > 0
    with pytest.raises(SystemExit):
        script(monkeypatch, capsys, "benchmark.py", "nonsense")


def test_a_peer_that_is_faster_fails_the_check(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from benchmark import too_slow
    from benchmark_tools import limit_row, peer_row, skipped_row

    slower = peer_row([(2.0, 1.0), (1.0, 1.0), (2.0, 1.8)], "s", reach=1.0)
    assert slower["ratio"] == 0.9
    rows = {
        "slower": slower,
        "within noise": peer_row([(1.0, 0.96)], "s", reach=1.0),
        "past its limit": limit_row(3.0, 2.0, "s"),
        "absent": skipped_row("no peer here"),
    }
    assert too_slow(rows) == ["slower", "past its limit"]


@pytest.mark.slow
@pytest.mark.alone
def test_scores_and_texts_are_no_slower_than_the_public_tools(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from benchmark import too_slow
    from benchmark_metrics import bench_frechet, compare_prdc, features
    from benchmark_text import bench_text_draw

    # Fewer than in docs/benchmarks.md: .96 to 1.6, by the processor, where .95 is asked for.
    one, other = features(1, 0, 3_000, 2_048), features(0.99, 1, 3_000, 2_048)
    comparisons = {
        "prdc": lambda: compare_prdc(one, other),
        "frechet": lambda: bench_frechet(3_000, 512),
        "text_draw": lambda: bench_text_draw(64),
    }
    for name, compare in comparisons.items():
        # Other work may fall upon our turns alone: what is slower in one round is measured again.
        rounds: list[Any] = []
        while len(rounds) < 3 and (not rounds or too_slow(rounds[-1])):
            rounds.append(compare())
        assert too_slow(rounds[-1]) == [], (name, rounds)


TOOLS = (
    "benchmark",
    "calibration",
    "campaign",
    "command_docs",
    "config_docs",
    "docs_extension",
    "inject_errors",
    "interleave",
    "same_bytes",
    "speedrun",
)
"""Scripts that measure or maintain the lab, rather than show how to use it."""


def test_scripts_are_short():
    for path in (ROOT / "scripts").glob("*.py"):
        if not path.name.startswith(TOOLS):
            assert len(path.read_text().splitlines()) <= 50, path.name
