"""The public tools that image chains are compared with, for scripts/benchmark.py.

They are diffusers' example and pipeline, torchmetrics and prdc.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark_tools import Rows

if TYPE_CHECKING:
    from torch import Tensor

EXAMPLE = "IMGLAB_TRAIN_UNCONDITIONAL"
"""The environment variable with the path of the example that is the peer of three benchmarks.

It is diffusers' examples/unconditional_image_generation/train_unconditional.py.
"""

DRAWN_AT_ONCE = 1_000
"""Images that the pipeline draws at a time: of 16 to 5,000 the cheapest."""


def skipped(name: str) -> Rows | None:
    """Return the result of a benchmark that needs diffusers' example, where there is none."""
    if EXAMPLE in os.environ:
        return None
    return {name: {"skipped": f"{EXAMPLE} does not name diffusers' example"}}


def train_by_example(
    images: Tensor, unet: Any, out: Path, *, flip: bool = True, batch: int, **changes: Any
) -> float:
    """Run diffusers' example as its README does and return the seconds of its epochs.

    It trains a network of the same layers as `unet` on images, uint8 [N, C, H, W]. Its start and
    its saving are not counted. The trained pipeline is in out / "trained". Names in `changes` are
    options of the example.
    """
    folder = out / "images"
    if not folder.exists():
        _write_folder(images, folder)
        unet.save_config(out / "unet")

    epochs = changes.get("num_epochs", 1)
    options = {
        "train_data_dir": folder,
        "resolution": unet.config.sample_size,
        "output_dir": out / "trained",
        "train_batch_size": batch,
        "num_epochs": epochs,
        "learning_rate": 1e-4,
        "lr_warmup_steps": 500,
        "mixed_precision": "no",
        "model_config_name_or_path": out / "unet",
        "ddpm_num_inference_steps": 1,
        "eval_batch_size": 1,
        "save_images_epochs": epochs,
        "save_model_epochs": epochs,
    }
    options |= changes

    command = [sys.executable, os.environ[EXAMPLE], "--center_crop", "--use_ema"]
    if flip:
        command.append("--random_flip")
    command += [f"--{key}={value}" for key, value in options.items()]
    return _seconds_of_epochs(command, epochs)


def _write_folder(images: Tensor, folder: Path) -> None:
    """Write images, uint8 [N, C, H, W], as PNG files into a new folder."""
    from imglab.images.render import write_png

    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        write_png(image, folder / f"{number:05d}.png")


def _seconds_of_epochs(command: list[str], epochs: int) -> float:
    """Run the example and return how long its epochs take, by its progress bars."""
    first = b"Epoch 0:   0%"
    last = b"Epoch %d: 100%%" % (epochs - 1)
    printed = b""
    began = 0.0
    ended = 0.0

    process = subprocess.Popen(
        command,
        bufsize=0,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    with process as example:
        assert example.stderr is not None
        while piece := example.stderr.read(8_192):
            printed = printed[-2_000:] + piece
            if not began and first in printed:
                began = time.perf_counter()
            if not ended and last in printed:
                ended = time.perf_counter()

    if example.returncode or not began < ended:
        raise SystemExit(f"{os.environ[EXAMPLE]} failed: {printed.decode()}")
    return ended - began


def draw_by_pipeline(pipeline: Any, n: int, seed: int, **options: Any) -> Tensor:
    """Return n images that a diffusers pipeline draws to PIL, uint8 [n, C, side, side]."""
    import numpy as np
    import torch

    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(seed)

    images: list[Any] = []
    for first in range(0, n, DRAWN_AT_ONCE):
        batch = min(DRAWN_AT_ONCE, n - first)
        images += pipeline(batch_size=batch, generator=generator, **options).images

    arrays = np.stack([np.asarray(image) for image in images])
    if arrays.ndim == 3:  # grey images have no axis for channels
        return torch.from_numpy(arrays[:, None])
    return torch.from_numpy(arrays.transpose(0, 3, 1, 2))


def score_by_public_tools(
    real: Tensor, images: Tensor, features: Callable[[Tensor], Tensor]
) -> None:
    """Score images by torchmetrics' FID and prdc, on the features that `features` extracts."""
    import prdc as reference
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Network(torch.nn.Module):
        num_features = 64

        def forward(self, batch: Tensor) -> Tensor:
            return features(batch)

    network = Network()
    score = FrechetInceptionDistance(feature=network)
    score.update(real, real=True)
    score.update(images, real=False)
    score.compute()

    real_features = network(real).double().numpy()
    image_features = network(images).double().numpy()
    with contextlib.redirect_stdout(io.StringIO()):
        reference.compute_prdc(real_features, image_features, nearest_k=5)
