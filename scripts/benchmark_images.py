"""Benchmarks of image chains, of scripts/benchmark.py."""

import contextlib
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmark_tools import ROOT, WITH_PEAK, finish, in_turn, row

EXAMPLE = "IMGLAB_TRAIN_UNCONDITIONAL"
"""Names the path of diffusers' examples/unconditional_image_generation/train_unconditional.py, the peer of three."""
SIDE, BATCH = 32, 16
UNET = {"channels": [32, 64, 128], "layers_per_block": 1, "prediction": "epsilon", "schedule": "linear"}
CLASSIFIER = {"kind": "classifier", "images": 1_280}
TUNED = {"precision": "auto", "compile": False, "sampling_batch": "auto"}


def write_images(path: Path, sizes: dict[str, int], side: int, random) -> None:
    """Write random images of so many pixels a side, with labels, as a source of kind `npz`."""
    import numpy as np

    parts = sizes.items()
    images = {f"{key}_images": random.integers(0, 256, (n, side, side, 3), dtype=np.uint8) for key, n in parts}
    np.savez(path, **images, **{f"{key}_labels": random.integers(0, 10, n) for key, n in parts})


def photographs(n: int):
    """Return a modality of n random images, uint8 [n, 3, 32, 32], with as many to compare with."""
    import numpy as np

    from imglab.images.modality import ImageModality
    from imglab.images.settings import ImageSettings

    folder = Path(tempfile.mkdtemp())
    random = np.random.default_rng(0)
    arrays = {
        f"{name}_images": random.integers(0, 256, (n, SIDE, SIDE, 3), dtype=np.uint8) for name in ("train", "test")
    }
    labels = {f"{name}_labels": random.integers(0, 10, n) for name in ("train", "test")}
    np.savez(folder / "images.npz", **arrays, **labels)
    source = {"kind": "npz", "path": str(folder / "images.npz")}
    made = ImageModality(
        ImageSettings.model_validate({"source": source, "extractor": {"kind": "classifier", "images": 128}})
    )
    made.prepare(folder)
    return made


def diffusion(modality, images: int, **changes):
    """Return the model, what is `auto` measured, and its training set."""
    from imglab.images.diffusion import DiffusionModel
    from imglab.images.settings import DiffusionSettings
    from imglab.samples import TrainingSet

    plan = {"images": images, "batch": BATCH, "learning_rate": 1e-4}
    settings = DiffusionSettings.model_validate({**UNET, **TUNED, "training": plan, "fine_tuning": plan, **changes})
    train = TrainingSet.of(modality.real("train"))
    found = DiffusionModel(settings, modality).choices(train, fits=1)
    chosen = settings.model_copy(update={key: choice.value for key, choice in found.items()})
    return DiffusionModel(chosen, modality), train, {key: choice.value for key, choice in found.items()}


