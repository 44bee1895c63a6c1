"""How language models draw: the distribution, beams, caches, and every architecture."""

from __future__ import annotations

import math

import pytest
import torch
import transformers
from transformers import (
    AutoModelForCausalLM,
    LogitsProcessorList,
    OPTConfig,
    OPTForCausalLM,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from imglab import seeds
from imglab.config.load import validate_config
from imglab.text import inversion, readers
from imglab.text.decoding import penalties, sample_tokens, search_beams
from imglab.text.decoding_settings import BeamSettings
from imglab.text.inversion import by_probability, invert
from imglab.text.readers import cached_reader, reads_with_cache, whole_reader
from tests.text.models import prompts_of
from tests.text_fixtures import TINY_MODEL, TINY_TEXT, text_parts


class TestSampling:
    @pytest.mark.parametrize(
        ("temperature", "top_k", "top_p"),
        [(1.0, None, 1.0), (0.7, None, 0.9), (1.3, 5, 1.0), (0.9, 7, 0.6), (1, 1, 0.5)],
    )
    def test_distribution_is_that_of_transformers_warpers(self, temperature, top_k, top_p):
        logits = torch.randn(1, 20, generator=torch.Generator().manual_seed(1)) * 2
        warpers = LogitsProcessorList([TemperatureLogitsWarper(float(temperature))])
        if top_k:
            warpers.append(TopKLogitsWarper(top_k))
        if top_p < 1:
            warpers.append(TopPLogitsWarper(top_p))
        expected = warpers(None, logits.clone()).softmax(-1)[0]
        steps = 20_000
        uniform = (torch.arange(steps) + 0.5) / steps
        drawn = invert(logits.expand(steps, -1) / temperature, uniform, top_k=top_k, top_p=top_p)
        shares = torch.bincount(drawn, minlength=20) / steps
        assert torch.allclose(shares, expected, atol=2 / steps)

    def test_the_most_likely_tokens_decide_as_the_sorted_vocabulary_does(self):
        """Also where the distribution is flat, has ties, or holds tokens that cannot come."""
        generator = torch.Generator().manual_seed(2)
        noise = torch.randn(24, inversion.MANY_TOKENS, generator=generator)
        uniform = torch.rand(24, generator=generator)
        uniform[:2] = torch.tensor([0.0, 1 - 2**-24])
        forbidden = (noise * 6).masked_fill(noise > 1, -math.inf)
        for logits in (noise, noise * 8, (noise * 4).round(), forbidden):
            for top_p in (0.3, 0.95):
                sorted_first = inversion._invert_sorted(logits, uniform, None, top_p)
                assert torch.equal(invert(logits, uniform, top_p=top_p), sorted_first)

    @pytest.mark.parametrize("size", [1, 7, 1024, 50_257])
    def test_the_order_is_that_of_a_stable_sort(self, size):
        """Also of ties, of zeros of both signs, and of tokens that cannot come."""
        noise = torch.randn(16, size, generator=torch.Generator().manual_seed(0))
        tied = (noise * 3).round() / 3
        tied[:, ::3] *= -0.0
        forbidden = noise.masked_fill(noise < -1, -math.inf)
        for logits in (noise, tied, forbidden):
            likely, order = by_probability(logits)
            expected = logits.sort(dim=-1, descending=True, stable=True)
            assert torch.equal(likely, expected.values)
            assert torch.equal(order, expected.indices)

    def test_penalties_are_those_of_transformers(self):
        """The text before counts, prompt included; drawn cold, the likeliest token comes."""
        logits = torch.tensor([[3.0, 2.0, 1.0, -0.5, -1.0]])

        def drawn(prompt, steps, **changes):
            return sample_tokens(
                lambda tokens: logits,
                torch.tensor([prompt]),
                torch.rand(1, steps),
                temperature=1e-3,
                top_k=None,
                top_p=1.0,
                ids=5,
                process=penalties(**{"repetition": 1.0, "no_repeat_ngram": None, **changes}),
            ).tolist()[0]

        assert drawn([4], 3) == [0, 0, 0]
        assert drawn([4], 3, repetition=2.0) == [0, 1, 0], "1 and 1.5 compete after both were drawn"
        assert drawn([4], 5, no_repeat_ngram=2) == [0, 0, 1, 0, 2], "0 0 and 0 1 have been there"

    def test_where_every_token_is_forbidden_the_rule_yields(self):
        text = sample_tokens(
            lambda tokens: torch.tensor([[0.0, -math.inf]]),
            torch.tensor([[0]]),
            torch.rand(1, 4),
            temperature=1.0,
            top_k=None,
            top_p=1.0,
            ids=2,
            process=penalties(1.0, 2),
        )
        assert text.tolist() == [[0] * 4]

    def test_what_has_no_probability_is_never_drawn(self):
        logits = torch.tensor([[-math.inf, 0.0, -math.inf, 0.0, -math.inf]])
        for uniform in (0.0, 0.49, 0.5, 0.999999, 1 - 2**-24):
            for arguments in ({}, {"top_p": 0.99}, {"top_k": 3}):
                assert int(invert(logits, torch.tensor([uniform]), **arguments)) in (1, 3)

    def test_only_tokens_that_the_tokenizer_has_are_drawn(self):
        def read(tokens):
            return torch.tensor([[0.0, 0.0, 99.0]]).expand(len(tokens), -1)

        drawn = sample_tokens(
            read,
            torch.zeros(50, 1).long(),
            torch.rand(50, 4),
            temperature=1.0,
            top_k=None,
            top_p=1.0,
            ids=2,
        )
        assert set(drawn.unique().tolist()) == {0, 1}

    def test_cold_sampling_is_greedy_decoding(self, fitted):
        modality, model = fitted
        prompts, network = prompts_of(modality, 5), model.network
        with torch.inference_mode():
            greedy = network.generate(
                prompts,
                attention_mask=torch.ones_like(prompts),
                max_new_tokens=16,
                do_sample=False,
                eos_token_id=None,
            )
            cold = sample_tokens(
                model.reader(),
                prompts,
                torch.rand(5, 16),
                temperature=1e-4,
                top_k=None,
                top_p=1.0,
                ids=300,
            )
        assert torch.equal(cold, greedy[:, 16:])

    def test_reading_on_with_a_cache_equals_reading_everything(self, fitted):
        modality, model = fitted
        tokens = modality.real("test").data[:4]
        read = model.reader()
        with torch.inference_mode():
            read(tokens[:, :9])
            read(tokens[:, 9:10])
            last = read(tokens[:, 10:])
            assert torch.allclose(last, model.network(tokens).logits[:, -1], atol=1e-5)

    def test_another_batch_size_changes_few_texts(self, fitted):
        """Only rounding differs, and only where the noise falls within rounding of a border between
        tokens.
        """
        modality, model = fitted
        prompts = prompts_of(modality, 48)
        one = model.sample(48, conditions=prompts, seed=5).data
        small = text_parts(model={"sampling_batch": 5})[1]
        small = type(small)(
            small._settings, network=model.network, tokenizer=model.tokenizer, block=16
        )
        other = small.sample(48, conditions=prompts, seed=5).data
        assert float((one == other).all(1).double().mean()) >= 0.95

    def test_sampling_bias_is_a_factor_on_the_temperature(self, fitted):
        modality, model = fitted
        prompts = prompts_of(modality, 12)

        def drawn(**changes):
            settings = validate_config(
                {"name": "x", "modality": TINY_TEXT, "model": {**TINY_MODEL, **changes}}, "test"
            ).model
            made = type(model)(settings, network=model.network, tokenizer=model.tokenizer, block=16)
            return made.sample(12, conditions=prompts, seed=2).data

        biased = drawn(sampling_bias=0.5)
        assert torch.equal(biased, drawn(decoding={"kind": "sampling", "temperature": 0.5}))
        assert not torch.equal(biased, drawn())

    def test_prompts_are_needed(self, fitted):
        with pytest.raises(ValueError, match="needs conditions"):
            fitted[1].sample(2, seed=0)


def tiny(config, **keys):
    """A small random network of any architecture of transformers."""
    with seeds.isolated("tiny", config):
        return AutoModelForCausalLM.from_config(
            getattr(transformers, config)(vocab_size=60, **keys)
        ).eval()


OPENAI_GPT = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32}


