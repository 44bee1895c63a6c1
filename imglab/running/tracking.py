"""Metrics of each generation in TensorBoard, W&B, MLflow or trackio, by accelerate's trackers."""

from __future__ import annotations

import importlib
import importlib.util
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from imglab.errors import InputError, Problem
from imglab.progress import Progress

FOLDER = "tracking"
"""Folder of a run in which trackers keep their local files."""


PROJECT = "imglab"
"""The project, or experiment, in which all runs stand together."""

POINTS = 100
"""Points of the curve of one fit's loss, at most."""

AXIS = "generation"
LOSS_AXIS = "seen"
"""What W&B and trackio draw metrics, and losses, over: their own steps can only rise."""

WITHOUT_STEPS = ("wandb", "trackio")


@dataclass(frozen=True)
class Identity:
    """What a tracker calls a run.

    name   for people
    group  the sweep, or the chains side by side, to which it belongs; None: it stands alone
    arm    its arm in the sweep, or its name among the chains
    tags   its regime and its kinds of data and model
    key    the same in every process that goes on with it
    """

    name: str
    group: str | None
    arm: str | None
    tags: tuple[str, ...]
    key: str

    @classmethod
    def of(cls, run: Path, name: str, settings: Mapping[str, Any]) -> Identity:
        """Return that of the run in a folder, whose config has this name and these keys."""
        group = None
        arm = None
        if (run.parent.parent / "sweep.json").is_file():
            group = run.parent.parent.resolve().name
            arm = run.parent.name
            name = f"{arm}/{run.name}"
        elif (run.parent / "chains.json").is_file():
            group = run.parent.resolve().name
            arm = run.name

        kinds = [settings.get(key) for key in ("regime.kind", "modality.kind", "model.kind")]
        tags = tuple(str(kind) for kind in kinds if kind)
        return cls(name, group, arm, tags, _key(run / FOLDER / "key"))


def _key(path: Path) -> str:
    """Return the key that stands in a file, which is written when it is first asked for."""
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_text(secrets.token_hex(8))
    return path.read_text().strip()


class Tracker:
    """Passes metrics on to a tracker. A failure there is reported once and never stops a run."""

    def __init__(self, kind: str, run: Path, name: str, settings: Mapping[str, Any]) -> None:
        """Open a tracker for the run in a folder; its local files, if any, go to run/tracking.

        kind      which tracker, as accelerate calls it
        settings  the config, as dotted keys

        A run that goes on is the same run to the tracker.
        """
        self.failure: str | None = None
        self._kind = kind
        self._accelerator: Any = None
        self._drawn = -1
        self._guarded(lambda: self._open(run, Identity.of(run, name, settings), settings))

    def log(self, metrics: Mapping[str, Any]) -> None:
        """Log the numbers among a generation's metrics, over the number of the generation."""
        numbers = {key: value for key, value in metrics.items() if _is_number(value)}
        self._guarded(lambda: self._send(numbers, metrics["generation"], AXIS))

    def log_loss(self, g: int, progress: Progress) -> None:
        """Log the loss of a fit over the samples seen, a hundred times in a fit at most."""
        point = progress.seen * POINTS // max(1, progress.total)
        if progress.loss is None or point == self._drawn:
            return
        self._drawn = point
        loss = {f"loss/generation_{g:03d}": progress.loss}
        self._guarded(lambda: self._send(loss, progress.seen, LOSS_AXIS))

    def log_picture(self, g: int, path: Path) -> None:
        """Log a picture of a generation, a PNG."""
        self._guarded(lambda: self._send_picture(g, path))

    def close(self) -> None:
        """Let the tracker finish what it has to write."""
        self._guarded(lambda: self._accelerator.end_training())

    def _open(self, run: Path, identity: Identity, settings: Mapping[str, Any]) -> None:
        from accelerate import Accelerator

        folder = run / FOLDER
        project = identity.name
        if self._kind != "tensorboard":  # which has no projects, only folders
            project = os.environ.get(f"{self._kind.upper()}_PROJECT", PROJECT)
        options = {self._kind: _OPTIONS[self._kind](folder.resolve(), identity)}

        config: dict[str, Any] | None = {
            key: value if _is_number(value) else str(value) for key, value in settings.items()
        }
        if (folder / MLFLOW_RUN).is_file():
            config = None  # MLflow lets nobody change, say, the number of generations
        self._accelerator = Accelerator(log_with=self._kind, project_dir=str(folder))
        self._accelerator.init_trackers(project, config=config, init_kwargs=options)
        if self._kind == "wandb":
            tracked = self._tracked()
            tracked.define_metric("*", step_metric=AXIS)
            tracked.define_metric("loss/*", step_metric=LOSS_AXIS)
        if self._kind == "mlflow":
            (folder / MLFLOW_RUN).write_text(self._tracked().info.run_id)

    def _tracked(self) -> Any:
        """Return the run as the tracker's own library has it."""
        return self._accelerator.get_tracker(self._kind, unwrap=True)

    def _send(self, numbers: Mapping[str, float], at: int, axis: str) -> None:
        if self._kind in WITHOUT_STEPS:
            self._accelerator.log({**numbers, axis: at})
        else:
            self._accelerator.log(dict(numbers), step=at)

    def _send_picture(self, g: int, path: Path) -> None:
        name = f"pictures/{path.stem}"
        if self._kind == "mlflow":
            self._accelerator.get_tracker("mlflow").log_artifact(str(path), f"generation_{g:03d}")
        elif self._kind == "trackio":
            picture = importlib.import_module("trackio").Image(str(path))
            self._accelerator.log({name: picture, AXIS: g})
        elif self._kind == "wandb":
            picture = importlib.import_module("wandb").Image(str(path))
            self._accelerator.log({name: picture, AXIS: g})
        else:
            with Image.open(path) as opened:
                pixels = np.asarray(opened.convert("RGB"))
            board = self._accelerator.get_tracker("tensorboard")
            board.log_images({name: pixels[None]}, step=g, dataformats="NHWC")

    def _guarded(self, act: Callable[[], None]) -> None:
        if self.failure is not None:
            return
        try:
            act()
        # The library of a tracker, and the service behind it, may raise anything.
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            self.failure = f"{self._kind} failed, the run goes on without it: {reason}"


