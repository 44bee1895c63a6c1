"""The text extractors: what they see of a text, and what they do not."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from imglab import seeds
from imglab.metrics import frechet_distance, prdc
from imglab.metrics.damage import draw
from imglab.text.features import BagOfTokens
from imglab.text.sequence_encoder import SequenceEncoder
from imglab.text.settings import BagOfTokensSettings, SequenceEncoderSettings, TextSettings
from tests.text_fixtures import text_parts

SEQUENCE = SequenceEncoderSettings(layers=1, width=32, content=4, tokens=60_000)
BAG = BagOfTokensSettings(layers=1, width=8, tokens=60_000)


def shuffled(tokens):
    """Shuffle the tokens of each block."""
    keys = torch.rand(tokens.shape, generator=seeds.generator("shuffled"))
    return tokens.gather(1, keys.argsort(1))


def counting(n, seed):
    """Texts of 16 tokens that count from some token on in steps of 1, with some tokens skipped."""
    generator = seeds.generator(seed)
    start = torch.randint(100, (n, 1), generator=generator)
    steps = 1 + (torch.rand(n, 16, generator=generator) < 0.2).long()
    return (start + steps.cumsum(1)) % 100


def distances(extractor, real, others):
    """Fréchet distance and precision of each set of texts."""
    features = extractor.features(real)
    for tokens in others:
        synthetic = extractor.features(tokens)
        scores = prdc(real=features, synthetic=synthetic)
        yield frechet_distance(real=features, synthetic=synthetic), scores.precision


@pytest.fixture(scope="module")
def tokenizer():
    return text_parts()[0].tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def sequence(tokenizer, folder):
    extractor = SequenceEncoder(SEQUENCE, tokenizer)
    extractor.prepare(counting(400, "train"), folder)
    return extractor


class TestSequenceEncoder:
    def test_it_sees_the_order_and_no_difference_between_real_texts(self, sequence):
        real = counting(200, "test")
        other = counting(200, "other")
        backwards = other.flip(1)
        strangers = torch.cat([other[:, :8], other.roll(1, 0)[:, 8:]], 1)

        null, *damaged = distances(sequence, real, [other, shuffled(other), backwards, strangers])
        assert null[1] > 0.8
        for distance, precision in damaged:
            assert distance > 5 * null[0]
            assert precision < null[1] - 0.2

    def test_it_sees_missing_content(self, sequence):
        real = counting(200, "test")
        other = counting(600, "other")
        some = other[other[:, 0] < 50][:200]

        recall = [
            prdc(real=sequence.features(real), synthetic=sequence.features(tokens)).recall
            for tokens in (other[:200], some)
        ]
        assert recall[1] < recall[0] - 0.2

    def test_a_texts_features_do_not_depend_on_the_others(self, sequence):
        tokens = counting(5, "test")
        alone = torch.cat([sequence.features(row[None]) for row in tokens])
        torch.testing.assert_close(sequence.features(tokens), alone, rtol=1e-4, atol=1e-4)

    def test_it_is_the_same_when_made_again_and_when_opened(self, sequence, tokenizer, tmp_path):
        tokens = counting(20, "test")
        for place in (tmp_path, tmp_path):
            again = SequenceEncoder(SEQUENCE, tokenizer)
            again.prepare(counting(400, "train"), place)
            assert again.name == sequence.name
            assert torch.equal(again.features(tokens), sequence.features(tokens))

    def test_its_covariance_is_not_singular(self, sequence):
        features = sequence.features(counting(200, "test")).double()
        eigenvalues = torch.linalg.eigvalsh(features.T.cov())
        assert features.shape[1] == 9
        assert eigenvalues[0] > 1e-6 * eigenvalues[-1]


def test_a_bag_of_tokens_does_not_see_the_order(tokenizer, tmp_path):
    extractor = BagOfTokens(BAG, tokenizer)
    modality, _ = text_parts({"n_train": 600, "n_test": 200})
    extractor.prepare(modality.real("train").data, tmp_path)

    blocks = modality.real("test").data
    real, other = blocks[::2], blocks[1::2]
    null, damaged = distances(extractor, real, [other, shuffled(other)])
    assert damaged[0] < 3 * null[0]
    assert damaged[1] > null[1] - 0.1


class TestNames:
    @pytest.mark.parametrize("section", ["encoder", {"kind": "encoder", "width": 16}])
    def test_the_older_name_of_the_bag_of_tokens_is_accepted(self, section):
        settings = TextSettings.model_validate({"extractor": section}).extractor
        assert isinstance(settings, BagOfTokensSettings)
        assert settings.model_dump()["kind"] == "encoder"

    def test_runs_of_the_older_name_find_the_name_that_they_recorded(self, tokenizer):
        old = BagOfTokens(BagOfTokensSettings(kind="encoder"), tokenizer)
        assert old.name.startswith("text encoder@")
        assert BagOfTokens(BAG, tokenizer).name.startswith("bag of tokens@")

    def test_text_is_measured_in_order_by_default(self):
        assert TextSettings().extractor == SequenceEncoderSettings()


@pytest.mark.slow
@pytest.mark.parametrize("source", ["pydoc", "wikitext"])
def test_the_default_sees_damage_of_order_in_real_texts(source, request, tmp_path):
    modality, _ = text_parts(real_texts(source, request), {"window": 128})
    modality.prepare(tmp_path)
    damages = {each.name: each for each in modality.damages()}
    real, pool = halves(modality.real("test"))
    n = len(pool)

    def damaged(name):
        return damages[name].apply(pool, n, strength=1.0, seed=0).data

    other = draw(pool, n, seed=0).data
    others = [other, shuffled(other)]
    others += map(damaged, ("shuffle_words", "reverse", "unigrams", "halves"))
    null, *orders, unigrams, strangers = distances(modality.extractor, real.data[:n], others)
    for distance, precision in orders:
        assert distance > 5 * null[0]
        assert precision < null[1] - 0.2

    assert unigrams[0] > 5 * null[0]
    assert unigrams[1] < null[1] - 0.1
    # Most texts of two halves lie where real ones do (docs/metrics.md).
    assert strangers[0] > 5 * null[0]


def real_texts(source, request):
    """Return the section of real texts, as in the configs of these names."""
    section: dict[str, Any] = {"n_train": None, "n_test": None, "block": 64, "n_fresh": 0}
    section |= {"tokenizer": {"kind": "bpe", "vocabulary": 1024}, "extractor": "sequence_encoder"}
    if source == "pydoc":
        return section

    folder = request.getfixturevalue("shared_data") / "wikitext2"
    paths = {"path": str(folder / "valid.txt"), "test_path": str(folder / "test.txt")}
    articles = {"kind": "files", **paths, "document_start": "^ = [^=]+ = $"}
    return {**section, "n_train": 2_000, "n_test": 1_000, "source": articles}


def halves(samples):
    """Split samples at random."""
    order = torch.randperm(len(samples), generator=seeds.generator("halves"))
    return (samples[rows] for rows in order.chunk(2))
