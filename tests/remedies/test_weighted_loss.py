"""A fit that weighs its samples: what a step of each kind of network comes to."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from imglab import seeds
from imglab.samples import Samples, TrainingSet
from imglab.training.batches import WEIGHT, Batches
from imglab.training.moving import moved_network, weighted_mean
from imglab.training.torch_model import TorchModel, _Objective


class Squares(TorchModel[nn.Linear]):
    """Its loss is the mean square of the data."""

    def new_network(self, shape):
        return nn.Linear(1, 1)

    def loss(self, network, batch, noise):
        return (network(batch.data) + noise["noise"]).square().mean()

    def sample_batch(self, network, noise, conditions):
        return network(noise)


def test_a_weighted_loss_is_the_weighted_mean_of_the_losses_of_the_samples():
    objective = _Objective(Squares(), 0)
    network = Squares().new_network((1,))
    data = torch.arange(4.0)[:, None]
    batch = objective.batch(Samples.real(data), 0)
    weights = torch.tensor([0.5, 2.0, 0.5, 1.0])
    expected = (network(data) + batch["noise.noise"]).square().flatten()
    plain = objective.loss(network, batch)
    torch.testing.assert_close(plain, expected.mean())
    weighted = objective.loss(network, {**batch, WEIGHT: weights})
    torch.testing.assert_close(weighted, (weights * expected).mean())
    torch.testing.assert_close(weighted_mean(expected, weights), (weights * expected).mean())
    torch.testing.assert_close(weighted_mean(expected[:, None], None), plain)


def test_a_batch_has_the_weights_of_its_samples():
    train = TrainingSet.of(Samples.real(torch.arange(6.0)[:, None]))
    assert WEIGHT not in Batches(train, 2, 0).weighted({}, 0)
    weights = torch.arange(6, dtype=torch.float64)
    batches = Batches(train.weighted(weights), 2, 0, join=2)
    data = batches[1].data.view(2, 2)
    torch.testing.assert_close(batches.weighted({}, 1)[WEIGHT], data.mean(1))


def test_weights_move_away_in_floats_alone():
    with seeds.isolated("networks"):
        one, other = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
        nn.init.normal_(other.weight)
    other(torch.randn(4, 2, generator=seeds.generator("data")))
    moved = moved_network(one, other, 0.5)
    torch.testing.assert_close(moved.weight, 1.5 * one.weight - 0.5 * other.weight)
    assert moved.state_dict()["num_batches_tracked"] == 0
    assert torch.equal(one.weight, torch.ones(2)), "the network itself stays as it is"
    with pytest.raises(ValueError, match="architecture differs: weight is"):
        moved_network(one, nn.BatchNorm1d(3), 0.5)
