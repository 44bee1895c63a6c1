"""Saved models: damaged, lying about their sizes, or with code beside them."""

from __future__ import annotations

import json
import pickle
import random
import shutil
import sys
from pathlib import Path

import pytest
import torch

from imglab import load_model
from imglab.config.load import validate_config
from imglab.running.build import build, build_modality, build_models
from tests.hostile.files import Marker, refused
from tests.hostile.fuzzing import Tally, spoiled, strange, written
from tests.page_fixtures import IMAGES, TEXTS, VECTORS
from tests.text_fixtures import TINY_MODEL


def spoil_one(folder: Path, chance: random.Random) -> str:
    """Damage one file below a folder and return its name."""
    path = chance.choice(
        sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "README.md")
    )
    if path.suffix == ".json" and chance.random() < 0.75:
        path.write_bytes(written(strange(json.loads(path.read_text()), chance)))
    else:
        path.write_bytes(spoiled(path.read_bytes(), chance))
    return path.name


@pytest.fixture(scope="module")
def digits():
    section = {
        "kind": "image",
        "source": "digits",
        "n_train": 60,
        "n_test": 40,
        "extractor": "pixels",
    }
    return section, build_modality(
        validate_config({"name": "x", "modality": section, "model": "vae"}, "test")
    )


def open_pipeline(path, digits):
    section, modality = digits
    model = {"kind": "pipeline", "name": str(path)}
    return build_models(
        validate_config({"name": "x", "modality": section, "model": model}, "test"), modality
    )


def open_language_model(path):
    named = {"kind": "pretrained", "name": str(path)}
    sections = {
        "modality": {**TEXTS["modality"], "tokenizer": named},
        "model": {**TINY_MODEL, "network": named},
    }
    config = validate_config({"name": "x", **sections}, "test")
    return build_models(config, build_modality(config))


