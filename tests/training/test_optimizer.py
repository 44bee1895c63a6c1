"""Muon beside AdamW, the line to zero, and the average with a half-life."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import pytest
import torch
from torch import nn

from imglab import Recipe, seeds
from imglab.samples import Samples, TrainingSet
from imglab.training import graphs
from imglab.training.fit import fit
from imglab.training.muon import RecordedMuon, ThreadedMuon
from imglab.training.optimizer import hidden_matrices, new_optimizer
from imglab.training.trainer import _new_average
from tests.text_fixtures import finish

RECIPE = Recipe(examples=640, batch=64, learning_rate=1e-2, optimizer="muon")


class Line:
    """Learns y = 3 x with a network of three matrices."""

    def batch(self, samples, step):
        return {"x": samples.data}

    def loss(self, network, batch):
        return (network(batch["x"]) - 3 * batch["x"]).square().mean()


def new_network():
    with seeds.isolated("network"):
        return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 16), nn.Linear(16, 2))


def new_convolutions():
    with seeds.isolated("convolutions"):
        return nn.Sequential(nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 1, 1))


def new_convolutions_of_lines():
    with seeds.isolated("convolutions"):
        ends = nn.Unflatten(1, (2, 1, 1)), nn.Flatten()
        layers = nn.Conv2d(2, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 2, 1)
        return nn.Sequential(ends[0], *layers, ends[1])


NETWORKS = {"matrices": new_network, "convolutions": new_convolutions_of_lines}


def training_set():
    data = torch.randn(128, 2, generator=seeds.generator("line"))
    return TrainingSet.of(Samples.real(data))


class TestMuon:
    def test_takes_the_matrices_of_hidden_layers(self):
        assert hidden_matrices(new_network()) == {"0.weight", "2.weight"}

    def test_leaves_embeddings_and_what_is_tied_to_them_to_adamw(self):
        network = nn.Sequential(nn.Embedding(8, 4), nn.Linear(4, 4), nn.Linear(4, 8, bias=False))
        network[2].weight = network[0].weight

        assert hidden_matrices(network) == {"1.weight"}

    def test_leaves_no_matrix_out_where_the_output_is_a_convolution(self):
        network = nn.Sequential(nn.Linear(4, 4), nn.Conv2d(4, 1, 1))

        assert hidden_matrices(network) == {"0.weight"}

    @pytest.mark.parametrize("frozen", ["matrices", "the rest"])
    def test_takes_what_is_trained_alone(self, frozen):
        network = new_network()
        hidden = hidden_matrices(network)
        weights = {}
        for name, weight in network.named_parameters():
            if (name in hidden) == (frozen == "the rest"):
                weights[name] = weight

        optimizer = new_optimizer(network, weights, RECIPE, torch.device("cpu"))
        assert isinstance(optimizer, torch.optim.Muon) == (frozen == "the rest")

    def test_leaves_adapters_of_convolutions_to_adamw(self):
        network = new_convolutions()
        adapter = {"1.weight": network[1].weight}

        optimizer = new_optimizer(network, adapter, RECIPE, torch.device("cpu"))
        assert isinstance(optimizer, torch.optim.AdamW)

    def test_takes_the_steps_of_both(self):
        network, alone = new_network(), new_network()
        weights = dict(network.named_parameters())
        together = new_optimizer(network, weights, RECIPE, torch.device("cpu"))
        rate, decay = RECIPE.learning_rate, RECIPE.weight_decay
        matrices = [alone[0].weight, alone[2].weight]
        others = [alone[0].bias, alone[2].bias, alone[3].weight, alone[3].bias]
        muon = torch.optim.Muon(matrices, rate, decay, adjust_lr_fn="match_rms_adamw")
        adamw = torch.optim.AdamW(others, rate, weight_decay=decay)

        for step in range(3):
            batch = {"x": torch.randn(64, 2, generator=seeds.generator("batch", step))}
            Line().loss(network, batch).backward()
            Line().loss(alone, batch).backward()
            for optimizer in (together, muon, adamw):
                optimizer.step()
                optimizer.zero_grad()

        for expected, weight in zip(alone.parameters(), network.parameters(), strict=True):
            torch.testing.assert_close(weight, expected)

    def test_leaves_the_convolutions_at_both_ends_out(self):
        network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 1, 1))

        assert hidden_matrices(network) == {"1.weight"}

    @pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
    def test_takes_a_convolution_for_a_matrix(self, layout):
        network = new_convolutions().to(memory_format=layout)
        matrix = nn.Parameter(network[1].weight.detach().flatten(1).clone())
        optimizer = new_optimizer(
            network, dict(network.named_parameters()), RECIPE, torch.device("cpu")
        )
        rate, decay = RECIPE.learning_rate, RECIPE.weight_decay
        muon = torch.optim.Muon([matrix], rate, decay, adjust_lr_fn="match_rms_adamw")

        for step in range(3):
            images = torch.randn(2, 1, 8, 8, generator=seeds.generator("images", step))
            network(images).square().mean().backward()
            matrix.grad = network[1].weight.grad.flatten(1).clone()
            optimizer.step()
            muon.step()
            optimizer.zero_grad()

        assert network[1].weight.grad is None
        torch.testing.assert_close(network[1].weight.flatten(1), matrix, rtol=1e-3, atol=1e-3)

    @pytest.mark.parametrize("kind", ["matrices", "convolutions"])
    def test_goes_on_from_a_checkpoint(self, kind):
        new_network = NETWORKS[kind]
        whole = finish(fit(new_network(), Line(), training_set(), RECIPE, seed=0)).network

        stage = fit(new_network(), Line(), training_set(), RECIPE, seed=0)
        for _ in range(4):
            progress = next(stage)
        assert progress.state is not None
        state = {name: tensor.clone() for name, tensor in progress.state().items()}
        rest = fit(new_network(), Line(), training_set(), RECIPE, seed=0, resume=state)
        resumed = finish(rest).network

        for expected, weight in zip(whole.parameters(), resumed.parameters(), strict=True):
            assert torch.equal(expected, weight)


class TestRecordedMuon:
    """On a CPU nothing is recorded, and the steps are the same."""

    @pytest.fixture(autouse=True)
    def unrecorded(self, monkeypatch):
        monkeypatch.setattr(graphs, "RECORDS", False)

    def stepped(self, new_steps, steps, layout=torch.contiguous_format, left_out=()):
        """Return the weights after some steps with the gradients of (seed, step)."""
        weights = list(new_convolutions().to(memory_format=layout).parameters())
        matrices = [weight for weight in weights if weight.ndim > 1]
        matrices.append(nn.Parameter(torch.randn(6, 3, generator=seeds.generator("flat"))))
        muon = new_steps(matrices)
        muon.share(defaultdict(dict))
        for step in range(steps):
            for number, weight in enumerate(matrices):
                gradient = torch.randn(weight.shape, generator=seeds.generator(step, number))
                weight.grad = None if number in left_out else gradient
            muon.step({"lr": 0.1 / (step + 1), "weight_decay": 0.02})
        return matrices

    @pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
    @pytest.mark.parametrize("left_out", [(), (1,), (0, 1, 2, 3)])
    def test_takes_the_steps_of_muon_in_threads(self, layout, left_out):
        keys = {"lr": 1.0, "weight_decay": 0.0}
        threaded = self.stepped(
            lambda weights: ThreadedMuon(weights, torch.device("cpu"), keys), 3, layout, left_out
        )
        recorded = self.stepped(
            lambda weights: RecordedMuon(weights, torch.device("cpu")), 3, layout, left_out
        )
        torch.testing.assert_close(recorded, threaded)

    def test_numbers_the_weights_as_threads_do(self):
        """So a fit goes on on another device."""
        weights = [nn.Parameter(torch.zeros(shape)) for shape in [(2, 3, 1, 1), (4, 5)]]
        shapes = [(4, 5), (2, 3)]
        for muon in (
            RecordedMuon(weights, torch.device("cpu")),
            ThreadedMuon(weights, torch.device("cpu"), {}),
        ):
            assert [tuple(each.shape) for each in muon.parameters] == shapes


def test_linear_decay_ends_at_zero():
    recipe = replace(RECIPE, decay="linear")

    assert recipe.learning_rate_at(0.05) == pytest.approx(1e-2)
    assert recipe.learning_rate_at(0.525) == pytest.approx(5e-3)
    assert recipe.learning_rate_at(1.0) == pytest.approx(0, abs=1e-12)


def test_average_halves_after_its_half_life():
    decay = replace(RECIPE, half_life=0.1).averaging_decay(200)

    assert decay is not None
    assert decay ** (0.1 * 200) == pytest.approx(0.5)
    average = _new_average(new_network().parameters(), decay, warms_up=False)
    assert average.get_decay(100_000) == pytest.approx(decay)
    assert replace(RECIPE, ema=0.9).averaging_decay(200) == 0.9
    assert RECIPE.averaging_decay(200) is None
