"""Benchmarks of image chains, for scripts/benchmark.py."""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark_diffusers import (
    draw_by_pipeline,
    score_by_public_tools,
    skipped,
    train_by_example,
)
from benchmark_tools import Rows, finish, in_turn, peak_memory, row, scratch, seconds

if TYPE_CHECKING:
    from torch import Tensor

    from imglab import Modality, TrainingSet
    from imglab.metrics.comparison import MetricValues

SIDE = 32
BATCH = 16
PLAN = {"batch": BATCH, "learning_rate": 1e-4}
UNET = {
    "channels": [32, 64, 128],
    "layers_per_block": 1,
    "prediction": "epsilon",
    "schedule": "linear",
}
TUNED = {"precision": "auto", "compile": False, "sampling_batch": "auto"}


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
    """A diffusion model, its training set, and the values that were measured for keys of `auto`."""

    def __init__(self, modality: Modality, images: int, **changes: Any) -> None:
        """Make a model that is trained on so many images; `changes` are keys of its section."""
        from imglab import TrainingSet
        from imglab.images.diffusion.model import DiffusionModel
        from imglab.images.diffusion.settings import DiffusionSettings

        plan = {"images": images, **PLAN}
        settings = DiffusionSettings.model_validate(
            {**UNET, **TUNED, "training": plan, "fine_tuning": plan, **changes}
        )
        self.train: TrainingSet = TrainingSet.of(modality.real("train"))
        choices = DiffusionModel(settings, modality).choices(self.train, fits=1)
        self.chosen = {key: choice.value for key, choice in choices.items()}
        self._model = DiffusionModel(settings.model_copy(update=self.chosen), modality)

    def fit(self) -> Any:
        """Return a model fitted from scratch."""
        return finish(self._model.fit(self.train, start=None, seed=0))


def bench_diffusion_fit() -> Rows:
    """Training one UNet on 1,920 images in batches of 16, against diffusers' own example."""
    no_peer = skipped("diffusion_fit")
    if no_peer:
        return no_peer

    modality = photographs(1_920)
    images = modality.real("train").data
    diffusion = Diffusion(modality, 1_920, flip=True)
    unet = diffusion.fit().unet
    out = scratch()
    train_by_example(images, unet, out, batch=BATCH)  # so that both are warm

    ours = []
    peer = []
    for _ in range(3):
        ours.append(seconds(diffusion.fit))
        peer.append(train_by_example(images, unet, out, batch=BATCH))

    unit = f"s for 120 steps of 16 images, {diffusion.chosen['precision']} (train_unconditional.py)"
    return {"diffusion_fit": row(statistics.median(ours), statistics.median(peer), unit)}


def bench_diffusion_draw() -> Rows:
    """Drawing 256 images of 32 x 32 in 20 DDPM steps, against the pipeline to PIL."""
    from diffusers import DDPMPipeline, DDPMScheduler

    diffusion = Diffusion(photographs(320), 160, sampler="ddpm", steps=20)
    fitted = diffusion.fit()
    pipeline = DDPMPipeline(fitted.unet, DDPMScheduler())
    pipeline.set_progress_bar_config(disable=True)

    def ours() -> None:
        fitted.sample(256, seed=0)

    def peer() -> None:
        pipeline(batch_size=256, num_inference_steps=20)

    chosen = diffusion.chosen
    unit = (
        f"s for 256 images in 20 steps, {chosen['precision']}, "
        f"batches of {chosen['sampling_batch']} (pipeline to PIL)"
    )
    return {"diffusion_draw": row(*in_turn(ours, peer, 3), unit)}


class Scoring:
    """Scores images of a modality, by imglab and by public tools, against its test images."""

    def __init__(self, modality: Modality) -> None:
        """Take the features of the real images, which is not timed."""
        from imglab import Measure
        from imglab.metrics.comparison import Reference

        self._modality = modality
        self._measure = Measure(modality)
        finish(self._measure.prepare())
        self._reference = Reference(self._measure.real("test"))

    def features(self, images: Tensor) -> Tensor:
        """Return the features of images, uint8 [N, C, H, W], as float32 [N, D]."""
        from imglab import Samples

        return self._modality.features(Samples.drawn(images))

    def ours(self, images: Tensor) -> MetricValues:
        """Return imglab's metrics, all of them."""
        from imglab import Samples
        from imglab.metrics.comparison import compare

        features = finish(self._measure.features(Samples.drawn(images))).values
        return compare(
            real=self._reference, synthetic=features, precision_recall_k=5, density_coverage_k=5
        )

    def peer(self, images: Tensor) -> None:
        """Compute torchmetrics' and prdc's metrics."""
        score_by_public_tools(self._modality.real("test").data, images, self.features)

    def frechet(self, images: Tensor) -> float:
        """Return the Fréchet distance."""
        return self._reference.frechet(self.features(images))[0]


def bench_generation() -> Rows:
    """A generation against the public tools one after the other.

    1,920 images are seen, 480 drawn in 20 steps, and scored.
    """
    no_peer = skipped("generation")
    if no_peer:
        return no_peer
    from diffusers import DDPMPipeline

    modality = photographs(1_920)
    images = modality.real("train").data
    diffusion = Diffusion(modality, 1_920, flip=True, sampler="ddpm", steps=20)
    unet = diffusion.fit().unet
    out = scratch()
    train_by_example(images, unet, out, batch=BATCH)  # so that both are warm
    scoring = Scoring(modality)

    def ours() -> None:
        scoring.ours(diffusion.fit().sample(480, seed=0).data)

    def draw_and_score() -> None:
        pipeline = DDPMPipeline.from_pretrained(out / "trained")
        scoring.peer(draw_by_pipeline(pipeline, 480, 0, num_inference_steps=20))

    our_times = []
    peer_times = []
    for _ in range(3):
        our_times.append(seconds(ours))
        training = train_by_example(images, unet, out, batch=BATCH)
        peer_times.append(training + seconds(draw_and_score))

    tools = "train_unconditional.py, pipeline, torchmetrics, prdc"
    unit = f"s a generation, {diffusion.chosen['precision']} ({tools})"
    return {"generation": row(statistics.median(our_times), statistics.median(peer_times), unit)}


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
            rows[f"memory_{name}"] = row(memory, limit, "MB at peak (limit)")
    return rows
