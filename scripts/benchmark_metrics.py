"""Benchmarks of the metrics and of the command line's start, for scripts/benchmark.py."""

from __future__ import annotations

import contextlib
import io
import resource
import statistics
from typing import TYPE_CHECKING

from benchmark_tools import Rows, imglab_process, in_turn, row, seconds

if TYPE_CHECKING:
    from torch import Tensor

N = 10_000
WIDTH = 2_048


def features(scale: float, seed: int, n: int = N) -> Tensor:
    """Return normal features, float32 [n, WIDTH]."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, WIDTH, generator=generator) * scale


def bench_prdc() -> Rows:
    """Precision, recall, density and coverage of 10,000 x 2,048 against the same size.

    It measures memory beyond the inputs, too.
    """
    import prdc as reference

    from imglab.metrics import PRDC, prdc

    # A small set first, so that what is allocated once does not count.
    prdc(real=features(1, 0, 64), synthetic=features(1, 1, 64))
    real = features(1, 0)
    synthetic = features(0.99, 1)

    def ours() -> PRDC:
        return prdc(real=real, synthetic=synthetic, precision_recall_k=5)

    def peer() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            reference.compute_prdc(real.numpy(), synthetic.numpy(), nearest_k=5)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ours()
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024

    times = in_turn(ours, peer, 3)
    return {
        "prdc": row(*times, "s (prdc package)"),
        "prdc_memory": row(memory, 300, "MB beyond the inputs (limit)"),
    }


def bench_frechet() -> Rows:
    """The Fréchet distance of two sets of 10,000 x 2,048, given their means and covariances."""
    import torch
    from torchmetrics.image.fid import _compute_fid

    from imglab.metrics import Moments, frechet_of_moments

    real = Moments.of(features(1, 0))
    synthetic = Moments.of(features(0.99, 1))

    def ours() -> float:
        return frechet_of_moments(real=real, synthetic=synthetic)

    def peer() -> float:
        return float(_compute_fid(real.mean, real.covariance, synthetic.mean, synthetic.covariance))

    assert abs(ours() - peer()) < 1e-6 * float(torch.trace(real.covariance))
    return {"frechet": row(*in_turn(ours, peer, 3), "s (torchmetrics)")}


def bench_help() -> Rows:
    """`imglab --help`, as a whole process."""
    times = [seconds(lambda: imglab_process("--help")) for _ in range(7)]
    return {"help": row(statistics.median(times), 0.5, "s (limit)")}