MLFLOW_RUN = "mlflow_run"
"""The file with the name that MLflow has given to the run."""


def _wandb_options(folder: Path, identity: Identity) -> dict[str, Any]:
    # W&B would otherwise write into the current folder.
    return {
        "dir": str(folder),
        "name": identity.name,
        "group": identity.group,
        "job_type": identity.arm,
        "tags": list(identity.tags),
        "id": identity.key,
        "resume": "allow",
    }


def _trackio_options(folder: Path, identity: Identity) -> dict[str, Any]:
    # trackio knows runs by their names alone.
    name = f"{identity.name}-{identity.key[:6]}"
    return {"name": name, "group": identity.group, "resume": "allow", "embed": False}


def _mlflow_options(folder: Path, identity: Identity) -> dict[str, Any]:
    mlflow = importlib.import_module("mlflow")
    if "MLFLOW_TRACKING_URI" not in os.environ:
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")

    tags = {f"imglab.{number}": tag for number, tag in enumerate(identity.tags)}
    if identity.group is not None:
        tags |= {"imglab.group": identity.group, "imglab.arm": str(identity.arm)}
    options: dict[str, Any] = {"run_name": identity.name, "tags": tags}
    if (folder / MLFLOW_RUN).is_file():
        options["run_id"] = (folder / MLFLOW_RUN).read_text().strip()
    return options


def _tensorboard_options(folder: Path, identity: Identity) -> dict[str, Any]:
    return {}


_OPTIONS: Mapping[str, Callable[[Path, Identity], dict[str, Any]]] = {
    "wandb": _wandb_options,
    "trackio": _trackio_options,
    "mlflow": _mlflow_options,
    "tensorboard": _tensorboard_options,
}
"""What each tracker's library is told when a run is opened."""


def check_tracker(kind: str | None) -> None:
    """Raise InputError if the package of a tracker is not installed."""
    if kind is not None and importlib.util.find_spec(kind) is None:
        remedy = f"pip install {kind}, or leave it out"
        raise InputError(Problem("tracker", f"{kind} is not installed", remedy))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
