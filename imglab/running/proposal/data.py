"""The forms that a config for a person's data may have, from what was found in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imglab.config.load import validate_config
from imglab.errors import InputError, Problem
from imglab.modality import Modality
from imglab.running.build import build_modality
from imglab.running.proposal.forms import Form, image_forms, text_forms

FEWEST = 50
"""Training samples below which no chain is proposed: nothing can be said of so few."""

IMAGE = "image"

BYTES = 190
"""About so many bytes of text are a block of 64 tokens, of a vocabulary of 1,024."""


def forms_for(modality: Mapping[str, Any], where: str) -> tuple[list[Form], Form | None, Modality]:
    """Return the forms, the best first, a form with a wide network or None, and the data.

    modality  the section of a config that reads them

    Raises InputError where the data are too few, or too small.
    """
    opened = _opened(modality, where)
    n = len(opened.real("train"))
    noun = "images" if modality["kind"] == IMAGE else "blocks of 64 tokens"
    if n < FEWEST:
        what = f"has {n:,} {noun} to train on; a chain needs at least {FEWEST}"
        raise InputError(Problem(where, what, "bring more"))
    if modality["kind"] != IMAGE:
        test = len(opened.real("test"))
        size = (n + test) * BYTES
        return text_forms(modality, n, test, size), None, opened

    shape = opened.spec.shape
    side = modality.get("size") or min(shape[1:])
    classes = len(opened.spec.conditions or ()) > 1 and not opened.spec.prompts
    forms, wide = image_forms(modality, side, n, colour=shape[0] == 3, classes=classes)
    if not forms:
        what = f"has images of {side} pixels a side, which no network here takes"
        raise InputError(Problem(where, what, "bring images of at least 8 pixels a side"))
    return forms, wide, opened


def _opened(modality: Mapping[str, Any], where: str) -> Modality:
    """Open the data, with the least that it takes to count them."""
    tree: dict[str, Any] = {"modality": modality, "model": {"kind": "ngram"}}
    if modality["kind"] == IMAGE:
        of_images = {**modality, "extractor": "pixels"}
        tree = {"modality": of_images, "model": {"kind": "diffusion"}}
    return build_modality(validate_config({**tree, "name": "new"}, where))
