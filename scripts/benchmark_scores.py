"""Measure what scoring a generation costs: CPU-seconds, memory beyond the inputs, and digits.

    python scripts/benchmark_scores.py                          10,000 x 2,048, as Inception gives
    python scripts/benchmark_scores.py --samples 2000 --reference
    python scripts/benchmark_scores.py --parts
    python scripts/benchmark_scores.py --floor

`scores` are all that `Measure.scores` computes, with errors, matched moments and copies; `pairs`
are the part of it that looks at pairs: precision, recall (three kinds), density, coverage, both
kernel distances and the distances to the training set. The real side is kept from the first
generation, so the second one is measured. `--reference` compares `pairs` with plain float64.
`--floor` measures the floor of so many samples beside a generation's scores, and their ratio.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from imglab import seeds
from imglab.measure import Measure
from imglab.metrics.errors import neighbour_errors
from imglab.metrics.memorization import distances_to, mean_distance
from imglab.metrics.one_pass import OnePass, Reference
from imglab.metrics.pairs import Pairs
from imglab.metrics.prdc import prdc_of
from imglab.metrics.two_sample import two_sample_auc
from imglab.metrics.vendi import vendi_score
from imglab.modality import Modality, Split
from imglab.progress import finish
from imglab.samples import Samples

KS: dict[str, Any] = {"precision_recall_k": 3, "density_coverage_k": 5}


def features(name: str, n: int, width: int, scale: float = 1.0) -> Tensor:
    """Return features as a network gives them, float32: never negative, of a few strong factors."""
    random = seeds.generator("benchmark", name)
    strength = torch.logspace(0, -1.5, 64)[:, None] * 0.15
    factors = torch.randn(64, width, generator=seeds.generator("factors")) * strength
    rows = torch.empty(n, width)
    for part in rows.split(1024):
        noise = 0.3 * torch.randn(part.shape, generator=random)
        noise += torch.randn(len(part), 64, generator=random) @ factors
        part.copy_(torch.relu(0.3 + scale * noise))
    return rows


class Vectors(Modality):
    """Real data that are features already."""

    def __init__(self, n: int, width: int) -> None:
        self._real = {split: features(split, n, width) for split in ("train", "test")}

    def real(self, split: Split) -> Samples:
        return Samples.real(self._real[split])


def pairs(test: Reference, train: Reference, synthetic: Tensor) -> dict[str, float]:
    """Return what the pairs of samples say."""
    one_pass = OnePass(test, synthetic, **KS)
    values: dict[str, float] = prdc_of(one_pass.balls, KS["density_coverage_k"])._asdict()
    values |= {f"{name}_bounded": each for name, each in one_pass.bounded.scores._asdict().items()}
    values |= {f"{name}_probabilistic": each for name, each in one_pass.support._asdict().items()}
    values |= {f"kid_{name}": each for name, each in one_pass.kernel._asdict().items()}
    standard = one_pass.kernel_standard._asdict()
    values |= {f"kid_standard_{name}": each for name, each in standard.items()}
    values["nearest_distance"] = mean_distance(distances_to(train, synthetic))[0]
    return values


def measured(name: str, work: Callable[[], Any]) -> Any:
    """Do some work and print the CPU-seconds and the memory that it takes."""
    return timed(name, work)[0]


def timed(name: str, work: Callable[[], Any]) -> tuple[Any, float]:
    """Do what `measured` does, and return the CPU-seconds, too."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    result = work()
    seconds = time.process_time() - began
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{name:28} {seconds:8.1f} CPU-seconds {memory:8.0f} MB more than before", flush=True)
    return result, seconds


def keep_real_side(test: Reference, train: Reference) -> None:
    """Compute what stays from generation to generation."""
    assert test.moments.lower is not None
    test.prepare((3, 4, 5))
    assert len(train.points)


def parts(test: Reference, train: Reference, synthetic: Tensor) -> None:
    """Measure the parts of a generation's scores, once the real side is there."""
    measured("real side", lambda: keep_real_side(test, train))
    measured("real side, standardised", lambda: test.standard_kernel)
    looked_at = Pairs(test, synthetic, **KS, errors=True, matched=True)
    both: dict[str, Any] = {"real": test.features, "synthetic": synthetic}

    measured("Frechet distance", looked_at.frechet)
    measured("its errors", looked_at.frechet_errors)
    one_pass = measured("pairs", lambda: looked_at.at_least(6))
    measured("standardised pairs", lambda: one_pass.kernel_standard)
    measured("matched samples", looked_at.matched_scores)
    measured("nearest training samples", lambda: distances_to(train, synthetic))
    measured("errors by halves", lambda: neighbour_errors(**both, **KS))
    measured("two-sample test", lambda: two_sample_auc(**both))
    measured("vendi", lambda: vendi_score(synthetic))


def difference(test: Tensor, train: Tensor, synthetic: Tensor, values: dict[str, float]) -> None:
    """Print the largest differences from float64 throughout."""
    exact = pairs(Reference(test.double()), Reference(train.double()), synthetic.double())
    apart = {name: abs(values[name] - exact[name]) for name in exact}
    relative = {name: apart[name] / max(abs(exact[name]), 1e-300) for name in exact}
    for title, each in (("absolute", apart), ("relative", relative)):
        name = max(each, key=each.__getitem__)
        print(f"largest {title} difference from float64: {each[name]:.2g} ({name})")


def score(modality: Vectors, synthetic: Tensor, splits: int) -> None:
    """Measure the floor, unless it has no splits, and the scores of two generations."""
    measure = Measure(modality, floor_splits=splits)
    finish(measure.prepare())
    samples = Samples.drawn(synthetic)
    floor = 0.0
    if splits:
        floor = timed("floor", lambda: finish(measure.prepare(n_synthetic=len(synthetic))))[1]
    measured("scores, first generation", lambda: finish(measure.scores(samples, synthetic)))
    scores = timed("scores of a generation", lambda: finish(measure.scores(samples, synthetic)))[1]
    print(f"the floor costs {floor / scores:.2f} times a generation's scores")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--width", type=int, default=2_048)
    parser.add_argument("--splits", type=int, default=200, help="splits of the floor; 0: no floor")
    parser.add_argument("--reference", action="store_true", help="compare with float64")
    parser.add_argument("--parts", action="store_true", help="measure each part by itself")
    parser.add_argument("--pairs", action="store_true", help="measure the pairs alone")
    parser.add_argument("--floor", action="store_true", help="measure the floor beside the scores")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    # A small set first, so that what is allocated once does not count.
    small = features("small", 100, 16)
    pairs(Reference(small), Reference(small), small)
    modality = Vectors(arguments.samples, arguments.width)
    synthetic = features("synthetic", arguments.samples, arguments.width, 0.95)
    test = Reference(modality.real("test").data)
    train = Reference(modality.real("train").data)

    if arguments.parts:
        parts(test, train, synthetic)
        return

    if arguments.floor:
        score(modality, synthetic, arguments.splits)
        return

    measured("pairs, with the real side", lambda: pairs(test, train, synthetic))
    values = measured("pairs of a generation", lambda: pairs(test, train, synthetic))
    if arguments.reference:
        difference(test.features, train.features, synthetic, values)
    if arguments.pairs:
        return

    score(modality, synthetic, arguments.splits)


if __name__ == "__main__":
    main()
