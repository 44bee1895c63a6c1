"""Steps that a GPU records: the gradients of steps that are not recorded."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from imglab.training import graphs
from imglab.training.fit import fit
from tests.text_fixtures import finish
from tests.training.test_optimizer import RECIPE, Line, new_network, training_set

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")


class AsksTheGpu(Line):
    """Reads a number of the batch in the middle of the loss."""

    def loss(self, network, batch):
        share = 1.0 if float(next(iter(batch.values())).sum()) > 0 else 0.5
        return share * super().loss(network, batch)


class DrawsOnTheCpu(Line):
    """Leaves out half of the losses, by a number that the CPU draws."""

    def loss(self, network, batch):
        return float(torch.rand(()) < 0.5) * super().loss(network, batch)


class WithDropout(nn.Module):
    def __init__(self):
        super().__init__()
        self.line = new_network()

    def forward(self, inputs):
        return nn.functional.dropout(self.line(inputs), 0.5)


def fitted(objective, network=None):
    network = network or new_network()
    fitting = fit(network, objective, training_set(), RECIPE, seed=0, in_threads=True)
    return finish(fitting).network.state_dict()


def fitted_unrecorded(objective, monkeypatch, network=None):
    with monkeypatch.context() as context:
        context.setattr(graphs, "RECORDS", False)
        return fitted(objective, network)


@on_gpu
class TestRecordedGradient:
    def test_weights_are_those_of_steps_that_are_not_recorded(self, monkeypatch):
        torch.testing.assert_close(fitted(Line()), fitted_unrecorded(Line(), monkeypatch))

    def test_what_dropout_draws_differs_from_step_to_step_and_is_the_same_again(self, monkeypatch):
        once = fitted(Line(), WithDropout())
        again = fitted(Line(), WithDropout())
        torch.testing.assert_close(once, again, rtol=0, atol=0)
        torch.testing.assert_close(once, fitted_unrecorded(Line(), monkeypatch, WithDropout()))

    @pytest.mark.parametrize("objective", [AsksTheGpu(), DrawsOnTheCpu()])
    @pytest.mark.parametrize("network", [new_network, WithDropout])
    def test_what_cannot_be_recorded_is_fitted_as_before(
        self, monkeypatch, caplog, objective, network
    ):
        caplog.set_level("INFO")
        weights = fitted(objective, network())
        assert "steps are not recorded" in caplog.text
        torch.testing.assert_close(weights, fitted_unrecorded(objective, monkeypatch, network()))

        caplog.clear()
        fitted(Line())
        assert "steps are not recorded" not in caplog.text
