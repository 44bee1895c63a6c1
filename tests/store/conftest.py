"""Finished runs that tests damage."""

from __future__ import annotations

import pytest

from imglab.report.results import write_results
from tests.tiny_chains import TINIES, finish, write


@pytest.fixture(
    scope="session",
    params=[
        "gaussian",
        *(pytest.param(n, marks=pytest.mark.slow) for n in TINIES if n != "gaussian"),
    ],
)
def run(request, tmp_path_factory):
    """A finished run with its results; each test leaves it as it was."""
    folder = tmp_path_factory.mktemp("damaged")
    finish(write(folder, TINIES[request.param]), folder / "run")
    write_results(folder / "run")
    return folder / "run"
