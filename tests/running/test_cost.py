"""What a run will cost: from a probe, from an earlier run, and what the machine lacks for it."""

import itertools
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from imglab.cli.cost import summary, table
from imglab.cli.run import run as run_command
from imglab.config.load import load_config
from imglab.config.schema import RunConfig
from imglab.errors import InputError
from imglab.mixed.settings import PopulationSettings
from imglab.progress import heard_by
from imglab.running import cost, cost_probe, earlier_runs, preparation_probe
from imglab.running.cost import estimate, of_run, shortages, training_sizes
from imglab.running.preparation_probe import prepared, spread
from imglab.running.run import Run
from imglab.running.short_plans import shortened
from imglab.running.stage_costs import Measured
from imglab.samples import TrainingSet
from tests.conftest import ROOT

GAUSSIAN = ROOT / "configs/smoke/gaussian.yaml"
MEASURED = Measured(
    prepare=10.0,
    fit_first=8.0,
    fit_later=4.0,
    grows=True,
    draw=2.0,
    measure_first=3.0,
    measure_later=1.0,
    pictures=0.5,
    page=1.0,
    disk_generation={"fit": 100, "draw": 10, "measure": 1, "pictures": 5},
    disk_once={"prepare": 1000, "pictures": 50},
    memory=10**9,
    source="a short probe",
)


def load(path, *changes):
    config = load_config(path, list(changes))
    assert isinstance(config, RunConfig)
    return config


@pytest.fixture
def gaussian():
    return load(GAUSSIAN, "regime=accumulate")


