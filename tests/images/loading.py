"""Real images that are loaded, or refused."""

from __future__ import annotations

import pytest

from imglab.errors import InputError
from imglab.images.data import load_real_images
from imglab.images.settings import ImageSettings


def load(**settings):
    return load_real_images(ImageSettings.model_validate(settings))


def refused(**settings) -> str:
    with pytest.raises(InputError) as caught:
        load(**settings)
    return str(caught.value)
