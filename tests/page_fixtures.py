"""Finished runs that the tests of the page share, made once a session; read-only."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from imglab.config.load import validate_config
from imglab.running.run import Run
from tests.text_fixtures import TINY_TEXT

IMAGES: dict[str, Any] = {
    "modality": {
        "kind": "image",
        "source": "digits",
        "n_train": 120,
        "n_test": 60,
        "extractor": {"kind": "classifier", "images": 1000},
    },
    "model": {"kind": "vae", "hidden": [16], "latent": 4, "training": {"images": 640, "batch": 64}},
    "start": "scratch",
    "generations": 3,
    "shown": 9,
    "threads": 1,
}
TEXTS: dict[str, Any] = {
    "modality": {**TINY_TEXT, "n_fresh": 0},
    "model": {"kind": "ngram", "order": 2},
    "generations": 3,
    "shown": 3,
    "threads": 1,
}
VECTORS: dict[str, Any] = {
    "modality": {"kind": "gaussian", "n_train": 40, "n_test": 40},
    "model": "gaussian",
    "generations": 4,
    "pictures": "each",
    "threads": 1,
}


def run_chain_in(folder: Path, name: str, sections: dict[str, Any], **changes) -> Path:
    config = validate_config({"name": name, **sections, **changes}, "test")
    for _ in Run(config, folder / name).generations():
        pass
    return folder / name


@pytest.fixture(scope="session")
def finished_runs(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("finished")
    return {
        "replace": run_chain_in(folder, "replace", IMAGES),
        "mixed": run_chain_in(
            folder, "mixed", IMAGES, regime={"kind": "mix", "real_fraction": 0.5}, generations=2
        ),
        "texts": run_chain_in(folder, "texts", TEXTS),
        "vectors": run_chain_in(folder, "vectors", VECTORS),
    }


@pytest.fixture
def copy(finished_runs, tmp_path):
    """Copy a run, so that a test may spoil it."""

    def copied(name, to=None):
        return shutil.copytree(finished_runs[name], tmp_path / (to or name))

    return copied
