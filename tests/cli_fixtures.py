"""The command line, run in the process of the test."""

from __future__ import annotations

import sys

import pytest

from imglab.cli import main


def imglab(monkeypatch, capsys, *arguments) -> tuple[int, str, str]:
    """Run the command in this process; return (exit code, standard output, standard error)."""
    monkeypatch.setattr(sys, "argv", ["imglab", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as end:
        main()
    out, err = capsys.readouterr()
    code = end.value.code or 0
    assert isinstance(code, int)
    return code, out, err


@pytest.fixture
def lab(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: imglab(monkeypatch, capsys, *arguments)
