"""Benchmarks of the metrics and of the command line's start, for scripts/benchmark.py."""

from __future__ import annotations

import resource
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark_diffusers import frechet_by_torchmetrics, neighbours_by_cdist
from benchmark_tools import (
    Rows,
    computing_seconds,
    imglab_process,
    in_pairs,
    limit_row,
    peer_row,
)

if TYPE_CHECKING:
    from torch import Tensor

N = 10_000
WIDTH = 2_048


def features(scale: float, seed: int, n: int, width: int) -> Tensor:
    """Return normal features, float32 [n, width]."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    # In place: what a copy leaves free would hide as much of the memory that is measured later.
    return torch.randn(n, width, generator=generator).mul_(scale)


def bench_prdc() -> Rows:
    """Precision, recall, density and coverage, and the memory that they take beyond the inputs."""
    from imglab.metrics import prdc

    # A small set first, so that what is allocated once does not count.
    prdc(real=features(1, 0, 64, WIDTH), synthetic=features(1, 1, 64, WIDTH))
    real = features(1, 0, N, WIDTH)
    synthetic = features(0.99, 1, N, WIDTH)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    prdc(real=real, synthetic=synthetic, precision_recall_k=5)
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {
        **compare_prdc(real, synthetic),
        "prdc_memory": limit_row(memory, 300, "MB beyond the inputs (limit)"),
    }


def compare_prdc(real: Tensor, synthetic: Tensor) -> Rows:
    """Compare the time of precision, recall, density and coverage with that of a peer.

    The peer is thirty lines of `torch.cdist` by blocks.
    """
    from imglab.metrics import PRDC, prdc

    def ours() -> PRDC:
        return prdc(real=real, synthetic=synthetic, precision_recall_k=5)

    def peer() -> dict[str, float]:
        return neighbours_by_cdist(real, synthetic)

    pairs = in_pairs(ours, peer)
    return {"prdc": peer_row(pairs, "CPU-s (torch.cdist by blocks, float32)", reach=1.0)}


def bench_frechet(n: int = N, width: int = WIDTH) -> Rows:
    """The Fréchet distance of two sets of n features, moments included."""
    from imglab.metrics import Moments, frechet_of_moments

    real = features(1, 0, n, width)
    synthetic = features(0.99, 1, n, width)

    def ours() -> float:
        return frechet_of_moments(real=Moments.of(real), synthetic=Moments.of(synthetic))

    def peer() -> float:
        return frechet_by_torchmetrics(real, synthetic)

    assert abs(ours() - peer()) < 1e-6 * width
    return {"frechet": peer_row(in_pairs(ours, peer), "CPU-s (torchmetrics)", reach=1.0)}


STARTS = {
    "help": (0.5, ("--help",)),
    "validate": (3.0, ("validate", "configs/image_digits.yaml")),
    "smoke": (4.0, ("run", "configs/smoke/gaussian.yaml")),
}
"""Commands that should end soon: the most CPU-seconds of each, and its arguments."""


def bench_start(name: str) -> Rows:
    """A command that does little, as a whole process."""
    most, arguments = STARTS[name]

    def start() -> None:
        with tempfile.TemporaryDirectory() as folder:
            out = ["--out", str(Path(folder) / "run")] if arguments[0] == "run" else []
            imglab_process(*arguments, *out)

    times = [computing_seconds(start) for _ in range(5)]
    return {name: limit_row(statistics.median(times), most, "CPU-s (limit)")}