@pytest.mark.slow
class TestModels:
    def fuzz(self, kind, source, call, folder, seeds):
        tally = Tally()
        shutil.copytree(source, folder)
        assert tally.open(kind, call), "the whole one opens"
        for seed in range(seeds):
            shutil.rmtree(folder)
            shutil.copytree(source, folder)
            spoil_one(folder, random.Random(seed))
            tally.open(kind, call)
        assert tally.tried == seeds + 1
        return tally

    @pytest.mark.parametrize("kind", ["vae", "diffusion", "ngram", "language_model", "gaussian"])
    def test_saved_ones_damaged_anywhere(self, kind, models, tmp_path):
        tally = self.fuzz(
            kind, models[kind], lambda: load_model(tmp_path / "m"), tmp_path / "m", 60
        )
        assert tally.refused.total() > 10

    @pytest.mark.parametrize(("kind", "sections"), [("vae", IMAGES), ("gaussian", VECTORS)])
    def test_bases_damaged_anywhere(self, kind, sections, models, tmp_path):
        keys = {**sections, "start": "base", "base": str(tmp_path / "m")}
        if kind == "vae":
            keys["modality"] = {**keys["modality"], "extractor": "pixels"}
        config = validate_config({"name": "x", **keys}, "test")
        self.fuzz(kind, models[kind], lambda: build(config, "test"), tmp_path / "m", 40)

    @pytest.mark.parametrize("name", ["ddpm", "by_class", "latent", "stable_diffusion"])
    def test_pipelines_damaged_anywhere(self, name, pipelines, digits, captioned, tmp_path):
        data = digits
        if name == "stable_diffusion":
            source = {"kind": "captioned_folder", "path": str(captioned)}
            section = {"kind": "image", "source": source, "n_test": 4, "extractor": "pixels"}
            config = validate_config({"name": "x", "modality": section, "model": "vae"}, "test")
            data = section, build_modality(config)
        self.fuzz(
            name, pipelines / name, lambda: open_pipeline(tmp_path / "m", data), tmp_path / "m", 25
        )

    @pytest.mark.slow
    def test_language_models_damaged_anywhere(self, models, tmp_path):
        source = shutil.copytree(models["language_model"], tmp_path / "source")
        (source / "imglab.json").unlink()
        self.fuzz(
            "pretrained", source, lambda: open_language_model(tmp_path / "m"), tmp_path / "m", 40
        )

    @pytest.mark.parametrize("kind", ["vae", "diffusion", "language_model"])
    @pytest.mark.parametrize("lie", ["offsets", "overlap", "length", "shape", "names", "dtype"])
    def test_headers_that_lie(self, kind, lie, models, tmp_path):
        folder = shutil.copytree(models[kind], tmp_path / "m")
        path = next(folder.rglob("*.safetensors"))
        whole = path.read_bytes()
        size = int.from_bytes(whole[:8], "little")
        header, data = json.loads(whole[8 : 8 + size]), whole[8 + size :]
        names = [name for name in header if name != "__metadata__"]
        first, second = header[names[0]], header[names[1]]
        if lie == "offsets":
            first["data_offsets"] = [first["data_offsets"][0], 10**15]
        elif lie == "overlap":
            second["data_offsets"] = first["data_offsets"]
        elif lie == "shape":
            first["shape"] = [2**40, 2**40]
        elif lie == "dtype":
            first["dtype"] = "I32"
        elif lie == "names":
            header = {f"../{name}": header[name] for name in names}
        told = json.dumps(header).encode()
        length = 2**62 if lie == "length" else len(told)
        path.write_bytes(length.to_bytes(8, "little") + told + data)
        opened = Tally().open("header", lambda: load_model(folder))
        assert not opened or (kind, lie) == ("language_model", "dtype"), (
            "transformers reads whole numbers as others"
        )

    @pytest.mark.parametrize(
        "name", ["pytorch_model.bin", "model.pt", "model.ckpt", "weights.pkl", "model.pth"]
    )
    def test_pickles_are_refused_by_name(self, name, models, pipelines, digits, marker, tmp_path):
        for source, call in (
            (models["language_model"], open_language_model),
            (pipelines / "ddpm", lambda path: open_pipeline(path, digits)),
        ):
            folder = shutil.copytree(source, tmp_path / source.name)
            weights = next(folder.rglob("*.safetensors"))
            weights.unlink()
            (weights.parent / name).write_bytes(pickle.dumps(Marker(marker)))
            torch.save({"x": Marker(marker)}, weights.parent / "other.bin")
            message = refused(lambda folder=folder, call=call: call(folder))
            assert "only safetensors are opened" in message
            assert name in message
        assert not marker.exists()

    @pytest.mark.parametrize(
        "part", ["../outside.safetensors", "/outside.safetensors", "pytorch_model.bin", 3, None]
    )
    def test_an_index_that_leads_elsewhere(self, part, models, marker, tmp_path):
        folder = shutil.copytree(models["language_model"], tmp_path / "m")
        (folder / "model.safetensors").rename(tmp_path / "outside.safetensors")
        torch.save({"x": Marker(marker)}, folder / "pytorch_model.bin")
        index = {"metadata": {}, "weight_map": {"lm_head.weight": part}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        (folder / "decoy.safetensors").write_bytes((tmp_path / "outside.safetensors").read_bytes())
        assert "no safetensors in its folder" in refused(lambda: open_language_model(folder))
        assert not marker.exists()

    def test_an_adapter_does_not_name_what_is_loaded(self, models, tmp_path):
        folder = shutil.copytree(models["language_model"], tmp_path / "m")
        (folder / "adapter_config.json").write_text(
            json.dumps({"base_model_name_or_path": str(tmp_path)})
        )
        assert "holds an adapter" in refused(lambda: open_language_model(folder))

    @pytest.mark.parametrize("key", ["AutoConfig", "AutoModelForCausalLM", "AutoTokenizer"])
    def test_code_beside_a_model_never_runs(self, key, models, marker, tmp_path):
        folder = shutil.copytree(models["language_model"], tmp_path / "m")
        code = f"open({str(marker)!r}, 'w')\nclass Anything:\n    pass\n"
        for name in ("modeling_x.py", "model.py", "__init__.py"):
            (folder / name).write_text(code)
        for path in (folder / "config.json", folder / "tokenizer_config.json"):
            told = json.loads(path.read_text())
            named = (
                ["modeling_x.Anything", None] if key == "AutoTokenizer" else "modeling_x.Anything"
            )
            told |= {
                "auto_map": {key: named},
                "trust_remote_code": True,
                "model_type": "anything",
                "tokenizer_class": "Any",
            }
            path.write_text(json.dumps(told))
        Tally().open("code", lambda: open_language_model(folder))
        assert not marker.exists()

    @pytest.mark.parametrize(
        "change",
        [
            {"unet": ["model", "Anything"]},
            {"unet": ["antigravity", "fly"]},
            {"unet": ["subprocess", "Popen"]},
            {"unet": []},
            {"unet": [["a"], {}]},
            {"_class_name": ["model", "Anything"]},
            {"_class_name": "Anything", "custom_pipeline": "model"},
        ],
    )
    def test_code_beside_a_pipeline_never_runs(self, change, pipelines, digits, marker, tmp_path):
        folder = shutil.copytree(pipelines / "ddpm", tmp_path / "m")
        code = f"open({str(marker)!r}, 'w')\nclass Anything:\n    pass\n"
        for name in ("model.py", "pipeline.py", "unet/model.py"):
            (folder / name).write_text(code)
        index = json.loads((folder / "model_index.json").read_text())
        (folder / "model_index.json").write_text(json.dumps({**index, **change}))
        refused(lambda: open_pipeline(folder, digits))
        assert not marker.exists()
        assert "antigravity" not in sys.modules

    @pytest.mark.parametrize(
        ("kind", "file", "change"),
        [
            ("language_model", "config.json", {"n_layer": 10**9}),
            ("language_model", "config.json", {"num_labels": 10**9}),
            ("language_model", "config.json", {"vocab_size": 10**15}),
            ("language_model", "config.json", {"n_embd": 10**400}),
            ("ngram", "config.json", {"order": 10**9, "entries": None}),
            ("ngram", "config.json", {"entries": [10**12]}),
            ("diffusion", "unet/config.json", {"layers_per_block": 10**9}),
            ("diffusion", "unet/config.json", {"block_out_channels": [8, 8 * 10**9]}),
            ("diffusion", "imglab.json", {"classes": 10**12}),
            ("vae", "imglab.json", {"shape": [10**9, 10**9, 10**9]}),
            ("ddpm", "unet/config.json", {"layers_per_block": 10**9}),
            ("ddpm", "scheduler/scheduler_config.json", {"num_train_timesteps": 10**12}),
        ],
    )
    def test_sizes_without_end_are_refused_at_once(
        self, kind, file, change, models, pipelines, digits, tmp_path
    ):
        folder = shutil.copytree(models.get(kind, pipelines / kind), tmp_path / "m")
        (folder / file).write_text(
            json.dumps({**json.loads((folder / file).read_text()), **change})
        )
        refused(
            (lambda: open_pipeline(folder, digits))
            if kind == "ddpm"
            else (lambda: load_model(folder))
        )

    @pytest.mark.parametrize("name", ["imglab.json", "class.json"])
    @pytest.mark.parametrize(
        "content", [b"", b"[]", b"null", b'{"kind": []}', b'{"kind": "os:system"}', b"[" * 10**5]
    )
    def test_what_says_which_kind_it_is(self, name, content, models, tmp_path):
        folder = shutil.copytree(models["vae"], tmp_path / "m")
        (folder / name).write_bytes(content)
        refused(lambda: load_model(folder))

    @pytest.mark.parametrize("suffix", ["pth", "safetensors"])
    def test_an_extractors_weights(self, suffix, marker, tmp_path):
        path = tmp_path / f"weights.{suffix}"
        path.write_bytes(pickle.dumps(Marker(marker)))
        tally = Tally()
        torch.save({"a": torch.zeros(3)}, tmp_path / "good.pth")
        whole = (tmp_path / "good.pth").read_bytes()
        chosen = {"kind": "inception", "weights": str(path)}
        config = validate_config(
            {"name": "x", "modality": {"kind": "image", "extractor": chosen}, "model": "vae"},
            "test",
        )
        assert not tally.open("extractor", lambda: build_modality(config))
        for seed in range(5):
            path.write_bytes(spoiled(whole, random.Random(seed)))
            assert not tally.open("extractor", lambda: build_modality(config))
        assert not marker.exists()
