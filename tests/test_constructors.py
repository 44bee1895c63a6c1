"""Names of version 0.1 are still taken where code outside the package may use them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from imglab import MemoryStore, Run
from imglab.config.load import validate_config
from imglab.curation import Context
from imglab.running.cache import RunCache
from tests.test_loop import Adder, Counter
from tests.tiny_chains import TINY_GAUSSIAN

FEATURES = torch.zeros(2, 1)


def test_a_context_takes_its_old_names(tmp_path):
    parts: dict[str, Any] = {"features": FEATURES, "real": FEATURES, "modality": Counter()}
    model = Adder(3)
    with pytest.warns(DeprecationWarning, match=r"is called (generation0|annotations)= now"):
        old = Context(**parts, first=model, generation=1, seed=2, desk=tmp_path)  # type: ignore[call-arg]
    assert old.generation0 is model
    assert old.annotations == tmp_path

    new = Context(**parts, generation0=model, generation=1, seed=2, annotations=tmp_path)
    assert vars(new) == vars(old)


def test_a_run_takes_the_old_name_of_its_cache(tmp_path):
    config = validate_config({"name": "tiny", **TINY_GAUSSIAN}, "test")
    cache = RunCache(tmp_path / "prepared", tmp_path / "first")
    with pytest.warns(DeprecationWarning, match=r"Run\(shelf=\) is called cache= now"):
        run = Run(config, tmp_path / "run", shelf=cache)  # type: ignore[call-arg]
    assert run._cache is cache


def test_a_store_still_has_a_desk():
    with pytest.warns(DeprecationWarning, match="desk is called annotations_folder now"):
        assert MemoryStore().desk(0) is None
