"""From samples to features; those of the real data are taken once."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import get_args

from safetensors.torch import load_file, save_file

from imglab import distributed
from imglab.measures import Features
from imglab.metrics.comparison import Reference
from imglab.modality import Modality, Split
from imglab.progress import Progress, Stage
from imglab.samples import Samples
from imglab.store import files, hashes

CHUNK = 1024
"""Samples whose features are taken at a time."""


class Extraction:
    """Takes the features of samples, and holds those of the real data.

    real  the features of the real data by split, once `prepare` has run
    """

    def __init__(self, modality: Modality, *, cache: Path | None, batch: int) -> None:
        """Choose whose extractor to use.

        cache  folder that keeps real features from process to process
        batch  samples whose features are taken at a time
        """
        self.real: dict[str, Reference] = {}
        self._modality = modality
        self._cache = cache
        self._batch = batch

    def prepare(self) -> Stage[None]:
        """Take the features of the real data, or read them where they have been taken."""
        path = self._cache / "reference.safetensors" if self._cache else None
        if path and distributed.broadcast(path.exists()):
            for split, features in load_file(path).items():
                self.real[split] = Reference(features)
            return

        for split in get_args(Split):
            extracted = yield from self.features(self._modality.real(split))
            self.real[split] = Reference(extracted.values)

        if path:
            tensors = {split: reference.features for split, reference in self.real.items()}
            with hashes.written(path.parent, path.name):
                files.write_atomically(path, partial(save_file, tensors))

    def features(self, samples: Samples) -> Stage[Features]:
        """Take the features of samples, a chunk at a time; each process takes its shard."""
        shard = distributed.shard(len(samples))

        chunks = []
        for start in range(shard.start, shard.stop, self._batch):
            end = min(start + self._batch, shard.stop)
            chunks.append(self._modality.features(samples[start:end]))
            seen = (end - shard.start) * distributed.world_size()
            yield Progress("measure", seen, len(samples))

        features = distributed.gather_rows(chunks)
        if features is None:
            raise ValueError("there are no samples to take the features of")
        return Features(features.float().contiguous(), str(self._modality.extractor))
