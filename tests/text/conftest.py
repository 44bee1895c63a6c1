"""A tiny language model that tests share."""

from __future__ import annotations

import pytest

from imglab.samples import TrainingSet
from tests.text_fixtures import finish, text_parts


@pytest.fixture(scope="session")
def fitted():
    """A tiny language model, fitted, and its modality."""
    modality, model = text_parts()
    return modality, finish(model.fit(TrainingSet.of(modality.real("train")), start=None, seed=3))
