"""Language models and n-grams: how they draw, what they find likely, what they leave on disk."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest
import torch
import transformers
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    LogitsProcessorList,
    OPTConfig,
    OPTForCausalLM,
    T5Config,
    T5Model,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from imglab import seeds
from imglab.config.load import validate_config
from imglab.errors import InputError
from imglab.run.build import build
from imglab.run.run import Run
from imglab.samples import Samples, TrainingSet
from imglab.solvable.theory.categories import surviving_categories
from imglab.store import model_folder
from imglab.text.decoding import (
    cached_reader,
    invert,
    reads_with_cache,
    sample_tokens,
    search_beams,
    whole_reader,
)
from imglab.text.likelihood import model_measures
from imglab.text.ngram_network import NgramForCausalLM
from imglab.text.scoring import score_tokens
from tests.text_fixtures import TINY_MODEL, TINY_TEXT, finish, text_parts


@pytest.fixture(scope="module")
def fitted():
    """A tiny language model, fitted, and its modality."""
    modality, model = text_parts()
    return modality, finish(model.fit(TrainingSet.of(modality.real("train")), start=None, seed=3))


def prompts_of(modality, n):
    return modality.conditions(TrainingSet.of(modality.real("train")), n, seed=1)


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
        """Only rounding differs, and only where the noise falls within rounding of a border between tokens."""
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
        """Where the key-value cache is passed over without a word, everything is read again: the same logits."""
        network = tiny(config, **keys)
        found = reads_with_cache(network)
        assert cached in (found, None), "of Mamba it depends on the version of transformers"
        read = cached_reader(network) if found else whole_reader(network)
        tokens = torch.arange(10)[None]
        with torch.inference_mode():
            read(tokens[:, :8])
            last = [read(tokens[:, at : at + 1]) for at in (8, 9)][-1]
            assert torch.allclose(last, network(tokens, use_cache=False).logits[:, -1], atol=1e-5)

    def test_a_network_that_looks_ahead_is_no_language_model(self):
        with pytest.raises(ValueError, match="looks at the tokens that come after"):
            reads_with_cache(tiny("BertConfig", **BERT))


class TestBeams:
    def test_equal_a_search_by_transformers(self, fitted):
        modality, model = fitted
        prompts, network = prompts_of(modality, 6), model.network
        found = search_beams(network, prompts, 8, beams=3, ids=300)
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

    def test_go_on_after_the_end_of_a_document(self, fitted):
        """A network that always expects the end of a document still fills its block."""

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
        found = search_beams(Ending(config).eval(), torch.full((2, 4), 7), 6, beams=2, ids=300)
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
            network, torch.full((2, 4), 7), 6, beams=2, ids=60, cached=reads_with_cache(network)
        )
        assert found.shape == (2, 6)

    def test_leave_the_network_as_it_was(self, fitted):
        modality, model = fitted
        before = model.network.generation_config
        search_beams(model.network, prompts_of(modality, 2), 4, beams=2, ids=300)
        assert model.network.generation_config is before


class TestLikelihood:
    def test_perplexity_equals_transformers_loss(self, fitted):
        modality, model = fitted
        held_out = modality.real("test").data
        samples = Samples.drawn(modality.real("train").data[:20], modality.real("train").data[:20])
        found = model_measures(
            samples, held_out, modality.tokenizer, model=model, generation0=model
        )
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
        found = model_measures(
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
        found = model_measures(
            samples, modality.real("test").data, modality.tokenizer, model=model, generation0=model
        )
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
        found = model_measures(
            samples, modality.real("test").data, modality.tokenizer, model=model, generation0=model
        )
        assert found.values["perplexity"] is None
        assert "infinite" in found.reasons["perplexity"]
        assert found.values["bits_per_byte"] is None
        assert found.values["entropy"] > 0

    def test_the_tail_dies_as_theory_says(self):
        """Order 1 without smoothing is multinomial resampling of the vocabulary, whose survivors have a closed form."""
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


class TestSavedModel:
    @pytest.mark.parametrize(
        "kind", [pytest.param("language_model", marks=pytest.mark.slow), "ngram"]
    )
    def test_opens_with_transformers_and_draws(self, kind, tmp_path):
        modality, model = text_parts(
            model=TINY_MODEL if kind == "language_model" else {"kind": "ngram", "order": 2}
        )
        fitted = finish(model.fit(TrainingSet.of(modality.real("train")), start=None, seed=3))
        fitted.save(tmp_path / "model")
        code = (
            (tmp_path / "model" / "README.md").read_text().split("```python\n")[1].split("```")[0]
        )
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("The statement")
        opened, tokenizer = (
            AutoModelForCausalLM.from_pretrained(tmp_path / "model"),
            AutoTokenizer.from_pretrained(tmp_path / "model"),
        )
        tokens = modality.real("test").data[:3]
        with torch.inference_mode():
            assert torch.allclose(opened(tokens).logits, fitted.network(tokens).logits, atol=1e-6)
        assert tokenizer.get_vocab() == modality.tokenizer.get_vocab()
        again = model_folder.load_model(tmp_path / "model")
        prompts = prompts_of(modality, 4)
        assert torch.equal(
            again.sample(4, conditions=prompts, seed=1).data,
            fitted.sample(4, conditions=prompts, seed=1).data,
        )

    @pytest.mark.slow
    def test_ngram_is_known_whatever_is_imported_first(self, tmp_path):
        modality, model = text_parts(model={"kind": "ngram", "order": 2})
        finish(model.fit(TrainingSet.of(modality.real("train")), start=None, seed=3)).save(
            tmp_path / "model"
        )
        network = "imglab.text.ngram_network"
        for first, second in ((network, "transformers"), ("transformers", network)):
            code = (
                f"import {first}, {second}\n"
                "from transformers import AutoModelForCausalLM as A\n"
                "print(type(A.from_pretrained('model')).__name__)"
            )
            done = subprocess.run(
                [sys.executable, "-c", code],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.stdout == "NgramForCausalLM\n", done.stderr

    def test_import_costs_no_transformers_and_changes_nothing_global(self):
        code = (
            "import sys; finders = list(sys.meta_path); import imglab\n"
            "assert not {'torch', 'transformers'} & set(sys.modules)\n"
            "assert sys.meta_path == finders"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    def test_no_path_of_the_machine_is_saved(self, fitted, tmp_path):
        _, model = fitted
        model.save(tmp_path / "model")
        loaded = model_folder.load_model(tmp_path / "model")
        loaded.save(tmp_path / "again")
        for path in (tmp_path / "again").rglob("*"):
            if path.suffix in (".json", ".md"):
                assert str(tmp_path) not in path.read_text()
        assert (
            json.loads((tmp_path / "again" / "config.json").read_text()).get("_name_or_path")
            is None
        )


@pytest.fixture(scope="module")
def opt(tmp_path_factory):
    """A tiny OPT with its tokenizer, as `save_pretrained` leaves them; it knows more tokens than the tokenizer has."""
    folder = tmp_path_factory.mktemp("opt")
    modality, _ = text_parts()
    modality.tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    OPTForCausalLM(
        OPTConfig(
            vocab_size=304,
            hidden_size=16,
            ffn_dim=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=64,
            word_embed_proj_dim=16,
        )
    ).save_pretrained(folder)
    return folder


def pretrained(folder, **changes):
    return {"network": {"kind": "pretrained", "name": str(folder)}, "window": 16, **changes}


class TestPretrained:
    def test_every_generation_fine_tunes_the_same_base(self, opt, tmp_path):
        tree = {
            "name": "opt",
            "generations": 2,
            "start": "base",
            "samples": 12,
            "shown": 2,
            "modality": {
                **TINY_TEXT,
                "tokenizer": {"kind": "pretrained", "name": str(opt)},
                "prompts": "original",
            },
            "model": {
                **TINY_MODEL,
                **pretrained(opt, fine_tuning={"tokens": 256, "batch": 4, "learning_rate": 1e-12}),
            },
        }
        base = OPTForCausalLM.from_pretrained(opt).state_dict()
        for generation in Run(validate_config(tree, "test"), tmp_path / "run").generations():
            found = generation.model.network.state_dict()
            assert all(torch.allclose(found[name], base[name], atol=1e-6) for name in base)
            assert int(generation.samples.data.max()) < 300, (
                "tokens beyond the tokenizer's are not drawn"
            )

    def test_scratch_takes_its_shape_and_not_its_weights(self, opt):
        modality, model = text_parts(
            {"tokenizer": {"kind": "pretrained", "name": str(opt)}}, pretrained(opt)
        )
        assert model.pretrained is model
        fitted = finish(model.fit(TrainingSet.of(modality.real("train")), start=None, seed=1))
        assert fitted.network.config.hidden_size == 16
        theirs = OPTForCausalLM.from_pretrained(opt).state_dict()["lm_head.weight"]
        assert not torch.allclose(fitted.network.state_dict()["lm_head.weight"], theirs, atol=1e-2)

    def test_lora_trains_adapters_and_merges_them(self, opt, tmp_path):
        modality, model = text_parts(
            {"tokenizer": {"kind": "pretrained", "name": str(opt)}},
            pretrained(
                opt,
                lora={"rank": 2},
                fine_tuning={"tokens": 1024, "batch": 8, "learning_rate": 1e-2},
            ),
        )
        fitted = finish(
            model.fit(TrainingSet.of(modality.real("train")), start=model.pretrained, seed=1)
        )
        base, found = OPTForCausalLM.from_pretrained(opt).state_dict(), fitted.network.state_dict()
        assert found.keys() == base.keys(), "no adapter is left"
        assert torch.equal(
            found["model.decoder.embed_tokens.weight"], base["model.decoder.embed_tokens.weight"]
        )
        changed = "model.decoder.layers.0.self_attn.q_proj.weight"
        difference = found[changed] - base[changed]
        assert torch.linalg.matrix_rank(difference, atol=1e-5) == 2
        fitted.save(tmp_path / "model")
        assert AutoModelForCausalLM.from_pretrained(tmp_path / "model").config.model_type == "opt"

    def test_a_sentence_encoder_reads_texts(self, opt):
        section = {"extractor": {"kind": "sentence_encoder", "name": str(opt)}}
        modality, _ = text_parts({**section, "tokenizer": {"kind": "pretrained", "name": str(opt)}})
        tokens = modality.real("test").data[:5]
        features = modality.features(Samples.drawn(tokens))
        assert modality.extractor.startswith("sentence encoder@")
        assert torch.allclose(
            features[3:4], modality.features(Samples.drawn(tokens[3:4])), atol=1e-5
        )
        reader, network = AutoTokenizer.from_pretrained(opt), AutoModel.from_pretrained(opt)
        text = modality.tokenizer.decode(tokens[0], skip_special_tokens=True)
        given = reader(text, return_tensors="pt")
        with torch.inference_mode():
            direct = network(**given).last_hidden_state.mean(1)
        assert torch.allclose(features[:1], direct, atol=1e-4)

    @pytest.mark.parametrize(
        ("modality", "model", "message"),
        [
            (
                {},
                {"window": 24},
                r"model\.window: 24 is not a multiple of modality\.block, 16.*\(e\.g\. 32\)",
            ),
            (
                {},
                {"window": 16},
                r"model\.window: a window of 16 tokens never trains .*\(at least 32\)",
            ),
        ],
    )
    def test_what_does_not_fit_together(self, modality, model, message):
        with pytest.raises(InputError, match=message):
            text_parts(modality, model)

    def test_a_network_that_reads_too_little_or_knows_too_few_tokens(self, opt):
        with pytest.raises(
            InputError,
            match=r"model\.network\.name: the network reads 64 tokens at most, 80 are needed",
        ):
            text_parts(
                {"tokenizer": {"kind": "pretrained", "name": str(opt)}, "block": 40},
                pretrained(opt, window=80),
            )
        with pytest.raises(
            InputError, match=r"modality\.tokenizer: is not that of the network: 400 tokens, 300 in"
        ):
            text_parts({"tokenizer": {"kind": "bpe", "vocabulary": 400}}, pretrained(opt))

    def test_folders_that_do_not_open(self, opt, tmp_path):
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "config.json").write_text((opt / "config.json").read_text())
        torch.save({}, tmp_path / "model" / "pytorch_model.bin")
        with pytest.raises(
            InputError,
            match=r"only pickled weights \(pytorch_model\.bin\); only safetensors.*save_pretrained",
        ):
            text_parts(model=pretrained(tmp_path / "model"))
        with pytest.raises(
            InputError, match=r"modality\.tokenizer\.name: the folder .* has no tokenizer \(save it"
        ):
            text_parts({"tokenizer": {"kind": "pretrained", "name": str(tmp_path / "model")}})
        (tmp_path / "model" / "pytorch_model.bin").unlink()
        with pytest.raises(InputError, match="holds no weights"):
            text_parts(model=pretrained(tmp_path / "model"))
        (tmp_path / "model" / "model.safetensors").write_bytes(b"not at all")
        with pytest.raises(InputError, match=r"model\.network\.name: .* did not open"):
            text_parts(model=pretrained(tmp_path / "model"))

    def test_a_checkpoint_without_its_head_is_no_language_model(self, opt, tmp_path):
        AutoModel.from_pretrained(opt).save_pretrained(tmp_path / "body")
        text_parts()[0].tokenizer.save_pretrained(tmp_path / "body")
        config = json.loads((tmp_path / "body" / "config.json").read_text())
        (tmp_path / "body" / "config.json").write_text(
            json.dumps({**config, "tie_word_embeddings": False})
        )
        with pytest.raises(InputError, match="is not a whole language model: it lacks lm_head"):
            text_parts(model=pretrained(tmp_path / "body"))

    def test_a_tokenizer_of_the_same_size_that_is_another_one(self, opt):
        section = {"source": {"kind": "files", "path": __file__, "document_start": "^def |^class "}}
        with pytest.raises(
            InputError,
            match=r"modality\.tokenizer: is not that of the network.*use \{kind: pretrained",
        ):
            text_parts({**section, "n_train": 20, "n_test": 10, "n_fresh": 0}, pretrained(opt))

    @pytest.mark.parametrize("network", ["gpt2", "opt"])
    def test_adapters_for_layers_that_are_not_there(self, opt, network):
        own = {"lora": {"targets": ["c_atn", "q_prj"]}}
        section = (
            {"tokenizer": {"kind": "pretrained", "name": str(opt)}} if network == "opt" else {}
        )
        with pytest.raises(InputError) as caught:
            text_parts(section, pretrained(opt, **own) if network == "opt" else own)
        assert [problem.where for problem in caught.value.problems] == ["model.lora.targets"] * 2
        assert ("did you mean 'q_proj'?" if network == "opt" else "did you mean 'c_attn'?") in str(
            caught.value
        )

    def test_a_sentence_encoder_that_reads_no_plain_text(self, tmp_path):
        t5 = T5Config(vocab_size=300, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
        T5Model(t5).save_pretrained(tmp_path / "t5")
        text_parts()[0].tokenizer.save_pretrained(tmp_path / "t5")
        with pytest.raises(
            InputError, match=r"modality\.extractor\.name: .* does not read plain text"
        ):
            text_parts({"extractor": {"kind": "sentence_encoder", "name": str(tmp_path / "t5")}})

    def test_a_sentence_encoder_has_one_name_whatever_its_checkpoint_lacks(self, tmp_path):
        """A missing pooler is filled at random; that must neither show nor move the global state."""
        shape = {
            "vocab_size": 300,
            "hidden_size": 16,
            "intermediate_size": 16,
            "max_position_embeddings": 20,
        }
        BertForMaskedLM(
            BertConfig(**shape, num_hidden_layers=1, num_attention_heads=2)
        ).save_pretrained(tmp_path / "bert")
        text_parts()[0].tokenizer.save_pretrained(tmp_path / "bert")
        section = {"extractor": {"kind": "sentence_encoder", "name": str(tmp_path / "bert")}}
        names = set()
        for seed in (1, 2):
            torch.manual_seed(seed)
            before = torch.get_rng_state()
            modality, _ = text_parts(section)
            assert torch.equal(torch.get_rng_state(), before)
            names.add(modality.extractor)
        assert len(names) == 1
        assert modality.features(modality.real("test")[:3]).shape == (3, 16), (
            "it reads 20 tokens, and cuts the rest"
        )

    def test_a_hub_name_without_network(self):
        with pytest.raises(
            InputError,
            match=r"model\.network\.name: 'facebook/opt-125m' did not open.*give a local folder",
        ):
            text_parts(model=pretrained("facebook/opt-125m"))

    def test_a_base_of_another_tokenizer_or_shape_is_refused(self, fitted, tmp_path):
        _, model = fitted
        model.save(tmp_path / "model")
        tree = {
            "name": "x",
            "start": "base",
            "base": str(tmp_path / "model"),
            "modality": TINY_TEXT,
            "model": TINY_MODEL,
        }
        assert build(validate_config(tree, "test"), "test").bases[0] is not None
        other = {**tree, "modality": {**TINY_TEXT, "tokenizer": {"kind": "bpe", "vocabulary": 290}}}
        with pytest.raises(InputError, match="tokenizer differs"):
            build(validate_config(other, "test"), "test")
        wider = {**tree, "model": {**TINY_MODEL, "network": {**TINY_MODEL["network"], "width": 32}}}
        with pytest.raises(InputError, match="width is 16, expected 32"):
            build(validate_config(wider, "test"), "test")
        longer = {**tree, "model": {**TINY_MODEL, "window": 64}}
        with pytest.raises(InputError, match="its network reads 32 tokens at most, 64 are needed"):
            build(validate_config(longer, "test"), "test")


class TestFit:
    def test_a_checkpoint_in_the_middle_continues_to_the_same_weights(self):
        for changes in (
            {},
            {"precision": "bf16"},
            {"lora": {"rank": 2}},
            {"network": {"kind": "gpt2", "layers": 1, "width": 16, "heads": 2, "dropout": 0.2}},
        ):
            modality, model = text_parts(model=changes)
            train = TrainingSet.of(modality.real("train"))
            states = []
            start = finish(model.fit(train, start=None, seed=3)) if "lora" in changes else None
            work = model.fit(train, start=start, seed=4)
            for _ in range(3):
                progress = next(work)
                states.append({name: tensor.clone() for name, tensor in progress.state().items()})
            whole = finish(work).network.state_dict()
            resumed = finish(
                model.fit(train, start=start, seed=4, resume=states[1])
            ).network.state_dict()
            assert all(torch.equal(whole[name], resumed[name]) for name in whole), changes

    def test_budget_in_tokens_or_epochs(self):
        modality, model = text_parts()
        train = TrainingSet.of(modality.real("train"))
        assert finish(model.fit(train, start=None, seed=0)).training == {
            "samples_seen": 128,
            "budget": "tokens",
        }
        _, model = text_parts(model={"training": {"epochs": 2, "batch": 5}})
        found = finish(model.fit(train, start=None, seed=0)).training
        assert found == {"samples_seen": 120, "budget": "epochs"}

    def test_windows_are_successive_samples(self):
        from imglab.training.batches import Batches

        rows = torch.arange(10)[:, None].expand(-1, 4)
        batches = Batches(TrainingSet.of(Samples.real(rows)), 3, seed=1, join=2)
        starts = []
        for step in range(10):
            window = batches[step].data[:, 0].view(3, 2)
            assert torch.equal(window[:, 1], (window[:, 0] + 1) % 10)
            starts += window[:, 0].tolist()
        assert batches.examples == 5
        assert sorted(starts[:5]) in ([0, 2, 4, 6, 8], [1, 3, 5, 7, 9]), (
            "an epoch has each sample once"
        )
        assert len(set(starts)) == 10, "over the epochs a window begins at any sample"


def test_a_language_model_needs_text():
    tree = {"name": "x", "modality": {"kind": "gaussian"}, "model": TINY_MODEL}
    with pytest.raises(InputError, match=r"model\.kind: `language_model` draws text"):
        build(validate_config(tree, "test"), "test")