def train_by_example(modality, unet, images: int, out: Path) -> float:
    """Run diffusers' example as its README does, on the same images and layers; return its seconds for the epoch."""
    import os
    import re

    from imglab.images.render import write_png

    folder = out / "images"
    if not folder.exists():
        folder.mkdir(parents=True)
        for at, image in enumerate(modality.real("train").data):
            write_png(image, folder / f"{at:05d}.png")
        unet.save_config(out / "unet")
    command = [
        sys.executable,
        os.environ[EXAMPLE],
        f"--train_data_dir={folder}",
        f"--resolution={SIDE}",
        "--center_crop",
    ]
    command += ["--random_flip", f"--output_dir={out / 'trained'}", f"--train_batch_size={BATCH}", "--num_epochs=1"]
    command += ["--use_ema", "--learning_rate=1e-4", "--lr_warmup_steps=500", "--mixed_precision=no"]
    command += [f"--model_config_name_or_path={out / 'unet'}", "--ddpm_num_inference_steps=1", "--eval_batch_size=1"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    steps = images // BATCH
    times = re.findall(rf"Epoch 0: +100%\|[^|]*\| {steps}/{steps} \[(\d+):(\d+)<", done.stderr)
    return 60.0 * int(times[-1][0]) + int(times[-1][1])


def bench_diffusion_fit() -> dict[str, dict]:
    """Training the same UNet on the same 1,920 images, batches of 16, against diffusers' own example."""
    import os

    if EXAMPLE not in os.environ:
        return {"diffusion_fit": {"skipped": f"{EXAMPLE} does not name diffusers' example"}}
    modality = photographs(1_920)
    model, train, chosen = diffusion(modality, 1_920, flip=True)
    unet = finish(model.fit(train, start=None, seed=0)).unet
    out = Path(tempfile.mkdtemp())
    train_by_example(modality, unet, 1_920, out)
    ours, peer = [], []
    for _ in range(3):
        began = time.perf_counter()
        finish(model.fit(train, start=None, seed=0))
        ours.append(time.perf_counter() - began)
        peer.append(train_by_example(modality, unet, 1_920, out))
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
    times = in_turn(lambda: fitted.sample(256, seed=0), lambda: pipeline(batch_size=256, num_inference_steps=20), 3)
    told = (
        f"s for 256 images in 20 steps, {chosen['precision']}, batches of {chosen['sampling_batch']} (pipeline to PIL)"
    )
    return {"diffusion_draw": row(*times, told)}


def bench_diffusion_quality() -> dict[str, dict]:
    """Drawing 1,000 digits at one Fréchet distance: 12 solver steps against the pipeline's default of 1,000."""
    import torch
    from diffusers import DDPMPipeline, DDPMScheduler

    from imglab.config import load_config
    from imglab.experiment import build
    from imglab.metrics import frechet_distance
    from imglab.samples import Samples, TrainingSet

    built = build(load_config(ROOT / "configs" / "image_digits.yaml"), "benchmark")
    modality = built.modality
    modality.prepare(Path(tempfile.mkdtemp()))
    fitted = finish(built.models[0].fit(TrainingSet.of(modality.real("train")), start=None, seed=0))
    schedule = {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"}
    pipeline = DDPMPipeline(fitted.unet, DDPMScheduler(**schedule))
    pipeline.set_progress_bar_config(disable=True)
    drawn: dict[str, torch.Tensor] = {}

    def ours():
        drawn["ours"] = fitted.sample(1_000, seed=0).data

    def peer():
        import numpy as np

        images = [np.asarray(image) for image in pipeline(batch_size=1_000).images]
        drawn["peer"] = torch.from_numpy(np.stack(images))[:, None]

    times = in_turn(ours, peer, 1)
    real = modality.features(modality.real("test"))
    scores = {
        name: frechet_distance(real=real, synthetic=modality.features(Samples.drawn(data)))
        for name, data in drawn.items()
    }
    told = f"s for 1,000 digits; Fréchet distance ours {scores['ours']:.1f}, peer {scores['peer']:.1f} (DDPMPipeline)"
    return {"diffusion_quality": row(*times, told)}


def bench_generation() -> dict[str, dict]:
    """A generation: 1,920 images seen, 480 drawn in 20 steps, scored; against the public tools one after the other."""
    import os

    if EXAMPLE not in os.environ:
        return {"generation": {"skipped": f"{EXAMPLE} does not name diffusers' example"}}
    import numpy as np
    import prdc as reference
    import torch
    from diffusers import DDPMPipeline
    from torchmetrics.image.fid import FrechetInceptionDistance

    from imglab.measure import Measure

    modality = photographs(1_920)
    model, train, chosen = diffusion(modality, 1_920, flip=True, sampler="ddpm", steps=20)
    unet = finish(model.fit(train, start=None, seed=0)).unet
    out = Path(tempfile.mkdtemp())
    train_by_example(modality, unet, 1_920, out)
    measure = Measure(modality, precision_recall_k=5)
    finish(measure.prepare())

    class Network(torch.nn.Module):
        num_features = 64

        def forward(self, images):
            return modality._classifier.features(images)

    def ours():
        drawn = finish(model.fit(train, start=None, seed=0)).sample(480, seed=0)
        features = finish(measure.features(drawn)).values
        return measure._compare(measure._real["test"], features)

    def peer() -> float:
        seconds = train_by_example(modality, unet, 1_920, out)  # without its start-up and its saving
        began = time.perf_counter()
        pipeline = DDPMPipeline.from_pretrained(out / "trained")
        pipeline.set_progress_bar_config(disable=True)
        images = pipeline(batch_size=480, num_inference_steps=20).images
        data = torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2)
        score = FrechetInceptionDistance(feature=Network())
        score.update(modality.real("test").data, real=True)
        score.update(data, real=False)
        score.compute()
        network = Network()
        pair = [network(each).double().numpy() for each in (modality.real("test").data, data)]
        with contextlib.redirect_stdout(io.StringIO()):
            reference.compute_prdc(*pair, nearest_k=5)
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
    with tempfile.TemporaryDirectory() as scratch:
        for name, n, side, drawn, limit in (
            ("cifar_sized", 50_000, 32, 2_000, 3_072),
            ("drawn_64", 2_000, 64, 10_000, 2_048),
        ):
            random = np.random.default_rng(0)
            arrays = {"train": n, "test": 2_000}
            path = Path(scratch) / f"{name}.npz"
            images = {
                f"{key}_images": random.integers(0, 256, (k, side, side, 3), dtype=np.uint8)
                for key, k in arrays.items()
            }
            labels = {f"{key}_labels": random.integers(0, 10, k) for key, k in arrays.items()}
            np.savez(path, **images, **labels)
            config = {
                "generations": 2 if side == 32 else 1,
                "samples": drawn,
                "modality": {"kind": "image", "source": {"kind": "npz", "path": str(path)}, "extractor": CLASSIFIER},
                "model": {"kind": "vae", "hidden": [32], "latent": 8, "training": {"images": 12_800}},
                "start": "scratch",
            }
            if side == 32:
                config["model"] = {"kind": "diffusion", "channels": [8, 16], "steps": 2, "training": {"images": 1_280}}
                config["model"]["fine_tuning"] = {"images": 1_280}
            path = Path(scratch) / f"{name}.yaml"
            path.write_text(json.dumps(config))
            command = [sys.executable, "-c", WITH_PEAK, "run", str(path), "--out", str(Path(scratch) / name)]
            told = subprocess.run(command, check=True, capture_output=True, text=True).stderr
            found[f"memory_{name}"] = row(int(told.split()[-1]) / 1024, limit, "MB at peak (limit)")
    return found
