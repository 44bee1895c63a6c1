"""`check_remedy`: does a remedy keep what is promised of remedies, with a kind of data and a model?

It tests those that ship and those of third parties.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from imglab.check.watch import CHECKED, State, Subject, finish, same_samples, still
from imglab.modality import Modality
from imglab.model import GenerativeModel
from imglab.remedies import Fit, Remedy, remedied
from imglab.samples import Samples, TrainingSet
from imglab.stages import draw


def check_remedy(
    remedy: Remedy,
    modality: Modality,
    model: GenerativeModel,
    *,
    neutral: Remedy | None = None,
    train_on: int = 64,
) -> None:
    """Fit `model` on real and on synthetic samples with a remedy and check every promise.

    neutral  the same remedy at a strength at which it must change nothing: the natural share of
             the training set, which is half real, for weights

    Raises AssertionError that names the first promise broken. Give settings that make a fit short.
    """
    problems = list(remedy.problems(model))
    assert not problems, f"the model cannot take the remedy: {problems[0]}"

    with tempfile.TemporaryDirectory() as name:
        shared = Path(name) / "shared"
        shared.mkdir()
        modality.prepare(shared)
        case = _case(modality, model, train_on, Path(name))

        fitted = _check_fits(case, remedy)
        _check_saved(case, fitted)
        if neutral is not None:
            _check_neutral(case, neutral)


@dataclass(frozen=True)
class _Case:
    """Generation 1 of a chain: half of its training set is real, half of it is generation 0's."""

    subject: Subject
    start: GenerativeModel

    def fit(
        self, remedies: Sequence[Remedy], resume: State | None = None, **changes: int
    ) -> tuple[GenerativeModel, dict[int, State]]:
        """Do the fit with remedies; return its model and checkpoints (`finish`)."""
        fit = Fit(
            model=self.subject.model,
            train=self.subject.train,
            start=self.start,
            generation=changes.get("generation", 1),
            seed=1,
            resume=resume,
            draw=partial(draw, self.subject.modality, source=None),
            generation0=lambda: self.start,
        )
        return still("a remedy", lambda: finish(remedied(fit, remedies)))


def _case(modality: Modality, model: GenerativeModel, train_on: int, folder: Path) -> _Case:
    real = modality.real("train")[:train_on]
    subject = Subject(modality, model, TrainingSet.of(real), folder)
    start, _ = subject.fit(start=None, seed=0)

    conditions = modality.conditions(subject.train, len(real), seed=5)
    drawn = start.sample(len(real), conditions=conditions, seed=3).stamped(0)
    train = TrainingSet.of(Samples.concatenate([real, drawn]))
    return _Case(Subject(modality, model, train, folder), start)


def _check_fits(case: _Case, remedy: Remedy) -> GenerativeModel:
    """Check that a fit with the remedy is the same again, and from each of its checkpoints."""
    data = case.subject.train.all().data.clone()
    before = case.subject.save(case.start, "start_before")
    fitted, checkpoints = case.fit([remedy])
    assert torch.equal(case.subject.train.all().data, data), "a remedy changed the training set"
    same = case.subject.save(case.start, "start_after") == before
    assert same, "a remedy changed the model whose weights the fit starts from"

    saved = case.subject.save(fitted, "remedied")
    again, _ = case.fit([remedy])
    assert saved == case.subject.save(again, "twin"), "the same fit must give the same bytes"
    for seen, checkpoint in checkpoints.items():
        resumed, _ = case.fit([remedy], checkpoint)
        same = saved == case.subject.save(resumed, f"resumed_{seen}")
        assert same, f"resumed after {seen} samples, a fit must end with the same bytes"

    _check_first(case, remedy)
    return fitted


def _check_first(case: _Case, remedy: Remedy) -> None:
    """Check that the remedy changes nothing before the generation `first`."""
    if remedy.first == 0:
        return
    plain, _ = case.fit([])
    early, _ = case.fit([remedy], generation=remedy.first - 1)
    same = case.subject.save(plain, "plain_early") == case.subject.save(early, "early")
    assert same, f"a remedy must change nothing before generation {remedy.first}"


def _check_saved(case: _Case, fitted: GenerativeModel) -> None:
    """Check that the model, once loaded, draws the same, in parts too, and can be fitted on."""
    subject = case.subject
    conditions = subject.conditions()
    drawn = still("draw", lambda: fitted.sample(CHECKED, conditions=conditions, seed=2))
    loaded = type(fitted).load(subject.folder / "remedied")
    again = loaded.sample(CHECKED, conditions=conditions, seed=2)
    assert same_samples(drawn, again), "a loaded model must draw what the remedied one drew"

    # As several processes draw it: each its shard.
    half = CHECKED // 2
    later = None if conditions is None else conditions[half:]
    parts = list(loaded.draw(range(half, CHECKED), conditions=later, seed=2))
    close = (Samples.concatenate(parts).data == drawn.data[half:]).double().mean()
    assert float(close) > 0.9, "sample i must depend on (seed, i) alone, not on its batch"

    fitting = subject.model.fit(subject.train, start=loaded, seed=4)
    still("fit with start=", lambda: finish(fitting))


def _check_neutral(case: _Case, neutral: Remedy) -> None:
    """Check that at its neutral strength the remedy changes neither the model nor its drawing."""
    plain, _ = case.fit([])
    fitted, _ = case.fit([neutral])
    same = case.subject.save(plain, "plain") == case.subject.save(fitted, "neutral")
    assert same, "at its neutral strength a remedy must give the bytes of the fit without it"
