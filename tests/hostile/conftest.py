"""Fixtures of the tests of hostile files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.page_fixtures import IMAGES, TEXTS, VECTORS, run_chain_in
from tests.text_fixtures import TINY_MODEL


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr("imglab.report.live.PATIENCE", 0.0)


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "somebody's code has run"


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> dict[str, Path]:
    """Fitted models of all kinds, as runs keep them."""
    root, short = tmp_path_factory.mktemp("models"), {"generations": 1}
    unet = {"kind": "diffusion", "channels": [8, 16], "training": {"images": 128}}
    made = {
        "vae": run_chain_in(root, "vae", {**IMAGES, **short}),
        "diffusion": run_chain_in(root, "diffusion", {**IMAGES, **short, "model": unet}),
        "ngram": run_chain_in(root, "ngram", {**TEXTS, **short}),
        "language_model": run_chain_in(
            root, "language_model", {**TEXTS, **short, "model": TINY_MODEL}
        ),
        "gaussian": run_chain_in(root, "gaussian", {**VECTORS, **short}),
    }
    return {kind: run / "generation_000" / "model" for kind, run in made.items()}
