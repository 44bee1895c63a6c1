"""The mark on text is found at the rates that the document gives."""

from __future__ import annotations

import pytest

from imglab.config.load import validate_config
from imglab.config.section import WATERMARK_KEY
from imglab.running.build import build
from imglab.samples import TrainingSet
from tests.text_fixtures import finish

PYDOC = {"kind": "text", "source": "pydoc", "tokenizer": {"kind": "bpe", "vocabulary": 1024}}


SMALL_GPT2 = {
    "kind": "language_model",
    "network": {"kind": "gpt2", "layers": 2, "width": 64, "heads": 4},
    "training": {"tokens": 300_000, "batch": 8, "learning_rate": 3e-3},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "model", [{"kind": "ngram", "order": 3}, SMALL_GPT2], ids=["n-grams", "GPT-2 shape"]
)
def test_text_is_found_at_the_rates_that_the_docs_give(model):
    """1,000 texts of 64 tokens at each strength; the threshold lets through 1% of the real training
    blocks.
    """

    def marked(strength):
        section = model if strength is None else {**model, "watermark": {"strength": strength}}
        config = validate_config(
            {"name": "mark", "threads": 1, "modality": PYDOC, "model": section}, "test"
        )
        return build(config, "test")

    plain = marked(None)
    train = plain.modality.real("train")
    fitted = finish(plain.models[0].fit(TrainingSet.of(train), start=None, seed=0))
    key = WATERMARK_KEY
    threshold = plain.modality.watermark_scores(train, key=key).quantile(0.99)
    prompts = plain.modality.conditions(TrainingSet.of(train), 1000, seed=1)

    def found(strength):
        drawing = type(fitted)(
            marked(strength).config.model,
            network=fitted.network,
            tokenizer=fitted.tokenizer,
            block=64,
        )
        z = plain.modality.watermark_scores(
            drawing.sample(1000, conditions=prompts, seed=2), key=key
        )
        share = float((z > threshold).double().mean())
        print(
            f"{model['kind']}, strength {strength}: mean z {float(z.mean()):.1f}, found {share:.1%}"
        )
        return share

    real = plain.modality.watermark_scores(plain.modality.real("test"), key=key)
    assert float((real > threshold).double().mean()) < 0.03
    assert found(None) < 0.04
    assert found(1.0) > 0.5
    assert found(2.5) > 0.99
