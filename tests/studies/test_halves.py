"""Two models of disjoint halves: those that learn by heart, and those that do not."""

from __future__ import annotations

import pytest

from imglab.config.load import validate_config
from imglab.errors import InputError
from imglab.progress import finish
from imglab.studies.halves import HalvesResult, compare_halves

VECTORS = {"kind": "gaussian", "dimensions": 3, "n_train": 200, "n_test": 50}


def result(n: int = 300, **tree) -> HalvesResult:
    config = validate_config({"name": "halves", "threads": 1, **tree}, "test")
    return finish(compare_halves(config, "test", n))


def test_samples_of_a_model_that_repeats_its_data_lie_in_its_own_half():
    heart = result(modality=VECTORS, model={"kind": "kde", "bandwidth": 1e-3})
    assert heart.nearer_own > 0.99
    assert abs(heart.corresponding) < 0.3
    assert heart.half == 100


def test_samples_of_a_model_of_the_distribution_lie_in_neither_half():
    """Two parameters of 2,000 vectors say next to nothing of single ones."""
    vectors = {**VECTORS, "n_train": 4000, "dimensions": 1}
    learnt = result(n=4000, modality=vectors, model="gaussian")
    assert learnt.nearer_own == pytest.approx(0.5, abs=4 * learnt.nearer_own_se)
    assert learnt.corresponding > 0.99


def test_images_of_a_diffusion_model_follow_their_noise():
    tree = {
        "modality": {"kind": "image", "n_train": 200, "n_test": 50, "extractor": "pixels"},
        "model": {"kind": "diffusion", "channels": [8, 16], "steps": 4},
    }
    tree["model"]["training"] = {"images": 1000, "batch": 50}
    images = result(n=60, **tree)
    assert images.corresponding > images.unrelated + 0.3
    assert images == result(n=60, **tree), "the same config gives the same numbers"


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"modality": "categories", "model": "categories"}, "tokens or categories"),
        ({"modality": {**VECTORS, "n_train": 10}, "model": "gaussian"}, "at least 20"),
        (
            {
                "modality": VECTORS,
                "model": {"kind": "population", "models": ["gaussian", "gaussian"]},
            },
            "is a population",
        ),
    ],
)
def test_what_has_no_halves_is_refused(tree, message):
    with pytest.raises(InputError, match=message):
        result(**tree)
