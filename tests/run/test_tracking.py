"""Metrics that are sent to other programs as generations finish."""

from __future__ import annotations

import pytest

from imglab.errors import InputError
from imglab.store.reading import read_metrics
from tests.page_fixtures import IMAGES, run_chain_in


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
