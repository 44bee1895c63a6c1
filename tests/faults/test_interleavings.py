"""Two commands at a time: every order of their file operations leaves whole runs."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from tests.conftest import ROOT


@dataclass
class Script:
    """Stands for a command: what it does, in turn."""

    name: str
    operations: list[str]
    trace: list[str]
    head_start: int = 0

    @property
    def is_alive(self) -> bool:
        return bool(self.operations)

    @property
    def waits_for(self) -> str:
        return (self.operations or [""])[0]

    def start(self) -> None:
        pass

    def kill(self) -> None:
        self.operations = []

    def step(self, operations: int, writes: int) -> None:
        for _ in range(min(operations, len(self.operations))):
            writes -= self.waits_for == "write"
            if writes < 0:
                return
            self.operations.pop(0)
            self.trace.append(self.name)
            if self.waits_for == "sleep":
                return


@pytest.fixture
def order(monkeypatch):
    """The order in which a schedule lets two commands, a and b, do their operations."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from interleaved import Schedule

    def run(a, b, *, head_starts=(0, 0), switch=0.0, seed=0):
        trace: list[str] = []
        actors: list[Any] = [
            Script(name, list(operations), trace, head_start)
            for name, operations, head_start in zip("ab", (a, b), head_starts, strict=True)
        ]
        wrong = Schedule(random.Random(seed), switch).run(actors)
        return wrong or "".join(trace)

    return run


def test_a_head_start_counts_what_is_written(order):
    """The first command writes twice, the other one comes to its end, and the first goes on."""
    assert order(["look", "write"] * 3, ["write"] * 3, head_starts=(2, 0)) == "aaaaabbba"


def test_a_seed_is_an_order(order):
    first = order(["write"] * 20, ["write"] * 20, switch=0.4, seed=1)
    assert first == order(["write"] * 20, ["write"] * 20, switch=0.4, seed=1)
    assert first != order(["write"] * 20, ["write"] * 20, switch=0.4, seed=2)
    assert sorted(first) == sorted("a" * 20 + "b" * 20)


def test_one_that_sleeps_waits_for_the_other(order):
    assert order(["look", "sleep", "write"], ["look"] * 3) == "abbbaa"


def test_two_that_wait_for_each_other_are_noticed(order):
    assert order(["sleep"] * 999, ["sleep"] * 999) == "they hang"


@pytest.mark.slow
def test_a_part_of_the_interleavings():
    """The commit chooses the part; `python scripts/interleave.py` tries all."""
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=ROOT, check=False
    ).stdout
    seed = str(int(commit[:8] or "0", 16))
    command = [sys.executable, "scripts/interleave.py", "--schedules", "30", "--seed", seed]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
