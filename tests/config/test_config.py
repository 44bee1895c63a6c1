"""Configs: what is right, and that what is wrong is said at once, by key, with the nearest valid
one.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from imglab.config.kinds import build_plug_in
from imglab.config.load import dump_config, load_config, validate_config
from imglab.config.merge import differences, with_changes
from imglab.config.section import PlugIn
from imglab.config.yaml import parse_yaml
from imglab.errors import InputError
from imglab.studies.decomposition.config import load_decomposition
from imglab.studies.mapping.config import load_map
from imglab.studies.scaling.config import load_scaling
from imglab.studies.sweeps.config import load_sweep
from tests.conftest import load_chain

RIGHT = {"name": "right", "modality": {"kind": "gaussian"}, "model": {"kind": "gaussian"}}


def problems(tree) -> list[str]:
    with pytest.raises(InputError) as caught:
        validate_config(tree, "a.yaml")
    return [str(problem) for problem in caught.value.problems]


def test_every_config_that_ships_is_right(configs):
    found = sorted(configs.rglob("*.yaml"))
    assert {"image_digits.yaml", "gaussian.yaml"} <= {path.name for path in found}
    for path in found:
        text = path.read_text()
        config: Any
        if "\nfactors:" in text:
            config = load_decomposition(path).sweep
        elif "\nsizes:" in text:
            config = load_scaling(path).sweep
        elif "\nover:" in text:
            config = next(iter(load_map(path).corners().values()))
        else:
            config = load_sweep(path) if "\narms:" in text else load_config(path)
        chains = getattr(config, "chains", getattr(config, "arms", {"": config})).values()
        assert all(chain.generations >= 1 for chain in chains)
        for word in ("Question", "Command", "Cost", "Expect"):
            assert f"# {word}" in text, f"{path} must say its {word}"


def test_a_word_stands_for_a_section():
    config = validate_config(
        {**RIGHT, "regime": "accumulate", "modality": "gaussian", "model": "gaussian"}, "a.yaml"
    )
    assert config.regime.kind == "accumulate"
    assert config.modality.model_dump()["kind"] == "gaussian"


def test_a_config_survives_its_own_dump():
    config = validate_config({**RIGHT, "regime": {"kind": "mix", "real_fraction": 0.1}}, "a.yaml")
    again = validate_config(parse_yaml(dump_config(config), "dump"), "dump")
    assert again.model_dump() == config.model_dump()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"generatons": 3}, "a.yaml: generatons: unknown key (did you mean 'generations'?)"),
        (
            {"generations": 0},
            "a.yaml: generations: must be greater than or equal to 1, not 0",
        ),
        ({"generations": "six"}, "a.yaml: generations: must be a valid integer, not 'six'"),
        ({"generations": True}, "a.yaml: generations: must be a valid integer, not True"),
        ({"start": "prevous"}, "(did you mean 'previous'?)"),
        (
            {"regime": "repalce"},
            "a.yaml: regime.kind: 'repalce' is not a known kind (did you mean 'replace'?)",
        ),
        (
            {"regime": {"kind": "mix", "real_fraction": 1.2}},
            "regime.real_fraction: must be less than or equal to 1",
        ),
        ({"regime": {"kind": "mix"}}, "a.yaml: regime.real_fraction: this key is missing"),
        (
            {"modality": {"kind": "gausian"}},
            "a.yaml: modality.kind: 'gausian' is not a known modality (did you mean 'gaussian'?)",
        ),
        ({"modality": {"dimensions": 2}}, "a.yaml: modality.kind: this key is missing"),
        (
            {"model": {"kind": "gaussian", "estimater": "mle"}},
            "model.estimater: unknown key (did you mean 'estimator'?)",
        ),
        ({"measure": {"reference": "tset"}}, "(did you mean 'test'?)"),
        ({"name": "../../etc"}, "a.yaml: name: must be a file name"),
        ({"seed": float("inf")}, "a.yaml: seed: must be a"),
    ],
)
def test_messages(change, message):
    assert any(message in problem for problem in problems({**RIGHT, **change})), problems(
        {**RIGHT, **change}
    )


def test_a_mapping_where_a_word_may_stand_is_judged_by_its_keys():
    wrong = problems({**RIGHT, "measure": {"gate": {"recal": 0.1}}})
    assert wrong == ["a.yaml: measure.gate.recal: unknown key (did you mean 'recall'?)"]
    (problem,) = problems({**RIGHT, "measure": {"gate": "non"}})
    assert problem.endswith("must be a mapping of keys or must be 'none', not 'non'")


def test_all_errors_come_at_once():
    tree = {
        "name": "x",
        "generations": 0,
        "sede": 1,
        "regime": {"kind": "mix", "real_fraction": 2.0, "rael": "fixed"},
        "modality": {
            "kind": "image",
            "source": {"kind": "npz"},
            "sise": 3,
            "extractor": "clasifier",
        },
        "model": {"kind": "diffusion", "channels": [30], "training": {"imags": 3}},
    }
    found = "\n".join(problems(tree))
    for key in (
        "generations",
        "sede",
        "real_fraction",
        "rael",
        "source.path",
        "sise",
        "extractor",
        "channels.0",
        "imags",
    ):
        assert key in found, key
    assert "training.imags: unknown key (did you mean 'images'?)" in found


def test_a_misspelt_key_is_not_missing_as_well():
    tree = {**RIGHT, "modality": {"kind": "image", "source": {"kind": "folder", "pth": "d"}}}
    found = [problem for problem in problems(tree) if "modality" in problem]
    assert found == ["a.yaml: modality.source.pth: unknown key (did you mean 'path'?)"]


def test_guidance_needs_classes():
    tree = {**RIGHT, "modality": "image", "model": {"kind": "diffusion", "sampling_bias": 0.5}}
    assert "it needs class_conditional: true" in problems(tree)[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "the key 'a' occurs twice"),
        ("a: &x 1\nb: *x\n", "aliases are not allowed"),
        ("a: [1, 2\n", "not usable YAML"),
        ("a: !!python/object/apply:os.system [ls]\n", "not usable YAML"),
        ("? [1, 2]\n: 3\n", "a key must be a word"),
        ("[" * 100 + "]" * 100, "nested deeper than 32 levels"),
    ],
)
def test_yaml_that_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse_yaml(text, "a.yaml")


def test_numbers_as_people_write_them():
    assert parse_yaml("[1e-3, 5E+2, 76_800, 1.5, 2026-01-01]", "x") == [
        0.001,
        500.0,
        76800,
        1.5,
        "2026-01-01",
    ]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_is_read_as_python_writes_it(value):
    assert parse_yaml(f"x: {value!r}", "x")["x"] == value


def test_changes_from_the_command_line():
    tree = with_changes(
        dict(RIGHT), ["regime.kind=mix", "regime.real_fraction=0.1", "seed=7", "model=gaussian"]
    )
    config = validate_config(tree, "a.yaml")
    assert (config.regime.kind, config.regime.real_fraction, config.seed) == ("mix", 0.1, 7)
    with pytest.raises(InputError, match="is not key=value"):
        with_changes({}, ["seed"])


def test_a_missing_file_names_its_neighbour(configs):
    with pytest.raises(InputError, match=r"there is no such file \(did you mean .*gaussian.yaml"):
        load_config(configs / "gausian.yaml")


@pytest.mark.parametrize(
    "content", [b"", b"- 1\n", b"just text", b"\xff\xfe\x00", b"x" * (1 << 21)]
)
def test_files_that_are_no_config(tmp_path, content):
    path = tmp_path / "odd.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"odd\.yaml"):
        load_config(path)


def test_differences_are_named_by_key():
    before, after = {"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 1, "c": 3}, "d": [1], "e": 0}
    assert list(differences(before, after)) == [("a.c", 2, 3), ("e", None, 0)]


def test_the_schema_is_judged_without_torch(configs):
    code = (
        "import sys\nfrom pathlib import Path\nfrom imglab.config.load import load_config\n"
        f"load_config(Path({str(configs / 'image_digits.yaml')!r}))\n"
        "assert not {'torch', 'numpy', 'diffusers'} & set(sys.modules), 'imported'"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr == ""


def test_paths_are_plain_text(configs):
    assert isinstance(load_config(Path(configs / "gaussian.yaml")).name, str)


PROFILED = {
    "generations": 4,
    "modality": {"kind": "gaussian", "n_train": 100},
    "model": "gaussian",
    "profiles": {
        "small": {"generations": 2, "modality": {"n_train": 10}},
        "odd": {"generations.x": 1},
    },
}


class TestProfiles:
    def write(self, folder, **changes):
        path = folder / "profiled.yaml"
        path.write_text(yaml.safe_dump({**PROFILED, **changes}))
        return path

    def test_one_is_laid_over_the_config_and_changes_over_both(self, tmp_path):
        path = self.write(tmp_path)
        assert load_chain(path).generations == 4
        small = load_chain(path, ["profile=small", "generations=3"])
        assert (small.generations, small.modality.model_dump()["n_train"]) == (3, 10)
        other_order = load_chain(path, ["generations=3", "profile=small"])
        assert other_order.model_dump() == small.model_dump()
        named = load_chain(self.write(tmp_path, profile="small"))
        assert named.modality.model_dump()["n_train"] == 10

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            (["profile=smal"], "there is no profile 'smal' .*'small'"),
            (["profile=[a]"], "there is no profile"),
            (["profile=odd"], "profiles.odd.generations.x: generations is not a mapping"),
        ],
    )
    def test_what_is_wrong_is_named(self, changes, told, tmp_path):
        with pytest.raises(InputError, match=told):
            load_config(self.write(tmp_path), changes)

    def test_a_config_without_any(self, tmp_path):
        with pytest.raises(InputError, match="this config has no profiles"):
            load_config(self.write(tmp_path, profiles={}), ["profile=small"])


@pytest.mark.parametrize(
    ("keys", "parameters", "message"),
    [
        ({"width": 2}, "*, width=1", ""),
        ({"widht": 2}, "*, width=1", r"model.widht: \S+ has no such key .did you mean 'width'.\)"),
        ({"modality": 2}, "modality=None, *, width=1", "model.modality: .* .one of: width.$"),
        ({"anything": 2}, "**keys", ""),
        ({"width": 1, "anything": 2}, "*, width, **keys", ""),
        ({"modality": 1}, "modality=None, **keys", "model.modality: .* has no such key$"),
        ({"others": 1}, "*others", "model.others: .* has no such key$"),
        ({"x": 1}, "", "model.x: .* has no such key$"),
    ],
)
def test_keys_of_a_third_partys_class(tmp_path, monkeypatch, keys, parameters, message):
    """A key is compared with the parameters of its class; one that takes any key refuses none."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_models", raising=False)
    code = f"class Mine(dict):\n    def __init__(self, {parameters}):\n        pass\n"
    (tmp_path / "my_models.py").write_text(code)
    section = PlugIn.model_validate({"kind": "my_models:Mine", **keys})
    if message:
        with pytest.raises(InputError, match=message):
            build_plug_in(section, dict, "model", modality="the data")
    else:
        assert isinstance(build_plug_in(section, dict, "model", modality="the data"), dict)
