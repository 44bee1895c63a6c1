"""Captioned folders, and the extractors that read images and captions."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch

from imglab.errors import InputError
from imglab.images.extractor_settings import ClipSettings, DinoSettings
from imglab.images.pretrained_features import Clip, Dino
from imglab.running.build import build, build_modality
from tests.images.pipeline_chains import captions, chain


class TestCaptions:
    @pytest.mark.parametrize(
        ("line", "told"),
        [
            ('{"file_name": "00.png"}', "line 1: has no caption under 'text'"),
            (
                '{"file_name": "00.png", "caption": "x"}',
                "has no caption under 'text'; it has caption",
            ),
            ('{"file_name": "../00.png", "text": "x"}', "leads out of the folder"),
            (
                '{"file_name": "99.png", "text": "x"}',
                "rows name images that are missing, .*'99.png'",
            ),
            ("{", "line 1: Expecting"),
            ("", "01.png: has no caption in metadata.jsonl"),
        ],
    )
    def test_what_is_wrong_is_named(self, line, told, captioned, pipelines, tmp_path):
        folder = shutil.copytree(captioned, tmp_path / "images")
        path = folder / "metadata.jsonl"
        path.write_text("\n".join([line, *path.read_text().splitlines()[2 if not line else 1 :]]))
        with pytest.raises(InputError, match=told):
            build_modality(chain(pipelines, "stable_diffusion", captions(folder)))

    def test_a_caption_may_hold_any_sign(self, captioned, pipelines, tmp_path):
        folder = shutil.copytree(captioned, tmp_path / "images")
        path = folder / "metadata.jsonl"
        path.write_text(path.read_text().replace("dark", "dark\u2028indeed"), encoding="utf-8")
        found = build_modality(chain(pipelines, "stable_diffusion", captions(folder)))
        assert "dark indeed" in (found.spec.conditions or ())

    def test_none_at_all(self, captioned, pipelines, tmp_path):
        folder = shutil.copytree(captioned, tmp_path / "images")
        (folder / "metadata.jsonl").unlink()
        with pytest.raises(InputError, match="or use kind: folder"):
            build_modality(chain(pipelines, "stable_diffusion", captions(folder)))
        plain = {"kind": "folder", "path": str(folder)}
        with pytest.raises(InputError, match="neither captions nor classes"):
            build(chain(pipelines, "stable_diffusion", captions(folder, source=plain)), "test")


class TestExtractors:
    def test_clip_scores_the_prompts(self, pipelines, captioned):
        extractor = {"kind": "clip", "name": str(pipelines / "clip")}
        modality = build_modality(
            chain(pipelines, "stable_diffusion", captions(captioned, extractor=extractor))
        )
        real = modality.real("test")
        unused: Any = None
        found = modality.metrics(real, model=unused, generation0=unused, seed=0)
        assert 0 <= found.values["clip_score"] <= 100
        assert found.values["clip_score"] == found.floor["clip_score"]["mean"]
        assert found.values["hue_drift"] is not None

    @pytest.mark.parametrize(("kind", "settings"), [(Dino, DinoSettings), (Clip, ClipSettings)])
    def test_features_are_those_of_transformers(self, kind, settings, pipelines):
        name = "dinov2" if kind is Dino else "clip"
        extractor = kind(settings(name=str(pipelines / name)))
        images = torch.randint(
            256, (5, 1, 20, 20), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
        )
        found = extractor.features(images)
        assert torch.allclose(found[3:], extractor.features(images[3:]), atol=1e-5), (
            "each on its own"
        )
        assert extractor.name.startswith(f"{name}@")
        assert found.shape == (5, 16)

    def test_a_folder_that_is_something_else(self, pipelines):
        with pytest.raises(InputError, match=r"modality\.extractor\.name"):
            Clip(ClipSettings(name=str(pipelines / "dinov2")))
