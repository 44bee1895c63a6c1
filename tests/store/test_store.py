"""The store on disk: every stage comes back as it was put, and only errors of a folder blame it."""

from __future__ import annotations

import subprocess
from collections.abc import Generator
from contextlib import closing
from typing import Any

import pytest
import torch

from imglab.config.load import validate_config
from imglab.errors import InputError
from imglab.measures import Continuation, Features, Measures, NearestReal, RealShown
from imglab.running import observers
from imglab.running.build import build
from imglab.running.environment import describe_environment
from imglab.running.run import Run
from imglab.samples import Samples, TrainingSet
from imglab.solvable.gaussian.model import GaussianModel
from imglab.store.disk import DiskStore
from imglab.store.layout import FORMAT_VERSION
from imglab.store.model_folder import load_model
from imglab.store.stage_files import FORMATS, STAGES
from tests.conftest import ROOT
from tests.text_fixtures import finish as result
from tests.tiny_chains import TINY_GAUSSIAN, finish, write

SAMPLES = Samples.drawn(torch.randn(6, 2), torch.arange(6))
WORDS = {"shown": [{"label": "a"}], "real": None}
RESULTS: dict[str, Any] = {
    "samples": SAMPLES,
    "shown": Samples.drawn(torch.zeros(2, 2)),
    "exhibit": NearestReal(
        torch.tensor([[1], [0]]), torch.rand(2, 1).double(), torch.arange(2), SAMPLES.data, WORDS
    ),
    "evaluation": Samples.drawn(torch.ones(3, 2)),
    "real": RealShown(torch.arange(4.0).view(2, 2), [{"label": "a"}, {"label": "b"}]),
    "features": Features(torch.randn(6, 3), "a name"),
    "accepted": torch.tensor([0, 2, 5]),
    "panel": Continuation("Once upon", "a time", "a mattress", row=3, among=8, perplexity=None),
    "metrics": Measures({"fid": 0.5, "kid": None}, per_sample={"nearest": torch.rand(6)}),
}


@pytest.fixture
def gaussian():
    tree = {**TINY_GAUSSIAN, "name": "gaussian"}
    return build(validate_config(tree, "test"), "test")


def plain(value):
    """Return a result as something that `==` compares."""
    if isinstance(value, torch.Tensor):
        return (value.dtype, value.tolist())
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return plain(vars(value)) if hasattr(value, "__dict__") else value


@pytest.mark.parametrize("version", FORMATS)
def test_every_stage_is_read_back_as_it_was_put(tmp_path, gaussian, version):
    train = TrainingSet.of(gaussian.modality.real("train"))
    fitted = result(gaussian.models[0].fit(train, start=None, seed=0))
    results = {"model": fitted, **RESULTS}
    assert set(results) == set(STAGES)

    environment = {"format_version": version, "packages": {}, "data": {}}
    with DiskStore(tmp_path, load_model=load_model) as store:
        store.begin(config="", environment=environment)
        for stage, value in results.items():
            assert not store.has(0, stage)
            store.put(0, stage, value)
            assert store.has(0, stage)
            assert store.path(0, stage).exists()

        for stage, value in RESULTS.items():
            assert plain(store.read(0, stage)) == plain(value), stage
        assert plain(store.model(0).weights()) == plain(fitted.weights())
        assert store.size(0) == 3

        # Whoever asks after the end of the generation may do with the model what they like.
        assert store.model(0) is store.model(0)
        store.finish(0)
        assert store.model(0) is not store.model(0)


def test_a_file_that_is_on_no_list_is_not_a_finished_stage(tmp_path):
    environment = {"format_version": FORMAT_VERSION, "packages": {}, "data": {}}
    with DiskStore(tmp_path, load_model=load_model) as store:
        store.begin(config="", environment=environment)
        store.put(0, "samples", SAMPLES)
        (tmp_path / "generation_000" / "accepted.safetensors").write_bytes(b"half of it")
        assert not store.has(0, "accepted")
        store.put(0, "accepted", RESULTS["accepted"])
        accepted = store.accepted(0)
        assert accepted is not None
        assert accepted.tolist() == [0, 2, 5]


class TestOpeningABase:
    @pytest.fixture
    def base(self, tmp_path):
        finish(write(tmp_path, {**TINY_GAUSSIAN, "generations": 1}), tmp_path / "run")
        return tmp_path / "run" / "generation_000" / "model"

    def test_an_error_in_the_code_of_a_model_is_not_blamed_on_the_folder(
        self, base, tmp_path, monkeypatch
    ):
        def load(cls, path):
            return cls.no_such_attribute

        monkeypatch.setattr(GaussianModel, "load", classmethod(load))
        config = write(tmp_path, {**TINY_GAUSSIAN, "base": str(base)})
        with pytest.raises(AttributeError, match="no_such_attribute"):
            Run.from_file(config, tmp_path / "other")

    @pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"kind": "kde"}'])
    def test_a_damaged_folder_is_named(self, base, tmp_path, content):
        (base / "imglab.json").write_bytes(content)
        config = write(tmp_path, {**TINY_GAUSSIAN, "base": str(base)})
        with pytest.raises(InputError, match=r"base|generation_000/model"):
            Run.from_file(config, tmp_path / "other")

    def test_a_base_of_another_kind_is_named(self, base, tmp_path):
        tree = {**TINY_GAUSSIAN, "model": {"kind": "mixture", "components": 2}, "base": str(base)}
        with pytest.raises(InputError, match=r"base: .*generation_000/model"):
            Run.from_file(write(tmp_path, tree), tmp_path / "other")


def test_observers_see_each_event_in_their_order_and_close_the_chain():
    seen = []

    def chain() -> Generator[Any, None, None]:
        try:
            yield from "abc"
        finally:
            seen.append("the chain is closed")

    def observer(name):
        def watch(events):
            try:
                with closing(events):
                    for event in events:
                        seen.append(f"{name} {event}")
                        yield event
            finally:
                seen.append(f"{name} is closed")

        return watch

    events = observers.watched(chain(), [observer("first"), observer("second")])
    first: object = next(events)
    assert first == "a"
    events.close()
    assert seen == [
        "first a",
        "second a",
        "the chain is closed",
        "first is closed",
        "second is closed",
    ]


def test_the_commit_of_the_code_is_recorded(gaussian):
    if not (ROOT / ".git").exists():
        pytest.skip("this copy is not a repository")
    command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert describe_environment(gaussian.modality)["git_commit"] == commit
