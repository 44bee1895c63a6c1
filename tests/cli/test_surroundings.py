"""Where a run is started: without a home, a terminal or a network, and with folders of any name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from imglab.cli import main
from imglab.cli.run import _run_apart
from imglab.store.reading import read_metrics
from tests.conftest import ROOT
from tests.tiny_chains import TINY_GAUSSIAN, finish, write

NOWHERE = "http://127.0.0.1:9"
ONLY_CORE = min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
HARSH = {
    "HOME": "/dev/null/home",
    "TMPDIR": "/dev/null/tmp",
    "COLUMNS": "1",
    "LINES": "1",
    "TERM": "dumb",
    "LC_ALL": "C",
    "PYTHONUTF8": "0",
    "PYTHONIOENCODING": "ascii",
    "PYTHONDONTWRITEBYTECODE": "1",
    "HTTP_PROXY": NOWHERE,
    "HTTPS_PROXY": NOWHERE,
    "ALL_PROXY": NOWHERE,
}
EMPTY = {"PATH": "", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
"""All that is left of the environment: no HOME, no TMPDIR, no language."""
RUN_THEN_METRICS = """
import sys
from imglab.cli import main

for line in (["run", "tiny.yaml", "--out", "漢 🎲"], ["metrics", "漢 🎲"]):
    sys.argv = ["imglab", *line]
    try:
        main()
    except SystemExit as end:
        assert not end.code
"""
ODD = "-Ü 漢🎲 e\u0301\n\x1b[31m"
FOLDERS = [
    "two  spaces ",
    "Übermaß",
    "漢字",
    "🎲🧪",
    "e\u0301a\u0308",
    "-dash",
    "--out",
    "new\nline",
    "n" * 255,
    "漢" * 85,
    "\t'\"`$&<b>%20#?",
    "run@1",
    "[red]*{{x}}",
    "\x1b[31m\u202e",
    "/".join(["below"] * 40),
]


def lab(folder: Path, *arguments, environment, **how) -> subprocess.CompletedProcess[Any]:
    """Run the command in a process of its own, in `folder`, on one processor."""
    command = [sys.executable, "-m", "imglab", *map(str, arguments)]
    return subprocess.run(
        command, cwd=folder, env=environment, preexec_fn=on_one_core, timeout=300, **how
    )


def on_one_core():
    if ONLY_CORE is not None:
        os.sched_setaffinity(0, {ONLY_CORE})


def closing(*streams: int):
    """Return what closes these standard streams of a process as it starts."""
    return ["sh", "-c", " ".join(['exec "$@"', *(f"{stream}>&-" for stream in streams)]), "sh"]


def surroundings(**changes: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    return {**kept, "PYTHONPATH": str(ROOT), **changes}


def numbers(run: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(run.glob("generation_*/metrics.json"))]


@pytest.fixture
def config(tmp_path) -> Path:
    return write(tmp_path, {**TINY_GAUSSIAN, "name": "übung", "threads": 1})


@pytest.fixture
def expected(config, tmp_path) -> list[bytes]:
    finish(config, tmp_path / "expected")
    return numbers(tmp_path / "expected")


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param(surroundings(**HARSH), id="all that can be wrong", marks=pytest.mark.slow),
        pytest.param(EMPTY, id="an empty environment", marks=pytest.mark.slow),
        pytest.param(
            surroundings(HOME="/proc"),
            id="a home that nothing can be written to",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_run_heeds_nothing_of_its_environment(environment, config, expected, tmp_path):
    done = lab(
        tmp_path,
        "run",
        config,
        "--out",
        "run",
        environment=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert numbers(tmp_path / "run") == expected
    assert any(line.endswith(b"scatter.png") for line in done.stdout.splitlines())


@pytest.mark.slow
def test_what_a_terminal_cannot_show_is_escaped(config, tmp_path):
    environment = surroundings(LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8="1", COLUMNS="200")
    command = [sys.executable, "-c", RUN_THEN_METRICS]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.splitlines()
    (header,) = (line for line in lines if line.startswith(rb"\xfcbung: 3 generations"))
    assert lines[lines.index(header) + 1] == rb"-> \u6f22 \U0001f3b2"
    assert sum(rb" \xb1" in line for line in lines) == 4  # of the floor and of each generation
    assert "漢 🎲".encode() in lines  # of `metrics`, as click writes it


@pytest.mark.slow
@pytest.mark.parametrize("streams", [(1,), (0, 1, 2)])
def test_closed_streams_are_not_missed(streams, config, expected, tmp_path):
    command = [
        *closing(*streams),
        sys.executable,
        "-m",
        "imglab",
        "run",
        str(config),
        "--out",
        "run",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env=surroundings(), capture_output=True, timeout=300
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert numbers(tmp_path / "run") == expected


@pytest.mark.slow
def test_who_reads_the_output_may_go(config, expected, tmp_path):
    """As in `imglab run ... | head -1`: no traceback, and the same command goes on."""
    command = [sys.executable, "-m", "imglab", "run", str(config), "--out", "run"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=surroundings(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    finish(config, tmp_path / "run")
    assert numbers(tmp_path / "run") == expected


@pytest.mark.parametrize("name", [ODD, *FOLDERS], ids=ascii)
@pytest.mark.slow
def test_a_folder_may_have_any_name(name, config, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments) -> str:
        monkeypatch.setattr(sys, "argv", ["imglab", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        assert (end.value.code or 0, err) == (0, "")
        return str(out)

    changes = ["--set", "generations=2", "--set", "pictures=each"]
    shown = call("run", str(config), f"--out={name}", *changes)
    assert "\x1b" not in shown
    run = tmp_path / name
    assert [row["generation"] for row in read_metrics(run)] == [0, 1]
    for path in (run / "report.html", run / "metrics.csv", run / "strip.png"):
        assert path.stat().st_size > 100
    told = json.loads(call("metrics", "--json", "--", name))["runs"]
    assert [len(told[0]["generations"]), told[0]["run"]] == [2, str(Path(name))]
    assert "floor: real against real" in call("metrics", "--", name)
    call("report", f"--out={name}/again.html", "--", name)
    assert (run / "again.html").stat().st_size > 10_000
    kept = numbers(run)
    call("run", str(config), f"--out={name}", "--set", "generations=2")
    assert numbers(run) == kept


@pytest.mark.parametrize(("codes", "code"), [((0, -9), 3), ((2, -9), 2), ((17,), 1), ((-15, 1), 3)])
def test_a_chain_that_a_signal_kills_can_go_on(tmp_path, codes, code):
    ended = {str(at): each for at, each in enumerate(codes)}
    chains: Any = SimpleNamespace(folder=tmp_path, run_apart=lambda show: ended)
    with pytest.raises(typer.Exit) as raised:
        _run_apart(chains)
    assert raised.value.exit_code == code


@pytest.mark.parametrize("arguments", [["list"], ["run", "a.yaml"], ["--help"], []])
def test_windows_is_refused_by_name(arguments, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["imglab", *arguments])
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "Windows is not supported" in capsys.readouterr().err
