"""Looks at generation 0 while its fit goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image

from imglab.config.load import validate_config
from imglab.generation import Generation
from imglab.progress import Progress
from imglab.running import previews
from imglab.running.previews import previewing
from imglab.running.run import Run
from tests.tiny_chains import TINY_IMAGE

PLAN = {"images": 64, "batch": 8}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a run whose fits are looked at as often as they may be."""
    monkeypatch.setattr(previews, "APART", 0.0)
    monkeypatch.setattr(previews, "SHARE", float("inf"))
    model = {**TINY_IMAGE["model"], "training": PLAN, "half_life": 0.1}
    config = {**TINY_IMAGE, "name": "r", "model": model, "generations": 2, "shown": 4}
    return Run(validate_config(config, "test"), tmp_path / "r")


def test_a_picture_is_there_until_the_generation_is(run):
    picture = run.folder / "preview.png"
    looks = set()
    for event in run.events():
        if isinstance(event, Generation):
            assert not picture.exists()
        elif picture.exists():
            with Image.open(picture) as image:
                looks.add(image.tobytes())

    assert len(looks) == previews.PARTS - 1, "after each part but the last"
    assert [str(picture) in note for note in run.notes] == [True], "told once"


def test_looking_changes_no_byte(run, tmp_path, monkeypatch):
    def weights(folder):
        return {
            path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.safetensors")
        }

    list(run.events())
    monkeypatch.setattr(previews, "APART", 1e9)
    unseen = Run(run.experiment.config, tmp_path / "unseen")
    list(unseen.events())
    assert weights(run.folder) == weights(unseen.folder) != {}


def test_what_is_looked_at_is_the_average_that_the_fit_ends_with(run):
    seen: Any = None
    for event in run.events():
        if isinstance(event, Progress) and event.stage == "fit" and event.seen == event.total:
            assert event.model is not None
            seen = event.model()
        if isinstance(event, Generation):
            break

    assert seen is not None
    fitted = event.model.network.state_dict()
    copied = seen.network.state_dict()
    assert all(torch.equal(fitted[name], tensor) for name, tensor in copied.items())


def test_what_a_stopped_run_left_is_gone_when_it_goes_on(run):
    for event in run.events():
        if isinstance(event, Generation):
            break
    picture = run.folder / "preview.png"
    picture.write_bytes(b"left")
    again = Run(run.experiment.config, run.folder)
    next(again.events())
    assert not picture.exists()


def test_too_little_memory_for_a_look_ends_the_looks_alone(run, monkeypatch):
    def refused(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(previews, "draw", refused)
    assert len([event for event in run.events() if isinstance(event, Generation)]) == 2
    assert [note for note in run.notes if "too little memory" in note] == run.notes != []


def test_looks_take_a_small_share_of_a_fit(monkeypatch):
    now = [0.0]
    looks = []

    def show(_):
        looks.append(now[0])
        now[0] += 10.0

    monkeypatch.setattr("imglab.running.previews.time.monotonic", lambda: now[0])
    taking = previews._Looks(show, print)
    for seen in range(1, 800):
        now[0] += 1.0
        model: Any = lambda: None  # noqa: E731
        taking.take(Progress("fit", seen, 800), model)
    assert len(looks) == 4, "a look takes 10 s, and 200 s pass before the next"


def test_fits_that_are_short_or_offer_no_model_are_not_looked_at(run, tmp_path, monkeypatch):
    def refused():
        raise AssertionError("the model was copied")

    fit = Progress("fit", 16, 64, model=refused)
    modality = run.experiment.modality
    watch = previewing(modality, tmp_path, 4, 0, print)

    monkeypatch.setattr(previews, "APART", 60.0)
    assert list(watch(each for each in [fit])) == [fit]

    monkeypatch.setattr(previews, "APART", 0.0)
    with pytest.raises(AssertionError, match="copied"):
        list(watch(each for each in [fit]))
    without = replace(fit, model=None)
    assert list(watch(each for each in [without])) == [without]
