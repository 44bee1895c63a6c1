"""A run directory, opened to read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from imglab.measures import Continuation, Features
from imglab.model import GenerativeModel
from imglab.samples import Samples
from imglab.store import layout, model_folder, reading
from imglab.store.base import StoredChain
from imglab.store.pruned import check_present, read_pruned
from imglab.store.stage_files import FORMATS, StageFiles


class RunFolder(StoredChain):
    """Reads a run directory; writes nothing."""

    def __init__(
        self, root: Path, *, load_model: Callable[[Path], GenerativeModel] = model_folder.load_model
    ) -> None:
        """Open the run directory `root`; `load_model` opens a `model/` folder in it."""
        self.root = root
        self._load_model = load_model

    def finished(self, g: int) -> bool:
        """Say whether generation g is complete: its manifest exists."""
        return layout.finished(self.root, g)

    def size(self, g: int) -> int:
        """Return how many samples generation g left in the pool, also where they were removed."""
        size = read_pruned(self.root).sizes.get(g)
        if size is not None:
            return size
        return super().size(g)

    def model(self, g: int) -> GenerativeModel:
        """Return the fitted model of generation g; InputError if it was removed."""
        check_present(self.root, g, "model")
        return self._load_model(self.path(g, "model"))

    def samples(self, g: int, stage: str = "samples") -> Samples:
        """Return what generation g drew, memory-mapped."""
        samples: Samples = self.read(g, stage)
        return samples

    def accepted(self, g: int) -> Tensor | None:
        """Return which of generation g's samples went on to the pool, int64 [M]; None: all did."""
        accepted: Tensor | None = self.read(g, "accepted")
        return accepted

    def features(self, g: int) -> Tensor:
        """Return the features of generation g's samples, float32 [N, D]."""
        features: Features = self.read(g, "features")
        return features.values

    def metrics(self, g: int) -> dict[str, Any]:
        """Return the metrics of generation g."""
        return reading.read_generation(self.root, g)

    def continuation(self, g: int) -> Continuation | None:
        """Return how generation g continued the opening of the panel; None: it did not."""
        if not self.path(g, "panel").exists():
            return None
        continuation: Continuation = self.read(g, "panel")
        return continuation

    def read(self, g: int, stage: str) -> Any:
        """Return what a stage of generation g returned, as `STAGES` says.

        Raises InputError if it was removed.
        """
        check_present(self.root, g, self._stages[stage].main)
        return self._stages[stage].read(self.path(g, stage))

    def path(self, g: int, stage: str) -> Path:
        """Return the file or folder of a stage of generation g, whether or not it exists."""
        return self._folder(g) / self._stages[stage].main

    @cached_property
    def _stages(self) -> Mapping[str, StageFiles]:
        return FORMATS[reading.read_format(self.root)]

    def _folder(self, g: int) -> Path:
        return layout.generation_folder(self.root, g)
