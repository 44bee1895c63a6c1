"""What is said while work goes on, by a clock that the test sets."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from imglab import model, stages
from imglab.cli import progress
from imglab.cli.heartbeat import Heartbeat, signs_of_life
from imglab.cli.tally import Tally
from imglab.generation import Generation
from imglab.progress import Progress, heard_by, report
from imglab.running.cost import RunCost, StageCost
from imglab.running.run import Run
from imglab.studies.jobs import Outcome
from tests.tiny_chains import TINY_GAUSSIAN, write


class Clock:
    """A clock that stands still until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


class TestHeartbeat:
    def test_a_line_every_half_minute_in_which_nothing_else_was_said(self, clock):
        lines: list[str] = []
        heart = Heartbeat(lines.append, clock=clock)
        heart.heard("fit", 0, 100)
        for second in range(1, 121):
            clock.now = float(second)
            heart.heard("fit", second // 2, 100)
            if second == 40:
                heart.spoke()
            heart.tick()
        assert lines == [
            "fit 15%, 0:30 so far, about 2:50 left",
            "fit 35%, 1:10 so far, about 2:10 left",
            "fit 50%, 1:40 so far, about 1:40 left",
        ]

    def test_a_stage_without_numbers_has_the_time_that_was_expected(self, clock):
        heart = Heartbeat(print, expected={"prepare": 90.0}, clock=clock)
        heart.heard("prepare")
        clock.now = 30.0
        assert heart.line() == "prepare, 0:30 so far, about 1:00 left"
        clock.now = 100.0
        assert heart.line() == "prepare, 1:40 so far"

    def test_a_stage_that_goes_on_is_timed_from_where_it_goes_on(self, clock):
        heart = Heartbeat(print, clock=clock)
        heart.heard("fit", 80, 100)
        clock.now = 10.0
        heart.heard("fit", 90, 100)
        assert heart.line() == "fit 90%, 0:10 so far, about 0:10 left"

        # The same name from the beginning is another fit.
        heart.heard("fit", 0, 100)
        assert heart.line() == "fit 0%, 0:00 so far"

    def test_each_stage_is_named_once_where_that_is_asked_for(self, clock):
        lines: list[str] = []
        heart = Heartbeat(lines.append, each_after=2.0, clock=clock)
        for stage, seconds in (("reading texts", 1), ("probing the fit", 4), ("metrics", 3)):
            heart.heard(stage)
            for _ in range(seconds):
                clock.now += 1.0
                heart.tick()
        assert lines == ["probing the fit, 0:02 so far", "metrics, 0:02 so far"]

    def test_a_stage_that_goes_on_is_never_at_100_percent(self, clock):
        heart = Heartbeat(print, clock=clock)
        heart.heard("floor", 199, 200)
        clock.now = 60.0
        heart.heard("floor", 200, 200)
        clock.now = 75.0
        assert heart.line() == "after floor, 0:15 so far"

        # The floor at another size begins anew.
        heart.heard("floor", 1, 200)
        assert heart.line() == "floor 0%, 0:00 so far"

    def test_nothing_is_said_of_nothing(self, clock):
        lines: list[str] = []
        heart = Heartbeat(lines.append, clock=clock)
        clock.now = 1e6
        heart.tick()
        assert lines == []


def test_reports_are_heard_within_the_block_alone():
    heard: list[tuple[str, int, int]] = []
    report("before")
    with heard_by(lambda *each: heard.append(each)):
        report("reading images", 3, 9)
    report("after")
    assert heard == [("reading images", 3, 9)]


def test_a_short_work_says_nothing(capsys):
    with signs_of_life("opening the data"):
        report("reading images", 1, 2)
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
def test_a_run_says_of_all_its_stages_where_it_is(lab, tmp_path, monkeypatch):
    """Every stage is heard, also those that yield nothing."""
    heard: set[str] = set()
    note = Heartbeat.heard

    def hear(heart, stage, *rest):
        heard.add(stage)
        note(heart, stage, *rest)

    monkeypatch.setattr(Heartbeat, "heard", hear)
    write(tmp_path, TINY_GAUSSIAN)
    assert lab("run", "tiny.yaml")[0] == 0
    stages = {"opening the data", "prepare", "reference", "fit", "sample", "floor", "metrics"}
    assert stages | {"metrics of data and model", "figures and page"} <= heard


def test_what_comes_after_the_floors_has_a_name(tmp_path, monkeypatch):
    """A text's metrics take minutes after its last floor."""
    heard: list[str] = []
    call = model.call_metrics

    def listed(*parts, **keys):
        assert heard[-1] == "metrics of data and model"
        return call(*parts, **keys)

    monkeypatch.setattr(stages, "call_metrics", listed)
    config = {**TINY_GAUSSIAN, "generations": 1}
    with heard_by(lambda stage, seen, total: heard.append(stage)):
        for event in Run.from_dict(config, tmp_path / "run").events():
            if isinstance(event, Progress):
                heard.append(event.stage)
    assert "floor" in heard


def test_the_time_left_is_not_that_of_more_first_generations(tmp_path, monkeypatch, clock, capsys):
    run = Run.from_file(write(tmp_path, {**TINY_GAUSSIAN, "generations": 3}), tmp_path / "run")
    finished = [event for event in run.events() if isinstance(event, Generation)]
    monkeypatch.setattr(progress, "time", SimpleNamespace(perf_counter=clock))
    cost = RunCost((StageCost("fit", 600.0, (500.0, 50.0, 50.0), 0),), 0, "a short probe")

    console = progress.RunConsole(run, cost)
    clock.now = 500.0
    console.show(finished[0])
    console._say_where("fit")
    clock.now = 540.0
    console.show(finished[1])
    console._say_where("fit")
    lines = [line for line in capsys.readouterr().out.splitlines() if "left" in line]
    assert lines == [
        "generation 1 · fit · run 1:40 left",
        "generation 2 · fit · run 0:40 left",
    ]


class TestTally:
    def test_a_line_for_each_run_and_the_time_left_for_all(self, clock, capsys):
        tally = Tally(3, clock=clock)
        for second, done in enumerate((0, 1, 2, 3)):
            clock.now = 10.0 * second
            tally(done, 9)
        tally.ended("all/seed-0", Outcome(0))
        tally.ended("all/seed-1", Outcome(3, "stopped"))
        out = capsys.readouterr().out.splitlines()
        assert out == [
            "running: 0 of 3 runs, 3 of 9 generations finished, about 1:00 left",
            "all/seed-0 done: 1 of 3 runs, 3 of 9 generations finished, about 1:00 left",
            "all/seed-1 not finished: 2 of 3 runs, 3 of 9 generations finished, about 1:00 left",
        ]

    def test_silence(self, clock, capsys):
        tally = Tally(silent=True, clock=clock)
        tally(0, 4)
        tally.ended("x", Outcome(0))
        assert capsys.readouterr().out == ""


def test_validate_says_what_was_found(lab, tmp_path):
    write(tmp_path, TINY_GAUSSIAN)
    code, out, _ = lab("validate", "tiny.yaml")
    assert code == 0
    assert "30 real training and 30 test samples" in out
    assert "a sample is 2 (torch.float32)" in out
