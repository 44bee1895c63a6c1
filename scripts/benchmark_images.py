"""Benchmarks of image chains, for scripts/benchmark.py."""

from __future__ import annotations

import json
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark_diffusers import (
    EXAMPLE,
    draw_in_bare_loop,
    neighbours_by_cdist,
    new_frechet_by_torchmetrics,
    radii_by_cdist,
    train_by_example,
    train_in_bare_loop,
)
from benchmark_tools import (
    PAIRS,
    Rows,
    cheapest,
    in_pairs,
    limit_row,
    peak_memory,
    peer_row,
    scratch,
    seconds,
    skipped_row,
)

from imglab.progress import finish

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from imglab import Modality, Samples, TrainingSet
    from imglab.metrics.comparison import MetricValues

SIDE = 32
BATCH = 32
SEEN = 320
"""Images that a fit sees."""
DRAWN = 96
STEPS = 12
SETTINGS = {
    "channels": [32, 64],
    "layers_per_block": 1,
    "prediction": "epsilon",
    "schedule": "linear",
    "ema": 0.9999,
    "flip": True,
    "precision": "bf16",
    "layout": "nchw",
    "steps": STEPS,
}
"""The lab's model: a small U-Net of 32 x 32 pixels in colour, by its fixed rule for CPUs."""


def write_images(path: Path, sizes: dict[str, int], side: int) -> None:
    """Write random images of so many pixels a side, with labels, as a source of kind `npz`."""
    import numpy as np

    random = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for split, n in sizes.items():
        arrays[f"{split}_images"] = random.integers(0, 256, (n, side, side, 3), dtype=np.uint8)
    for split, n in sizes.items():
        arrays[f"{split}_labels"] = random.integers(0, 10, n)
    np.savez(path, **arrays)


def photographs(n: int) -> Modality:
    """Return a modality of n random images, uint8 [n, 3, 32, 32], with as many to compare with."""
    from imglab.images.modality import ImageModality
    from imglab.images.settings import ImageSettings

    folder = scratch()
    write_images(folder / "images.npz", {"train": n, "test": n}, SIDE)
    source = {"kind": "npz", "path": str(folder / "images.npz")}
    extractor = {"kind": "classifier", "images": 128}
    settings = ImageSettings.model_validate({"source": source, "extractor": extractor})

    modality = ImageModality(settings)
    modality.prepare(folder)
    return modality


class Diffusion:
    """The lab's model and its training set, and a peer of the same layers."""

    def __init__(self, modality: Modality, **changes: Any) -> None:
        """Make both; `changes` are keys of the model's section."""
        from imglab import TrainingSet
        from imglab.images.diffusion.model import DiffusionModel
        from imglab.images.diffusion.settings import DiffusionSettings

        plan = {"images": SEEN, "batch": BATCH, "learning_rate": 1e-4}
        settings = DiffusionSettings.model_validate({**SETTINGS, "training": plan, **changes})
        self.train: TrainingSet = TrainingSet.of(modality.real("train"))
        self.images: Tensor = modality.real("train").data
        self._model = DiffusionModel(settings, modality)

    def fit(self) -> Any:
        """Return a model fitted from scratch."""
        return finish(self._model.fit(self.train, start=None, seed=0))

    def fit_peer(self, layout: torch.memory_format) -> Any:
        """Return a network of the same layers, fitted by a bare loop on diffusers."""
        unet = type(self.fitted_unet)
        new_unet = partial(unet.from_config, self.fitted_unet.config)
        return train_in_bare_loop(self.images, new_unet, batch=BATCH, layout=layout)

    @property
    def fitted_unet(self) -> Any:
        """A network of the lab's layers, untrained."""
        from imglab.images.diffusion.networks import new_network

        return new_network(self._model._settings, self.train.shape, None)

    def best_layout(self) -> torch.memory_format:
        """Return the memory layout in which the bare loop is faster."""
        import torch

        layouts = {"nchw": torch.contiguous_format, "channels_last": torch.channels_last}
        ways = {name: partial(self.fit_peer, layout) for name, layout in layouts.items()}
        return layouts[cheapest(ways, runs=1)]


def bench_diffusion_fit() -> Rows:
    """Training one U-Net once through 320 images, against a bare loop and diffusers' example.

    All of them in bf16, with the same layers, batches and averaging; the bare loop in the layout
    that suits it best. Of the example, only its second epoch is timed, which is warm.
    """
    diffusion = Diffusion(photographs(SEEN))
    layout = diffusion.best_layout()
    pairs = in_pairs(diffusion.fit, partial(diffusion.fit_peer, layout))
    unit = f"CPU-s for {SEEN // BATCH} steps of {BATCH} images, bf16 (bare loop on diffusers)"
    rows = {"diffusion_fit": peer_row(pairs, unit, reach=1.0)}

    if EXAMPLE not in os.environ:
        reason = f"{EXAMPLE} does not name diffusers' train_unconditional.py"
        return {**rows, "diffusion_fit_example": skipped_row(reason)}

    train = partial(
        train_by_example,
        diffusion.images,
        diffusion.fitted_unet,
        scratch(),
        batch=BATCH,
        num_epochs=2,
        mixed_precision="bf16",
        dataloader_num_workers=0,
    )
    train()  # so that the files are in memory
    on_the_clock = [(seconds(diffusion.fit), train()) for _ in range(PAIRS)]
    unit = f"s for {SEEN // BATCH} steps of {BATCH} images, bf16 (train_unconditional.py)"
    return {**rows, "diffusion_fit_example": peer_row(on_the_clock, unit, reach=1.2)}