MAMBA = {"hidden_size": 16, "num_hidden_layers": 2, "state_size": 4}


LLAMA = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


BERT = {**LLAMA, "max_position_embeddings": 32}


class TestReading:
    @pytest.mark.parametrize(
        ("config", "keys", "cached"),
        [
            ("LlamaConfig", LLAMA, True),
            ("OpenAIGPTConfig", OPENAI_GPT, False),
            ("MambaConfig", MAMBA, None),
        ],
    )
    def test_every_architecture_is_read_with_its_context(self, config, keys, cached):
        """Where the key-value cache is passed over without a word, everything is read again: the
        same logits.
        """
        network = tiny(config, **keys)
        found = reads_with_cache(network)
        assert cached in (found, None), "of Mamba it depends on the version of transformers"
        read = cached_reader(network) if found else whole_reader(network)
        tokens = torch.arange(10)[None]
        with torch.inference_mode():
            read(tokens[:, :8])
            last = [read(tokens[:, at : at + 1]) for at in (8, 9)][-1]
            assert torch.allclose(last, network(tokens, use_cache=False).logits[:, -1], atol=1e-5)

    @pytest.mark.parametrize(
        ("config", "keys"), [("GPT2Config", OPENAI_GPT), ("LlamaConfig", LLAMA)]
    )
    def test_reads_as_with_the_cache_of_transformers(self, config, keys, monkeypatch):
        """To the bit, also where the room for what was read has run out several times."""
        network = tiny(config, **keys)
        read = cached_reader(network)
        monkeypatch.setattr(readers, "_with_room", lambda layer: layer)
        read_by_transformers = cached_reader(network)
        tokens = torch.arange(90).reshape(3, 30) % 50
        with torch.inference_mode():
            for part in (tokens[:, :5], tokens[:, 5:7], *tokens[:, 7:].split(1, 1)):
                assert torch.equal(read(part), read_by_transformers(part))

    def test_a_network_that_looks_ahead_is_no_language_model(self):
        with pytest.raises(ValueError, match="looks at the tokens that come after"):
            reads_with_cache(tiny("BertConfig", **BERT))


