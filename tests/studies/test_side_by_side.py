"""Several chains under common settings: their directories, their figure, resuming, and what is
refused.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Generator
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from imglab import SideBySide
from imglab.cli import main
from imglab.config.load import load_config
from imglab.config.schema import SideBySideConfig
from imglab.errors import InputError
from imglab.report.figures import png
from imglab.report.side_by_side import relative_figure
from imglab.store import files
from imglab.studies.commands import Commands
from imglab.studies.jobs import Outcome, run_jobs
from tests.conftest import load_chain
from tests.report.test_figures import row
from tests.text_fixtures import TINY_TEXT
from tests.tiny_chains import hashes

NGRAMS = {"modality": {**TINY_TEXT, "n_fresh": 0}, "model": {"kind": "ngram", "order": 2}}
VECTORS = {
    "modality": {"kind": "gaussian", "n_train": 40, "n_test": 40},
    "model": "gaussian",
    "generations": 3,
}
BOTH: dict[str, Any] = {
    "regime": "replace",
    "generations": 2,
    "seed": 5,
    "shown": 4,
    "chains": {"text": NGRAMS, "vectors": VECTORS},
}


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "both.yaml"
    path.write_text(yaml.safe_dump(BOTH, sort_keys=False))
    return path


def imglab(monkeypatch, *arguments):
    """Run the command line; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["imglab", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code or 0


def test_a_chain_has_the_common_settings_and_its_own(config):
    both = load_config(config)
    assert isinstance(both, SideBySideConfig)
    chains = both.chains
    assert list(chains) == ["text", "vectors"]
    assert [chain.generations for chain in chains.values()] == [2, 3]
    assert {chain.seed for chain in chains.values()} == {5}
    changed = load_config(config, ["seed=6", "chains.text.generations=4"])
    assert isinstance(changed, SideBySideConfig)
    assert [(chain.seed, chain.generations) for chain in changed.chains.values()] == [
        (6, 4),
        (6, 3),
    ]


@pytest.mark.slow
def test_each_runs_in_its_own_directory_and_one_figure_shows_both(
    config, tmp_path, monkeypatch, capsys
):
    assert imglab(monkeypatch, "run", config, "--out", "both") == 0
    out = tmp_path / "both"
    own = {
        "chains.json",
        "side_by_side.png",
        "side_by_side.svg",
        "side_by_side.pdf",
        "report.html",
        "text",
        "vectors",
    }
    assert {path.name for path in out.iterdir() if path.name[0] != "."} == own
    assert (out / "text" / "generation_001" / "sheet.txt").exists()
    assert (out / "text" / "histograms.png").exists()
    assert (out / "vectors" / "scatter.png").exists()
    before = hashes(out)
    assert imglab(monkeypatch, "run", config, "--out", "both") == 0, (
        "a finished run is read, not made again"
    )
    assert hashes(out) == before
    capsys.readouterr()
    assert imglab(monkeypatch, "metrics", "both", "--json") == 0
    found = json.loads(capsys.readouterr().out)["runs"]
    assert [(run["run"], len(run["generations"])) for run in found] == [
        ("both/text", 2),
        ("both/vectors", 3),
    ]


@pytest.mark.slow
def test_a_chain_beside_another_is_the_same_as_alone(config, tmp_path, monkeypatch):
    alone = (
        {key: value for key, value in BOTH.items() if key != "chains"} | NGRAMS | {"name": "text"}
    )
    (tmp_path / "alone.yaml").write_text(yaml.safe_dump(alone))
    assert imglab(monkeypatch, "run", config, "--out", "both") == 0
    assert imglab(monkeypatch, "run", "alone.yaml", "--out", "alone") == 0
    assert hashes(tmp_path / "both" / "text") == hashes(tmp_path / "alone")


@pytest.mark.slow
def test_it_goes_on_where_it_was_cut(config, tmp_path):
    whole = [
        (name, g.index)
        for name, g in SideBySide.from_file(config, tmp_path / "whole").generations()
    ]
    assert whole == [("text", 0), ("text", 1), ("vectors", 0), ("vectors", 1), ("vectors", 2)]
    cut = SideBySide.from_file(config, tmp_path / "cut").generations()
    for _ in range(3):
        next(cut)
    assert isinstance(cut, Generator)
    cut.close()
    list(SideBySide.from_file(config, tmp_path / "cut").generations())
    assert hashes(tmp_path / "cut") == hashes(tmp_path / "whole")


@pytest.mark.slow
def test_each_chain_computes_with_its_own_threads(config, tmp_path):
    text, vectors = (
        {**BOTH["chains"][name], "threads": n} for name, n in (("text", 1), ("vectors", 2))
    )
    config.write_text(yaml.safe_dump({**BOTH, "chains": {"text": text, "vectors": vectors}}))
    found = {
        name: torch.get_num_threads()
        for name, _ in SideBySide.from_file(config, tmp_path / "run").generations()
    }
    assert found == {"text": 1, "vectors": 2}


@pytest.mark.slow
def test_metrics_of_the_chains_that_have_begun(config, tmp_path, monkeypatch, capsys):
    next(iter(SideBySide.from_file(config, tmp_path / "both").generations()))
    assert imglab(monkeypatch, "metrics", "both") == 0
    assert "both/vectors" not in capsys.readouterr().out
    (tmp_path / "both" / "chains.json").write_bytes(files.signed_bytes({"chains": [".."]}))
    assert imglab(monkeypatch, "metrics", "both") == 2
    assert "has no list of names" in capsys.readouterr().err


def test_workers_for_one_chain_are_refused(config, tmp_path, monkeypatch, capsys):
    (tmp_path / "one.yaml").write_text(yaml.safe_dump({**VECTORS, "name": "one"}))
    assert imglab(monkeypatch, "run", "one.yaml", "--workers", "2") == 2
    assert "holds one chain" in capsys.readouterr().err


def test_an_interrupt_ends_the_commands_too(monkeypatch):
    """One ends when told to, one does not listen: it is ended all the same."""
    monkeypatch.setattr("imglab.studies.commands.GRACE", 0.5)
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('up', flush=True); time.sleep(60)"
    )
    commands = {
        "deaf": [sys.executable, "-c", deaf],
        "good": [sys.executable, "-c", "import time; time.sleep(60)"],
    }

    def interrupt(name, line):
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell's background jobs ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            run_jobs(commands, Commands(2, interrupt))
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.slow
def test_as_separate_processes(config, tmp_path, monkeypatch, capsys):
    assert imglab(monkeypatch, "run", config, "--out", "apart", "--workers", "2") == 0
    printed = capsys.readouterr().out
    assert "text: " in printed
    assert "vectors: " in printed
    threads = load_chain(tmp_path / "apart" / "text" / "config.yaml").threads
    assert imglab(monkeypatch, "run", config, "--out", "turn", "--set", f"threads={threads}") == 0
    for chain in ("text", "vectors"):
        for generation in (tmp_path / "turn" / chain).glob("generation_*"):
            apart = tmp_path / "apart" / chain / generation.name
            assert hashes(apart) == hashes(generation)
    assert imglab(monkeypatch, "run", config, "--out", "turn", "--workers", "2") == 0, (
        "goes on with the same threads"
    )


