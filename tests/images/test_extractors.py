"""Feature extractors and scores, against their reference implementations."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from imglab import seeds
from imglab.errors import InputError
from imglab.images.classifier import Classifier
from imglab.images.data import load_real_images
from imglab.images.extractor_settings import ClassifierSettings, InceptionSettings
from imglab.images.features import Inception, Pixels
from imglab.images.labelled import LabelledImages
from imglab.images.modality import ImageModality
from imglab.images.settings import ImageSettings
from imglab.metrics import frechet_distance, kernel_distance, prdc


class TestExtractors:
    def test_classifier_is_deterministic_cached_and_named_by_its_hash(self, tmp_path):
        real = load_real_images(ImageSettings(n_train=200)).train
        names = []
        for folder in ("a", "b"):
            (tmp_path / folder).mkdir()
            classifier = Classifier(ClassifierSettings(images=512), 10)
            classifier.prepare(real, tmp_path / folder)
            names.append(classifier.name)
        assert names[0] == names[1]
        assert re.fullmatch(r"classifier@[0-9a-f]{12}", names[0])
        stamp = (tmp_path / "a" / "classifier.safetensors").stat().st_mtime_ns
        again = Classifier(ClassifierSettings(images=512), 10)
        again.prepare(real, tmp_path / "a")
        assert (tmp_path / "a" / "classifier.safetensors").stat().st_mtime_ns == stamp
        assert torch.equal(again.features(real.images[:9]), classifier.features(real.images[:9]))

    @pytest.mark.slow
    def test_classifier_reads_digits(self, tmp_path):
        real = load_real_images(ImageSettings())
        classifier = Classifier(ClassifierSettings(images=25_000), 10)
        classifier.prepare(real.train, tmp_path)
        assert real.test.labels is not None
        right = torch.eq(classifier.predict(real.test.images), real.test.labels)
        assert right.double().mean() > 0.95

    def test_pixels(self):
        images = torch.tensor([[[[0, 255]]]], dtype=torch.uint8)
        assert Pixels().features(images).tolist() == [[0, 1]]

    def test_no_labels_no_classifier(self, tmp_path):
        import numpy as np

        np.savez(
            tmp_path / "a.npz",
            train_images=np.zeros((30, 8, 8), np.uint8),
            test_images=np.zeros((30, 8, 8), np.uint8),
        )
        settings = {"source": {"kind": "npz", "path": str(tmp_path / "a.npz")}}
        labelled = {**settings, "extractor": "classifier"}
        with pytest.raises(InputError, match="use `self_supervised`, `inception`"):
            ImageModality(ImageSettings.model_validate(labelled))
        modality = ImageModality(ImageSettings.model_validate({**settings, "extractor": "pixels"}))
        unused: Any = None
        measured = modality.metrics(modality.real("test"), model=unused, generation0=unused, seed=0)
        assert measured.values["class_counts"] is None
        assert "no labels" in measured.reasons["class_counts"]
        assert measured.values["contrast_drift"] is None

    def test_inception_without_its_file(self, tmp_path):
        with pytest.raises(InputError, match="there is no file"):
            Inception(InceptionSettings(weights=str(tmp_path / "none.pth")))
        for content in (b"", b"junk", b"not weights at all" * 50):
            (tmp_path / "bad.pth").write_bytes(content)
            with pytest.raises(InputError, match="does not hold Inception-v3's weights"):
                Inception(InceptionSettings(weights=str(tmp_path / "bad.pth")))


@pytest.fixture(scope="module")
def inception_weights(tmp_path_factory):
    """A file in the format of the published weights, holding random ones."""
    folder = tmp_path_factory.mktemp("inception")
    torch.save({}, folder / "empty.pth")
    with pytest.MonkeyPatch.context() as patch, seeds.isolated("inception"):
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        network = FeatureExtractorInceptionV3("random", ["2048"], str(folder / "empty.pth"))
    torch.save(network.state_dict(), folder / "weights.pth")
    return folder / "weights.pth"


@pytest.mark.slow
def test_inception_agrees_with_torch_fidelity(inception_weights, tmp_path):
    images = torch.randint(
        256, (6, 3, 20, 20), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    before = torch.random.get_rng_state()
    extractor = Inception(InceptionSettings(weights=str(inception_weights)))
    extractor.prepare(LabelledImages(images, None), tmp_path)
    assert torch.equal(before, torch.random.get_rng_state())
    theirs = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(inception_weights))(
        images
    )[0]
    assert extractor.features(images).shape == (6, 2048)
    assert torch.allclose(extractor.features(images), theirs, rtol=1e-4, atol=1e-6)
    assert re.fullmatch(r"inception@[0-9a-f]{12}", extractor.name)
    grey = images[:, :1]
    assert torch.equal(extractor.features(grey), extractor.features(grey.expand(-1, 3, -1, -1)))


@pytest.mark.slow
def test_scores_agree_with_torch_fidelity(inception_weights):
    """FID, KID and precision/recall (k = 3) of the same images under the same weights, to 1e-4."""
    import torch_fidelity

    generator = torch.Generator().manual_seed(0)
    parts = [
        torch.randint(low, high, (40, 3, 24, 24), generator=generator)
        for low, high in ((0, 256), (20, 240))
    ]
    real, drawn = (torch.nn.functional.avg_pool2d(part.float(), 3, 1, 1).byte() for part in parts)

    class Images(torch.utils.data.Dataset[torch.Tensor]):
        def __init__(self, images):
            self.images = images

        def __len__(self):
            return len(self.images)

        def __getitem__(self, at):
            return self.images[at]

    theirs = torch_fidelity.calculate_metrics(
        input1=Images(drawn),
        input2=Images(real),
        fid=True,
        kid=True,
        prc=True,
        kid_subsets=1,
        kid_subset_size=40,
        feature_extractor="inception-v3-compat",
        feature_layer_fid="2048",
        feature_layer_kid="2048",
        feature_layer_prc="2048",
        prc_neighborhood=3,
        feature_extractor_weights_path=str(inception_weights),
        cuda=False,
        verbose=False,
        save_cpu_ram=True,
        cache=False,
    )
    extractor = Inception(InceptionSettings(weights=str(inception_weights)))
    pair: dict[str, Any] = {
        "real": extractor.features(real),
        "synthetic": extractor.features(drawn),
    }
    found = prdc(**pair, precision_recall_k=3)
    assert frechet_distance(**pair) == pytest.approx(theirs["frechet_inception_distance"], rel=1e-4)
    assert kernel_distance(**pair)[0] == pytest.approx(
        theirs["kernel_inception_distance_mean"], rel=1e-4, abs=1e-9
    )
    assert found.precision == pytest.approx(theirs["precision"], rel=1e-4)
    assert found.recall == pytest.approx(theirs["recall"], rel=1e-4)


def test_pickled_code_in_a_weights_file_is_not_run(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (open, (str(tmp_path / "written"), "w"))

    torch.save({"fc.weight": Harmful()}, tmp_path / "harmful.pth")
    with pytest.raises(InputError, match="does not hold Inception-v3's weights"):
        Inception(InceptionSettings(weights=str(tmp_path / "harmful.pth")))
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize("latents", [1, 20])
def test_error_of_a_mean_deviation_is_its_spread_over_draws(latents):
    from imglab.images.vae import mean_deviation

    generator = torch.Generator().manual_seed(0)
    mixed = torch.randn(latents, latents, generator=generator)
    found = [
        mean_deviation(torch.randn(200, latents, generator=generator) @ mixed) for _ in range(300)
    ]
    values, errors = torch.tensor(found).T
    assert float(errors.mean()) == pytest.approx(float(values.std()), rel=0.12)
