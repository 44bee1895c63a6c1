"""Metrics of each generation in TensorBoard, W&B, MLflow or trackio, through accelerate's trackers."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from imglab.errors import InputError, Problem

FOLDER = "tracking"


class Tracker:
    """Passes metrics on to a tracker. What goes wrong there is reported once and never stops a run."""

    def __init__(self, kind: str, folder: Path, name: str, settings: Mapping[str, Any]) -> None:
        """Open a tracker of this kind for the run `name`; its local files, if any, go to `folder`/tracking.

        settings  the config, as dotted keys
        """
        self.failure: str | None = None
        self._kind = kind
        self._accelerator: Any = None
        self._guarded(lambda: self._open(folder / FOLDER, name, settings))

    def log(self, metrics: Mapping[str, Any]) -> None:
        """Log the numbers among a generation's metrics, its number as the step."""
        numbers = {key: value for key, value in metrics.items() if _is_number(value)}
        self._guarded(lambda: self._accelerator.log(numbers, step=metrics["generation"]))

    def close(self) -> None:
        """Let the tracker finish what it has to write."""
        self._guarded(lambda: self._accelerator.end_training())

    def _open(self, folder: Path, name: str, settings: Mapping[str, Any]) -> None:
        from accelerate import Accelerator

        folder.mkdir(exist_ok=True)
        if self._kind == "mlflow" and "MLFLOW_TRACKING_URI" not in os.environ:
            importlib.import_module("mlflow").set_tracking_uri(
                f"sqlite:///{folder.resolve()}/mlflow.db"
            )
        self._accelerator = Accelerator(log_with=self._kind, project_dir=str(folder))
        plain = {key: value if _is_number(value) else str(value) for key, value in settings.items()}
        self._accelerator.init_trackers(
            name, config=plain, init_kwargs=_kept_in(folder.resolve()).get(self._kind, {})
        )

    def _guarded(self, act: Callable[[], None]) -> None:
        if self.failure is not None:
            return
        try:
            act()
        except Exception as error:  # whatever a tracker's library raises
            self.failure = (
                f"{self._kind} failed, the run goes on without it: {type(error).__name__}: {error}"
            )


def _kept_in(folder: Path) -> dict[str, Any]:
    """Return what tells each tracker to keep its local files in `folder`, where it would not do so by itself."""
    return {"wandb": {"wandb": {"dir": str(folder)}}}


def check_tracker(kind: str | None) -> None:
    """Raise InputError where the package of a tracker is not installed."""
    if kind is not None and importlib.util.find_spec(kind) is None:
        raise InputError(
            Problem("tracker", f"{kind} is not installed", f"pip install {kind}, or leave it out")
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
