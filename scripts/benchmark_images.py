"""Benchmarks of image chains, of scripts/benchmark.py."""

import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from benchmark_tools import ROOT, WITH_PEAK, finish, in_turn, row, scratch

EXAMPLE = "IMGLAB_TRAIN_UNCONDITIONAL"
"""Names the path of diffusers' examples/unconditional_image_generation/train_unconditional.py, the peer of three."""
SIDE, BATCH = 32, 16
UNET = {
    "channels": [32, 64, 128],
    "layers_per_block": 1,
    "prediction": "epsilon",
    "schedule": "linear",
}
CLASSIFIER = {"kind": "classifier", "images": 1_280}
TUNED = {"precision": "auto", "compile": False, "sampling_batch": "auto"}


def write_images(path: Path, sizes: dict[str, int], side: int, random) -> None:
    """Write random images of so many pixels a side, with labels, as a source of kind `npz`."""
    import numpy as np

    parts = sizes.items()
    images = {
        f"{key}_images": random.integers(0, 256, (n, side, side, 3), dtype=np.uint8)
        for key, n in parts
    }
    np.savez(path, **images, **{f"{key}_labels": random.integers(0, 10, n) for key, n in parts})


def photographs(n: int):
    """Return a modality of n random images, uint8 [n, 3, 32, 32], with as many to compare with."""
    import numpy as np

    from imglab.images.modality import ImageModality
    from imglab.images.settings import ImageSettings

    folder = scratch()
    write_images(folder / "images.npz", {"train": n, "test": n}, SIDE, np.random.default_rng(0))
    source = {"kind": "npz", "path": str(folder / "images.npz")}
    made = ImageModality(
        ImageSettings.model_validate(
            {"source": source, "extractor": {"kind": "classifier", "images": 128}}
        )
    )
    made.prepare(folder)
    return made


def diffusion(modality, images: int, **changes):
    """Return the model, what is `auto` measured, and its training set."""
    from imglab.images.diffusion import DiffusionModel
    from imglab.images.settings import DiffusionSettings
    from imglab.samples import TrainingSet

    plan = {"images": images, "batch": BATCH, "learning_rate": 1e-4}
    settings = DiffusionSettings.model_validate(
        {**UNET, **TUNED, "training": plan, "fine_tuning": plan, **changes}
    )
    train = TrainingSet.of(modality.real("train"))
    found = DiffusionModel(settings, modality).choices(train, fits=1)
    chosen = settings.model_copy(update={key: choice.value for key, choice in found.items()})
    return (
        DiffusionModel(chosen, modality),
        train,
        {key: choice.value for key, choice in found.items()},
    )


def train_by_example(
    modality, unet, out: Path, *, flip: bool = True, epochs: int = 1, batch: int = BATCH, **changes
) -> float:
    """Run diffusers' example as its README does, on the same images and layers; return the seconds of its epochs.

    Its start and its saving are not counted. Names in `changes` are options of the example.
    """
    from imglab.images.render import write_png

    folder = out / "images"
    if not folder.exists():
        folder.mkdir(parents=True)
        for at, image in enumerate(modality.real("train").data):
            write_png(image, folder / f"{at:05d}.png")
        unet.save_config(out / "unet")
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
    } | changes
    command = [sys.executable, os.environ[EXAMPLE], "--center_crop", "--use_ema"]
    command += ["--random_flip"] if flip else []
    command += [f"--{key}={value}" for key, value in options.items()]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    told, began, ended = b"", 0.0, 0.0
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
    ) as example:
        while piece := example.stderr.read1():
            told = told[-2_000:] + piece
            if not began and b"Epoch 0:   0%" in told:
                began = time.perf_counter()
            if not ended and b"Epoch %d: 100%%" % (epochs - 1) in told:
                ended = time.perf_counter()
    if example.returncode or not began < ended:
        raise SystemExit(f"{os.environ[EXAMPLE]} failed: {told.decode()}")
    return ended - began


def draw_by_pipeline(pipeline, n: int, seed: int, **options):
    """Return n images that a diffusers pipeline draws to PIL, uint8 [n, channels, side, side].

    1,000 at a time: of 16 to 5,000 the cheapest.
    """
    import numpy as np
    import torch

    pipeline.set_progress_bar_config(disable=True)
    generator, images = torch.Generator().manual_seed(seed), []
    for first in range(0, n, 1_000):
        images += pipeline(batch_size=min(1_000, n - first), generator=generator, **options).images
    arrays = np.stack([np.asarray(image) for image in images])
    return torch.from_numpy(arrays[:, None] if arrays.ndim == 3 else arrays.transpose(0, 3, 1, 2))


