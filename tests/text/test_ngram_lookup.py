"""Looking up what an n-gram model expects gives what its dense network gives."""

import pytest
import torch

from imglab.text.inversion import invert
from imglab.text.ngram import _count
from imglab.text.ngram_lookup import NgramLookup
from imglab.text.ngram_network import NgramForCausalLM

VOCABULARY = 50


def texts(n, length, seed):
    """Return texts of a skewed vocabulary, so that some contexts are seen and others are not."""
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(n, length, generator=generator)
    return (uniform.square() * VOCABULARY).long()


def network(order, smoothing=1.0):
    counted = _count(texts(60, 12, 0), VOCABULARY, order)
    return NgramForCausalLM.counted(counted, VOCABULARY, smoothing)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("last", [9, 4])
def test_scores_are_those_of_the_network(order, last, monkeypatch):
    monkeypatch.setattr("imglab.text.ngram_lookup.AT_ONCE", 100)
    dense = network(order)
    new = texts(40, 10, 1)
    likelihood, entropy = NgramLookup(dense).scores(new, last)

    logs = dense(new[:, :-1], logits_to_keep=last).logits.double()
    expected = logs.gather(2, new[:, -last:, None]).squeeze(2)
    torch.testing.assert_close(likelihood, expected, rtol=1e-5, atol=1e-5)
    expected = torch.special.entr(logs.exp()).sum(-1)
    torch.testing.assert_close(entropy, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("length", [1, 8])
@pytest.mark.parametrize("smoothing", [1.0, 0.0])
def test_tokens_are_drawn_where_the_network_draws_them(order, length, smoothing):
    dense = network(order, smoothing)
    contexts = texts(3000, length, 2)
    uniform = torch.rand(3000, generator=torch.Generator().manual_seed(3))

    drawn = NgramLookup(dense).draw(contexts, uniform)
    logits = dense(contexts, logits_to_keep=1).logits[:, -1]
    assert float((drawn == invert(logits, uniform)).double().mean()) > 0.999


def test_the_ends_of_the_distribution_are_tokens():
    lookup = NgramLookup(network(3))
    contexts = texts(200, 4, 4)
    for uniform in (0.0, 1 - 2**-24):
        drawn = lookup.draw(contexts, torch.full((200,), uniform))
        assert 0 <= int(drawn.min()) <= int(drawn.max()) < VOCABULARY


def test_without_smoothing_what_was_never_seen_is_impossible():
    lookup = NgramLookup(network(2, smoothing=0.0))
    likelihood, entropy = lookup.scores(texts(40, 10, 5), 9)
    assert bool(likelihood.isneginf().any())
    assert bool(entropy.isfinite().all())