@pytest.fixture
def ending():
    """A network that always expects token 2, the end of a document."""

    class Ending(OPTForCausalLM):
        def forward(self, input_ids=None, **kwargs):
            found = super().forward(input_ids=input_ids, **kwargs)
            found.logits[..., 2] += 100
            return found

    config = OPTConfig(
        vocab_size=300,
        hidden_size=16,
        ffn_dim=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        word_embed_proj_dim=16,
    )
    return Ending(config).eval()


class TestBeams:
    def test_equal_a_search_by_transformers(self, fitted):
        modality, model = fitted
        prompts, network = prompts_of(modality, 6), model.network
        found = search_beams(network, prompts, 8, decoding=BeamSettings(beams=3), ids=300)
        theirs = network.generate(
            prompts,
            attention_mask=torch.ones_like(prompts),
            max_new_tokens=8,
            min_new_tokens=8,
            num_beams=3,
            do_sample=False,
            eos_token_id=None,
        )
        assert torch.equal(found, theirs[:, 16:])

    @pytest.mark.parametrize("penalty", [1.0, 2.0])
    @pytest.mark.parametrize("ngram", [None, 2])
    def test_with_penalties_equal_a_search_by_transformers(self, fitted, penalty, ngram):
        modality, model = fitted
        prompts, network = prompts_of(modality, 4), model.network
        plan = BeamSettings(beams=3, repetition_penalty=penalty, no_repeat_ngram=ngram)
        found = search_beams(network, prompts, 8, decoding=plan, ids=300)
        theirs = network.generate(
            prompts,
            attention_mask=torch.ones_like(prompts),
            max_new_tokens=8,
            num_beams=3,
            do_sample=False,
            eos_token_id=None,
            repetition_penalty=penalty,
            no_repeat_ngram_size=ngram or 0,
        )
        assert torch.equal(found, theirs[:, 16:])

    def test_a_length_penalty_lets_a_continuation_end(self, ending):
        """The rest of its block is end tokens."""
        plan = BeamSettings(beams=2, length_penalty=0.0)
        found = search_beams(ending, torch.full((2, 4), 7), 6, decoding=plan, ids=300, end=2)
        assert found.tolist() == [[2] * 6] * 2

    def test_a_length_penalty_ranks_as_transformers_does(self, fitted):
        modality, model = fitted
        prompts, network = prompts_of(modality, 12), model.network
        likeliest = search_beams(network, prompts, 8, decoding=BeamSettings(beams=4), ids=300)
        end = int(likeliest.flatten().mode().values)

        def found(penalty):
            plan = BeamSettings(beams=4, length_penalty=penalty)
            return search_beams(network, prompts, 8, decoding=plan, ids=300, end=end)

        theirs = network.generate(
            prompts,
            attention_mask=torch.ones_like(prompts),
            max_new_tokens=8,
            num_beams=4,
            do_sample=False,
            eos_token_id=end,
            pad_token_id=end,
            length_penalty=-4.0,
        )
        ours = found(-4.0)
        assert torch.equal(ours[:, : theirs.shape[1] - 16], theirs[:, 16:])
        assert int((ours == end).sum()) > int((found(4.0) == end).sum()), "it prefers short ones"

    def test_go_on_after_the_end_of_a_document(self, ending):
        """A network that always expects the end of a document still fills its block."""
        found = search_beams(
            ending, torch.full((2, 4), 7), 6, decoding=BeamSettings(beams=2), ids=300
        )
        assert found.tolist() == [[2] * 6] * 2

    def test_of_a_network_without_a_key_value_cache(self):
        network = tiny(
            "RwkvConfig",
            hidden_size=16,
            attention_hidden_size=16,
            num_hidden_layers=2,
            context_length=32,
        )
        found = search_beams(
            network,
            torch.full((2, 4), 7),
            6,
            decoding=BeamSettings(beams=2),
            ids=60,
            cached=reads_with_cache(network),
        )
        assert found.shape == (2, 6)

    def test_leave_the_network_as_it_was(self, fitted):
        modality, model = fitted
        before = model.network.generation_config
        prompts = prompts_of(modality, 2)
        search_beams(model.network, prompts, 4, decoding=BeamSettings(beams=2), ids=300)
        assert model.network.generation_config is before
