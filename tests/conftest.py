"""What tests share: small settings, and real data where they are at hand."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from imglab.config.schema import RunConfig

os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Runs of the tests are not remembered: what they cost says nothing of those of the user.
os.environ["IMGLAB_CACHE"] = ""
os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # before torch is imported: tests run side by side, on small tensors

ROOT = Path(__file__).resolve().parent.parent

pytest_plugins = [
    "tests.cli_fixtures",
    "tests.page_fixtures",
    "tests.pipeline_fixtures",
    "tests.tiny_chains",
]


def load_chain(path: Path, changes: Sequence[str] = ()) -> RunConfig:
    """Load the config of one chain."""
    from imglab.config.load import load_config
    from imglab.config.schema import RunConfig

    config = load_config(path, changes)
    assert isinstance(config, RunConfig)
    return config


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data sets; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("IMGLAB_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set IMGLAB_TEST_DATA")
    return folder


@pytest.fixture
def configs() -> Path:
    return ROOT / "configs"


def _lies_in(request: pytest.FixtureRequest, names: set[str]) -> bool:
    """Say whether a test lies in one of these folders, or files, of tests."""
    return bool(names & {*request.path.relative_to(ROOT / "tests").parts})


WHOLE_FIGURES = {"report", "store", "studies", "test_docs.py", "test_escaping.py", "test_runs.py"}
"""Folders and files of tests that look at figures, or compare their bytes."""


@pytest.fixture(autouse=True)
def few_panels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw two panels of a run's curves instead of twenty, small and without a PDF, where figures
    are not the subject.
    """
    results = sys.modules.get("imglab.report.results")
    if results is None or _lies_in(request, WHOLE_FIGURES):
        return
    few = partial(results.curves_figure, names=("fid", "precision"))
    monkeypatch.setattr(results, "curves_figure", few)
    monkeypatch.setattr("imglab.report.figures.pdf", lambda figure: b"%PDF-")
    monkeypatch.setattr("imglab.report.figures.PNG_DPI", 80)


PLOTS = {"solvable", "hostile", "report", "test_docs.py", "test_cli.py", "test_run_directory.py"}
"""Folders and files of tests that look at the plots of a generation."""

A_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
"""A picture of one black pixel."""


@pytest.fixture(autouse=True)
def one_plot(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a picture of one pixel for each plot of a generation, which would take 60 ms, where
    plots are not the subject.

    Slow tests draw theirs: some compare a run of this process with one of several others.
    """
    is_slow = request.node.get_closest_marker("slow") is not None
    if is_slow or _lies_in(request, PLOTS):
        return
    write = lambda figure, path: path.write_bytes(A_PNG)  # noqa: E731
    monkeypatch.setattr("imglab.solvable.plots._write_png", write)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Undo what a run in this process has set."""
    import torch

    yield
    torch.set_num_threads(1)
