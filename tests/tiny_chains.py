"""Small chains of each kind of data, and what tests do with the runs of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from imglab.generation import Generation
from imglab.running.run import Run
from imglab.store import files
from imglab.store.hashes import HASH_LIST
from tests.text_fixtures import TINY_MODEL, TINY_TEXT

FEW_SPLITS = {"floor_splits": 20}
"""What tiny chains measure with: floors that are quick, and rough."""

TINY_IMAGE: dict[str, Any] = {
    "measure": FEW_SPLITS,
    "generations": 2,
    "samples": 24,
    "shown": 4,
    "modality": {
        "kind": "image",
        "n_train": 40,
        "n_test": 30,
        "extractor": {"kind": "classifier", "images": 512},
    },
    "model": {
        "kind": "diffusion",
        "channels": [8, 8],
        "steps": 2,
        "training": {"images": 128, "batch": 32},
        "fine_tuning": {"images": 64, "batch": 32},
    },
}


TINY_CHAIN: dict[str, Any] = {
    "measure": FEW_SPLITS,
    "generations": 2,
    "samples": 20,
    "shown": 4,
    "modality": {**TINY_TEXT, "n_fresh": 0},
    "model": TINY_MODEL,
}


POINTS: dict[str, Any] = {
    "name": "points",
    "generations": 2,
    "modality": {"kind": "gaussian", "n_train": 50, "n_test": 50},
    "model": "gaussian",
    "measure": {"floor_splits": 20},
}
"""Points of a normal distribution, whose chain takes a moment."""

TINY_GAUSSIAN: dict[str, Any] = {
    "measure": FEW_SPLITS,
    "generations": 3,
    "regime": {"kind": "mix", "real_fraction": 0.2, "real": "fresh"},
    "modality": {"kind": "gaussian", "n_train": 30, "n_test": 30},
    "model": {"kind": "gaussian"},
}


TINY_MIXED: dict[str, Any] = {
    "measure": FEW_SPLITS,
    "generations": 3,
    "samples": 20,
    "curate": {"kind": "oracle", "keep": 0.5},
    "regime": "accumulate",
    "modality": {"kind": "gaussian", "n_train": 30, "n_test": 30},
    "model": {
        "kind": "population",
        "models": ["gaussian", {"kind": "kde", "bandwidth": 0.1}],
        "shares": [0.25, 0.75],
    },
}


TINIES = {"gaussian": TINY_GAUSSIAN, "image": TINY_IMAGE, "text": TINY_CHAIN, "mixed": TINY_MIXED}


def write(folder: Path, tree, name="tiny") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(
        yaml.safe_dump(json.loads(json.dumps(tree)), sort_keys=False)
    )  # nothing shared: aliases are refused
    return path


def finish(config: Path, out: Path, changes=()):
    return [
        event
        for event in Run.from_file(config, out, changes).events()
        if isinstance(event, Generation)
    ]


def hashes(run: Path) -> dict[str, str]:
    """sha256 of every file that must not depend on when, where or how often the run was cut: the
    page has its times.
    """
    others = ("events.jsonl", ".lock", ".results.lock", "report.html")
    found = [path for path in sorted(run.rglob("*")) if path.is_file() and path.name not in others]
    names = [
        path for path in found if path.name != HASH_LIST or path.parent.name == "shared"
    ]  # a run's own names the page
    return {str(path.relative_to(run)): files.sha256_file(path) for path in names}


@pytest.fixture(scope="session", params=list(TINIES))
def whole(request, tmp_path_factory):
    """A config and a run of it that nothing interrupted."""
    folder = tmp_path_factory.mktemp(request.param)
    config = write(folder, TINIES[request.param])
    finish(config, folder / "whole")
    return config, folder / "whole"


@pytest.fixture
def plain_run(tmp_path):
    """A finished run of one's own, its config beside it."""
    config = write(tmp_path, TINY_GAUSSIAN)
    finish(config, tmp_path / "run")
    return config, tmp_path / "run"