def bench_diffusion_draw() -> Rows:
    """Drawing 96 images of 32 x 32 in 12 steps of DPM-Solver++, against a bare loop on diffusers.

    Both in bf16; the bare loop in its best batch and layout.
    """
    diffusion = Diffusion(photographs(SEEN), training={"images": BATCH, "batch": BATCH})
    fitted = diffusion.fit()
    best, peer = best_drawing(fitted.network)
    pairs = in_pairs(partial(fitted.sample, DRAWN, seed=0), peer)
    unit = f"CPU-s for {DRAWN} images, {STEPS} steps, bf16 (bare loop on diffusers, {best})"
    return {"diffusion_draw": peer_row(pairs, unit, reach=0.98)}


def best_drawing(unet: Any) -> tuple[str, partial[Tensor]]:
    """Return the cheapest way to draw with a bare loop on diffusers, and its name."""
    import copy

    import torch
    from diffusers import DPMSolverMultistepScheduler

    scheduler = DPMSolverMultistepScheduler(
        beta_schedule="linear", prediction_type="epsilon", timestep_spacing="trailing"
    )
    ways = {}
    for name, layout in (("nchw", torch.contiguous_format), ("channels_last", torch.channels_last)):
        network = copy.deepcopy(unet)
        for batch in (16, 48, 96):
            draw = partial(draw_in_bare_loop, network, scheduler, DRAWN, steps=STEPS)
            ways[f"batches of {batch}, {name}"] = partial(draw, batch=batch, layout=layout)
    best = cheapest(ways, runs=1)
    return best, ways[best]


class Scoring:
    """Scores images of a modality, by imglab and by public tools, against its test images."""

    def __init__(self, modality: Modality) -> None:
        """Take the features of the real images and what tools keep of them, which is not timed."""
        from imglab import Measure
        from imglab.metrics.comparison import Reference

        self._modality = modality
        self._measure = Measure(modality)
        finish(self._measure.prepare())
        self._reference = Reference(self._measure.real("test"))
        self._frechet = new_frechet_by_torchmetrics(self._reference.features)
        self._real_radii = radii_by_cdist(self._reference.features)

    def ours(self, samples: Samples) -> MetricValues:
        """Return imglab's values of `compare`, without their errors."""
        from imglab.metrics.comparison import compare

        features = finish(self._measure.features(samples)).values
        return compare(
            real=self._reference,
            synthetic=features,
            precision_recall_k=5,
            density_coverage_k=5,
            errors=False,
        )

    def peer(self, images: Tensor) -> None:
        """Compute the Fréchet distance by torchmetrics, precision and recall by blocks of cdist."""
        from imglab import Samples

        features = self._modality.features(Samples.drawn(images))
        self._frechet(features)
        real = self._reference.features
        neighbours_by_cdist(real, features, real_radii=self._real_radii)


def bench_generation() -> Rows:
    """A generation against the public tools, each at its best: fitted, drawn and scored.

    320 images are seen, 96 drawn in 12 steps, and scored against 320. Both keep what the real
    images say by themselves. The lab computes the values of `compare`, without their errors; the
    tools the Fréchet distance, precision, recall, density and coverage.
    """
    modality = photographs(SEEN)
    diffusion = Diffusion(modality)
    layout = diffusion.best_layout()
    _, draw = best_drawing(diffusion.fit().network)
    scoring = Scoring(modality)

    def ours() -> None:
        scoring.ours(diffusion.fit().sample(DRAWN, seed=0))

    def peer() -> None:
        unet = diffusion.fit_peer(layout)
        scoring.peer(draw.func(unet, *draw.args[1:], **draw.keywords))

    unit = "CPU-s a generation, bf16 (bare loops on diffusers, torchmetrics, torch.cdist)"
    return {"generation": peer_row(in_pairs(ours, peer), unit, reach=1.3)}


def bench_image_memory() -> Rows:
    """Peak memory of two image chains: of a large training set, and of large drawn images.

    The first has 50,000 images of 32 x 32 x 3 pixels, the second draws and scores 10,000 images of
    64 x 64.
    """
    classifier = {"kind": "classifier", "images": 1_280}
    training = {"images": 1_280}
    diffusion = {
        "kind": "diffusion",
        "channels": [8, 16],
        "steps": 2,
        "training": training,
        "fine_tuning": training,
    }
    vae = {"kind": "vae", "hidden": [32], "latent": 8, "training": {"images": 12_800}}
    modality = {"kind": "image", "extractor": classifier}

    cifar_sized = {"generations": 2, "samples": 2_000, "model": diffusion}
    drawn_64 = {"generations": 1, "samples": 10_000, "model": vae}
    cases = (
        ("cifar_sized", 50_000, 32, cifar_sized, 3_072),
        ("drawn_64", 2_000, 64, drawn_64, 2_048),
    )

    rows: Rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, n, side, chain, limit in cases:
            images = Path(folder) / f"{name}.npz"
            write_images(images, {"train": n, "test": 2_000}, side)
            source = {"kind": "npz", "path": str(images)}
            tree = {**chain, "modality": {**modality, "source": source}, "start": "scratch"}

            config = Path(folder) / f"{name}.yaml"
            config.write_text(json.dumps(tree))
            memory = peak_memory("run", config, "--out", Path(folder) / name)
            rows[f"memory_{name}"] = limit_row(memory, limit, "MB at peak (limit)")
    return rows
