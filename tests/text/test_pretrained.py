"""Pretrained language models and sentence encoders: fine-tuned, and refused by name."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    OPTForCausalLM,
    T5Config,
    T5Model,
)

from imglab.config.load import validate_config
from imglab.errors import InputError
from imglab.running.build import build
from imglab.running.run import Run
from imglab.samples import Samples, TrainingSet
from imglab.text.model import TextModel
from tests.text.models import pretrained
from tests.text_fixtures import TINY_MODEL, TINY_TEXT, finish, text_parts


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
            assert isinstance(generation.model, TextModel)
            assert isinstance(generation.model, TextModel)
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
        assert str(modality.extractor).startswith("sentence encoder@")
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
        """A missing pooler is filled at random; that must neither show nor move the
        global state.
        """
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
            names.add(str(modality.extractor))
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