def test_commands_run_together_and_tell_how_they_ended():
    lines = []
    commands = {
        name: [sys.executable, "-c", f"print('{name} speaks'); raise SystemExit({code})"]
        for name, code in (("a", 0), ("b", 3), ("c", 2))
    }
    commands["killed"] = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    place = Commands(2, lambda name, line: lines.append((name, line)))
    outcomes = {"a": Outcome(0), "b": Outcome(3), "c": Outcome(2), "killed": Outcome(-9)}
    assert run_jobs(commands, place) == outcomes
    assert sorted(lines) == [("a", "a speaks"), ("b", "b speaks"), ("c", "c speaks")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chains": {}}, r"chains: must hold chains by name"),
        ({"chains": ["text"]}, r"chains: must hold chains by name"),
        ({"chains": {"a/b": NGRAMS}}, r"chains\.a/b: is not a valid name for a chain"),
        (
            {"chains": {"a": NGRAMS, "A": VECTORS}},
            r"chains\.a: differs from the name of another chain only in upper and lower case",
        ),
        ({"chains": {1: NGRAMS}}, r"the key '1' is not a word"),
        ({"chains": {"text": 3}}, r"chains\.text: must be a mapping of keys, not a number"),
        ({"chains": {"text": {**NGRAMS, "name": "x"}}}, r"chains\.text: a chain cannot set `name`"),
        (
            {"generatoins": 3},
            r"all chains: generatoins: unknown key \(did you mean 'generations'\?\)",
        ),
        ({"name": "a/b"}, r"both\.yaml: name: "),
        (
            {"chains": {"text": {**NGRAMS, "model": "ngrams"}}},
            r"chains\.text: model\.kind: .*did you mean 'ngram'",
        ),
    ],
)
def test_wrong_configs(config, change, message, monkeypatch, capsys):
    config.write_text(yaml.safe_dump({**BOTH, **change}))
    for command in ("run", "validate"):
        assert imglab(monkeypatch, command, config) == 2
        error = capsys.readouterr().err
        assert __import__("re").search(message, error), error
    assert not (config.parent / "runs").exists()


