"""Pipelines where memory runs out: smaller parts, and a stop that can go on."""

from __future__ import annotations

import pytest
import torch

from imglab.errors import Stopped
from imglab.images.diffusion import drawing
from imglab.images.diffusion.fitting import Denoising
from imglab.running.build import build
from imglab.samples import TrainingSet
from tests.images.pipeline_chains import chain, model_of
from tests.images.test_diffusion import finish


class TestMemory:
    def test_where_it_runs_out_a_step_is_taken_in_parts(self, pipelines, monkeypatch, caplog):
        """The gradient of a batch is the same in parts, up to rounding; the log says what
        happened.
        """
        built = build(chain(pipelines, "ddpm"), "test")
        train = TrainingSet.of(built.modality.real("train"))
        whole = finish(built.models[0].fit(train, start=built.models[0], seed=1))
        loss, largest = Denoising.loss, []

        def little_memory(denoising, network, batch):
            if len(batch["images"]) > 5:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
            largest.append(len(batch["images"]))
            return loss(denoising, network, batch)

        monkeypatch.setattr(Denoising, "loss", little_memory)
        parts = finish(built.models[0].fit(train, start=built.models[0], seed=1))
        assert max(largest) <= 5
        assert "worked on in 4 parts" in caplog.text
        pairs = zip(whole.network.parameters(), parts.network.parameters(), strict=True)
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in pairs)

    def test_drawing_goes_on_in_smaller_batches(self, pipelines, monkeypatch, caplog):
        model = model_of(pipelines, "ddpm")
        whole = model.sample(8, seed=1).data
        denoise = drawing._denoise

        def little_memory(denoiser, sampler, settings, steps, generators, labels):
            if len(generators) > 3:
                raise RuntimeError(
                    "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"
                )
            return denoise(denoiser, sampler, settings, steps, generators, labels)

        monkeypatch.setattr(drawing, "_denoise", little_memory)
        assert (model.sample(8, seed=1).data.int() - whole.int()).abs().max() <= 1
        assert "batches of 2 images" in caplog.text

    def test_none_for_the_optimizers_moments(self, pipelines, monkeypatch):
        def none(*_, **__):
            raise torch.OutOfMemoryError("CUDA out of memory.")

        built = build(chain(pipelines, "ddpm"), "test")
        monkeypatch.setattr(torch.optim.AdamW, "step", none)
        with pytest.raises(Stopped, match="or lora"):
            finish(
                built.models[0].fit(
                    TrainingSet.of(built.modality.real("train")), start=None, seed=1
                )
            )

    def test_with_none_at_all_the_run_stops_and_can_go_on(self, pipelines, monkeypatch):
        def none(*_):
            raise torch.OutOfMemoryError("CUDA out of memory.")

        built = build(chain(pipelines, "ddpm"), "test")
        monkeypatch.setattr(Denoising, "loss", none)
        with pytest.raises(Stopped, match="not enough memory for one example"):
            finish(
                built.models[0].fit(
                    TrainingSet.of(built.modality.real("train")), start=None, seed=1
                )
            )
