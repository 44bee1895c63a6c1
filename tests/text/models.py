"""What the tests of text models share."""

from __future__ import annotations

from imglab.samples import TrainingSet


def prompts_of(modality, n):
    return modality.conditions(TrainingSet.of(modality.real("train")), n, seed=1)


def pretrained(folder, **changes):
    """The keys of a model that starts from the weights in a folder."""
    return {"network": {"kind": "pretrained", "name": str(folder)}, "window": 16, **changes}
