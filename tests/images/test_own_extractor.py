"""The feature extractor of one's own that docs/extend/extractor.md shows."""

from __future__ import annotations

import sys

import pytest
import torch

from imglab import seeds
from tests.test_docs import blocks


@pytest.fixture
def spectra(tmp_path, monkeypatch):
    (tmp_path / "spectra.py").write_text(blocks("docs/extend/extractor.md", "python")[0])
    (tmp_path / "spectra.yaml").write_text(blocks("docs/extend/extractor.md", "yaml")[0])
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("spectra", None)


def test_it_sees_a_blur_that_keeps_the_mean(spectra):
    from spectra import Spectrum  # type: ignore[import-not-found]

    extractor = Spectrum(rings=4)
    images = 255 * torch.rand(20, 1, 8, 8, generator=seeds.generator("images"))
    sharp = extractor.features(images)
    assert sharp.shape == (20, 4)
    assert torch.equal(extractor.features(images[:3]), sharp[:3])

    blurred = extractor.features(torch.nn.functional.avg_pool2d(images, 3, stride=1, padding=1))
    lost = (sharp - blurred).mean(0)
    assert lost[-1] > lost[0] + 1


def test_its_rows_hold_the_power_of_white_noise_evenly(spectra):
    from spectra import Spectrum

    noise = torch.randn(500, 1, 16, 16, generator=seeds.generator("noise"))
    power = Spectrum(rings=1).features(noise).expm1()
    assert power.mean() == pytest.approx(16**4, rel=0.02)


@pytest.mark.slow
def test_a_chain_runs_with_it(spectra, lab, tmp_path):
    assert lab("run", "spectra.yaml", "--set", "model.training.images=640")[0] == 0
    assert '"spectrum-6"' in (tmp_path / "runs/spectra/generation_001/metrics.json").read_text()
