"""How long the preparation of a run takes, from its extractor's first steps and a few samples.

Its extractor and judges take steps of equal length, and features of each sample take as long as
those of any other: a few stand for all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from imglab import seeds
from imglab.config.schema import RunConfig
from imglab.measure import Measure
from imglab.modality import Modality
from imglab.progress import finish, overheard_by, report
from imglab.running.build import Experiment, build_modality
from imglab.samples import Samples
from imglab.store import files
from imglab.training.devices import device

STEPS = {"images": 128, "tokens": 4096}
"""Keys of a budget in an extractor's section, with what about a step uses up of it."""

TRAINED = 3
"""Steps for which the extractor is trained."""

FEWEST = 16
"""Samples of a split that is cut, at least."""

TIMED = 128
"""Samples whose features are timed on a CPU at most: more do not take less time each."""

REFERENCE = "reference.safetensors"
"""The file of real features in a cache folder, which `Measure` reads."""

clock: Callable[[], float] = time.perf_counter


@dataclass(frozen=True)
class Prepared:
    """Data and extractor that are prepared for a probe.

    seconds   of a whole preparation, features of the real data included
    measure   what scores, with made-up features of all real samples
    features  float32 [N, D]: like those of real samples
    rate      seconds to take the features of a sample
    few       the data, or where that is quicker their first samples
    share     how many of the samples `few` has
    """

    seconds: float
    measure: Measure
    features: Tensor
    rate: float
    few: Modality
    share: float


def prepared(experiment: Experiment, folder: Path, most: int) -> Prepared:
    """Prepare the data of an experiment, in folder/shared; its own modality is usable afterwards.

    The extractor has its real size, and is trained for a few steps where its training is long.

    most  samples whose features are taken
    """
    shared = folder / "shared"
    shared.mkdir()
    real = experiment.modality.real("train")
    n = len(real) + len(experiment.modality.real("test"))
    few, budget = _shortened(experiment, most)
    share = min(1.0, len(few.real("train")) / len(real))

    report("probing the preparation")
    seconds, step = _training(few, shared)
    report("probing the features")
    # The extractor is in its file now, and is not trained again.
    experiment.modality.prepare(shared)
    features, rate = _features(few, most)
    if budget is not None:
        key, size = budget
        seconds += step * (size / STEPS[key] - TRAINED)
    if share < 1:
        seconds += rate * len(real) * (1 - share)

    _write_reference(experiment.modality, features, shared)
    measure = _without_floors(experiment).measure(cache=shared)
    finish(measure.prepare())
    return Prepared(seconds + rate * n, measure, features, rate, few, share)


def budget_of(config: RunConfig) -> tuple[str, int] | None:
    """Return the key and the size of the budget of an extractor that is trained for long."""
    section: Any = getattr(config.modality, "extractor", None)
    for key, step in STEPS.items():
        size = getattr(section, key, None)
        if isinstance(size, int) and size > 2 * TRAINED * step:
            return key, size
    return None


def _shortened(experiment: Experiment, most: int) -> tuple[Modality, tuple[str, int] | None]:
    """Return data whose extractor is trained for a few steps, and the budget that this cut.

    Text is also cut to about `most` training blocks, and its test part by the same share: its
    extractor measures all of the training set when it is trained, and its metrics read the whole
    test set.
    """
    from imglab.text.modality import TextModality
    from imglab.text.settings import TextSettings

    section: Any = experiment.config.modality
    modality = experiment.modality
    budget = budget_of(experiment.config)
    update: dict[str, Any] = {}
    if budget is not None:
        key = budget[0]
        update["extractor"] = section.extractor.model_copy(update={key: TRAINED * STEPS[key]})

    if isinstance(modality, TextModality) and isinstance(section, TextSettings):
        train = len(modality.real("train"))
        test = len(modality.real("test"))
        share = min(1.0, most / train)
        update["n_train"] = min(train, most)
        update["n_test"] = min(test, max(FEWEST, round(share * test)))
        update["token_budget"] = max(FEWEST, int(share * section.token_budget))
        # The tokenizer, which may take minutes to train, is that of the whole text.
        return modality.shortened(section.model_copy(update=update)), budget

    if not update:
        return modality, None
    short = experiment.config.model_copy(update={"modality": section.model_copy(update=update)})
    return build_modality(short), budget


def _training(modality: Modality, shared: Path) -> tuple[float, float]:
    """Prepare data; return the seconds that this took, and those of a step of the extractor."""
    times: list[float] = []
    shares: list[float] = []

    def heard(stage: str, seen: int, total: int) -> None:
        if stage == "extractor":
            times.append(clock())
            shares.append(seen / max(1, total))

    began = clock()
    with overheard_by(heard):
        modality.prepare(shared)
    seconds = clock() - began

    # The first step also sets everything up.
    whole = seconds
    if len(times) > 1 and shares[-1] > shares[0]:
        whole = (times[-1] - times[0]) / (shares[-1] - shares[0])
    return seconds, whole / TRAINED


def _features(modality: Modality, most: int) -> tuple[Tensor, float]:
    """Return features of up to `most` real samples, and the seconds that each takes."""
    if device().type == "cpu":
        most = min(most, TIMED)
    real = modality.real("train")[torch.arange(min(most, len(modality.real("train"))))]
    modality.features(real[:FEWEST])
    began = clock()
    features = modality.features(real).float()
    return features, (clock() - began) / len(real)


def _write_reference(modality: Modality, features: Tensor, shared: Path) -> None:
    """Leave made-up features of all real samples where `Measure` looks for those of the run."""
    tensors = {
        "train": spread(features, len(modality.real("train"))),
        "test": spread(features, len(modality.real("test"))),
    }
    files.write_atomically(shared / REFERENCE, partial(save_file, tensors))


def spread(features: Tensor, n: int) -> Tensor:
    """Return n features, float32 [n, D], that are like these, and none of which is another.

    Equal rows are scored as one, in less time than the samples of a run.
    """
    rows = features[torch.arange(n) % len(features)]
    noise = torch.randn(rows.shape, generator=seeds.generator("probe"))
    noise[: len(features)] = 0
    return rows + noise * features.std(0, correction=0)


def _without_floors(experiment: Experiment) -> Experiment:
    """Return an experiment that scores with a floor of one split."""
    section = experiment.config.measure.model_copy(update={"floor_splits": 1})
    return replace(experiment, config=experiment.config.model_copy(update={"measure": section}))


def samples_like(drawn: Samples, n: int) -> Samples:
    """Return n samples: those that were drawn, over and over."""
    return drawn[torch.arange(n) % len(drawn)].stamped(0)