@pytest.fixture
def remembering(tmp_path, monkeypatch):
    """Let runs be remembered in a folder of the test."""
    monkeypatch.setenv(earlier_runs.CACHE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def by_name(whole):
    return {stage.name: stage for stage in whole.stages}


class TestOfRun:
    def test_each_stage_counts_as_often_as_it_is_done(self):
        whole = of_run(replace(MEASURED, grows=False), 3, [60, 120, 180], real=60)
        seconds = {name: stage.seconds for name, stage in by_name(whole).items()}
        assert seconds == {"prepare": 10, "fit": 16, "draw": 6, "measure": 5, "pictures": 2.5}
        assert whole.seconds == 39.5
        assert by_name(whole)["prepare"].generation == ()
        assert whole.disk == 3 * 116 + 1050

    def test_a_fit_without_a_budget_grows_with_its_training_set(self):
        assert by_name(of_run(MEASURED, 3, [60, 120, 180], real=60))["fit"].generation == (8, 8, 12)

    def test_the_first_training_set_may_have_another_size_than_the_real_one(self):
        """A mixture with `regime.size`: what was measured is a fit of the real samples."""
        fits = by_name(of_run(MEASURED, 2, [120, 120], real=60))["fit"].generation
        assert fits == (16, 8)

    def test_a_chain_that_accumulates_trains_on_more_and_more(self, gaussian):
        assert training_sizes(Run(gaussian).experiment) == [60, 120, 180]


def test_the_probe_cuts_the_budget_and_nothing_else():
    section: Any = load(ROOT / "configs/image_digits.yaml").model
    short = shortened(section)
    assert short.training.images == 128
    assert short.training.batch == section.training.batch
    assert short.model_copy(update={"training": section.training}) != section
    assert shortened(load(GAUSSIAN).model).kind == "gaussian"


def test_the_budgets_of_a_population_are_cut_too():
    member: Any = load(ROOT / "configs/image_digits.yaml").model
    section = PopulationSettings.model_construct(models=[member, member])
    assert [short.training.images for short in shortened(section).models] == [128, 128]


class TestProbe:
    def test_features_that_stand_for_others_are_different_ones(self):
        features = torch.arange(6.0).view(3, 2)
        distinct = spread(features, 50)
        assert torch.equal(distinct[:3], features)
        assert len(distinct.unique(dim=0)) == 50

    def test_only_the_scores_grow_with_the_square_of_the_samples(
        self, gaussian, tmp_path, monkeypatch
    ):
        experiment = Run(gaussian).experiment
        ready = replace(prepared(experiment, tmp_path, 20), rate=0.1)
        real = TrainingSet.of(experiment.modality.real("train"))
        fitted = cost_probe.short_fit(experiment, real)
        half = experiment.drawn // 2

        # Each look at the clock is a second after the one before: the scores and the metrics of
        # half the samples take one each, features a tenth for each sample.
        monkeypatch.setattr(cost_probe, "clock", itertools.count().__next__)
        seconds = cost_probe.measure_seconds(
            experiment, ready, fitted, experiment.modality.real("train")[:10], half
        )
        assert seconds == (0.1 * experiment.drawn + 2 + 4,) * 2

    @pytest.mark.slow
    def test_text_is_read_in_part_and_all_of_it_is_counted(self, tmp_path, monkeypatch):
        experiment = Run(load(ROOT / "configs/smoke/text.yaml")).experiment
        n = len(experiment.modality.real("train"))
        monkeypatch.setattr(preparation_probe, "clock", itertools.count().__next__)
        ready = prepared(experiment, tmp_path, n // 4)
        assert len(ready.few.real("train")) == n // 4
        assert ready.share == (n // 4) / n
        assert len(ready.measure.real("train")) == n
        assert len(ready.measure.real("test")) == len(experiment.modality.real("test"))
        assert torch.equal(
            ready.few.real("train").data, experiment.modality.real("train")[: n // 4].data
        )

    def test_the_tokenizer_is_trained_once_for_a_run_and_its_probe(self, tmp_path):
        heard: list[str] = []
        with heard_by(lambda stage, seen, total: heard.append(stage)):
            experiment = Run(load(ROOT / "configs/smoke/text.yaml")).experiment
            ready = prepared(experiment, tmp_path, 64)
        assert heard.count("training the tokenizer") == 1
        data: Any = (ready.few, experiment.modality)
        assert data[0].tokenizer is data[1].tokenizer

    def test_a_cpu_draws_and_reads_no_more_than_it_is_allowed(self, gaussian, tmp_path):
        experiment = Run(gaussian, tmp_path / "run").experiment
        real = TrainingSet.of(experiment.modality.real("train"))
        fitted = cost_probe.short_fit(experiment, real)
        _, drawn = cost_probe._drawing(experiment, real, fitted, cost_probe.Effort(drawn=5))
        assert len(drawn) == 5

    @pytest.mark.parametrize(("loss", "seconds"), [(1.5, 5), (None, 0)])
    def test_the_gate_fits_once_more(self, loss, seconds, monkeypatch):
        monkeypatch.setattr(cost_probe, "clock", itertools.count().__next__)
        judge = SimpleNamespace(held_out_loss=lambda model: loss)
        model = SimpleNamespace(fit=lambda train, start, seed: iter(()))
        modality = SimpleNamespace(ability=lambda kind: judge)
        experiment: Any = SimpleNamespace(modality=modality, models=[model])
        judged: Any = SimpleNamespace(gate={"further_training": 0.1})
        everything: Any = SimpleNamespace(measure=judged, few=modality, share=0.5)
        nothing: Any = SimpleNamespace(measure=SimpleNamespace(gate={}), few=modality, share=1.0)

        model_and_data: Any = (None, None, cost_probe.Effort())
        assert cost_probe._gate_seconds(experiment, everything, *model_and_data) == seconds
        assert cost_probe._gate_seconds(experiment, nothing, *model_and_data) == 0

    @pytest.mark.skipif(sys.platform != "linux", reason="peaks begin anew on Linux alone")
    def test_the_peak_of_a_chain_is_its_own(self):
        large = torch.ones(50_000_000)
        del large
        before = earlier_runs.peak_memory()
        earlier_runs.forget_peak()
        assert earlier_runs.peak_memory() < before - 10**8


def test_a_fit_that_cannot_be_cut_is_given_up(gaussian, monkeypatch):
    monkeypatch.setattr("imglab.running.cost_probe.LONGEST_FIT", -1.0)
    with pytest.raises(InputError, match="no budget to cut"):
        estimate(gaussian)


def test_a_probe_leaves_nothing_behind_and_a_run_is_remembered(
    gaussian, remembering, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    probed = estimate(gaussian)
    assert probed.source == "a short probe"
    assert not list(tmp_path.iterdir())
    assert 0 < probed.seconds < 60

    # Seeds and generations do not change what a stage costs.
    run = Run(gaussian, tmp_path / "run")
    list(run.generations())
    earlier_runs.remember(gaussian, run.folder, training_sizes(run.experiment), real=60)
    longer = gaussian.model_copy(update={"generations": 7, "seed": 5, "name": "other"})
    recalled = estimate(longer)
    assert recalled.source == "an earlier run"
    assert len(by_name(recalled)["fit"].generation) == 7

    # The disk of the run that is remembered comes out again.
    size = earlier_runs.size_below(tmp_path / "run")
    assert estimate(gaussian).disk == pytest.approx(size, rel=0.05)

    wider = load(GAUSSIAN, "modality.dimensions=3")
    assert earlier_runs.recalled(wider, 60) is None

    # Other data, another program and another machine are not the same.
    assert earlier_runs.recalled(gaussian, 60) is not None
    assert earlier_runs.recalled(gaussian, 61) is None
    for name, value in (("__version__", "0"), ("accelerator", lambda: "H100"), ("launched", int)):
        with monkeypatch.context() as other:
            other.setattr(earlier_runs, name, value)
            assert earlier_runs.recalled(gaussian, 60) is None


def test_remembered_fits_are_those_of_the_first_training_set(gaussian, tmp_path):
    run = Run(gaussian, tmp_path / "run")
    list(run.generations())
    log = run.folder / "events.jsonl"
    events = [json.loads(line) for line in log.read_text().splitlines()]
    for event in events:
        if event.get("stage") == "model":
            event["seconds"] = 2.0 * (1 + event["generation"])
    log.write_text("".join(f"{json.dumps(event)}\n" for event in events))

    measured = earlier_runs.measured_of(gaussian, run.folder, [60, 120, 180], real=60)
    assert measured is not None
    assert (measured.grows, measured.fit_first, measured.fit_later) == (True, 2, 2)
    other = earlier_runs.measured_of(gaussian, run.folder, [120, 240, 360], real=60)
    assert other is not None
    assert (other.fit_first, other.fit_later) == (1, 1)


def test_a_run_that_was_interrupted_is_not_remembered(gaussian, remembering, tmp_path):
    events = Run(gaussian, tmp_path / "run").events()
    next(event for event in events if hasattr(event, "metrics"))
    events.close()
    list(Run(gaussian, tmp_path / "run").events())
    earlier_runs.remember(gaussian, tmp_path / "run", [60, 120, 180], real=60)
    assert not remembering.exists()


@pytest.mark.parametrize("content", ["", "[]", '{"x": 1}', "\x00"])
def test_a_damaged_file_of_earlier_runs_says_nothing(gaussian, remembering, content):
    remembering.mkdir()
    (remembering / earlier_runs.COSTS).write_text(content)
    assert earlier_runs.recalled(gaussian, 60) is None


def test_it_says_what_the_machine_lacks(tmp_path, monkeypatch):
    whole = of_run(replace(MEASURED, memory=10**18), 1, [60], real=60)
    huge = replace(whole, stages=(replace(whole.stages[0], disk=10**18), *whole.stages[1:]))
    disk, memory = shortages(huge, tmp_path / "not" / "yet")
    assert "of disk" in disk
    assert str(tmp_path) in disk
    assert "of memory" in memory

    monkeypatch.setattr(cost, "available_memory", lambda: None)
    assert not list(shortages(whole, tmp_path))


def test_the_command_line_shows_each_stage():
    whole = of_run(MEASURED, 3, [60, 60, 60], real=60)
    assert summary(whole).startswith("about 40 s, 1.0 GB of memory, 1 kB of disk")
    lines = list(table(whole))
    assert [line.split()[0] for line in lines[1:]] == list(cost.STAGES)
    assert lines[2].split()[1:] == ["16", "s", "8.0", "s", "4.0", "s", "0", "kB"]


def test_a_dry_run_prints_json_and_makes_no_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run_command(GAUSSIAN, dry_run=True, as_json=True)
    (only,) = json.loads(capsys.readouterr().out)["runs"]
    assert only["run"] == "smoke_gaussian"
    assert only["disk"] > 0
    assert not list(tmp_path.iterdir())


def test_a_dry_run_says_what_it_found_before_what_that_costs(monkeypatch, capsys):
    answer = of_run(MEASURED, 3, [60, 60, 60], real=60)
    monkeypatch.setattr(cost, "estimate_of", lambda experiment, config: answer)
    run_command(GAUSSIAN, dry_run=True)
    lines = capsys.readouterr().out.splitlines()
    assert "60 real training and" in lines[0]
    assert lines[1].startswith("smoke_gaussian: about")


def test_wrong_input_of_a_dry_run():
    with pytest.raises(InputError, match=r"no_such\.yaml"):
        run_command(Path("no_such.yaml"), dry_run=True)
    with pytest.raises(InputError, match="is for --dry-run"):
        run_command(GAUSSIAN, as_json=True)
