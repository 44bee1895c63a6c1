"""Copies of finished runs, for tests that spoil them."""

from __future__ import annotations

import shutil

import pytest


@pytest.fixture
def copy(finished_runs, tmp_path):
    """Copy a run, so that a test may spoil it."""

    def copied(name, to=None):
        return shutil.copytree(finished_runs[name], tmp_path / (to or name))

    return copied
