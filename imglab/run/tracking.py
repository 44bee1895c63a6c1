"""Metrics of each generation in TensorBoard, W&B, MLflow or trackio, by accelerate's trackers."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from imglab.errors import InputError, Problem

FOLDER = "tracking"
"""Folder of a run in which trackers keep their local files."""


class Tracker:
    """Passes metrics on to a tracker. A failure there is reported once and never stops a run."""

    def __init__(self, kind: str, folder: Path, name: str, settings: Mapping[str, Any]) -> None:
        """Open a tracker for the run `name`; its local files, if any, go to `folder`/tracking.

        kind      which tracker, as accelerate calls it
        settings  the config, as dotted keys
        """
        self.failure: str | None = None
        self._kind = kind
        self._accelerator: Any = None
        self._guarded(lambda: self._open(folder / FOLDER, name, settings))

    def log(self, metrics: Mapping[str, Any]) -> None:
        """Log the numbers among a generation's metrics, with its number as the step."""
        numbers = {key: value for key, value in metrics.items() if _is_number(value)}
        self._guarded(lambda: self._accelerator.log(numbers, step=metrics["generation"]))

    def close(self) -> None:
        """Let the tracker finish what it has to write."""
        self._guarded(lambda: self._accelerator.end_training())

    def _open(self, folder: Path, name: str, settings: Mapping[str, Any]) -> None:
        from accelerate import Accelerator

        folder.mkdir(exist_ok=True)
        path = folder.resolve()
        if self._kind == "mlflow" and "MLFLOW_TRACKING_URI" not in os.environ:
            importlib.import_module("mlflow").set_tracking_uri(f"sqlite:///{path}/mlflow.db")

        # W&B would otherwise write into the current folder.
        options: dict[str, Any] = {}
        if self._kind == "wandb":
            options = {"wandb": {"dir": str(path)}}

        config = {
            key: value if _is_number(value) else str(value) for key, value in settings.items()
        }
        self._accelerator = Accelerator(log_with=self._kind, project_dir=str(folder))
        self._accelerator.init_trackers(name, config=config, init_kwargs=options)

    def _guarded(self, act: Callable[[], None]) -> None:
        if self.failure is not None:
            return
        try:
            act()
        # The library of a tracker, and the service behind it, may raise anything.
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            self.failure = f"{self._kind} failed, the run goes on without it: {reason}"


def check_tracker(kind: str | None) -> None:
    """Raise InputError if the package of a tracker is not installed."""
    if kind is not None and importlib.util.find_spec(kind) is None:
        remedy = f"pip install {kind}, or leave it out"
        raise InputError(Problem("tracker", f"{kind} is not installed", remedy))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
