"""What text models save opens with transformers; fits that are cut go on."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from imglab.config.load import validate_config
from imglab.errors import InputError
from imglab.running.build import build
from imglab.samples import Samples, TrainingSet
from imglab.store import model_folder
from tests.text.models import prompts_of
from tests.text_fixtures import TINY_MODEL, finish, text_parts


class TestSavedModel:
    @pytest.mark.parametrize(
        "kind", [pytest.param("language_model", marks=pytest.mark.slow), "ngram"]
    )
    @pytest.mark.slow
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


class TestFit:
    @pytest.mark.slow
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
