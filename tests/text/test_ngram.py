"""N-grams: counts, probabilities by hand, and tails that die as theory says."""

from __future__ import annotations

import pytest
import torch

from imglab.errors import InputError
from imglab.samples import TrainingSet
from imglab.solvable.theory.categories import surviving_categories
from imglab.text.likelihood import model_metrics
from imglab.text.ngram_network import NgramForCausalLM
from tests.text.models import prompts_of
from tests.text_fixtures import finish, text_parts


def counted(rows, *, order, smoothing, vocabulary):
    """An n-gram network of these token rows, without tokenizer or modality."""
    tokens = torch.tensor(rows)
    grams, found = tokens, [torch.unique(tokens, return_counts=True)]
    for k in range(2, order + 1):
        grams = grams[:, :-1] * vocabulary + tokens[:, k - 1 :]
        found.append(torch.unique(grams, return_counts=True))
    return NgramForCausalLM.counted(found, vocabulary, smoothing)


class TestNgram:
    ROW = ((0, 1, 0, 1, 0, 2),)

    def test_probabilities_by_hand(self):
        """0 1 0 1 0 2 over four tokens, Witten-Bell: P(0) = (3 + 3 / 4) / (6 + 3), and so on."""
        network = counted(self.ROW, order=2, smoothing=1.0, vocabulary=4)
        unigram = [(3 + 3 / 4) / 9, (2 + 3 / 4) / 9, (1 + 3 / 4) / 9, (3 / 4) / 9]
        after_0 = [
            (seen + 2 * low) / (3 + 2) for seen, low in zip((0, 2, 1, 0), unigram, strict=True)
        ]
        found = network(torch.tensor([[0]])).logits.exp()[0, 0]
        assert found.tolist() == pytest.approx(after_0)
        never_seen = network(torch.tensor([[3]])).logits.exp()[0, 0]
        assert never_seen.tolist() == pytest.approx(unigram), "backs off"

    def test_without_smoothing_only_what_was_seen_is_drawn(self):
        network = counted(self.ROW, order=3, smoothing=0.0, vocabulary=4)
        assert network(torch.tensor([[1, 0]])).logits.exp()[0, -1].tolist() == pytest.approx(
            [0, 1 / 2, 1 / 2, 0]
        )
        assert network(torch.tensor([[2, 0]])).logits.exp()[0, -1].tolist() == pytest.approx(
            [0, 2 / 3, 1 / 3, 0]
        )

    @pytest.mark.parametrize("order", [1, 2, 3, 4])
    @pytest.mark.parametrize("smoothing", [0.0, 0.5, 2.0])
    def test_every_context_has_a_distribution(self, order, smoothing):
        generator = torch.Generator().manual_seed(order)
        rows = torch.randint(9, (6, 12), generator=generator)
        network = counted(rows.tolist(), order=order, smoothing=smoothing, vocabulary=9)
        tokens = torch.randint(9, (5, 20), generator=generator)
        whole = network(tokens).logits
        assert torch.allclose(whole.exp().sum(-1), torch.ones(5, 20), atol=1e-5)
        last = network(tokens[:, -max(1, order - 1) :], logits_to_keep=1).logits
        assert torch.allclose(last[:, 0].exp(), whole[:, -1].exp(), atol=1e-6), (
            "only the last n - 1 tokens count"
        )

    def test_counting_in_parts_equals_counting_at_once(self, monkeypatch):
        modality, model = text_parts(model={"kind": "ngram", "order": 3})
        train = TrainingSet.of(modality.real("train"))
        whole = finish(model.fit(train, start=None, seed=0)).network.state_dict()
        monkeypatch.setattr("imglab.text.ngram.BATCH", 7)
        parts = finish(model.fit(train, start=None, seed=0)).network.state_dict()
        assert all(torch.equal(whole[name], parts[name]) for name in whole)

    def test_an_infinite_perplexity_is_undefined_with_the_reason(self):
        modality, model = text_parts(model={"kind": "ngram", "order": 3, "smoothing": 0.0})
        model = finish(model.fit(TrainingSet.of(modality.real("train")[:20]), start=None, seed=0))
        samples = model.sample(8, conditions=prompts_of(modality, 8), seed=1)
        found = model_metrics(
            samples, modality.real("test").data, modality.tokenizer, model=model, generation0=model
        )
        assert found.values["perplexity"] is None
        assert "infinite" in found.reasons["perplexity"]
        assert found.values["bits_per_byte"] is None
        assert found.values["entropy"] > 0

    def test_the_tail_dies_as_theory_says(self):
        """Order 1 without smoothing is multinomial resampling of the vocabulary, whose survivors
        have a closed form.
        """
        modality, model = text_parts(
            {"tokenizer": {"kind": "bpe", "vocabulary": 1000}, "n_train": 150},
            {"kind": "ngram", "order": 1, "smoothing": 0.0, "sampling_batch": 150},
        )
        real = modality.real("train")
        shares = torch.bincount(real.data.flatten(), minlength=1000).double() / real.data.numel()
        survivors, chains = torch.zeros(5), 6
        for chain in range(chains):
            samples = real
            for t in range(5):
                fitted = finish(model.fit(TrainingSet.of(samples), start=None, seed=0))
                survivors[t] += len(samples.data.unique()) / chains
                samples = fitted.sample(150, conditions=real.data, seed=100 * chain + t)
        expected = [surviving_categories(shares, n=real.data.numel(), t=t) for t in range(5)]
        assert expected[0] == (shares > 0).sum()
        for t in range(5):
            assert abs(survivors[t] / expected[t] - 1) < 0.04, (t, survivors[t], expected[t])

    def test_orders_that_do_not_fit_are_refused(self):
        with pytest.raises(InputError, match=r"model\.order: .*\(at most 7\)"):
            text_parts(model={"kind": "ngram", "order": 8})
