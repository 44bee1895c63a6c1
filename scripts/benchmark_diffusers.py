"""The public tools that image chains are compared with, each as a competent user would run it.

They are diffusers' example, a bare training loop and a bare drawing loop on diffusers,
torchmetrics, and precision and recall by blocks of `torch.cdist`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

EXAMPLE = "IMGLAB_TRAIN_UNCONDITIONAL"
"""The environment variable with the path of the example that is the peer of a benchmark.

It is diffusers' examples/unconditional_image_generation/train_unconditional.py.
"""

DRAWN_AT_ONCE = 1_000
"""Images that the pipeline draws at a time: of 16 to 5,000 the cheapest."""

BLOCK = 1_000
"""Rows whose distances are computed at a time."""


def train_by_example(
    images: Tensor, unet: Any, out: Path, *, flip: bool = True, batch: int, **changes: Any
) -> float:
    """Run diffusers' example as its README does and return the seconds of its last epoch.

    It trains a network of the same layers as `unet` on images, uint8 [N, C, H, W]. Its start, its
    earlier epochs and its saving are not counted. The trained pipeline is in out / "trained". Names
    in `changes` are options of the example.
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
    return _seconds_of_last_epoch(command, epochs)


def _write_folder(images: Tensor, folder: Path) -> None:
    """Write images, uint8 [N, C, H, W], as PNG files into a new folder."""
    from imglab.images.render import write_png

    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        write_png(image, folder / f"{number:05d}.png")


def _seconds_of_last_epoch(command: list[str], epochs: int) -> float:
    """Run the example and return how long its last epoch takes, by its progress bars."""
    first = b"Epoch %d:   0%%" % (epochs - 1)
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


def train_in_bare_loop(
    images: Tensor, new_unet: Callable[[], Any], *, batch: int, layout: torch.memory_format
) -> Any:
    """Train a network on images, uint8 [N, C, H, W], once through, in bf16; return its average.

    It does what diffusers' example does in a step: mixed precision, random flips, the noise of
    `DDPMScheduler`, AdamW (the fused one), clipped gradients, a schedule and an average of the
    weights. Unlike the example it reads images from memory.
    """
    import torch
    from diffusers import DDPMScheduler
    from diffusers.optimization import get_scheduler
    from diffusers.training_utils import EMAModel

    unet = new_unet().to(memory_format=layout)
    steps = len(images) // batch
    optimizer = torch.optim.AdamW(unet.parameters(), lr=1e-4, fused=True)
    schedule = get_scheduler("cosine", optimizer, num_warmup_steps=50, num_training_steps=steps)
    average = EMAModel(unet.parameters(), decay=0.9999, use_ema_warmup=True, foreach=True)
    noising = DDPMScheduler()

    for rows in torch.randperm(len(images))[: steps * batch].view(steps, batch):
        clean = images[rows].float() / 127.5 - 1
        flipped = torch.rand(batch, 1, 1, 1) < 0.5
        clean = torch.where(flipped, clean.flip(-1), clean).contiguous(memory_format=layout)
        noise = torch.randn_like(clean)
        times = torch.randint(0, noising.config.num_train_timesteps, (batch,))
        with torch.autocast("cpu", torch.bfloat16):
            predicted = unet(noising.add_noise(clean, noise, times), times).sample
        loss = torch.nn.functional.mse_loss(predicted.float(), noise)

        loss.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        average.step(unet.parameters())

    average.copy_to(unet.parameters())
    return unet


def draw_in_bare_loop(
    unet: Any, scheduler: Any, n: int, *, steps: int, batch: int, layout: torch.memory_format
) -> Tensor:
    """Draw n images with a scheduler of diffusers in batches, in bf16; uint8 [n, C, side, side]."""
    import torch

    unet = unet.eval().to(memory_format=layout)
    side = unet.config.sample_size
    images = []
    for first in range(0, n, batch):
        shape = (min(batch, n - first), unet.config.in_channels, side, side)
        codes = torch.randn(shape).contiguous(memory_format=layout)
        scheduler.set_timesteps(steps)
        codes = codes * scheduler.init_noise_sigma
        for time_step in scheduler.timesteps:
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
                predicted = unet(scheduler.scale_model_input(codes, time_step), time_step).sample
            codes = scheduler.step(predicted.float(), time_step, codes).prev_sample
        images.append(((codes / 2 + 0.5).clamp(0, 1) * 255).round().byte())
    return torch.cat(images)


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


def frechet_by_torchmetrics(real: Tensor, synthetic: Tensor) -> float:
    """Return the Fréchet distance of features [N, D] by torchmetrics, moments included."""
    return new_frechet_by_torchmetrics(real)(synthetic)


def new_frechet_by_torchmetrics(real: Tensor) -> Callable[[Tensor], float]:
    """Return the Fréchet distance to these features [N, D], by torchmetrics, which keeps them."""
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Identity(torch.nn.Module):
        num_features = real.shape[1]

        def forward(self, features: Tensor) -> Tensor:
            return features

    score = FrechetInceptionDistance(
        feature=Identity(), reset_real_features=False, normalize=False, antialias=False
    )
    score.set_dtype(torch.float64)
    for part in real.split(BLOCK):
        score.update(part, real=True)

    def frechet(synthetic: Tensor) -> float:
        score.reset()
        for part in synthetic.split(BLOCK):
            score.update(part, real=False)
        return float(score.compute())

    return frechet


def radii_by_cdist(features: Tensor, k: int = 5) -> Tensor:
    """Return each row's distance to its k-th nearest other one, by blocks of `cdist`, [N]."""
    import torch

    blocks = [torch.cdist(part, features) for part in features.split(BLOCK)]
    return torch.cat([block.kthvalue(k + 1, dim=1).values for block in blocks])


def neighbours_by_cdist(
    real: Tensor, synthetic: Tensor, *, k: int = 5, real_radii: Tensor | None = None
) -> dict[str, float]:
    """Return precision, recall, density and coverage of features [N, D] by blocks of `cdist`.

    real_radii  `radii_by_cdist` of the real features, where they are kept
    """
    import torch

    if real_radii is None:
        real_radii = radii_by_cdist(real, k)
    synthetic_radii = radii_by_cdist(synthetic, k)

    precise = density = 0
    recalled = torch.zeros(len(real), dtype=torch.bool)
    nearest = torch.full((len(real),), torch.inf)
    for part, part_radii in zip(synthetic.split(BLOCK), synthetic_radii.split(BLOCK), strict=True):
        distances = torch.cdist(part, real)
        inside = distances <= real_radii
        precise += int(inside.any(1).sum())
        density += int(inside.sum())
        recalled |= (distances <= part_radii[:, None]).any(0)
        nearest = torch.minimum(nearest, distances.amin(0))

    return {
        "precision": precise / len(synthetic),
        "recall": float(recalled.float().mean()),
        "density": density / (k * len(synthetic)),
        "coverage": float((nearest <= real_radii).float().mean()),
    }
