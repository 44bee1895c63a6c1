"""The peers' rows of scripts/speedrun.py: public tools, each in its own best setting."""

from __future__ import annotations

import importlib
import os
import resource
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from benchmark_diffusers import EXAMPLE, draw_by_pipeline, train_by_example
from benchmark_tools import scratch
from speedrun_rows import Scores, SpeedRun, seconds_now
from torch import Tensor

from imglab.training.devices import device

BATCH = 128
STEPS = 18
"""Denoising steps of every row."""
DRAWN_AT_ONCE = 250


def run_smalldiffusion(network: str, speed_run: SpeedRun, seed: int) -> Scores:
    """Train a network of smalldiffusion by its own loop, in bf16, and draw by its own sampler.

    Noise schedule, learning rate and average are those of its examples for this network.
    """
    try:
        smalldiffusion: Any = importlib.import_module("smalldiffusion")
    except ImportError:
        return {"skipped": "pip install smalldiffusion"}
    from diffusers.training_utils import EMAModel

    torch.manual_seed(seed)
    images = speed_run.real.data.float() / 127.5 - 1
    loader: Any = torch.utils.data.DataLoader(images, BATCH, shuffle=True, drop_last=True)  # type: ignore[arg-type]
    model, schedule, rate, decay = _network(smalldiffusion, network, images)
    average = EMAModel(model.to(device()).parameters(), decay=decay, use_ema_warmup=True)
    in_bf16 = torch.autocast(device().type, torch.bfloat16)

    seen = 0
    began = seconds_now()
    with in_bf16:
        for _ in smalldiffusion.training_loop(loader, model, schedule, epochs=10**6, lr=rate):
            average.step(model.parameters())
            seen += BATCH
            if seconds_now() - began > speed_run.seconds:
                break
    fit_s = seconds_now() - began

    average.copy_to(model.parameters())
    began = seconds_now()
    drawn = []
    for first in range(0, speed_run.drawn, DRAWN_AT_ONCE):
        batch = min(DRAWN_AT_ONCE, speed_run.drawn - first)
        sigmas = schedule.sample_sigmas(STEPS)
        with in_bf16:
            *_, last = smalldiffusion.samples(model, sigmas, gam=1.6, batchsize=batch)
        drawn.append(_rounded(last.float()))
    draw_s = seconds_now() - began
    return speed_run.scores(torch.cat(drawn), seen=seen, fit_s=fit_s, draw_s=draw_s)


def _network(smalldiffusion: Any, network: str, images: Tensor) -> tuple[Any, Any, float, float]:
    """Return a network with its noise schedule, learning rate and averaging decay."""
    channels = images.shape[1]
    side = images.shape[2]
    if network == "transformer":
        schedule = smalldiffusion.ScheduleDDPM(beta_start=0.0001, beta_end=0.02, N=1000)
        size: dict[str, Any] = {"patch_size": 2, "depth": 6, "head_dim": 32, "num_heads": 6}
        model = smalldiffusion.DiT(in_dim=side, channels=channels, mlp_ratio=4.0, **size)
        return model, schedule, 1e-3, 0.99

    schedule = smalldiffusion.ScheduleLogLinear(sigma_min=0.01, sigma_max=20, N=800)
    scaled = smalldiffusion.Scaled(smalldiffusion.Unet)
    # As wide as the lab's own network: the example's 64 channels see too few images in the time.
    size = {"ch": 32, "ch_mult": (1, 2), "attn_resolutions": ()}
    return scaled(side, channels, channels, **size), schedule, 7e-4, 0.999


def _rounded(images: Tensor) -> Tensor:
    return ((images / 2 + 0.5).clamp(0, 1) * 255).round().byte().cpu()


def run_example(speed_run: SpeedRun, seed: int) -> Scores:
    """Train by diffusers' train_unconditional.py in bf16; draw by its pipeline in a few steps.

    Its computing time is that of as many epochs as fit into the time, start and saving left out.
    """
    if EXAMPLE not in os.environ:
        return {"skipped": f"{EXAMPLE} names no train_unconditional.py"}
    from diffusers import DDPMPipeline, DPMSolverMultistepScheduler, UNet2DModel

    images = speed_run.real.data
    unet = UNet2DModel(
        sample_size=images.shape[2],
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        add_attention=False,
        norm_num_groups=8,
    )
    folder = scratch()
    train = partial(_train, images, unet, folder)

    one, two = train(1), train(2)
    epochs = max(1, round(speed_run.seconds / (two - one)))
    fit_s = train(epochs) - (2 * one - two)

    pipeline = DDPMPipeline.from_pretrained(str(folder / "trained"))
    config = pipeline.scheduler.config
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(
        config, timestep_spacing="trailing", thresholding=True, sample_max_value=1.0
    )
    began = seconds_now()
    drawn = draw_by_pipeline(pipeline, speed_run.drawn, seed, num_inference_steps=STEPS)
    draw_s = seconds_now() - began

    # The example trains in colour.
    if images.shape[1] == 1:
        drawn = drawn.float().mean(1, keepdim=True).round().byte()
    seen = epochs * len(images)
    return speed_run.scores(drawn, seen=seen, fit_s=fit_s, draw_s=draw_s)


def _train(images: Tensor, unet: Any, folder: Path, epochs: int) -> float:
    """Run the example for some epochs; return the seconds of the whole process.

    They are seconds of computing on a CPU, and seconds of the clock on a GPU.
    """
    before = _process_seconds()
    options: Mapping[str, Any] = {
        "mixed_precision": "bf16",
        "learning_rate": 1e-3,
        "lr_warmup_steps": 20,
        "ddpm_beta_schedule": "squaredcos_cap_v2",
        "ema_max_decay": 0.995,
        "dataloader_num_workers": 0,
    }
    train_by_example(images, unet, folder, flip=False, batch=BATCH, num_epochs=epochs, **options)
    return _process_seconds() - before


def _process_seconds() -> float:
    """Return the clock by which other processes are timed, which have been waited for."""
    if device().type == "cuda":
        return time.perf_counter()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


PEERS: Mapping[str, Callable[[SpeedRun, int], Scores]] = {
    "diffusers example": run_example,
    "smalldiffusion, UNet": partial(run_smalldiffusion, "unet"),
    "smalldiffusion, transformer": partial(run_smalldiffusion, "transformer"),
}
"""The peers' rows by name."""
