"""What language models find likely: perplexities and entropies."""

from __future__ import annotations

import math

import pytest
import torch

from imglab.samples import Samples
from imglab.text.likelihood import model_metrics
from imglab.text.scoring import score_tokens


class TestLikelihood:
    def test_perplexity_equals_transformers_loss(self, fitted):
        modality, model = fitted
        held_out = modality.real("test").data
        samples = Samples.drawn(modality.real("train").data[:20], modality.real("train").data[:20])
        found = model_metrics(samples, held_out, modality.tokenizer, model=model, generation0=model)
        windows = held_out.reshape(-1, 32)
        with torch.inference_mode():
            direct = math.exp(
                sum(float(model.network(row[None], labels=row[None]).loss) for row in windows)
                / len(windows)
            )
        assert found.values["perplexity"] == pytest.approx(direct, rel=1e-5)
        size = len(modality.tokenizer.decode(held_out.flatten(), skip_special_tokens=True).encode())
        bits = math.log2(direct) * held_out.numel() / size
        assert found.values["bits_per_byte"] == pytest.approx(bits, rel=1e-5)

    def test_reference_perplexity_of_each_sample(self, fitted):
        modality, model = fitted
        samples = Samples.drawn(modality.real("test").data[:7], modality.real("train").data[:7])
        found = model_metrics(
            samples, modality.real("test").data, modality.tokenizer, model=model, generation0=model
        )
        with torch.inference_mode():
            direct = [
                float(model.network(row[None], labels=row[None]).loss.exp()) for row in samples.data
            ]
        assert found.per_sample["reference_perplexity"].tolist() == pytest.approx(direct, rel=1e-5)
        mean = math.exp(sum(math.log(value) for value in direct) / 7)
        assert found.values["reference_perplexity"] == pytest.approx(mean, rel=1e-5)

    def test_entropy_is_that_of_what_the_model_expects_after_the_prompt(self, fitted):
        modality, model = fitted
        samples = Samples.drawn(modality.real("test").data[:5], modality.real("train").data[:5])
        found = model_metrics(
            samples, modality.real("test").data, modality.tokenizer, model=model, generation0=model
        )
        assert samples.condition is not None
        assert samples.condition is not None
        whole = torch.cat([samples.condition, samples.data], 1)
        with torch.inference_mode():
            expected = torch.distributions.Categorical(
                logits=model.network(whole).logits[:, 15:-1]
            ).entropy()
        assert found.values["entropy"] == pytest.approx(float(expected.mean()), rel=1e-5)

    def test_scores_do_not_depend_on_the_batch(self, fitted, monkeypatch):
        modality, model = fitted
        tokens = modality.real("test").data[:9]
        whole = score_tokens(model.network, tokens, 15)
        monkeypatch.setattr("imglab.text.scoring.AT_ONCE", 1)
        parts = score_tokens(model.network, tokens, 15)
        assert torch.allclose(whole.log_likelihood, parts.log_likelihood, atol=1e-5)
