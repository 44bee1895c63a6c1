"""The remedy of one's own that docs/extend/remedy.md shows keeps the promises, and runs."""

from __future__ import annotations

import sys

import pytest

from tests.test_docs import blocks


@pytest.fixture
def anchor(tmp_path, monkeypatch):
    code, check = blocks("docs/extend/remedy.md", "python")
    (config,) = blocks("docs/extend/remedy.md", "yaml")
    (tmp_path / "anchor.py").write_text(code)
    (tmp_path / "anchor.yaml").write_text(config)
    monkeypatch.syspath_prepend(tmp_path)
    yield check
    sys.modules.pop("anchor", None)


def test_the_new_remedy_keeps_the_promises(anchor):
    assert "check_remedy" in anchor  # which asserts
    exec(anchor, {})


def test_the_new_remedy_is_checked_before_it_runs(anchor, lab, tmp_path):
    assert lab("validate", "anchor.yaml")[0] == 0
    code, _, err = lab("run", "anchor.yaml", "--set", "remedy.step=x", "--set", "model=kde")
    assert code == 2
    assert "remedy.kind: anchor:Anchor needs a model with weights that can be moved" in err
    assert not (tmp_path / "runs").exists()
