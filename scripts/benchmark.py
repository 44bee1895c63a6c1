"""Measure what the README claims, side by side with the public tools, and print ours, theirs and the ratio.

    python scripts/benchmark.py                 all of it (about two hours on two cores)
    python scripts/benchmark.py prdc frechet    some of it
    python scripts/benchmark.py --json          one object: name -> {"ratio", "ours", "peer", "unit"}

`ratio` is peer / ours: above 1 we are better. Where there is no peer, `peer` is the limit that the project promises.
Times are medians of runs taken in turn.
"""

import argparse
import contextlib
import io
import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import benchmark_images
from benchmark_tools import ROOT, WITH_PEAK, finish, in_turn, row

N, WIDTH = 10_000, 2_048


def features(scale: float, seed: int, n: int = N):
    import torch

    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, WIDTH, generator=generator) * scale


def bench_prdc() -> dict[str, dict]:
    """Precision, recall, density and coverage of 10,000 x 2,048 against the same, and memory beyond the inputs."""
    import prdc as reference

    from imglab.metrics import prdc

    prdc(real=features(1, 0, 64), synthetic=features(1, 1, 64))
    real, synthetic = features(1, 0), features(0.99, 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    prdc(real=real, synthetic=synthetic, precision_recall_k=5)
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024

    def ours():
        return prdc(real=real, synthetic=synthetic, precision_recall_k=5)

    def peer():
        with contextlib.redirect_stdout(io.StringIO()):
            return reference.compute_prdc(real.numpy(), synthetic.numpy(), nearest_k=5)

    seconds = in_turn(ours, peer, 3)
    return {
        "prdc": row(*seconds, "s (prdc package)"),
        "prdc_memory": row(memory, 300, "MB beyond the inputs (limit)"),
    }


def bench_frechet() -> dict[str, dict]:
    """The Fréchet distance of two sets of 10,000 x 2,048, from their means and covariances on."""
    import torch
    from torchmetrics.image.fid import _compute_fid

    from imglab.metrics import Moments, frechet_of_moments

    moments = [Moments.of(features(scale, seed)) for scale, seed in ((1, 0), (0.99, 1))]
    arguments = [part for found in moments for part in (found.mean, found.covariance)]

    def ours():
        return frechet_of_moments(real=moments[0], synthetic=moments[1])

    def peer():
        return float(_compute_fid(*arguments))

    assert abs(ours() - peer()) < 1e-6 * float(torch.trace(moments[0].covariance))
    return {"frechet": row(*in_turn(ours, peer, 3), "s (torchmetrics)")}


def bench_help() -> dict[str, dict]:
    """`imglab --help`, as a whole process."""
    times = []
    for _ in range(7):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "imglab", "--help"], check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return {"help": row(statistics.median(times), 0.5, "s (limit)")}


def text_chain(*changes: str):
    """Return modality and model of configs/text_pydoc.yaml with changes."""
    from imglab.config.load import load_config
    from imglab.run.build import build

    built = build(load_config(ROOT / "configs" / "text_pydoc.yaml", changes), "benchmark")
    return built.modality, built.models[0]