def test_problems_of_all_chains_are_told_at_once(config, tmp_path, monkeypatch, capsys):
    text = {**NGRAMS, "modality": {**NGRAMS["modality"], "n_train": 10**6}}
    vectors = {**VECTORS, "samples": 3}
    config.write_text(yaml.safe_dump({**BOTH, "chains": {"text": text, "vectors": vectors}}))
    assert imglab(monkeypatch, "run", config) == 2
    error = capsys.readouterr().err
    assert "chains.text: modality.n_train: asks for 1000000" in error
    assert "chains.vectors: measure.precision_recall_k" in error


def test_a_mistake_that_all_chains_share_is_told_once(config, monkeypatch, capsys):
    config.write_text(yaml.safe_dump({**BOTH, "generatoins": 3}))
    assert imglab(monkeypatch, "run", config) == 2
    message = f"error: {config}: all chains: generatoins: unknown key (did you mean 'generations'?)"
    assert capsys.readouterr().err.splitlines() == [message]

    config.write_text(yaml.safe_dump({**BOTH, "samples": 3}))
    for command in ("run", "validate"):
        assert imglab(monkeypatch, command, config) == 2
        error = capsys.readouterr().err
        assert f"{config}: all chains: measure.precision_recall_k: " in error
        assert error.count("measure.precision_recall_k: ") == 1


def test_a_directory_of_something_else_is_left_alone(config, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="is not empty and not a side-by-side run"):
        SideBySide.from_file(config, tmp_path / "full")
    SideBySide.from_file(config, tmp_path / "both").begin()
    config.write_text(yaml.safe_dump({**BOTH, "chains": {"other": VECTORS}}))
    with pytest.raises(
        InputError, match="holds the chains text, vectors, but the config has other"
    ):
        SideBySide.from_file(config, tmp_path / "both")
    with pytest.raises(InputError, match="holds several chains"):
        __import__("imglab").Run.from_file(config)


def test_the_figure_shows_common_metrics_as_multiples_of_generation_0():
    chains = {"one": [row(g) for g in range(3)], "two": [row(g, vendi=None) for g in range(2)]}
    assert Image.open(io.BytesIO(png(relative_figure(chains)))).size[0] > 400
    assert png(relative_figure(chains)) == png(relative_figure(chains))
    nothing = {"one": [row(0, fid=None, precision=0.0, vendi=None)]}
    assert Image.open(io.BytesIO(png(relative_figure(nothing)))).format == "PNG"
