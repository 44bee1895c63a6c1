"""Metrics that are sent to other programs as generations finish."""

from __future__ import annotations

import warnings

import pytest

from imglab import Run
from imglab.errors import InputError
from imglab.running.tracking import Identity
from imglab.store.reading import read_metrics
from tests.page_fixtures import IMAGES, run_chain_in
from tests.tiny_chains import POINTS


class TestTracker:
    def test_numbers_reach_tensorboard(self, tmp_path):
        pytest.importorskip("tensorboard")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        run = run_chain_in(tmp_path, "run", IMAGES, generations=2, tracker="tensorboard")
        board = EventAccumulator(str(run / "tracking" / "run"))
        board.Reload()
        assert [event.step for event in board.Scalars("fid")] == [0, 1]
        assert board.Scalars("fid")[1].value == pytest.approx(read_metrics(run)[1]["fid"], rel=1e-5)
        assert [event.step for event in board.Images("pictures/grid")] == [0, 1]
        losses = board.Scalars("loss/generation_001")
        assert [event.step for event in losses] == sorted(event.step for event in losses)

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


def run_points(folder, tracker, generations):
    """Run a chain, or the rest of it, and return its folder."""
    tree = {**POINTS, "pictures": "each", "tracker": tracker, "generations": generations}
    for _ in Run.from_dict(tree, folder / "run").generations():
        pass
    return folder / "run"


class TestIdentity:
    def test_a_run_alone_has_its_own_name_and_always_the_same_key(self, tmp_path):
        settings = {"regime.kind": "replace", "modality.kind": "image", "model.kind": "vae"}
        identity = Identity.of(tmp_path, "digits", settings)
        assert identity.name == "digits"
        assert identity.group is None
        assert identity.tags == ("replace", "image", "vae")
        assert Identity.of(tmp_path, "digits", settings) == identity

    def test_a_run_of_a_sweep_is_grouped_by_sweep_and_arm(self, tmp_path):
        run = tmp_path / "which_helps" / "accumulate" / "seed-3"
        run.mkdir(parents=True)
        (tmp_path / "which_helps" / "sweep.json").write_text("{}")
        identity = Identity.of(run, "digits", {})
        assert (identity.group, identity.arm) == ("which_helps", "accumulate")
        assert identity.name == "accumulate/seed-3"


class TestOthers:
    """The other trackers, without a network, where they are installed."""

    def test_wandb_offline_goes_on_with_the_same_run(self, tmp_path, monkeypatch):
        pytest.importorskip("wandb")
        monkeypatch.setenv("WANDB_MODE", "offline")
        run_points(tmp_path, "wandb", 1)
        run = run_points(tmp_path, "wandb", 2)
        parts = list((run / "tracking" / "wandb").glob("offline-run-*"))
        key = (run / "tracking" / "key").read_text()
        assert len(parts) == 2
        assert all(part.name.endswith(key) for part in parts)
        assert list(parts[0].rglob("*.png"))

    def test_mlflow_goes_on_with_the_same_run(self, tmp_path, monkeypatch):
        mlflow = pytest.importorskip("mlflow")
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        run_points(tmp_path, "mlflow", 1)
        run = run_points(tmp_path, "mlflow", 2)
        client = mlflow.MlflowClient(f"sqlite:///{run}/tracking/mlflow.db")
        (experiment,) = client.search_experiments(filter_string="name = 'imglab'")
        (tracked,) = client.search_runs([experiment.experiment_id])
        history = client.get_metric_history(tracked.info.run_id, "fid")
        assert [each.step for each in history] == [0, 1]
        assert tracked.data.tags["imglab.1"] == "gaussian"
        assert [each.path for each in client.list_artifacts(tracked.info.run_id)] == [
            "generation_000",
            "generation_001",
        ]

    def test_trackio_keeps_the_numbers_of_each_generation(self, tmp_path, monkeypatch):
        # It reads the variable when it is first imported.
        monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
        pytest.importorskip("trackio")
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            run_points(tmp_path, "trackio", 2)
        assert list((tmp_path / "trackio").rglob("imglab*"))