def bench_text_fit() -> dict[str, dict]:
    """Training as in configs/text_pydoc.yaml, against a bare PyTorch loop on the same network and batch."""
    import torch

    from imglab.samples import TrainingSet

    steps = 150
    modality, model = text_chain(f"model.training.tokens={steps * 16 * 128}")
    train = modality.real("train")
    windows = train.data[: len(train) // 2 * 2].view(-1, 128)

    def fit():
        return finish(model.fit(TrainingSet.of(train), start=None, seed=0))

    network = fit().network
    network.set_attn_implementation("eager")

    def bare():
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
        for _ in range(steps):
            tokens = windows[torch.randint(len(windows), (16,))]
            with torch.autocast("cpu", torch.bfloat16):
                logits = network(input_ids=tokens, use_cache=False).logits
            loss = torch.nn.functional.cross_entropy(
                logits[:, :-1].float().flatten(0, 1), tokens[:, 1:].flatten()
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return {
        "text_fit": row(
            *in_turn(fit, bare, 5), f"s for {steps} steps of 16 x 128 tokens (bare PyTorch loop)"
        )
    }


def bench_text_draw() -> dict[str, dict]:
    """Continuing 512 prompts of 64 tokens by 64, against `generate` with the same settings and its best batch size."""
    import torch
    from transformers.utils import logging

    from imglab.samples import TrainingSet

    logging.set_verbosity_error()
    modality, model = text_chain("model.training.tokens=2048")
    prompts = modality.real("train").data[:512]
    fitted = finish(model.fit(TrainingSet.of(modality.real("train")), start=None, seed=0))

    def generate(batch: int):
        for part in prompts.split(batch):
            fitted.network.generate(
                part,
                attention_mask=torch.ones_like(part),
                max_new_tokens=64,
                min_new_tokens=64,
                do_sample=True,
                temperature=0.9,
                top_p=0.95,
                top_k=0,
                pad_token_id=0,
            )

    def seconds(batch: int) -> float:
        began = time.perf_counter()
        generate(batch)
        return time.perf_counter() - began

    best = min(
        (64, 128, 256, 512), key=lambda batch: statistics.median(seconds(batch) for _ in range(3))
    )
    times = in_turn(
        lambda: fitted.sample(512, conditions=prompts, seed=0), lambda: generate(best), 7
    )
    return {"text_draw": row(*times, f"s for 512 texts (transformers.generate, batches of {best})")}


def bench_text() -> dict[str, dict]:
    """The main text config as a whole process: time, memory, and the share spent outside fit, sample and measure."""
    return whole_run("text_pydoc", "text", 300, 2048)


def bench_digits() -> dict[str, dict]:
    """The main image config as a whole process: time, memory, and the share spent outside fit, sample and measure."""
    return whole_run("image_digits", "digits", 240, 1536)


def whole_run(config: str, name: str, most_seconds: float, most_memory: float) -> dict[str, dict]:
    """Run a config as a process of its own and compare it with its limits."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        began = time.perf_counter()
        command = [
            sys.executable,
            "-m",
            "imglab",
            "run",
            f"configs/{config}.yaml",
            "--out",
            str(out),
        ]
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
        seconds = time.perf_counter() - began
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    inside = sum(event.get("seconds", 0) for event in events)
    outside = max(1e-6, 1 - inside / (events[-1]["time"] - events[0]["time"]))
    return {
        f"{name}_seconds": row(seconds, most_seconds, "s (limit)"),
        f"{name}_memory": row(memory, most_memory, "MB (limit)"),
        f"{name}_outside": row(
            outside, 0.02, "of the run is outside fit, sample and measure (limit)"
        ),
    }


SAFETY = """
import os, sys, time
from imglab.store import files
spent = 0.0
def timed(function):
    def call(*arguments):
        global spent
        began = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            spent += time.perf_counter() - began
    return call
os.fsync, files.sha256_file = timed(os.fsync), timed(files.sha256_file)
from imglab.run.run import Run
began = time.perf_counter()
for _ in Run.from_file("configs/image_digits.yaml", sys.argv[1], ["generations=2"]).events():
    pass
print(spent / (time.perf_counter() - began))
"""


def bench_safety() -> dict[str, dict]:
    """What hashing every file and waiting for the disk takes of two generations of the main image config."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", SAFETY, str(Path(folder) / "run")]
        share = float(
            subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
        )
    return {"safety": row(share, 0.01, "of the run is hashing and syncing (limit)")}


def bench_workers() -> dict[str, dict]:
    """Four chains of digits by one worker and by two, all included; the time that a sweep takes between runs.

    Threads change the last bits of a sum, so the same bytes come from one worker with the threads that each of two
    has; a single worker left to itself takes both cores.
    """
    ways = {"one": ("1", ["threads=1"]), "two": ("2", ["threads=1"]), "both cores": ("1", [])}
    found: dict[str, list[float]] = {way: [] for way in ways}
    between = []
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(2):
            for way, (workers, threads) in ways.items():
                out = Path(folder) / f"{way}-{turn}"
                keep = [
                    "seeds=[0,1]",
                    "arms={replace: {regime: replace}}",
                    "contrasts=[]",
                    "generations=10",
                ]
                changes = [part for change in keep + threads for part in ("--set", change)]
                command = [
                    sys.executable,
                    "-m",
                    "imglab",
                    "sweep",
                    "configs/sweep_digits.yaml",
                    "--out",
                    str(out),
                ]
                began = time.perf_counter()
                subprocess.run(
                    [*command, "--workers", workers, *changes],
                    check=True,
                    capture_output=True,
                    cwd=ROOT,
                )
                found[way].append(time.perf_counter() - began)
                if workers == "1":
                    spans = sorted(span(log) for log in out.glob("*/*/events.jsonl"))
                    idle = sum(after[0] - before[1] for before, after in itertools.pairwise(spans))
                    between.append(max(1e-6, idle / (spans[-1][1] - spans[0][0])))
    one, two, both = (statistics.median(found[way]) for way in ways)
    return {
        "two_workers": row(two / one, 0.6, "of the time of one worker, the same bytes (limit)"),
        "two_workers_both": row(
            two / both, 1.0, "of the time of one worker with both cores (limit)"
        ),
        "between_runs": row(
            statistics.median(between), 0.01, "of a sweep is outside its runs (limit)"
        ),
    }


def span(log: Path) -> tuple[float, float]:
    """Return when a run's log begins and ends, in seconds."""
    times = [json.loads(line)["time"] for line in log.read_text().splitlines()]
    return times[0], times[-1]


def bench_long_chain() -> dict[str, dict]:
    """A hundred generations that accumulate: memory of its own and time per generation, late against early."""
    from imglab import Run

    config = {
        "generations": 101,
        "regime": "accumulate",
        "start": "scratch",
        "shown": 4,
        "modality": {"kind": "image", "n_train": 700, "n_test": 397},
        "model": {
            "kind": "vae",
            "hidden": [64],
            "latent": 8,
            "training": {"images": 6_400, "batch": 64},
        },
    }
    memory, moments = [], [time.perf_counter()]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.yaml"
        path.write_text(json.dumps(config))
        for _ in Run.from_file(path, Path(folder) / "run").generations():
            moments.append(time.perf_counter())
            status = Path("/proc/self/status").read_text()
            memory.append(int(status.partition("RssAnon:")[2].split()[0]) / 1024)
    seconds = [after - before for before, after in itertools.pairwise(moments)]
    early, late = (statistics.median(seconds[first : first + 20]) for first in (10, 81))
    return {
        "memory_100": row(
            memory[100] / memory[10], 1.05, f"of generation 10's {memory[10]:.0f} MB (limit)"
        ),
        "time_100": row(
            late / early, 1.0, f"generations 81 to 100 over 10 to 29 ({early:.2f} s each)"
        ),
    }


def alone(name: str) -> dict[str, dict]:
    """Run one benchmark in a process of its own: a child starts with its parent's peak memory."""
    command = [sys.executable, __file__, name, "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def bench_report() -> dict[str, dict]:
    """The page of 2 x 6, 4 x 10 and 8 x 100 generations of 64 digits: seconds, megabytes, memory, time to open."""
    found: dict[str, dict] = {}
    with tempfile.TemporaryDirectory() as scratch:
        model = _first_generation(Path(scratch) / "model")
        for arms, generations, seconds, megabytes in (
            (2, 6, 5, 5),
            (4, 10, 5, 5),
            (8, 100, 60, 25),
        ):
            runs = [
                _pretended(model, Path(scratch) / f"{arms}-{arm}", generations, seed=arm)
                for arm in range(arms)
            ]
            page, times, memory = Path(scratch) / f"{arms}.html", [], 0.0
            for _ in range(3):
                began = time.perf_counter()
                command = [
                    sys.executable,
                    "-c",
                    WITH_PEAK,
                    "report",
                    *map(str, runs),
                    "--out",
                    str(page),
                ]
                told = subprocess.run(command, check=True, capture_output=True, text=True).stderr
                times.append(time.perf_counter() - began)
                memory = max(memory, int(told.split()[-1]) / 1024)
            name = f"report_{arms}x{generations}"
            found[f"{name}_time"] = row(statistics.median(times), seconds, "s (limit)")
            found[f"{name}_size"] = row(page.stat().st_size / 1e6, megabytes, "MB (limit)")
            found[f"{name}_memory"] = row(memory, 500, "MB at peak (limit)")
            opened = _seconds_to_open(page)
            if opened is not None:
                found[f"{name}_open"] = row(opened, 2, "s to open in Chromium (limit)")
    return found


def _first_generation(folder: Path) -> Path:
    """A run of one generation of digits, to make longer ones of."""
    from imglab import Run

    changes = ["generations=1", "model.training.images=6400", "modality.extractor.images=6400"]
    for _ in Run.from_file(ROOT / "configs" / "image_digits.yaml", folder, changes).generations():
        pass
    return folder


def _pretended(run: Path, folder: Path, generations: int, seed: int) -> Path:
    """A copy of a run with so many generations, each with 64 pictures and 192 neighbours of its own."""
    import shutil

    import numpy as np
    from safetensors.numpy import load_file, save_file

    from imglab.store import files
    from imglab.store.reading import read_manifest

    random = np.random.default_rng(seed)
    first = run / "generation_000"
    shown, exhibit = (
        load_file(first / "shown.safetensors"),
        load_file(first / "exhibit.safetensors"),
    )
    metrics, manifest = json.loads((first / "metrics.json").read_text()), read_manifest(run, 0)
    for g in range(generations):
        made = folder / f"generation_{g:03d}"
        made.mkdir(parents=True)
        noise = random.integers(0, 64, shown["data"].shape, dtype=np.uint8)
        save_file({**shown, "data": (shown["data"] // 4 * 3 + noise)}, made / "shown.safetensors")
        near = random.choice(exhibit["rows"], exhibit["index"].shape)
        save_file({**exhibit, "index": near}, made / "exhibit.safetensors")
        values = {**metrics, "generation": g, "recall": 1 / (g + 1), "fid": 20.0 * (g + 1)}
        (made / "metrics.json").write_text(json.dumps(values))
        listed = {"metrics.json": files.sha256_file(made / "metrics.json")}
        files.write_signed(made / "manifest.json", {**manifest, "generation": g, "files": listed})
    for name in ("config.yaml", "environment.json", "events.jsonl"):
        shutil.copy(run / name, folder)
    return folder


def _seconds_to_open(page: Path) -> float | None:
    """Median seconds until Chromium has opened a page from disk and its script is done; None where there is none."""
    import shutil

    chromium = shutil.which("chromium")
    if chromium is None:
        return None
    from playwright.sync_api import sync_playwright

    times = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(5):
            opened = browser.new_page()
            began = time.perf_counter()
            opened.goto(page.as_uri())
            opened.wait_for_selector("body[data-ready]")
            times.append(time.perf_counter() - began)
            opened.close()
        browser.close()
    return statistics.median(times)


BENCHMARKS = {
    "prdc": bench_prdc,
    "frechet": bench_frechet,
    "help": bench_help,
    "text_fit": bench_text_fit,
    "text_draw": bench_text_draw,
    "digits": bench_digits,
    "text": bench_text,
    "diffusion_fit": benchmark_images.bench_diffusion_fit,
    "diffusion_draw": benchmark_images.bench_diffusion_draw,
    "diffusion_quality": benchmark_images.bench_diffusion_quality,
    "generation": benchmark_images.bench_generation,
    "image_memory": benchmark_images.bench_image_memory,
    "safety": bench_safety,
    "workers": bench_workers,
    "long_chain": bench_long_chain,
    "report": bench_report,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"some of: {', '.join(BENCHMARKS)}"
    )
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    found: dict[str, dict] = {}
    names = arguments.names or list(BENCHMARKS)
    for name in names:
        measured = BENCHMARKS[name]() if len(names) == 1 else alone(name)
        found |= measured
        if not arguments.json:
            for key, values in measured.items():
                print(f"{key:16} {values}", flush=True)
    if arguments.json:
        print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
