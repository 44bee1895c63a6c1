"""What a generation shows and writes: the seconds of its picture, and the bytes of its files."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch

from imglab.measure import Measure
from imglab.model import GenerativeModel
from imglab.progress import finish
from imglab.running.build import Experiment
from imglab.running.earlier_runs import size_below
from imglab.samples import Samples
from imglab.store import files, model_folder
from imglab.store.linked_copies import large_files, link_alike

clock: Callable[[], float] = time.perf_counter


def picture_seconds(
    experiment: Experiment, measure: Measure, drawn: Samples, folder: Path
) -> tuple[float, float]:
    """Return the seconds of what each generation shows, and of a picture of only the last one."""
    modality = experiment.modality
    shown = drawn[torch.arange(experiment.config.shown) % len(drawn)].stamped(0)
    began = clock()
    finish(measure.nearest_real(shown))
    nearest = clock() - began

    modality.render([shown], folder / modality.picture)
    picture = clock() - began - nearest
    if (experiment.config.pictures or modality.pictures) == "each":
        return nearest + picture, 0.0
    (folder / modality.picture).unlink(missing_ok=True)
    return nearest, picture


def disk_of_generation(
    experiment: Experiment, fitted: GenerativeModel, drawn: Samples, measure: Measure, folder: Path
) -> tuple[dict[str, int], int]:
    """Return the bytes that a generation adds to the run directory, by stage.

    Also return those of the parts of a model that all generations have alike.
    """
    model_folder.save_model(fitted, folder / "model")
    alike = _bytes_alike(experiment.models[0].pretrained, folder)
    few = drawn[torch.arange(1)].stamped(0)
    columns = {name: column for name, column in vars(few).items() if column is not None}
    row = sum(column.nbytes for column in columns.values())
    feature = measure.real("test")[:1].nbytes

    config = experiment.config
    scored = config.measure.samples or 0
    n_features = experiment.drawn
    if config.measure.samples is not None and experiment.curator is None:
        n_features = 0
    picture = size_below(folder / experiment.modality.picture)
    each = {
        "fit": size_below(folder / "model") - alike,
        "draw": row * (experiment.drawn + scored),
        "measure": feature * n_features + 10_000,
        "pictures": picture + 4 * row * config.shown + 5_000,
    }
    return each, alike


def _bytes_alike(pretrained: GenerativeModel | None, folder: Path) -> int:
    """Return the bytes of folder/model that no fit has changed: the frozen parts of a pipeline."""
    model = folder / "model"
    if pretrained is None or len(large_files(model)) < 2:
        return 0

    before = folder / "pretrained"
    model_folder.save_model(pretrained, before)
    link_alike(model, [before])
    alike = sum(path.stat().st_size for path in large_files(model) if path.stat().st_nlink > 1)
    files.remove(before)
    return alike
