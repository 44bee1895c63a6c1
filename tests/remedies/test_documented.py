"""The remedy of one's own that docs/remedies.md shows keeps the promises, and runs."""

from __future__ import annotations

import sys

import pytest

from imglab.check import check_remedy
from tests.remedies.test_contract import subject
from tests.test_docs import blocks


@pytest.fixture
def anchor(tmp_path, monkeypatch):
    (code,) = blocks("docs/remedies.md", "python")
    (config,) = blocks("docs/remedies.md", "yaml")
    (tmp_path / "anchor.py").write_text(code)
    (tmp_path / "anchor.yaml").write_text(config)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("anchor", None)


def test_the_new_remedy_keeps_the_promises(anchor):
    from anchor import Anchor  # type: ignore[import-not-found]

    check_remedy(Anchor(0.5), *subject("gaussian"), neutral=Anchor(1.0))


def test_the_new_remedy_is_checked_before_it_runs(anchor, lab, tmp_path):
    assert lab("validate", "anchor.yaml")[0] == 0
    code, _, err = lab("run", "anchor.yaml", "--set", "remedy.step=x", "--set", "model=kde")
    assert code == 2
    assert "remedy.kind: anchor:Anchor needs a model with weights that can be moved" in err
    assert not (tmp_path / "runs").exists()