def public_scores(modality, images) -> None:
    """Score images by torchmetrics' FID and prdc, on the features of the modality's own classifier."""
    import prdc as reference
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Network(torch.nn.Module):
        num_features = 64

        def forward(self, images):
            return modality._classifier.features(images)

    real, network = modality.real("test").data, Network()
    score = FrechetInceptionDistance(feature=network)
    score.update(real, real=True)
    score.update(images, real=False)
    score.compute()
    pair = [network(each).double().numpy() for each in (real, images)]
    with contextlib.redirect_stdout(io.StringIO()):
        reference.compute_prdc(*pair, nearest_k=5)


def bench_diffusion_fit() -> dict[str, dict]:
    """Training the same UNet on the same 1,920 images, batches of 16, against diffusers' own example."""
    if EXAMPLE not in os.environ:
        return {"diffusion_fit": {"skipped": f"{EXAMPLE} does not name diffusers' example"}}
    modality = photographs(1_920)
    model, train, chosen = diffusion(modality, 1_920, flip=True)
    unet = finish(model.fit(train, start=None, seed=0)).unet
    out = scratch()
    train_by_example(modality, unet, out)
    ours, peer = [], []
    for _ in range(3):
        began = time.perf_counter()
        finish(model.fit(train, start=None, seed=0))
        ours.append(time.perf_counter() - began)
        peer.append(train_by_example(modality, unet, out))
    told = f"s for 120 steps of 16 images, {chosen['precision']} (train_unconditional.py)"
    return {"diffusion_fit": row(statistics.median(ours), statistics.median(peer), told)}


def bench_diffusion_draw() -> dict[str, dict]:
    """Drawing 256 images of 32 x 32 in 20 DDPM steps, against the pipeline to PIL."""
    from diffusers import DDPMPipeline, DDPMScheduler

    modality = photographs(320)
    model, train, chosen = diffusion(modality, 160, sampler="ddpm", steps=20)
    fitted = finish(model.fit(train, start=None, seed=0))
    pipeline = DDPMPipeline(fitted.unet, DDPMScheduler())
    pipeline.set_progress_bar_config(disable=True)
    times = in_turn(
        lambda: fitted.sample(256, seed=0),
        lambda: pipeline(batch_size=256, num_inference_steps=20),
        3,
    )
    told = f"s for 256 images in 20 steps, {chosen['precision']}, batches of {chosen['sampling_batch']} (pipeline to PIL)"
    return {"diffusion_draw": row(*times, told)}


