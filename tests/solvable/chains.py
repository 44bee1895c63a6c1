"""Chains that are solved exactly, and their parts."""

from __future__ import annotations

from imglab.config.load import validate_config
from imglab.running.build import build_modality, build_models

ZIPF = {"kind": "categories", "categories": 30}


KDE = {"kind": "kde", "bandwidth": 0.4}


ROW = {"components": 2, "separation": 3.0}


def parts(modality, model, **keys):
    """A config with the modality and the model that it builds."""
    config = validate_config({"name": "x", "modality": modality, "model": model, **keys}, "test")
    built = build_modality(config)
    return config, built, build_models(config, built)[0]


def vectors(**keys):
    return {"kind": "gaussian", "dimensions": 3, "n_train": 200, "n_test": 50, **keys}
