"""Steps shared out over threads: the same numbers up to rounding, and the same bytes each time."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from imglab import seeds
from imglab.images.diffusion.model import DiffusionModel
from imglab.images.diffusion.settings import DiffusionSettings
from imglab.images.modality import ImageModality
from imglab.images.settings import ImageSettings
from imglab.samples import TrainingSet
from imglab.training.fit import fit
from imglab.training.optimizer import new_optimizer
from imglab.training.threads import Threads
from tests.test_check import QUICK
from tests.text_fixtures import finish, text_parts
from tests.training.test_optimizer import RECIPE, Line, new_network, training_set

CPU = torch.device("cpu")


class Watched(Line):
    """Notes in which threads its loss was computed."""

    def __init__(self) -> None:
        self.threads: set[str] = set()

    def loss(self, network, batch):
        self.threads.add(threading.current_thread().name)
        return super().loss(network, batch)


def fitted(network, threads, objective=None):
    torch.set_num_threads(threads)
    fitting = fit(network, objective or Line(), training_set(), RECIPE, seed=0, in_threads=True)
    return finish(fitting).network.state_dict()


class TestThreads:
    def test_rows_are_shared_out_evenly(self):
        torch.set_num_threads(3)
        assert Threads(CPU).shares(range(8, 24)) == [range(8, 13), range(13, 18), range(18, 24)]

    def test_a_share_has_some_rows_and_no_more_than_asked(self):
        torch.set_num_threads(3)
        assert [len(share) for share in Threads(CPU).shares(range(9))] == [4, 5]
        assert [len(share) for share in Threads(CPU).shares(range(40), most=8)] == [8] * 5

    def test_another_device_has_one(self):
        torch.set_num_threads(3)
        assert len(Threads(torch.device("meta"))) == 1

    def test_each_computes_alone_and_results_keep_their_order(self):
        torch.set_num_threads(2)
        threads = Threads(CPU)
        answers = threads.map(lambda item: (item, torch.get_num_threads()), [3, 1, 2])

        assert answers == [(3, 1), (1, 1), (2, 1)]
        assert torch.get_num_threads() == 2

    def test_an_error_is_raised_once_all_ended(self):
        torch.set_num_threads(2)
        ended = []

        def work(item):
            if item == 0:
                raise RuntimeError("the first")
            ended.append(item)

        with pytest.raises(RuntimeError, match="the first"):
            Threads(CPU).map(work, range(4))
        assert sorted(ended) == [1, 2, 3]
        assert torch.get_num_threads() == 2


class TestFits:
    def test_two_threads_learn_what_one_learns(self):
        objective = Watched()
        two = fitted(new_network(), 2, objective)
        one = fitted(new_network(), 1)

        assert len(objective.threads) == 2
        for name, weight in one.items():
            torch.testing.assert_close(two[name], weight, rtol=1e-4, atol=1e-5)

    def test_weights_that_share_a_gradient_do_not_share_its_steps(self):
        """Of a sum of two weights autograd returns one tensor for both, which is clipped."""

        class Sum(nn.Module):
            def __init__(self):
                super().__init__()
                self.one = nn.Parameter(torch.ones(2))
                self.two = nn.Parameter(torch.ones(2))

            def forward(self, x):
                return 100 * x * (self.one + self.two)

        one, two = fitted(Sum(), 1), fitted(Sum(), 2)
        for name, weight in one.items():
            torch.testing.assert_close(two[name], weight, rtol=1e-4, atol=1e-5)

    def test_the_bytes_are_the_same_each_time(self):
        first, second = fitted(new_network(), 2), fitted(new_network(), 2)
        assert all(torch.equal(first[name], second[name]) for name in first)

    @pytest.mark.parametrize(
        "layer", [nn.Dropout(0.5), nn.BatchNorm1d(16)], ids=["chance", "batch"]
    )
    def test_what_draws_or_reads_the_whole_batch_is_one_threads(self, layer):
        def network():
            layers = list(new_network())
            return nn.Sequential(*layers[:2], layer, *layers[2:])

        with seeds.isolated("layer"):
            state = {name: each.clone() for name, each in layer.state_dict().items()}
        results = []
        for _ in range(2):
            layer.load_state_dict(state)
            objective = Watched()
            results.append(fitted(network(), 2, objective))
        assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])
        assert threading.main_thread().name in objective.threads


def test_muon_takes_the_same_steps_in_two_threads():
    networks = []
    for count in (1, 2):
        torch.set_num_threads(count)
        network = new_network()
        optimizer = new_optimizer(network, dict(network.named_parameters()), RECIPE, CPU)
        for step in range(3):
            batch = {"x": torch.randn(64, 2, generator=seeds.generator("batch", step))}
            Line().loss(network, batch).backward()
            optimizer.step()
            optimizer.zero_grad()
        networks.append(network)

    for one, two in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        torch.testing.assert_close(one, two)


class TestModels:
    def test_text_is_learnt_drawn_and_scored_in_two_threads_as_in_one(self):
        modality, model = text_parts(model={"network": {"kind": "llama", "layers": 1, "width": 16}})
        train = TrainingSet.of(modality.real("train"))
        prompts = modality.conditions(train, 40, seed=1)

        results = []
        for count in (1, 2, 2):
            torch.set_num_threads(count)
            learnt = finish(model.fit(train, start=None, seed=0))
            drawn = learnt.sample(40, conditions=prompts, seed=1)
            results.append((learnt.network.state_dict(), drawn.data, learnt.log_density(drawn)))
        (one, text, density), (two, same_text, same_density), again = results
        for name, weight in one.items():
            torch.testing.assert_close(two[name], weight, rtol=1e-2, atol=1e-3)
        assert (text == same_text).double().mean() > 0.95
        torch.testing.assert_close(density.mean(), same_density.mean(), rtol=1e-2, atol=1e-2)

        assert all(torch.equal(again[0][name], two[name]) for name in two)
        assert torch.equal(again[1], same_text)
        assert torch.equal(again[2], same_density)

    @pytest.mark.parametrize("sampler", ["sde-dpm-solver++", "ddpm"])
    def test_images_are_drawn_in_two_threads_as_in_one(self, sampler):
        digits = ImageModality(ImageSettings(n_train=120, n_test=60))
        settings = {"channels": [8, 8], "sampler": sampler, "class_conditional": False, **QUICK}
        model = DiffusionModel(DiffusionSettings.model_validate(settings), digits)
        learnt = finish(model.fit(TrainingSet.of(digits.real("train")), start=None, seed=1))

        drawn = []
        for count in (1, 2, 2):
            torch.set_num_threads(count)
            drawn.append(learnt.sample(100, seed=5).data.int())
        one, two, again = drawn
        assert torch.equal(two, again)
        assert (one - two).abs().max() <= 1
        assert (one != two).double().mean() < 1e-2
