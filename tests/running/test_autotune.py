"""What `auto` becomes: chosen once by measurement, written down with its reason, kept when the run
goes on.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from imglab import Run
from imglab.config.load import validate_config
from imglab.errors import InputError
from imglab.images.diffusion import autotune
from imglab.images.diffusion.denoiser import memory_format
from imglab.images.diffusion.settings import DiffusionSettings
from imglab.model import Choice
from imglab.running.autotune import former_layout, layout_by_rule, with_layout
from imglab.running.cache import RunCache
from imglab.running.fork import fork
from imglab.store.reading import read_generation
from imglab.training.devices import device, layout_of

CHAIN: dict[str, Any] = {
    "name": "auto",
    "generations": 1,
    "samples": 20,
    "shown": 4,
    "threads": 1,
    "modality": {
        "kind": "image",
        "n_train": 60,
        "n_test": 30,
        "extractor": {"kind": "classifier", "images": 256},
    },
    "model": {
        "kind": "diffusion",
        "channels": [8],
        "steps": 2,
        "training": {"images": 64, "batch": 32},
        "fine_tuning": {"images": 64, "batch": 32},
        "precision": "auto",
        "compile": "auto",
        "sampling_batch": "auto",
    },
}


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(autotune, "SAMPLING_BATCHES", (4, 8))


def run(folder, cache=None, **changes):
    return Run(validate_config({**CHAIN, **changes}, "test"), folder, cache=cache)


def auto_events(folder):
    lines = map(json.loads, (folder / "events.jsonl").read_text().splitlines())
    return {event["key"]: event for event in lines if event.get("event") == "auto"}


def test_it_is_chosen_once_and_written_down(few, tmp_path):
    first = run(tmp_path / "run")
    list(first.generations())
    chosen = first.experiment.config.model
    assert chosen.precision in ("fp32", "bf16")
    assert chosen.compile is False
    assert chosen.sampling_batch in (4, 8)
    told = auto_events(tmp_path / "run")
    keys = ("layout", "precision", "compile", "sampling_batch")
    assert set(told) == {f"model.{key}" for key in keys}
    assert "times as fast" in told["model.precision"]["why"]
    assert "warming up would cost more" in told["model.compile"]["why"]
    assert "auto" not in (tmp_path / "run/config.yaml").read_text().replace("name: auto", "")


def test_a_run_that_goes_on_keeps_it(few, tmp_path, monkeypatch):
    list(run(tmp_path / "run").generations())
    before = auto_events(tmp_path / "run")
    monkeypatch.setattr(
        "imglab.images.diffusion.model.choices", lambda *_: pytest.fail("measured again")
    )
    longer = run(tmp_path / "run", generations=2)
    list(longer.generations())
    assert auto_events(tmp_path / "run") == before
    assert read_generation(tmp_path / "run", 1)["generation"] == 1
    other = {
        **CHAIN["model"],
        "precision": "fp32" if before["model.precision"]["chosen"] == "bf16" else "bf16",
    }
    with pytest.raises(InputError, match=r"model\.precision"):
        run(tmp_path / "run", model=other)


def test_the_layout_is_that_of_the_device_unless_it_is_measured(few, tmp_path):
    fixed = {"precision": "fp32", "compile": False, "sampling_batch": 8}
    plain = run(tmp_path / "plain", model={**CHAIN["model"], **fixed})
    assert plain.experiment.config.model.layout == layout_of(device(), bf16=False)

    chain = run(tmp_path / "run", model={**CHAIN["model"], **fixed, "layout": "auto"})
    events = list(chain.events())
    assert events[0].stage == "trying what is auto in model"
    chosen = chain.experiment.config.model.layout
    assert chosen in ("nchw", "channels_last")
    assert "times as fast" in auto_events(tmp_path / "run")["model.layout"]["why"]
    assert f"layout: {chosen}" in (tmp_path / "run/config.yaml").read_text()


def test_a_run_that_began_before_there_was_a_choice_goes_on_with_channels_last(
    tmp_path, monkeypatch
):
    """Such a run has recorded no layout; neither it nor a fork of it changes."""
    model = {**CHAIN["model"], "precision": "fp32", "compile": False, "sampling_batch": 8}
    with monkeypatch.context() as earlier:
        earlier.setattr("imglab.running.autotune.layout_of", lambda place, bf16: None)
        list(run(tmp_path / "run", model=model).generations())
    assert "layout" not in (tmp_path / "run" / "config.yaml").read_text()

    longer = run(tmp_path / "run", model=model, generations=2)
    assert longer.experiment.config.model.layout is None
    assert memory_format(longer.experiment.config.model) is torch.channels_last

    branch: Any = fork(f"{tmp_path / 'run'}@0", tmp_path / "fork", changes=["generations=2"])
    assert branch.experiment.config.model.layout == "channels_last"


def test_members_of_a_population_have_a_layout_each():
    model = {"kind": "population", "models": [CHAIN["model"], {"kind": "vae"}]}
    section: Any = validate_config({**CHAIN, "model": model}, "test").model
    begun: Any = with_layout(section, None, lambda member: "nchw")
    assert begun.models[0].layout == "nchw"
    assert begun.models[1] == section.models[1]
    assert with_layout(section, begun, former_layout) == begun
    assert with_layout(section, section, former_layout) == section
    assert with_layout(section, None, layout_by_rule).models[0].layout == "auto"


def test_runs_that_share_generation_0_choose_alike(few, tmp_path, monkeypatch):
    found = iter(("bf16", "fp32"))

    def measured(denoiser, train, settings, fits):
        return {
            "precision": Choice(next(found), "so"),
            "compile": Choice(False, "so"),
            "sampling_batch": Choice(8, "so"),
        }

    monkeypatch.setattr("imglab.images.diffusion.model.choices", measured)
    cache = RunCache(tmp_path / "prepared", tmp_path / "first")
    chains = [run(tmp_path / name, cache) for name in "ab"]
    for chain in chains:
        list(chain.generations())
    assert [chain.experiment.config.model.precision for chain in chains] == ["bf16", "bf16"]


@pytest.mark.slow
def test_members_of_a_population_choose_each(few, tmp_path):
    member = {**CHAIN["model"], "compile": False}
    model = {"kind": "population", "models": [member, {**member, "precision": "fp32"}]}
    chain = run(tmp_path / "run", model=model)
    list(chain.generations())
    assert set(auto_events(tmp_path / "run")) == {
        "model.models.0.layout",
        "model.models.0.precision",
        "model.models.0.sampling_batch",
        "model.models.1.sampling_batch",
    }
    assert [each.sampling_batch in (4, 8) for each in chain.experiment.config.model.models] == [
        True,
        True,
    ]


def test_the_faster_one_is_taken():
    settings = DiffusionSettings(precision="auto", compile=False)
    for slow, faster in (("fp32", "bf16"), ("bf16", "fp32")):

        def seconds(settings, slow=slow):
            return 0.0, 2.0 if settings.precision == slow else 1.0

        assert autotune._precision(seconds, settings).value == faster


@pytest.mark.parametrize(
    ("warm_up", "compiled", "taken"), [(10.0, 0.5, True), (5000.0, 0.5, False), (10.0, 0.97, False)]
)
def test_compiling_must_pay_back_within_the_run(warm_up, compiled, taken):
    settings = DiffusionSettings(compile="auto")

    def seconds(settings):
        return (warm_up, compiled) if settings.compile else (1.0, 1.0)

    chosen = autotune._compile(seconds, settings, fits=1, steps=1000)
    assert chosen.value is taken
    assert "as they are" in chosen.why


@pytest.mark.parametrize(("room", "largest"), [(200, 128), (63, 32), (1, 1)])
def test_the_largest_batch_that_fits(room, largest, monkeypatch):
    def drawn(denoiser, settings, images, time, labels):
        if len(images) > room:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    clock = iter(range(10**6))
    monkeypatch.setattr(autotune, "guided", drawn)
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(clock)))

    class Little:
        shape = (1, 2, 2)
        conditional = False
        network = torch.nn.Linear(1, 1)

    little: Any = Little()
    chosen = autotune._sampling_batch(little, DiffusionSettings())
    assert chosen.value == largest
    assert f"{2 * largest} images at a time do not fit" in chosen.why


@pytest.mark.slow
def test_compiled_it_learns_the_same(tmp_path):
    for name, compiled in (("plain", False), ("compiled", True)):
        model = {**CHAIN["model"], "precision": "fp32", "compile": compiled, "sampling_batch": 8}
        list(run(tmp_path / name, model=model).generations())
    drawn = "generation_000/samples.safetensors"
    one, two = (load_file(tmp_path / name / drawn)["data"] for name in ("plain", "compiled"))
    assert float((one.int() - two.int()).abs().double().mean()) < 2
