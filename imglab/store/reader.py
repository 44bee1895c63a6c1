"""A run directory, opened to read."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from imglab.samples import Samples
from imglab.store import layout, reading


class RunFolder:
    """Reads a run directory; writes nothing."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def finished(self, g: int) -> bool:
        """Say whether generation g is complete: its manifest is there."""
        return layout.finished(self.root, g)

    def metrics(self, g: int) -> dict[str, Any]:
        """Return the metrics of generation g."""
        return reading.read_generation(self.root, g)

    def samples(self, g: int, stage: str = "samples") -> Samples:
        """Return what generation g drew, memory-mapped."""
        columns = load_file(self._path(g, stage))
        return Samples(**{field.name: columns.get(field.name) for field in fields(Samples)})  # type: ignore[arg-type]

    def accepted(self, g: int) -> Tensor | None:
        """Return which of generation g's samples went on to the pool, int64 [M]; None where all did."""
        with safe_open(self._path(g, "samples"), framework="pt") as file:
            if "accepted" not in file.keys():  # noqa: SIM118 (it is no dictionary)
                return None
            accepted: Tensor = file.get_tensor("accepted")
        return accepted

    def features(self, g: int) -> Tensor:
        """Return the features of generation g's samples, float32 [N, D]."""
        return load_file(self._path(g, "features"))["features"]

    def _folder(self, g: int) -> Path:
        return layout.generation_folder(self.root, g)

    def _path(self, g: int, stage: str) -> Path:
        name = {"model": "model", "metrics": "metrics.json"}.get(stage, f"{stage}.safetensors")
        return self._folder(g) / name