def bench_diffusion_quality() -> dict[str, dict]:
    """Digits at one Fréchet distance: drawing from one network, and whole generations, over three seeds.

    The network of configs/image_digits.yaml sees 128,000 images and draws 1,000 in 12 steps. The peer draws from the
    same network in the pipeline's default 1,000 steps; and diffusers' example trains a network of the same layers on as
    many images, its pipeline draws, torchmetrics and prdc score. A generation of 5,000 is timed once, with seed 0: the
    peer draws for a quarter of an hour.
    """
    if EXAMPLE not in os.environ:
        return {"diffusion_quality": {"skipped": f"{EXAMPLE} does not name diffusers' example"}}
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    from imglab.config.load import load_config
    from imglab.measure import Measure
    from imglab.metrics import frechet_distance
    from imglab.run.build import build
    from imglab.samples import Samples, TrainingSet

    built = build(load_config(ROOT / "configs" / "image_digits.yaml"), "benchmark")
    modality, model = built.modality, built.models[0]
    modality.prepare(scratch())
    measure = Measure(modality, precision_recall_k=5)
    finish(measure.prepare())
    real = modality.features(modality.real("test"))
    train = TrainingSet.of(modality.real("train"))
    schedule = {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"}
    times = defaultdict(list)
    scores = defaultdict(list)

    def took(name: str, work, *arguments):
        began = time.perf_counter()
        result = work(*arguments)
        times[name].append(time.perf_counter() - began)
        return result

    def fit(seed: int):
        return finish(model.fit(train, start=None, seed=seed))

    def compare(drawn):
        return measure._compare(measure._real["test"], finish(measure.features(drawn)).values)

    def score(name: str, images):
        scores[name].append(
            frechet_distance(real=real, synthetic=modality.features(Samples.drawn(images)))
        )

    for seed in range(3):
        fitted = took("fit", fit, seed)
        many = 1_000 if seed else 5_000
        drawn = took(
            f"draw {many}",
            lambda fitted=fitted, many=many, seed=seed: fitted.sample(many, seed=seed),
        )
        took("score", compare, drawn)
        score("ours", drawn.data[:1_000])
        pipeline = DDPMPipeline(fitted.unet, DDPMScheduler(**schedule))
        score("pipeline", took("pipeline", draw_by_pipeline, pipeline, 1_000, seed))

        out = scratch()
        unet = UNet2DModel.from_config({**fitted.unet.config, "in_channels": 3, "out_channels": 3})
        epochs, rate = round(128_000 / len(train)), {"learning_rate": 1e-3, "lr_warmup_steps": 50}
        times["example"].append(
            train_by_example(modality, unet, out, flip=False, epochs=epochs, batch=128, **rate)
        )
        pipeline = DDPMPipeline.from_pretrained(out / "trained")
        images = took("its pipeline", draw_by_pipeline, pipeline, many, seed)
        images = images.float().mean(1, keepdim=True).round().byte()  # the example trains in colour
        took("its scores", public_scores, modality, images)
        score("example", images[:1_000])

    def first(*names: str) -> float:
        return sum(times[name][0] for name in names)

    def told(name: str) -> str:
        return f"{statistics.mean(scores[name]):.1f} +- {statistics.stdev(scores[name]):.1f}"

    unit = "s for {} digits; Fréchet distance over three seeds {}, peer {} ({})"
    tools = "train_unconditional.py, pipeline, torchmetrics, prdc"
    return {
        "diffusion_quality": row(
            statistics.median(times["draw 1000"]),
            statistics.median(times["pipeline"]),
            unit.format("1,000", told("ours"), told("pipeline"), "DDPMPipeline"),
        ),
        "generation_quality": row(
            first("fit", "draw 5000", "score"),
            first("example", "its pipeline", "its scores"),
            unit.format("5,000", told("ours"), told("example"), tools),
        ),
        "fit_quality": row(
            statistics.median(times["fit"]),
            statistics.median(times["example"]),
            "s for 128,000 images seen, of that",
        ),
    }


def bench_generation() -> dict[str, dict]:
    """A generation: 1,920 images seen, 480 drawn in 20 steps, scored; against the public tools one after the other."""
    if EXAMPLE not in os.environ:
        return {"generation": {"skipped": f"{EXAMPLE} does not name diffusers' example"}}
    from diffusers import DDPMPipeline

    from imglab.measure import Measure

    modality = photographs(1_920)
    model, train, chosen = diffusion(modality, 1_920, flip=True, sampler="ddpm", steps=20)
    unet = finish(model.fit(train, start=None, seed=0)).unet
    out = scratch()
    train_by_example(modality, unet, out)
    measure = Measure(modality, precision_recall_k=5)
    finish(measure.prepare())

    def ours():
        drawn = finish(model.fit(train, start=None, seed=0)).sample(480, seed=0)
        return measure._compare(measure._real["test"], finish(measure.features(drawn)).values)

    def peer() -> float:
        seconds = train_by_example(modality, unet, out)  # without its start-up and its saving
        began = time.perf_counter()
        pipeline = DDPMPipeline.from_pretrained(out / "trained")
        public_scores(modality, draw_by_pipeline(pipeline, 480, 0, num_inference_steps=20))
        return seconds + time.perf_counter() - began

    own, theirs = [], []
    for _ in range(3):
        began = time.perf_counter()
        ours()
        own.append(time.perf_counter() - began)
        theirs.append(peer())
    told = f"s a generation, {chosen['precision']} (train_unconditional.py, pipeline, torchmetrics, prdc)"
    return {"generation": row(statistics.median(own), statistics.median(theirs), told)}


def bench_image_memory() -> dict[str, dict]:
    """Peak memory of a chain of 50,000 x 32 x 32 x 3 images, and of 10,000 drawn images of 64 x 64, scored."""
    import numpy as np

    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, n, side, drawn, limit in (
            ("cifar_sized", 50_000, 32, 2_000, 3_072),
            ("drawn_64", 2_000, 64, 10_000, 2_048),
        ):
            random = np.random.default_rng(0)
            path = Path(folder) / f"{name}.npz"
            write_images(path, {"train": n, "test": 2_000}, side, random)
            config = {
                "generations": 2 if side == 32 else 1,
                "samples": drawn,
                "modality": {
                    "kind": "image",
                    "source": {"kind": "npz", "path": str(path)},
                    "extractor": CLASSIFIER,
                },
                "model": {
                    "kind": "vae",
                    "hidden": [32],
                    "latent": 8,
                    "training": {"images": 12_800},
                },
                "start": "scratch",
            }
            if side == 32:
                config["model"] = {
                    "kind": "diffusion",
                    "channels": [8, 16],
                    "steps": 2,
                    "training": {"images": 1_280},
                }
                config["model"]["fine_tuning"] = {"images": 1_280}
            path = Path(folder) / f"{name}.yaml"
            path.write_text(json.dumps(config))
            command = [
                sys.executable,
                "-c",
                WITH_PEAK,
                "run",
                str(path),
                "--out",
                str(Path(folder) / name),
            ]
            told = subprocess.run(command, check=True, capture_output=True, text=True).stderr
            found[f"memory_{name}"] = row(int(told.split()[-1]) / 1024, limit, "MB at peak (limit)")
    return found
