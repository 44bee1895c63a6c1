"""Adapters of a pretrained base: stored apart from it, opened with it, refused without it."""

from __future__ import annotations

import re
import shutil
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from imglab.config.load import validate_config
from imglab.errors import InputError
from imglab.running.fork import fork
from imglab.running.run import Run
from imglab.samples import TrainingSet
from imglab.store import model_folder
from imglab.store.verify import verify
from tests.text.models import pretrained, prompts_of
from tests.text_fixtures import TINY_TEXT, finish, text_parts

PLAN = {"tokens": 512, "batch": 8, "learning_rate": 1e-2}


def sections(base, **changes):
    """A model and its data, on the base in a folder."""
    tokenizer = {"tokenizer": {"kind": "pretrained", "name": str(base)}}
    model = {"lora": {"rank": 2}, "fine_tuning": PLAN, "sampling_batch": 16, **changes}
    return tokenizer, pretrained(base, **model)


@pytest.fixture
def base(opt, tmp_path):
    """The base in a place of its own, which may be moved."""
    return shutil.copytree(opt, tmp_path / "base")


@pytest.fixture
def adapted(base):
    """A fitted model on the base, and its modality."""
    modality, model = text_parts(*sections(base))
    train = TrainingSet.of(modality.real("train"))
    return modality, finish(model.fit(train, start=model.pretrained, seed=1))


class TestAdapters:
    def test_are_stored_and_open_to_the_very_same_model(self, adapted, tmp_path):
        modality, model = adapted
        model.save(tmp_path / "model")
        names = {path.name for path in (tmp_path / "model").iterdir()}
        assert {"adapter_model.safetensors", "adapter_config.json", "imglab.json"} <= names
        assert "model.safetensors" not in names

        again = model_folder.load_model(tmp_path / "model")
        weights = model.network.state_dict()
        opened = again.network.state_dict()
        assert all(torch.equal(weights[name], opened[name]) for name in weights)
        prompts = prompts_of(modality, 3)
        drawn = [each.sample(3, conditions=prompts, seed=1).data for each in (model, again)]
        assert torch.equal(*drawn)

        again.save(tmp_path / "again")
        for path in (tmp_path / "model").iterdir():
            assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name

    def test_open_with_peft(self, adapted, base, tmp_path):
        modality, model = adapted
        model.save(tmp_path / "model")
        tokens = modality.real("test").data[:3]
        theirs = PeftModel.from_pretrained(
            AutoModelForCausalLM.from_pretrained(base), tmp_path / "model"
        )
        with torch.inference_mode():
            assert torch.allclose(theirs(tokens).logits, model.network(tokens).logits, atol=1e-5)

    def test_without_their_base(self, adapted, base, tmp_path):
        _, model = adapted
        model.save(tmp_path / "model")
        base.rename(tmp_path / "elsewhere")
        message = r"holds adapters of the base '.*base', which does not open \(put the base back"
        with pytest.raises(InputError, match=message) as caught:
            model_folder.load_model(tmp_path / "model")
        assert len(caught.value.problems) == 1
        (tmp_path / "elsewhere").rename(base)
        model_folder.load_model(tmp_path / "model")

    def test_with_other_weights_in_the_place_of_their_base(self, adapted, base, tmp_path):
        _, model = adapted
        model.save(tmp_path / "model")
        other = AutoModelForCausalLM.from_pretrained(base)
        other.lm_head.weight.data += 1
        other.save_pretrained(base)
        with pytest.raises(InputError, match=r"with the hash \w+, and what lies there now has"):
            model_folder.load_model(tmp_path / "model")

    @pytest.mark.parametrize("damage", [{}, {"rank": 3}])
    def test_damaged(self, adapted, tmp_path, damage):
        """A file that is cut, and settings that describe other adapters."""
        _, model = adapted
        model.save(tmp_path / "model")
        if damage:
            path = tmp_path / "model" / "imglab.json"
            path.write_text(path.read_text().replace('"rank": 2', '"rank": 3'))
        else:
            path = tmp_path / "model" / "adapter_model.safetensors"
            path.write_bytes(path.read_bytes()[:-8])
        with pytest.raises(InputError, match="does not open as a model"):
            model_folder.load_model(tmp_path / "model")


def chain(base, start):
    """A chain of three generations on the base."""
    tokenizer, model = sections(base)
    tree = {
        "name": "adapted",
        "generations": 3,
        "start": start,
        "samples": 12,
        "shown": 2,
        "modality": {**TINY_TEXT, **tokenizer, "prompts": "original"},
        "model": {"kind": "language_model", **model},
        "measure": {"gate": "none"},
    }
    return validate_config(tree, "test")


@pytest.mark.slow
@pytest.mark.parametrize("start", ["base", "previous"])
def test_a_chain_stores_its_base_once(base, tmp_path, start, monkeypatch):
    """With `start: previous` the adapters of later generations lie on those of the ones before."""
    config = chain(base, start)
    for generation in Run(config, tmp_path / "run").generations():
        if generation.index == 1:
            break

    # The base is the same wherever it lies; what lies in its old place is not asked for.
    moved = base.rename(tmp_path / "moved")
    config = chain(moved, start)
    generations = [generation.index for generation in Run(config, tmp_path / "run").generations()]
    assert generations == [0, 1, 2]
    models = [tmp_path / "run" / f"generation_00{g}" / "model" for g in generations]
    assert not any((model / "model.safetensors").exists() for model in models)
    before = [sorted(path.name for path in model.glob("before/*")) for model in models]
    assert before == {"base": [[], [], []], "previous": [[], ["000"], ["000", "001"]]}[start]
    for number, place in enumerate(before[2]):
        theirs = (models[2] / "before" / place / "adapter_model.safetensors").read_bytes()
        assert theirs == (models[number] / "adapter_model.safetensors").read_bytes()

    # The card's code merges the same, with `peft` alone.
    code = re.findall(r"```python\n(.*?)prompt = ", (models[2] / "README.md").read_text(), re.S)[0]
    monkeypatch.chdir(models[2].parent)
    names: dict[str, Any] = {"BASE": str(moved)}
    exec(code, names)
    network = model_folder.load_model(models[2]).network
    tokens = torch.arange(12)[None]
    with torch.inference_mode():
        logits = names["model"](tokens).logits
        assert torch.allclose(logits, network(tokens).logits, atol=1e-5)
    forked = fork(f"{tmp_path / 'run'}@1", tmp_path / "fork")
    assert [generation.index for generation in forked.generations()] == [0, 1, 2]

    moved.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="there is no folder"):
        Run(config, tmp_path / "run")
    assert [*verify(tmp_path / "run")] == [f"{tmp_path / 'run'}: whole, 3 generations"]
