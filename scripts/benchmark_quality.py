"""Image chains and public tools at one quality of the images, for scripts/benchmark.py."""

from __future__ import annotations

import statistics
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmark_diffusers import draw_by_pipeline, skipped, train_by_example
from benchmark_images import Scoring
from benchmark_tools import ROOT, Rows, Stopwatch, finish, row, scratch

if TYPE_CHECKING:
    from torch import Tensor

IMAGES_SEEN = 128_000
SCORED = 1_000
"""Images of each kind whose Fréchet distance is taken."""


def bench_diffusion_quality() -> Rows:
    """Digits at one Fréchet distance: drawing from one network, and whole generations.

    The network of configs/image_digits_8x8.yaml sees 128,000 images and draws 1,000 in 12 steps,
    for three seeds. The peer draws from the same network in the pipeline's default 1,000 steps.
    Diffusers' example also trains a network of the same layers on as many images, its pipeline
    draws, and torchmetrics and prdc score. A generation of 5,000 is timed once, with seed 0: the
    peer draws for a quarter of an hour.
    """
    no_peer = skipped("diffusion_quality")
    if no_peer:
        return no_peer

    comparison = Comparison()
    for seed in range(3):
        generated = 5_000 if seed == 0 else 1_000
        unet = comparison.run_ours(seed, generated)
        comparison.run_pipeline(seed, unet)
        comparison.run_example(seed, unet, generated)
    return comparison.rows()


class Comparison:
    """Times and Fréchet distances of the lab and of the public tools, over several seeds."""

    def __init__(self) -> None:
        import imglab

        config = ROOT / "configs" / "image_digits_8x8.yaml"
        experiment = imglab.Run.from_file(config, scratch() / "run").experiment
        self._modality = experiment.modality
        self._modality.prepare(scratch())
        self._model = experiment.models[0]
        self._train = imglab.TrainingSet.of(self._modality.real("train"))
        self._scoring = Scoring(self._modality)
        self._watch = Stopwatch()
        self._distances: dict[str, list[float]] = defaultdict(list)

    def run_ours(self, seed: int, n: int) -> Any:
        """Fit, draw n images and score them; return the fitted UNet."""
        fitting = self._model.fit(self._train, start=None, seed=seed)
        fitted: Any = self._watch.run("fit", partial(finish, fitting))
        drawn = self._watch.run(f"draw {n}", partial(fitted.sample, n, seed=seed))
        self._watch.run("score", partial(self._scoring.ours, drawn.data))
        self._add_distance("ours", drawn.data)
        return fitted.unet

    def run_pipeline(self, seed: int, unet: Any) -> None:
        """Draw from our network by diffusers' pipeline."""
        from diffusers import DDPMPipeline, DDPMScheduler

        scheduler = DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction")
        pipeline = DDPMPipeline(unet, scheduler)
        draw = partial(draw_by_pipeline, pipeline, SCORED, seed)
        self._add_distance("pipeline", self._watch.run("pipeline", draw))

    def run_example(self, seed: int, unet: Any, n: int) -> None:
        """Train by diffusers' example, draw n images by its pipeline and score them."""
        from diffusers import DDPMPipeline, UNet2DModel

        # The example trains in colour.
        out = scratch()
        colour_unet = UNet2DModel.from_config({**unet.config, "in_channels": 3, "out_channels": 3})
        training = train_by_example(
            self._modality.real("train").data,
            colour_unet,
            out,
            flip=False,
            batch=128,
            num_epochs=round(IMAGES_SEEN / len(self._train)),
            learning_rate=1e-3,
            lr_warmup_steps=50,
        )
        self._watch.times["example"].append(training)

        pipeline = DDPMPipeline.from_pretrained(out / "trained")
        drawing = partial(draw_by_pipeline, pipeline, n, seed)
        images = self._watch.run("its pipeline", drawing)
        grey = images.float().mean(1, keepdim=True).round().byte()
        self._watch.run("its scores", partial(self._scoring.peer, grey))
        self._add_distance("example", grey)

    def rows(self) -> Rows:
        """Return drawing, a whole generation and its fit, each at its Fréchet distance."""
        watch = self._watch
        unit = "s for {} digits; Fréchet distance over three seeds {}, peer {} ({})"
        ours = self._distance("ours")
        pipeline = self._distance("pipeline")
        example = self._distance("example")
        tools = "train_unconditional.py, pipeline, torchmetrics, prdc"
        return {
            "diffusion_quality": row(
                watch.median("draw 1000"),
                watch.median("pipeline"),
                unit.format("1,000", ours, pipeline, "DDPMPipeline"),
            ),
            "generation_quality": row(
                watch.first("fit", "draw 5000", "score"),
                watch.first("example", "its pipeline", "its scores"),
                unit.format("5,000", ours, example, tools),
            ),
            "fit_quality": row(
                watch.median("fit"), watch.median("example"), "s for 128,000 images seen, of that"
            ),
        }

    def _add_distance(self, name: str, images: Tensor) -> None:
        self._distances[name].append(self._scoring.frechet(images[:SCORED]))

    def _distance(self, name: str) -> str:
        distances = self._distances[name]
        return f"{statistics.mean(distances):.1f} +- {statistics.stdev(distances):.1f}"
