"""What a chain's measure adds: a draw of its own, moments and shape, copies, and the gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
import torch

from imglab import regimes, run_chain
from imglab.images.modality import ImageModality
from imglab.images.settings import ImageSettings
from imglab.measure import Measure
from imglab.measure.groups import by_class
from imglab.measure.shape import spread_of_variance
from imglab.modality import Modality, Spec
from imglab.model import GenerativeModel
from imglab.progress import Progress
from imglab.report.table import gate_lines
from imglab.samples import Samples, TrainingSet
from imglab.solvable.gaussian.modality import GaussianModality
from imglab.solvable.gaussian.model import GaussianModel
from imglab.solvable.gaussian.settings import GaussianDataSettings, GaussianModelSettings
from imglab.stages import further_training
from tests.text_fixtures import finish as result


def gaussian(dimensions=3, n=200) -> GaussianModality:
    return GaussianModality(GaussianDataSettings(dimensions=dimensions, n_train=n, n_test=n))


def scores_of(modality, data, **settings):
    measure = Measure(modality, floor_splits=20, **settings)
    result(measure.prepare())
    samples = Samples.drawn(data)
    features = result(measure.features(samples)).values
    return result(measure.scores(samples, features)).values


class TestEvaluation:
    def chain(self, drawn, evaluated):
        modality = gaussian(n=60)
        measure = Measure(modality, floor_splits=20, samples=evaluated)
        model = GaussianModel(GaussianModelSettings())
        settings = {"generations": 2, "samples": drawn, "measure": measure}
        return list(run_chain(modality, model, regimes.replace, **settings))

    def test_chains_that_draw_different_numbers_are_scored_at_one_size(self):
        for drawn in (30, 60):
            generations = self.chain(drawn, 50)
            assert [len(generation.samples) for generation in generations] == [drawn, drawn]
            assert [generation.metrics["n_synthetic"] for generation in generations] == [50, 50]

    def test_the_draw_is_not_that_of_the_pool(self):
        last = self.chain(50, 50)[-1]
        scored = last.store.samples(1, "evaluation")
        assert not torch.equal(scored.data, last.samples.data)

    def test_without_a_size_the_pool_is_scored(self):
        first = self.chain(30, None)[0]
        assert first.metrics["n_synthetic"] == 30
        assert not first.store.has(0, "evaluation")


class TestShape:
    def test_a_change_of_scale_is_all_moments(self):
        modality = gaussian()
        values = scores_of(modality, 0.5 * modality.real("train").data)
        assert values["variance_ratio"] == pytest.approx(0.25, rel=0.1)
        assert values["fid"] > 0.5
        assert values["fid_shape"] < 0.1 * values["fid"]
        assert values["recall_shape"] > values["recall"]

    def test_a_lost_part_is_not(self):
        """Two of four quadrants are lost: mean and scale stay, and recall has to say it.

        The Fréchet distance of plain vectors knows moments alone.
        """

        class Square(GaussianModality):
            def real(self, split):
                generator = torch.Generator().manual_seed(len(split))
                return Samples.real(2 * torch.rand(400, 2, generator=generator) - 1)

        modality = Square(GaussianDataSettings(dimensions=2, n_train=400, n_test=400))
        real = modality.real("train").data
        whole = scores_of(modality, real)
        half = scores_of(modality, real[real.prod(1) > 0])
        assert whole["recall_shape"] > 0.85
        assert half["recall_shape"] < 0.65
        assert half["precision_shape"] > 0.85
        assert half["recall_bounded_shape"] < 0.65 < whole["recall_bounded_shape"]
        assert half["precision_bounded_shape"] > 0.8

    def test_recall_is_withheld_where_the_matched_samples_lie_elsewhere(self):
        """Half of a ring, moved and widened to the moments of the ring, lies beside it."""

        class Ring(GaussianModality):
            def real(self, split):
                angles = torch.arange(300) / 300 * 2 * torch.pi
                return Samples.real(torch.stack([angles.cos(), angles.sin()], 1))

        modality = Ring(GaussianDataSettings(dimensions=2, n_train=300, n_test=300))
        real = modality.real("train").data
        values = scores_of(modality, real[real[:, 0] > 0])
        assert values["recall_shape"] is None
        assert values["precision_shape"] < 0.1
        assert "coverage_shape" not in values

    def test_constant_real_data_have_no_ratio(self):
        class Constant(GaussianModality):
            def real(self, split):
                return Samples.real(torch.zeros(20, 3))

        measure = Measure(Constant(GaussianDataSettings(n_train=20, n_test=20)), floor_splits=20)
        result(measure.prepare())
        samples = Samples.drawn(torch.randn(20, 3, generator=torch.Generator().manual_seed(0)))
        scores = result(measure.scores(samples, samples.data))
        assert scores.values["variance_ratio"] is None
        assert scores.reasons["variance_ratio"] == "the real data are constant"
        assert scores.floor["variance_ratio"] is None


@pytest.mark.parametrize("n", [200, 2_500])
def test_the_variance_of_normal_data_spreads_as_in_closed_form(n):
    """The relative variance of a sum of squares is 2 sum s^4 / (sum s^2)^2 / n."""
    scales = torch.tensor([1.0, 2.0, 3.0])
    theory = (2 * scales.pow(4).sum() / scales.square().sum() ** 2).sqrt()
    spreads = []
    for seed in range(20):
        drawn = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed)) * scales
        spread = spread_of_variance(gaussian(n=20), Samples.real(drawn), drawn)
        assert spread is not None
        spreads.append(spread)
    assert sum(spreads) / len(spreads) == pytest.approx(float(theory), rel=0.15)
    assert spread_of_variance(gaussian(n=20), Samples.real(drawn[:49]), drawn[:49]) is None


def test_real_data_lie_within_the_known_floors():
    outside = {"memorization": 0, "variance_ratio": 0}
    for seed in range(20):
        fresh = GaussianModality(GaussianDataSettings(n_train=300, n_test=300, data_seed=seed))
        measure = Measure(fresh, floor_splits=20)
        result(measure.prepare())
        # Of one distribution, whatever the seed: that of the data, here the standard normal one.
        drawn = torch.randn(200, 2, generator=torch.Generator().manual_seed(seed))
        scores = result(measure.scores(Samples.drawn(drawn), drawn))
        for name in outside:
            floor = scores.floor[name]
            outside[name] += not floor["low"] <= scores.values[name] <= floor["high"]
    assert max(outside.values()) <= 4, "5% of 20 are 1"


class Learner(GenerativeModel):
    """Its loss on held-out data halves with every fit."""

    def __init__(self, loss=1.0):
        self.loss = loss

    def fit(self, train, *, start, seed, resume=None):
        before = 1.0 if start is None else start.loss
        yield Progress("fit", len(train), len(train), state=dict)
        return Learner(before / 2)

    def draw(self, indices, *, conditions, seed):
        yield Samples.drawn(torch.zeros(len(indices), 1))


class WithLoss(Modality):
    """Numbers, and a held-out loss that the model knows itself."""

    def real(self, split):
        return Samples.real(torch.arange(40.0)[:, None])

    def held_out_loss(self, model):
        return model.loss


class TestFurtherTraining:
    def test_the_gain_is_the_share_by_which_the_loss_falls(self):
        modality = WithLoss()
        train = modality.real("train")
        work = further_training(modality, Learner(0.5), TrainingSet.of(train), seed=1)
        stages = set()
        while True:
            try:
                progress = next(work)
            except StopIteration as end:
                measures = end.value
                break
            stages.add(progress.stage)
            assert progress.state is None, "its stage is done again as a whole"
        assert measures.values == {"further_training": 0.5}
        assert stages == {"gate"}

    def test_data_without_a_loss_say_so(self):
        real = TrainingSet.of(gaussian().real("train"))
        measures = result(further_training(gaussian(), Learner(), real, seed=1))
        assert measures.values == {"further_training": None}
        assert "no held-out loss" in measures.reasons["further_training"]

    def test_the_gate_asks_for_it_in_generation_0_alone(self):
        modality = WithLoss()
        measure = Measure(modality, floor_splits=20, gate={"further_training": 0.02})
        rows = [
            generation.metrics
            for generation in run_chain(
                modality, Learner(), regimes.replace, generations=2, measure=measure
            )
        ]
        assert rows[0]["generation0"]["verdict"] == "poor"
        assert "50.0%" in rows[0]["generation0"]["reasons"][0]
        assert "generation0" not in rows[1]


def test_held_out_data_do_not_look_memorised():
    """The null: as many fresh samples lie near the training set as held-out ones."""
    modality = gaussian(dimensions=2, n=500)
    fresh = GaussianModality(GaussianDataSettings(dimensions=2, n_train=500, n_test=2, data_seed=7))
    values = scores_of(modality, fresh.real("train").data)
    assert abs(values["memorization"] - 0.5) < 4 * values["memorization_se"]
    copies = scores_of(modality, modality.real("train").data)
    assert copies["memorization"] == 1.0


def test_a_class_that_is_lost_has_no_recall():
    classes = torch.arange(200) % 2
    noise = torch.randn(200, 2, generator=torch.Generator().manual_seed(1))
    features = noise + 10 * classes[:, None]
    real = Samples.real(features, classes)
    spec = Spec((2,), torch.float32, ("even", "odd"))
    keys = {"neighbours": {"precision_recall_k": 3, "density_coverage_k": 5}}

    alike = by_class(spec, real, real, real_features=features, features=features, **keys)
    assert alike.values["recall_disparity"] == pytest.approx(1)
    moved = features + 30 * classes[:, None]
    lost = by_class(spec, real, real, real_features=features, features=moved, **keys)
    assert lost.values["recall_disparity"] == 0
    assert lost.values["recall_disparity_class"] == "odd"


def test_classes_that_are_all_alike_are_within_the_floor_of_their_disparity():
    """The null: one of ten classes that are drawn alike is recalled the least by chance."""
    modality = ImageModality(
        ImageSettings.model_validate({"source": "digits", "extractor": "pixels"})
    )
    measure = Measure(modality, floor_splits=20)
    result(measure.prepare())
    train: Any = modality.real("train")
    behind = 0
    for seed in range(10):
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
        drawn: Any = Samples.drawn(train.data[order[:400]], train.condition[order[:400]])
        features = result(measure.features(drawn)).values
        scores = result(measure.scores(drawn, features))
        floor = scores.floor["recall_disparity"]
        assert scores.values["recall_disparity"] < 1
        behind += scores.values["recall_disparity"] < floor["low"]
    assert behind <= 3

    # Of the fours a quarter is left, which lies in one place.
    four = train.data[train.condition == 4]
    near = four.flatten(1).float()
    near = four[(near - near[0]).norm(dim=1).argsort()[: len(four) // 4]]
    data = torch.cat([drawn.data[drawn.condition != 4], near])
    classes = torch.cat([drawn.condition[drawn.condition != 4], torch.full((len(near),), 4)])
    lost = Samples.drawn(data, classes)
    scores = result(measure.scores(lost, result(measure.features(lost)).values))
    assert scores.values["recall_disparity_class"] == "4"
    assert scores.values["recall_disparity"] < scores.floor["recall_disparity"]["low"]


def test_a_good_model_says_what_a_looser_gate_did_not_ask_for():
    """The data ask for a variance ratio of .95 by default, the config for .5."""

    class Asking(GaussianModality):
        gate: ClassVar[Mapping[str, float]] = {"variance_ratio": 0.95}

    modality = Asking(GaussianDataSettings(n_train=40, n_test=40))

    def judged(ratio: float, **gate: float) -> Any:
        measure = Measure(modality, floor_splits=20, gate=gate or None)
        return measure.judge_generation0({"variance_ratio": ratio}, {}).values["generation0"]

    loose = judged(0.8, variance_ratio=0.5)
    reasons = ["variance_ratio is 0.8, at least 0.95 is asked for"]
    assert loose == {"verdict": "good", "reasons": [], "not_asked": reasons}
    assert gate_lines([{"generation0": loose}]) == [
        f"generation 0 is good; what measure.gate does not ask for: {reasons[0]}"
    ]
    assert judged(0.97, variance_ratio=0.5) == {"verdict": "good", "reasons": []}
    assert judged(0.8) == {"verdict": "poor", "reasons": reasons}
    assert judged(0.97, variance_ratio=0.96) == {"verdict": "good", "reasons": []}
