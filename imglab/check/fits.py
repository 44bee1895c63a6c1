"""Checks of a model: its fits, what it draws, and what is left of it once it is saved."""

from __future__ import annotations

import torch

from imglab.check.watch import CHECKED, State, Subject, check_samples, share_close, still
from imglab.model import GenerativeModel
from imglab.samples import Samples


def check_fit(subject: Subject) -> GenerativeModel:
    """Check a fit from scratch and return its model, which is saved in the folder `model`."""
    data = subject.train.all().data.clone()
    fitted, checkpoints = subject.fit(start=None, seed=1)
    assert torch.equal(subject.train.all().data, data), "fit changed its training set"

    saved = subject.save(fitted, "model")
    twin, _ = subject.fit(start=None, seed=1)
    same = saved == subject.save(twin, "twin")
    assert same, "the same fit, saved, must give the same bytes"

    _check_resumed(subject, None, checkpoints, saved)
    return fitted


def _check_resumed(
    subject: Subject,
    start: GenerativeModel | None,
    checkpoints: dict[int, State],
    saved: dict[str, str],
) -> None:
    """Check that a fit with seed 1 comes from each of its checkpoints to the same saved files."""
    fit = "a fit"
    if start is not None:
        fit = "a fit with start="

    for number, (seen, checkpoint) in enumerate(checkpoints.items()):
        resumed, _ = subject.fit(start=start, seed=1, resume=checkpoint)
        same = saved == subject.save(resumed, f"resumed_{start is None}_{number}")
        after = f"resumed from its checkpoint after {seen} samples"
        assert same, f"{fit} that is {after} must end with the same bytes"


def check_draws(subject: Subject, fitted: GenerativeModel) -> Samples:
    """Check that a sample depends on the seed and its index alone; return the samples drawn."""
    conditions = subject.conditions()
    drawn = still("draw", lambda: fitted.sample(CHECKED, conditions=conditions, seed=2))
    check_samples(drawn, subject.modality.spec, "draw")
    assert len(drawn) == CHECKED, f"draw yielded {len(drawn)} samples, {CHECKED} were asked for"

    half = CHECKED // 2
    if conditions is not None:
        conditions = conditions[half:]
    batches = list(fitted.draw(range(half, CHECKED), conditions=conditions, seed=2))
    tail = Samples.concatenate(batches)
    assert len(tail) == CHECKED - half, "draw must yield one sample for each index"

    # Another batch size may round differently; other noise would differ nearly everywhere.
    close = share_close(tail.data, drawn.data[half:], 0.02)
    assert close > 0.9, "sample i must depend on (seed, i) alone, not on its batch"

    other = Samples.concatenate(
        list(fitted.draw(range(half, CHECKED), conditions=conditions, seed=9))
    )
    assert not torch.equal(other.data, tail.data), "another seed must give other samples"
    return drawn


def check_saved(subject: Subject, fitted: GenerativeModel, drawn: Samples) -> GenerativeModel:
    """Check that the model in the folder `model` is the fitted one; return it, loaded."""
    folder = subject.folder / "model"
    loaded = still("load", lambda: type(subject.model).load(folder))
    same = subject.save(fitted, "once_more") == subject.save(loaded, "again")
    assert same, "a loaded model, saved, must give the same bytes"
    knows_training = dict(loaded.training) == dict(fitted.training)
    assert knows_training, "a loaded model must know how it was trained"

    again = loaded.sample(CHECKED, conditions=subject.conditions(), seed=2)
    assert torch.equal(again.data, drawn.data), "a loaded model must draw what the saved one drew"
    return loaded


def check_start(subject: Subject, fitted: GenerativeModel, loaded: GenerativeModel) -> None:
    """Check fits from the weights of another model: of the fitted one, and of the loaded one."""
    before = subject.save(fitted, "before")
    tuned, checkpoints = subject.fit(start=fitted, seed=1)
    same = subject.save(fitted, "after") == before
    assert same, "fit changed the model whose weights it starts from"

    saved = subject.save(tuned, "tuned")
    from_loaded, _ = subject.fit(start=loaded, seed=1)
    same = saved == subject.save(from_loaded, "tuned_loaded")
    assert same, "fine-tuning a loaded model must give what fine-tuning the saved one gives"

    _check_resumed(subject, fitted, checkpoints, saved)
