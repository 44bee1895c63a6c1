"""Ctrl-C is obeyed within two seconds wherever a command is; a second one at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image

from imglab.running.interrupt import LAST
from tests.faults.interrupting import interrupted
from tests.faults.killing import attempt
from tests.faults.test_killed import CHAINS, bytes_of
from tests.tiny_chains import TINY_GAUSSIAN, write

pytestmark = pytest.mark.slow

RUN = "run {config} --out {folder}/run"
CALIBRATE = "calibrate {config} --out {folder}/c --set modality.n_test=60"
STAGES = {
    "imports": (RUN, "imglab.cli.run:announce_imports"),
    "estimate": (RUN, "imglab.running.cost:expected"),
    "building": (RUN, "imglab.running.run:build"),
    "autotuning": (RUN, "imglab.running.run:autotune"),
    "preparation": (RUN, "imglab.running.run:Run._prepare"),
    "floors": (RUN, "imglab.measure.measure:Measure.prepare"),
    "fit": (RUN, "imglab.solvable.gaussian.model:GaussianModel.fit"),
    "draw": (RUN, "imglab.solvable.gaussian.model:GaussianModel.draw"),
    "metrics": (RUN, "imglab.measure.measure:Measure.scores"),
    "pictures": (RUN, "imglab.solvable.gaussian.modality:draw_scatter"),
    "figures": (RUN, "imglab.report.results:curves_figure"),
    "validation": ("validate {config}", "imglab.running.build:build_modality"),
    "calibration": (CALIBRATE, "imglab.studies.calibration.run:Calibration.run"),
    "score": (
        "score {folder}/a {folder}/b --extractor pixels --out {folder}/s",
        "imglab.studies.score.score:Comparison.score",
    ),
}
SLACK = 2.5
"""Seconds that a busy machine may add."""


@pytest.fixture
def stuck(tmp_path):
    config = write(tmp_path, TINY_GAUSSIAN)

    def run(stage, **how):
        line, place = STAGES[stage]
        if stage == "score":
            for name in "ab":
                (tmp_path / name).mkdir()
                for number in range(40):
                    Image.effect_noise((8, 8), 30).save(tmp_path / name / f"{number}.png")

        words = line.format(config=config, folder=tmp_path).split()
        return interrupted(words, place, tmp_path / "errors", **how)

    return run


@pytest.mark.parametrize("stage", STAGES)
def test_a_call_that_does_not_come_back_is_left_within_two_seconds(stuck, stage):
    ended = stuck(stage, in_library=True)
    assert ended.code == 3, ended.errors
    assert ended.seconds < 2 + SLACK
    assert "run the same command again" in ended.errors
    assert LAST < 2


@pytest.mark.parametrize("stage", ["building", "fit", "preparation", "figures", "calibration"])
def test_python_code_is_left_with_a_message(stuck, stage):
    ended = stuck(stage, in_library=False)
    assert (ended.code, ended.seconds < 2 + SLACK) == (3, True), ended.errors
    assert "run the same command again" in ended.errors
    assert "Traceback" not in ended.errors


@pytest.mark.parametrize("stage", ["fit", "score"])
def test_a_second_signal_ends_it_at_once(stuck, stage):
    ended = stuck(stage, in_library=True, signals=2)
    assert ended.code == 3
    assert ended.seconds < 0.8 + SLACK


@pytest.mark.parametrize("in_library", [True, False])
def test_a_run_that_was_stopped_in_its_preparation_goes_on(tmp_path, in_library):
    """What had been prepared by then, here the list of hashes is missing, is made again."""
    config, out = write(tmp_path, CHAINS["image"]), tmp_path / "run"
    words = ["run", str(config), "--out", str(out)]
    place = "imglab.running.run:hashes.complete"
    ended = interrupted(words, place, tmp_path / "errors", in_library=in_library)
    assert ended.code == 3, ended.errors
    assert list((out / "shared").iterdir())
    assert attempt(config, out) is not None
    attempt(config, tmp_path / "whole")
    assert bytes_of(out) == bytes_of(tmp_path / "whole")


def test_the_workers_of_a_sweep_are_left_too(tmp_path):
    """Ctrl-C in a terminal reaches the whole group: the command, and its two workers in a fit."""
    chain = {
        **TINY_GAUSSIAN,
        "generations": 5_000,
        "seeds": [0],
        "arms": {"a": {}, "b": {"samples": 21}},
    }
    config, out = write(tmp_path, chain), tmp_path / "sweep"
    command = [sys.executable, "-m", "imglab", "sweep", str(config), "--out", str(out)]
    with (tmp_path / "output").open("w") as output:
        sweep = subprocess.Popen(
            [*command, "--workers", "2"], stdout=output, stderr=output, start_new_session=True
        )
        deadline = time.monotonic() + 120
        try:
            while len(list(out.glob("*/*/generation_001"))) < 2:
                assert sweep.poll() is None, (tmp_path / "output").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.1)

            began = time.monotonic()
            os.killpg(sweep.pid, signal.SIGINT)
            assert sweep.wait(60) == 3
            assert time.monotonic() - began < 2 + SLACK
        finally:
            sweep.kill()

    assert "run the same command again" in (tmp_path / "output").read_text()
    # Python's own keeper of shared memory ends when it sees that nobody is left.
    deadline = time.monotonic() + 5
    while group_lives(sweep.pid):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def group_lives(number: int) -> bool:
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return False
    return True
