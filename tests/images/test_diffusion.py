"""Diffusion models: what they save opens elsewhere, and what they learn and draw."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import load_file, save_file

from imglab import load_model, seeds
from imglab.check import check_modality
from imglab.errors import InputError
from imglab.images.diffusion.drawing import guided
from imglab.images.diffusion.model import DiffusionModel
from imglab.images.diffusion.noising import FlowOfImages
from imglab.images.diffusion.settings import DiffusionSettings, PipelineSettings
from imglab.images.extractor_settings import ClassifierSettings
from imglab.images.modality import ImageModality
from imglab.images.model_settings import FineTuningSettings, TrainingSettings
from imglab.images.pipeline_denoisers import denoiser_of
from imglab.images.settings import ImageSettings
from imglab.samples import TrainingSet
from tests.test_check import QUICK


def finish(work):
    return list_and_result(work)[1]


def list_and_result(work):
    events = []
    while True:
        try:
            events.append(next(work))
        except StopIteration as end:
            return events, end.value


@pytest.fixture(scope="module")
def digits():
    return ImageModality(
        ImageSettings(n_train=120, n_test=60, extractor=ClassifierSettings(images=256))
    )


def fitted(digits, n=64, start=None, seed=1, **settings):
    model = DiffusionModel(
        DiffusionSettings.model_validate({"channels": [8, 8], **QUICK, **settings}), digits
    )
    return finish(model.fit(TrainingSet.of(digits.real("train")[:n]), start=start, seed=seed))


class TestSavedModel:
    def test_unconditional_opens_with_diffusers_and_draws_the_same(self, digits, tmp_path):
        model = fitted(digits, steps=4)
        model.save(tmp_path / "model")
        pipeline = DiffusionPipeline.from_pretrained(tmp_path / "model")
        pipeline.set_progress_bar_config(disable=True)
        assert type(pipeline).__name__ == "DDPMPipeline"
        assert type(pipeline.scheduler).__name__ == "DPMSolverMultistepScheduler"
        generators = [seeds.generator(7, index) for index in range(5)]
        drawn = pipeline(
            batch_size=5, generator=generators, num_inference_steps=4, output_type="np"
        ).images
        ours = model.sample(5, seed=7).data.permute(0, 2, 3, 1)
        assert (torch.from_numpy(drawn * 255).round() - ours).abs().max() <= 1

    def test_the_cards_code_runs(self, digits, tmp_path, monkeypatch):
        for name, settings in (("plain", {}), ("by class", {"class_conditional": True})):
            folder = tmp_path / name
            folder.mkdir()
            fitted(digits, **settings).save(folder / "model")
            card = (folder / "model" / "README.md").read_text()
            code = re.findall(r"```python\n(.*?)```", card, re.S)[0]
            assert len(code.splitlines()) <= 13
            monkeypatch.chdir(folder)
            exec(code, {})
            assert (folder / "sample.png").is_file()

    def test_opens_through_the_lab(self, digits, tmp_path):
        model = fitted(digits)
        model.save(tmp_path / "model")
        assert torch.equal(
            load_model(tmp_path / "model").sample(3, seed=1).data, model.sample(3, seed=1).data
        )

    def test_a_base_must_have_the_same_network(self, digits):
        base = fitted(digits)
        for settings in ({"channels": [8]}, {"channels": [8, 8], "class_conditional": True}):
            model = DiffusionModel(DiffusionSettings.model_validate(settings), digits)
            with pytest.raises(ValueError, match="architecture differs"):
                model.check_start(base)
        same = DiffusionModel(DiffusionSettings(channels=[8, 8], steps=30), digits)
        assert same.check_start(base) is base

    def test_unknown_folder(self, tmp_path):
        with pytest.raises(InputError, match="is not a model/ folder"):
            load_model(tmp_path)
        (tmp_path / "imglab.json").write_text('{"kind": "os:system"}')
        with pytest.raises(InputError, match="'os:system' is not known here"):
            load_model(tmp_path)


class TestFit:
    @pytest.mark.slow
    def test_learns(self, digits):
        """The loss falls and samples come nearer to the data than noise is."""
        settings = DiffusionSettings(
            channels=[16, 32], training=TrainingSettings(images=6400, batch=64), steps=8
        )
        train = TrainingSet.of(digits.real("train"))
        losses = []
        work = DiffusionModel(settings, digits).fit(train, start=None, seed=1)
        while True:
            try:
                losses.append(next(work).loss or 0.0)
            except StopIteration as end:
                model = end.value
                break
        assert sum(losses[-10:]) < 0.7 * sum(losses[:10])
        drawn, real = model.sample(64, seed=2).data.double(), digits.real("train").data.double()
        assert abs(float(drawn.mean() - real.mean())) < 25
        assert float((drawn.mean((0, 1)) - real.mean((0, 1))).abs().mean()) < 30

    def test_budget_in_images_or_epochs(self, digits):
        assert fitted(digits).training == {"samples_seen": 64, "budget": "images"}
        by_epoch = TrainingSettings(epochs=3, batch=32)
        model = fitted(digits, training=by_epoch.model_dump())
        assert model.training == {"samples_seen": 192, "budget": "epochs"}

    def test_fine_tuning_starts_from_the_weights_given(self, digits):
        start = fitted(digits)
        settings = FineTuningSettings(images=32, batch=32, learning_rate=1e-9).model_dump()
        still = fitted(digits, start=start, fine_tuning=settings)
        pairs = zip(start.unet.parameters(), still.unet.parameters(), strict=True)
        assert all(torch.allclose(before, after, atol=1e-6) for before, after in pairs)
        assert all(
            a is not b
            for a, b in zip(start.unet.parameters(), still.unet.parameters(), strict=True)
        )

    def test_large_sets_are_read_batch_by_batch_with_the_same_result(self, digits, monkeypatch):
        whole = fitted(digits)
        monkeypatch.setattr("imglab.training.batches.HELD", 0)
        assert torch.equal(fitted(digits).sample(2, seed=1).data, whole.sample(2, seed=1).data)

    def test_resumes_in_the_middle_with_the_same_bytes(self, digits, tmp_path):
        settings = {"channels": [8, 8], **QUICK, "training": {"images": 320, "batch": 32}}
        model = DiffusionModel(DiffusionSettings.model_validate(settings), digits)
        train = TrainingSet.of(digits.real("train"))
        work = model.fit(train, start=None, seed=1)
        for _ in range(6):
            progress = next(work)
        assert progress.state is not None
        assert progress.state is not None
        save_file(
            {k: v.contiguous() for k, v in progress.state().items()}, tmp_path / "state.safetensors"
        )
        resumed = list_and_result(
            model.fit(train, start=None, seed=1, resume=load_file(tmp_path / "state.safetensors"))
        )
        assert [event.seen for event in resumed[0]] == [224, 256, 288, 320]
        finish(work).save(tmp_path / "whole")
        resumed[1].save(tmp_path / "resumed")
        weights = "unet/diffusion_pytorch_model.safetensors"
        assert (tmp_path / "whole" / weights).read_bytes() == (
            tmp_path / "resumed" / weights
        ).read_bytes()

    def test_labels_follow_the_training_set(self, digits):
        threes = digits.real("train")
        threes = threes[(threes.condition == 3).nonzero().flatten()]
        labels = digits.conditions(TrainingSet.of(threes), 50, seed=0)
        assert set(labels.tolist()) == {3}

    def test_a_network_that_does_not_fit_the_images(self, digits):
        settings = DiffusionSettings(channels=[8] * 5)
        with pytest.raises(InputError, match="5 levels halve the image 4 times, but it is 8 x 8"):
            DiffusionModel(settings, digits)


class TestSampling:
    def test_noise_does_not_depend_on_the_batch(self, digits):
        """Batches of another size may round a grey level differently, no more."""
        model = fitted(digits)
        model._settings = model._settings.model_copy(update={"sampling_batch": 3})
        few = model.sample(20, seed=5).data.int()
        model._settings = model._settings.model_copy(update={"sampling_batch": 20})
        many = model.sample(20, seed=5).data.int()
        assert (few - many).abs().max() <= 1
        assert (few != many).double().mean() < 1e-2

    def test_guidance_leans_away_from_the_unconditional_model(self, digits):
        """sampling_bias lambda is a guidance weight of 1 / lambda - 1, and 1 is no
        guidance at all.
        """
        model = fitted(digits, class_conditional=True)
        labels, time = torch.arange(10), torch.tensor(500)
        images = seeds.normal((1, 8, 8), range(10), seed=0)
        with torch.inference_mode():
            told = model.unet(images, time, class_labels=labels).sample
            untold = model.unet(images, time, class_labels=torch.full_like(labels, 10)).sample
            for bias, weight in ((1.0, 0), (0.5, 1), (0.25, 3)):
                model._settings = model._settings.model_copy(update={"sampling_bias": bias})
                predicted = guided(
                    model._denoiser(model.unet), model._settings, images, time, labels
                )
                assert torch.allclose(predicted, told + weight * (told - untold), atol=1e-5)

    def test_conditional_needs_conditions(self, digits):
        with pytest.raises(ValueError, match="needs conditions"):
            fitted(digits, class_conditional=True).sample(3, seed=1)


DIT = {"kind": "dit", "layers": 1, "width": 16, "heads": 2}
VARIANTS: dict[str, dict[str, Any]] = {
    "flow": {"prediction": "flow", "half_life": 0.1},
    "flow of images in patches": {
        "prediction": "flow_image",
        "patch": 2,
        "class_conditional": True,
        "layout": "nchw",
        "precision": "bf16",
    },
    "edm": {"prediction": "edm", "sampler": "heun", "loss_weight": "min_snr"},
    "transformer": {
        "network": DIT,
        "patch": 2,
        "prediction": "flow",
        "class_conditional": True,
        "sampling_bias": 0.5,
        "training": {"images": 64, "batch": 32, "optimizer": "muon", "decay": "linear"},
    },
    "transformer without classes": {"network": DIT, "spacing": "karras"},
}


class TestVariants:
    """Objectives, patches, networks and layouts beside those of version 0.1."""

    @pytest.mark.parametrize(
        "name",
        [
            "flow of images in patches",
            "transformer",
            *(pytest.param(name, marks=pytest.mark.slow) for name in VARIANTS),
        ],
    )
    def test_keeps_the_contracts(self, name, digits):
        settings = {"channels": [8, 8], **QUICK, "steps": 3, **VARIANTS[name]}
        model = DiffusionModel(DiffusionSettings.model_validate(settings), digits)
        check_modality(digits, model, train_on=24)

    @pytest.mark.parametrize("name", VARIANTS)
    def test_the_cards_code_draws_with_diffusers_alone(self, name, digits, tmp_path, monkeypatch):
        fitted(digits, **{**VARIANTS[name], "steps": 4}).save(tmp_path / "model")
        card = (tmp_path / "model" / "README.md").read_text()
        monkeypatch.chdir(tmp_path)
        exec(re.findall(r"```python\n(.*?)```", card, re.S)[0], {})
        assert (tmp_path / "sample.png").is_file()

    def test_a_flow_without_patches_is_a_plain_pipeline(self, digits, tmp_path):
        """It draws with diffusers alone, and the lab trains it as a pretrained one."""
        fitted(digits, prediction="flow_image").save(tmp_path / "model")
        pipeline = DiffusionPipeline.from_pretrained(tmp_path / "model")
        assert type(pipeline).__name__ == "DDPMPipeline"
        assert type(denoiser_of(pipeline, digits.spec, "{}").noising) is FlowOfImages

    def test_settings_at_their_defaults_are_not_written(self, digits):
        """So the hash of an older config is what it was."""
        newer = {"network", "patch", "spacing", "half_life", "noise_levels", "loss_weight"}
        newer |= {"layout"}
        assert not newer & set(DiffusionSettings().model_dump())
        assert not newer & set(PipelineSettings(name="any").model_dump())

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"patch": 3}, "squares of 3 x 3 pixels do not fill an image of 8 x 8"),
            ({"patch": 4, "channels": [8] * 3}, "but it is 8 x 8 in squares of 4 pixels"),
            ({"prediction": "flow", "sampler": "ddim"}, "drawn with sampler: dpm-solver"),
            ({"prediction": "edm", "spacing": "trailing"}, "drawn with spacing: karras"),
            ({"sampler": "heun", "spacing": "trailing"}, "drawn with spacing: karras"),
            ({"highest_noise": 20.0}, "highest_noise is of spacing: karras"),
            ({"sampler": "ddim", "lowest_noise": 0.05}, "or set spacing: karras"),
            ({"network": {"kind": "dit", "width": 64, "heads": 5}}, "not a multiple of heads 5"),
        ],
    )
    def test_what_does_not_go_together(self, settings, message, digits):
        with pytest.raises((InputError, ValueError), match=message):
            DiffusionModel(DiffusionSettings.model_validate(settings), digits)

    def test_a_pipelines_karras_levels_need_a_solver(self):
        with pytest.raises(ValueError, match="needs sampler: dpm-solver"):
            PipelineSettings(name="any", spacing="karras")
