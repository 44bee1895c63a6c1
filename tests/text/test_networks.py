"""New networks of language models, and the tokenizer of whole words."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from imglab.errors import InputError
from imglab.samples import TrainingSet
from imglab.text.dropout import dropout
from imglab.text.hub import make_tokenizer
from imglab.text.llama import inner_width
from imglab.text.network_settings import LlamaSettings
from imglab.text.settings import TextTrainingSettings, WordsSettings
from imglab.training.recipe import Recipe
from tests.text_fixtures import finish, text_parts

TINY = {"kind": "llama", "layers": 1, "width": 16, "heads": 2}
MUON = {"tokens": 2048, "batch": 8, "optimizer": "muon", "decay": "linear"}


class TestLlama:
    def test_a_fitted_one_opens_with_plain_transformers(self, tmp_path):
        modality, model = text_parts(model={"network": TINY, "training": MUON})
        train = TrainingSet.of(modality.real("train"))
        fitted = finish(model.fit(train, start=None, seed=3))
        fitted.save(tmp_path / "model")

        opened = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
        tokens = modality.real("test").data
        assert isinstance(opened, LlamaForCausalLM)
        assert opened.lm_head.weight is opened.model.embed_tokens.weight
        with torch.inference_mode():
            assert torch.equal(opened(tokens).logits, fitted.network(tokens).logits)
        assert fitted.cached, "it draws with a key-value cache"

    def test_its_perceptron_has_as_many_weights_as_that_of_gpt2(self):
        for width in (64, 96, 128, 384):
            extra = 3 * inner_width(width) - 8 * width
            assert 0 <= extra < 3 * 16

    def test_a_model_of_another_architecture_is_no_start(self):
        modality, gpt2 = text_parts()
        _, llama = text_parts(model={"network": TINY})
        train = TrainingSet.of(modality.real("train"))
        fitted = finish(gpt2.fit(train, start=None, seed=0))
        with pytest.raises(ValueError, match="kind is gpt2, expected llama"):
            llama.check_start(fitted)

    @pytest.mark.parametrize("keys", [{"width": 20, "heads": 4}, {"rotary": True}, {"layers": 0}])
    def test_bad_keys_are_refused(self, keys):
        with pytest.raises(ValidationError):
            LlamaSettings.model_validate({"kind": "llama", **keys})


class TestDropout:
    def test_it_acts_in_training_alone_and_is_gone_afterwards(self):
        modality, model = text_parts(model={"network": {**TINY, "dropout": 0.5}})
        network = model._new_network(0).eval()
        tokens = modality.real("test").data[:2]

        def logits():
            with torch.inference_mode():
                return network(tokens).logits

        plain = logits()
        with dropout(network, 0.5):
            assert torch.equal(logits(), plain)
            network.train()
            assert not torch.equal(logits(), plain)
        assert torch.equal(logits(), plain)

    def test_a_checkpoint_continues_to_the_same_weights(self):
        changes = {"network": {**TINY, "dropout": 0.2}, "training": MUON}
        modality, model = text_parts(model=changes)
        train = TrainingSet.of(modality.real("train"))
        fitting = model.fit(train, start=None, seed=4)
        next(fitting)
        state = {name: tensor.clone() for name, tensor in next(fitting).state().items()}

        whole = finish(fitting).network.state_dict()
        resumed = finish(model.fit(train, start=None, seed=4, resume=state)).network.state_dict()
        assert all(torch.equal(whole[name], resumed[name]) for name in whole)


class TestPlans:
    def test_a_plan_without_weight_decay_is_written_as_before(self):
        assert "weight_decay" not in TextTrainingSettings().model_dump()
        plan = TextTrainingSettings(weight_decay=0.5)
        assert plan.model_dump()["weight_decay"] == 0.5
        assert TextTrainingSettings().weight_decay == Recipe().weight_decay


class TestWords:
    DOCUMENTS = ("The cat, the dog and the cow.", "The cat is old. The dog is not.")

    def test_text_is_written_as_it_was_read(self):
        tokenizer = make_tokenizer(WordsSettings(), list(self.DOCUMENTS))
        for document in self.DOCUMENTS:
            assert tokenizer.decode(tokenizer(document).input_ids) == document

    def test_the_most_frequent_words_are_taken(self):
        tokenizer = make_tokenizer(WordsSettings(vocabulary=16), list(self.DOCUMENTS * 3))
        assert len(tokenizer) == 13
        vocabulary = tokenizer.get_vocab()
        order = sorted(vocabulary, key=lambda word: vocabulary[word])
        assert order[:6] == ["<|endoftext|>", "<unk>", ".", "The", "cat", "dog"]
        assert tokenizer.decode(tokenizer("The cat flies.").input_ids) == "The cat <unk>."

    def test_a_vocabulary_that_is_too_small_is_refused(self):
        documents = [" ".join(f"word{number}" for number in range(200))]
        with pytest.raises(InputError, match=r"vocabulary: 16 tokens hold 7%.*at least 162"):
            make_tokenizer(WordsSettings(vocabulary=16), documents)

    def test_a_saved_one_opens_again(self, tmp_path):
        tokenizer = make_tokenizer(WordsSettings(), list(self.DOCUMENTS))
        tokenizer.save_pretrained(tmp_path)
        opened = AutoTokenizer.from_pretrained(tmp_path)
        assert opened.get_vocab() == tokenizer.get_vocab()
        assert opened.decode(opened(self.DOCUMENTS[0]).input_ids) == self.DOCUMENTS[0]
