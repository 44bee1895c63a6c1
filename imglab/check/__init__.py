"""`check_modality`: does a kind of data, with a model, keep the contracts?

It tests every promise, for the kinds that ship and for those of third parties.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from imglab.check import abilities, data, fits
from imglab.check.remedies import check_remedy as check_remedy
from imglab.check.watch import Subject, still
from imglab.modality import Modality
from imglab.model import GenerativeModel
from imglab.samples import TrainingSet


def check_modality(modality: Modality, model: GenerativeModel, *, train_on: int = 64) -> None:
    """Fit `model` on a few real samples of `modality` and check every promise of the contracts.

    Raises AssertionError that names the first promise broken. Give settings that make a fit short.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shared = folder / "shared"
        shared.mkdir()
        still("prepare", lambda: modality.prepare(shared))

        data.check_real(modality)
        data.check_fresh(modality)
        data.check_features(modality)

        train = TrainingSet.of(modality.real("train")[:train_on])
        subject = Subject(modality, model, train, folder)
        fitted = fits.check_fit(subject)
        drawn = fits.check_draws(subject, fitted)
        loaded = fits.check_saved(subject, fitted, drawn)
        fits.check_start(subject, fitted, loaded)

        abilities.check_metrics(modality, fitted, drawn)
        abilities.check_continuation(modality, fitted)
        abilities.check_of_model(subject, fitted, drawn)
        abilities.check_of_data(subject, drawn)
        data.check_shown(modality, drawn, folder)
