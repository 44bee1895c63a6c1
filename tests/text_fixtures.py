"""Small text chains that tests share."""

from __future__ import annotations

from typing import Any

from imglab.config.load import validate_config
from imglab.running.build import build_modality, build_models

TINY_TEXT = {
    "kind": "text",
    "tokenizer": {"kind": "bpe", "vocabulary": 300},
    "block": 16,
    "n_train": 60,
    "n_test": 40,
    "n_fresh": 10,
    "token_budget": 256,
    "extractor": {"kind": "encoder", "layers": 1, "width": 8, "tokens": 4000},
}
TINY_NETWORK = {"kind": "gpt2", "layers": 1, "width": 16, "heads": 2}
TINY_MODEL: dict[str, Any] = {
    "kind": "language_model",
    "network": TINY_NETWORK,
    "window": 32,
    "training": {"tokens": 2048, "batch": 8},
    "fine_tuning": {"tokens": 1024, "batch": 8},
    "sampling_batch": 16,
}


def text_parts(modality=None, model=None):
    """Build (modality, model) of the tiny sections with these changes; a model section with a
    `kind` is taken whole.
    """
    model = model or {}
    sections = {
        "modality": {**TINY_TEXT, **(modality or {})},
        "model": model if "kind" in model else TINY_MODEL | model,
    }
    config = validate_config({"name": "tiny", **sections}, "test")
    built = build_modality(config)
    return built, build_models(config, built)[0]


def finish(work):
    """Run a fit to its end and return the fitted model."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value
