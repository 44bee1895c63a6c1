"""Every key is described, and configs that ship follow the JSON schema."""

from __future__ import annotations

import json
import re

import jsonschema
import pytest

from imglab.config.reference import all_keys, json_schema, keys_at, keys_below
from imglab.config.yaml import read_yaml
from tests.conftest import ROOT


def test_every_key_says_what_it_does():
    assert not [(key.path, key.kinds) for key in all_keys() if not key.description]


def test_a_key_of_several_kinds():
    kinds = {key.kinds: key for key in keys_at("model.steps")}
    assert set(kinds) == {("diffusion",), ("pipeline",)}
    assert kinds["diffusion",].values == "whole number from 1 to 1,000"
    assert kinds["diffusion",].default == "12"


def test_keys_of_a_regime_are_those_of_its_function():
    names = {key.path for key in keys_below("regime") if key.kinds == ("mix",)}
    assert names == {"regime.real_fraction", "regime.real"}


@pytest.fixture(scope="module")
def validator():
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("path", sorted((ROOT / "configs").rglob("*.yaml")), ids=str)
def test_shipped_configs_follow_the_schema(path, validator):
    assert not list(validator.iter_errors(read_yaml(path)))


@pytest.mark.parametrize(
    "wrong", [{"generatons": 3}, {"generations": "many"}, {"model": {"kind": "gaussian", "x": 1}}]
)
def test_what_is_wrong_does_not(wrong, validator):
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(wrong)


def test_the_page_of_keys_is_up_to_date(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from config_docs import config_docs

    page = (ROOT / "docs/keys.md").read_text()
    assert page == config_docs(), "run: python scripts/config_docs.py --write"


def test_the_page_of_keys_has_one_table_for_each_section():
    heads = re.findall(r"^## .*", (ROOT / "docs/keys.md").read_text(), re.M)
    assert len(heads) == len(set(heads))


def test_defaults_that_are_no_sections_are_said():
    (name,) = keys_at("name")
    (options,) = keys_at("modality.source.options")
    assert (name.default, options.default) == ("the config file's name", "{}")


class TestCommand:
    def test_a_key(self, lab):
        code, out, _ = lab("explain", "model.steps")
        assert code == 0
        assert "model.steps (diffusion)" in out
        assert "whole number from 1 to 1,000; default 12" in out

    def test_a_section_lists_its_keys(self, lab):
        out = lab("explain", "measure")[1]
        assert "Keys of measure:" in out
        assert "  reference " in out

    def test_keys_stand_below_the_kinds_that_have_them(self, lab):
        out = lab("explain", "modality.source")[1]
        groups = dict(part.split(":\n", 1) for part in out.split("\n\n")[1:])
        place = "Keys of modality.source"
        assert "Name of the class" in groups[f"{place}, kind torchvision of image"]
        assert "Name on the Hugging Face hub" in groups[f"{place}, kind hub of text"]
        assert "  document_start " in groups[f"{place}, kind files or hub of text"]
        assert "  tolerate " in groups[f"{place}, kind captioned_folder of image"]

    def test_no_key_lists_all(self, lab):
        assert "  generations " in lab("explain")[1]

    def test_a_wrong_key(self, lab):
        code, _, error = lab("explain", "steps")
        assert code == 2
        assert "model.steps" in error
        assert "did you mean 'generations'" in lab("explain", "generatons")[2]

    def test_the_schema(self, lab):
        assert json.loads(lab("explain", "--json-schema")[1])["title"] == "A config of imglab"
