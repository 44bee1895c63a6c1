"""The lab's rows of scripts/speedrun.py, and how every row is timed and scored."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import torch
from benchmark_tools import scratch
from torch import Tensor

from imglab.images.diffusion.model import DiffusionModel
from imglab.images.diffusion.settings import DiffusionSettings
from imglab.images.modality import ImageModality
from imglab.images.settings import ImageSettings
from imglab.measure.measure import Measure
from imglab.measures import Measures
from imglab.progress import finish
from imglab.samples import Samples, TrainingSet
from imglab.training.devices import device

Scores: TypeAlias = dict[str, Any]
"""One row for one seed: the columns of the table, or `skipped` with the reason."""

WARM_UP = 3
TIMED = 12
"""Steps of the trial that finds out how many images fit into the time."""

COMMON: Mapping[str, Any] = {
    "channels": [32, 64],
    "patch": 2,
    "class_conditional": True,
    "label_dropout": 0.0,
    "half_life": 0.06,
    "precision": "bf16",
    "layout": "nchw",
    "steps": 18,
    "training": {"images": 1, "batch": 128, "learning_rate": 2e-3, "decay": "linear"},
}
"""What the lab's rows share; a row changes what it is about."""

IMAGE: Mapping[str, Any] = {"prediction": "flow_image"}

TRANSFORMER: Mapping[str, Any] = {
    **IMAGE,
    "network": {"kind": "dit", "layers": 4, "width": 128, "heads": 4},
}

MUON = {**COMMON["training"], "optimizer": "muon"}

STOCHASTIC: Mapping[str, Any] = {
    "sampler": "sde-dpm-solver++",
    "highest_noise": 20,
    "lowest_noise": 0.05,
    "steps": 16,
}

TOGETHER: Mapping[str, Any] = {
    **IMAGE,
    **STOCHASTIC,
    "noise_levels": {"mean": 0.5, "deviation": 1.0},
    "training": {**MUON, "batch": 64, "learning_rate": 3e-3},
}
"""Muon, more noise in training and the stochastic solver, together."""

ROWS: Mapping[str, Mapping[str, Any]] = {
    "image": IMAGE,
    "image, no classes": {**IMAGE, "class_conditional": False},
    "image, no patches": {**IMAGE, "patch": 1},
    "image, half the batch": {**IMAGE, "training": {**COMMON["training"], "batch": 64}},
    "image, Muon": {**IMAGE, "training": MUON},
    "image, stochastic": {**IMAGE, **STOCHASTIC},
    "image, all three": TOGETHER,
    "flow": {"prediction": "flow"},
    "edm": {"prediction": "edm"},
    "v": {"prediction": "v_prediction", "spacing": "karras"},
    "v, min-SNR": {"prediction": "v_prediction", "spacing": "karras", "loss_weight": "min_snr"},
    "epsilon": {"prediction": "epsilon", "spacing": "karras"},
    "image, transformer": TRANSFORMER,
    "image, transformer, Muon": {**TRANSFORMER, "training": MUON},
}


class SpeedRun:
    """The data, the time and the scores that all rows share."""

    def __init__(self, data: str, drawn: int) -> None:
        torch.set_num_threads(1)
        self.seconds = 0.0
        self.drawn = drawn
        self.modality = ImageModality(ImageSettings.model_validate({"source": _source(data)}))
        self.modality.prepare(scratch())
        self.real: Samples = self.modality.real("train")
        self._measure = Measure(self.modality)
        finish(self._measure.prepare())
        # The floors come with the scores of any samples, such as real ones.
        real = self.real[torch.arange(drawn) % len(self.real)]
        self.floor = self._values(real).floor

    def of(self, seconds: float) -> SpeedRun:
        """Return the same for fits of so many seconds."""
        changed = copy.copy(self)
        changed.seconds = seconds
        return changed

    @property
    def device_name(self) -> str:
        """What the seconds are of: one thread of a CPU, or a GPU."""
        if device().type == "cuda":
            return torch.cuda.get_device_name()
        return "one CPU thread"

    @property
    def labels(self) -> Tensor:
        """The classes of the images that are drawn: those of real images, int64 [drawn]."""
        assert self.real.condition is not None
        order = torch.randperm(len(self.real), generator=torch.Generator().manual_seed(0))
        repeated = order.repeat(1 + self.drawn // len(order))[: self.drawn]
        return self.real.condition[repeated]

    def scores(self, images: Tensor, *, seen: int, fit_s: float, draw_s: float) -> Scores:
        """Score drawn images, uint8 [drawn, C, H, W]."""
        values = self._values(Samples.drawn(images, None)).values
        floor = self.floor["fid"]
        columns = ("fid", "recall", "precision", "variance_ratio", "fid_shape", "two_sample_auc")
        scores = {name: values[name] for name in columns}
        excess = (values["fid"] - floor["mean"]) / floor["sd"]
        times = {"images": seen, "fit_s": fit_s, "draw_s": draw_s}
        return {"excess_fid": excess, **scores, **times}

    def _values(self, samples: Samples) -> Measures:
        features = finish(self._measure.features(samples)).values
        return finish(self._measure.scores(samples, features))


def seconds_now() -> float:
    """Return the clock that rows are timed by: computing time of this process, or of the GPU."""
    if device().type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def run_ours(changes: Mapping[str, Any], speed_run: SpeedRun, seed: int) -> Scores:
    """Train one of the lab's models for the time of a row, draw and score."""
    settings = DiffusionSettings.model_validate({**COMMON, **changes})
    images = _affordable(settings, speed_run)
    plan = settings.training.model_copy(update={"images": images})
    model = _model(settings.model_copy(update={"training": plan}), speed_run)

    began = seconds_now()
    fitted: Any = finish(model.fit(TrainingSet.of(speed_run.real), start=None, seed=seed))
    fit_s = seconds_now() - began

    conditions = None
    if settings.class_conditional:
        conditions = speed_run.labels
    began = seconds_now()
    drawn = fitted.sample(speed_run.drawn, conditions=conditions, seed=seed)
    draw_s = seconds_now() - began
    return speed_run.scores(drawn.data, seen=images, fit_s=fit_s, draw_s=draw_s)


def _affordable(settings: DiffusionSettings, speed_run: SpeedRun) -> int:
    """Return how many images a fit sees in the time of a row, by a trial of a few steps."""
    batch = settings.training.batch
    plan = settings.training.model_copy(update={"images": batch * 10**6})
    model = _model(settings.model_copy(update={"training": plan}), speed_run)
    fitting = model.fit(TrainingSet.of(speed_run.real), start=None, seed=0)
    for _ in range(WARM_UP):
        next(fitting)

    began = seconds_now()
    for _ in range(TIMED):
        next(fitting)
    of_step = (seconds_now() - began) / TIMED
    fitting.close()
    return batch * max(1, round(speed_run.seconds / of_step))


def _model(settings: DiffusionSettings, speed_run: SpeedRun) -> DiffusionModel:
    return DiffusionModel(settings, speed_run.modality)


def _source(data: str) -> Any:
    """Return the section of a data set: its name, an archive, or a torchvision folder/NAME."""
    if data.endswith(".npz"):
        return {"kind": "npz", "path": data}
    folder, _, name = data.rpartition("/")
    if folder:
        return {"kind": "torchvision", "name": name, "root": str(Path(folder))}
    return {"kind": data}


OURS: Mapping[str, Callable[[SpeedRun, int], Scores]] = {
    name: partial(run_ours, changes) for name, changes in ROWS.items()
}
"""The lab's rows by name."""
