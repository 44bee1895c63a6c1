"""Remedies of text by hand: what a truncated loss leaves out, and which tokens are edited."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from imglab.samples import Samples
from imglab.text.editing import edited_tokens
from imglab.text.fitting import NextToken
from imglab.training.batches import WEIGHT


class Stub(nn.Module):
    """Expects token 0 with a probability of .9, whatever it reads, and 1 and 2 with .05 each."""

    device = torch.device("cpu")
    config = SimpleNamespace(vocab_size=3)

    def forward(self, input_ids, *, use_cache, logits_to_keep=0):
        logits = torch.tensor([0.9, 0.05, 0.05]).log().expand(*input_ids.shape, 3)
        return SimpleNamespace(logits=logits[:, -logits_to_keep:])


TOKENS = torch.tensor([[0, 0, 1, 0], [2, 2, 0, 0]])
SURE = -torch.tensor(0.9).log()
UNSURE = -torch.tensor(0.05).log()


def loss(truncate, weights=None):
    batch = {"tokens": TOKENS}
    if weights is not None:
        batch[WEIGHT] = torch.tensor(weights)
    return NextToken(4, torch.device("cpu"), truncate).loss(Stub(), batch)


@pytest.mark.parametrize(
    ("truncate", "weights", "expected"),
    [
        (1.0, None, (4 * SURE + 2 * UNSURE) / 6),
        (0.95, None, (4 * SURE + 2 * UNSURE) / 6),
        (0.8, None, 2 * UNSURE / 6),
        (0.8, [2.0, 0.0], 2 * UNSURE / 6),
        (1.0, [0.5, 1.5], (2 * SURE + UNSURE) / 3),
    ],
)
def test_what_is_sure_is_left_out_of_a_truncated_loss(truncate, weights, expected):
    torch.testing.assert_close(loss(truncate, weights), expected)


def edited(n, threshold, condition=None, seed=1):
    samples = Samples.drawn(torch.zeros(n, 5, dtype=torch.int64), condition)
    network: object = Stub()
    return edited_tokens(network, samples, threshold, ids=3, seed=seed).data


def test_tokens_that_are_too_likely_are_drawn_again():
    assert not edited(50, 0.95).any()
    data = edited(800, 0.8)
    assert not data[:, 0].any(), "nothing says how likely the first token is"
    assert float((data[:, 1:] != 0).double().mean()) == pytest.approx(0.1, abs=0.02)

    # After a prompt the first token is edited, too; each text has noise of its own.
    prompts = torch.zeros(800, 2, dtype=torch.int64)
    after = edited(800, 0.8, prompts)
    assert after[:, 0].any()
    assert torch.equal(after[:3], edited(3, 0.8, prompts[:3]))
    assert not torch.equal(after, edited(800, 0.8, prompts, seed=2))
