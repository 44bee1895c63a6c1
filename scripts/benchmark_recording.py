"""Measure what a GPU saves where steps of a fit are recorded once and replayed.

    python scripts/benchmark_recording.py                       the networks of three configs
    python scripts/benchmark_recording.py --steps 60 digits     one of them, more steps
    python scripts/benchmark_recording.py --layout nchw         in this memory layout

Each row is the median time of a step: as Python asks for it, recorded, and, with --compiled, by
torch.compile, which takes minutes before its first step. All are of one process.
"""

from __future__ import annotations

import itertools
import statistics
import time
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

import torch

from imglab import TrainingSet, seeds
from imglab.config.yaml import read_yaml
from imglab.images.diffusion.model import DiffusionModel
from imglab.images.diffusion.settings import DiffusionSettings
from imglab.samples import Samples
from imglab.training import graphs

NETWORKS = {
    "digits": (Path("configs/image_digits.yaml"), (1, 28, 28)),
    "clothes": (Path("configs/image_fashion_mnist.yaml"), (1, 32, 32)),
    "photographs": (Path("configs/image_cifar10.yaml"), (3, 32, 32)),
}
"""Configs, and the shapes of their images."""

WARM_UP = 6
"""Steps that are not counted."""


def step_ms(
    name: str, steps: int, how: Mapping[str, str], *, recorded: bool, compiled: bool = False
) -> float:
    """Return the median milliseconds of a step of a config's fit on random images.

    how  the model's layout and precision
    """
    path, shape = NETWORKS[name]
    section = dict(read_yaml(path)["model"])
    section.update(how, compile=compiled, sampling_batch=128)
    model = DiffusionModel(DiffusionSettings.model_validate(section), classes=10)

    images = torch.randint(256, (2_000, *shape), generator=seeds.generator(0), dtype=torch.uint8)
    train = TrainingSet.of(Samples.real(images, torch.arange(len(images)) % 10))
    with mock.patch.object(graphs, "RECORDS", recorded):
        ends = [
            time.perf_counter()
            for _ in itertools.islice(model.fit(train, start=None, seed=0), steps)
        ]
    return 1e3 * statistics.median(b - a for a, b in itertools.pairwise(ends[WARM_UP:]))


def main() -> None:
    """Print a table."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NETWORKS, []], metavar="NAME")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--layout", choices=["nchw", "channels_last"], default="nchw")
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--compiled", action="store_true")
    arguments = parser.parse_args()

    print(f"torch {torch.__version__}, {device_name()}")
    how = {"layout": arguments.layout, "precision": arguments.precision}
    for name in arguments.names or NETWORKS:
        asked = step_ms(name, arguments.steps, how, recorded=False)
        recorded = step_ms(name, arguments.steps, how, recorded=True)
        line = f"{name}: {asked:.1f} ms asked for, {recorded:.1f} recorded"
        if arguments.compiled:
            compiled = step_ms(name, arguments.steps, how, recorded=False, compiled=True)
            line += f", {compiled:.1f} compiled"
        print(line, flush=True)


def device_name() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return "a CPU, where nothing is recorded"


if __name__ == "__main__":
    main()
