"""Measure the memory layout in which diffusion models are fitted and drawn from fastest, here.

    python scripts/benchmark_layouts.py                  CPU: processor time of one thread
    python scripts/benchmark_layouts.py --rounds 5       more rounds, for a machine that is busy

Each row is the time in channels_last over that in nchw, the medians over rounds in which the two
take turns: above 1, nchw is faster. `imglab.training.devices.layout_of` is the rule that follows.
"""

from __future__ import annotations

import statistics
import time
from argparse import ArgumentParser
from typing import Any

import torch

from imglab import TrainingSet, seeds
from imglab.images.diffusion.model import DiffusionModel
from imglab.images.diffusion.settings import DiffusionSettings
from imglab.progress import finish
from imglab.samples import Samples

NETWORKS: dict[str, tuple[tuple[int, int, int], dict[str, Any]]] = {
    "28 x 28 in patches of 2": ((1, 28, 28), {"patch": 2, "prediction": "flow_image"}),
    "32 x 32 in colour": ((3, 32, 32), {"channels": [24, 48]}),
}
LAYOUTS = ("nchw", "channels_last")
FITTED = 32 * 6
DRAWN = 64


def clock() -> float:
    """Return seconds: of the processor, or of the wall where an accelerator computes."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def measure(shape: tuple[int, int, int], keys: dict[str, Any], rounds: int) -> dict[str, float]:
    """Return the ratios of fitting and of drawing."""
    images = torch.randint(256, (256, *shape), generator=seeds.generator(0), dtype=torch.uint8)
    train = TrainingSet.of(Samples.real(images))
    plan = {"images": FITTED, "batch": 32}
    took: dict[tuple[str, str], list[float]] = {}

    for number in range(rounds + 1):
        for layout in LAYOUTS:
            section = {**keys, "layout": layout, "steps": 4, "training": plan}
            model = DiffusionModel(DiffusionSettings.model_validate(section))
            fitted = finish(model.fit(train, start=None, seed=0))

            began = clock()
            fitted = finish(model.fit(train, start=None, seed=0))
            fit = clock() - began
            began = clock()
            fitted.sample(DRAWN, seed=0)
            draw = clock() - began

            # The first round warms up.
            if number:
                took.setdefault(("fitting", layout), []).append(fit)
                took.setdefault(("drawing", layout), []).append(draw)

    ratios = {}
    for what in ("fitting", "drawing"):
        nchw, last = (statistics.median(took[what, layout]) for layout in LAYOUTS)
        ratios[what] = last / nchw
    return ratios


def main() -> None:
    """Print a table."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)

    for name, (shape, keys) in NETWORKS.items():
        for precision in ("fp32", "bf16"):
            ratios = measure(shape, {**keys, "precision": precision}, rounds)
            shown = ", ".join(f"{what} {ratio:.2f}" for what, ratio in ratios.items())
            print(f"{name}, {precision}: {shown}", flush=True)


if __name__ == "__main__":
    main()
