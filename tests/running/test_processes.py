"""One chain by several processes: the same samples, nothing twice, no hanging when one dies, and it
can go on.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from safetensors.torch import load_file

from imglab import distributed
from imglab.distributed.launcher import LAUNCHER
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

CHAIN: dict[str, Any] = {
    "generations": 2,
    "samples": 101,  # odd: shares of 50 and 51
    "shown": 3,
    "threads": 1,
    "modality": {
        "kind": "image",
        "n_train": 200,
        "n_test": 100,
        "extractor": {"kind": "classifier", "images": 600},
    },
    "model": {
        "kind": "diffusion",
        "channels": [8, 16],
        "steps": 4,
        "class_conditional": True,
        "training": {"images": 1000, "batch": 50},
        "fine_tuning": {"images": 500, "batch": 33},
    },
}
LAUNCHERS = {
    "torchrun": ["-m", "torch.distributed.run", "--nproc-per-node", "2"],
    "accelerate": [
        "-m",
        "accelerate.commands.launch",
        "--cpu",
        "--num_processes",
        "2",
        "--mixed_precision",
        "no",
    ],
}
FSDP = {
    "compute_environment": "LOCAL_MACHINE",
    "distributed_type": "FSDP",
    "num_machines": 1,
    "num_processes": 2,
    "mixed_precision": "no",
    "use_cpu": False,
    "fsdp_config": {"fsdp_version": 2},
}
"""What `accelerate config` writes for one machine whose two processes are to have parts of the
weights.
"""


def command(launcher, config, out):
    launched = LAUNCHERS.get(launcher, [])
    if launcher == "config":
        configured = config.with_name("accelerate.yaml")
        configured.write_text(yaml.safe_dump(FSDP))
        launched = ["-m", "accelerate.commands.launch", "--config_file", str(configured)]
    if launcher == "torchrun":
        launched = [
            *launched,
            "--master-port",
            "0",
            "--rdzv-backend",
            "c10d",
            "--rdzv-endpoint",
            "localhost:0",
            # Else the processes look for each other under the name of the machine, which a busy
            # server of names may take minutes to answer.
            "--local-addr",
            "127.0.0.1",
        ]
    return [sys.executable, *launched, "-m", "imglab", "run", str(config), "--out", str(out)]


def run(launcher, config, out, timeout=240, **environment):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(
        command(launcher, config, out),
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=ROOT,
        env=environment,
    )


def write(folder: Path, tree, name="chain") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"name": name, **tree}))
    return path


def samples_of(out, g=0):
    return load_file(out / f"generation_{g:03d}" / "samples.safetensors")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The chain by one process."""
    folder = tmp_path_factory.mktemp("alone")
    done = run("none", write(folder, CHAIN), folder / "run")
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.mark.parametrize(
    ("launcher", "environment"),
    [
        ("torchrun", {}),
        ("accelerate", {}),
        ("torchrun", {"ACCELERATE_DYNAMO_BACKEND": "EAGER"}),
        ("config", {}),
    ],
)
def test_two_processes_draw_what_one_draws(launcher, environment, alone, tmp_path):
    """Also where each has a part of the weights, as accelerate's own config asks for (FSDP)."""
    done = run(launcher, write(tmp_path, CHAIN), tmp_path / "run", **environment)
    assert done.returncode == 0, done.stderr
    for g in range(2):
        one, two = samples_of(alone, g), samples_of(tmp_path / "run", g)
        assert one["data"].shape == two["data"].shape
        assert one["condition"].equal(two["condition"])
        apart = (one["data"].int() - two["data"].int()).abs()
        assert int(apart.max()) <= 1
        assert float((apart > 0).double().mean()) < 1e-3
    mine, theirs = (
        load_file(out / "generation_000/features.safetensors")["features"]
        for out in (alone, tmp_path / "run")
    )
    assert mine.shape == theirs.shape, "each sample's features once"
    events = [json.loads(line) for line in (tmp_path / "run/events.jsonl").read_text().splitlines()]
    assert sum(event.get("stage") == "metrics" for event in events) == 2, (
        "one process writes the log"
    )
    assert done.stdout.count("done in") == 1, "and talks"


@pytest.mark.parametrize("kind", ["text", "vae", "lora"])
def test_weights_that_lie_in_parts_learn_the_same(kind, tmp_path, pipelines):
    """Under FSDP two processes fit what one fits."""
    trees = {
        "text": yaml.safe_load((ROOT / "configs/smoke/text.yaml").read_text()),
        "vae": {
            **CHAIN,
            "model": {"kind": "vae", "hidden": [16], "latent": 4, "training": {"images": 500}},
        },
        "lora": {
            **CHAIN,
            "model": {
                "kind": "pipeline",
                "name": str(pipelines / "dit"),
                "steps": 2,
                "lora": {"targets": ["to_q", "to_v"]},
                "fine_tuning": {"images": 64, "batch": 16},
            },
        },
    }
    tree = {**trees[kind], "generations": 2, "checkpoint_every": 500}
    config = write(tmp_path, {**tree, "name": "chain"} if kind == "text" else tree)
    for launcher, out in (("none", "one"), ("torchrun", "two")):
        done = run(launcher, config, tmp_path / out, ACCELERATE_USE_FSDP="true")
        assert done.returncode == 0, done.stderr
    for g in range(2):
        one, two = samples_of(tmp_path / "one", g)["data"], samples_of(tmp_path / "two", g)["data"]
        apart = (one.int() - two.int()).abs()
        assert float((apart > (0 if kind == "text" else 1)).double().mean()) < 1e-3


def test_remedies_that_draw_samples_of_their_own(alone, tmp_path):
    """Two processes share out what a remedy draws and trains on as they do a generation's own."""
    remedies = [{"kind": kind, "w": 0.5} for kind in ("negative_guidance", "neon")]
    config = write(tmp_path, {**CHAIN, "remedy": remedies})
    for launcher, out in (("none", "one"), ("torchrun", "two")):
        done = run(launcher, config, tmp_path / out)
        assert done.returncode == 0, done.stderr

    one, two = (samples_of(tmp_path / out, 1)["data"].int() for out in ("one", "two"))
    assert float(((one - two).abs() > 1).double().mean()) < 1e-3
    assert not one.equal(samples_of(alone, 1)["data"].int()), "they have done something"
    seen = [
        json.loads((tmp_path / f"{out}/generation_001/metrics.json").read_text())["training"]
        for out in ("one", "two")
    ]
    assert seen[0] == seen[1]


def test_parts_of_different_numbers(tmp_path):
    """65 images, 32 at a time: one process draws one part, the other two."""
    tree = {
        **CHAIN,
        "generations": 1,
        "samples": 65,
        "shown": 1,
        "model": {**CHAIN["model"], "sampling_batch": 32},
    }
    done = run("torchrun", write(tmp_path, tree), tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert len(samples_of(tmp_path / "run")["data"]) == 65


def test_a_batch_that_cannot_be_shared_out(tmp_path):
    tree = {**CHAIN, "model": {**CHAIN["model"], "training": {"images": 10, "batch": 1}}}
    done = run("torchrun", write(tmp_path, tree), tmp_path / "run")
    assert done.returncode == 1
    assert "1 cannot be shared out to 2 processes" in done.stderr


@pytest.mark.parametrize("name", ["text", "gaussian"])
def test_other_kinds_run_too(name, tmp_path):
    done = run("torchrun", ROOT / f"configs/smoke/{name}.yaml", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/generation_001/manifest.json").is_file()


def test_two_processes_score_a_chain_as_one_does(tmp_path):
    """The moments of these models are exact, so nothing but the scores could differ."""
    config = ROOT / "configs/smoke/gaussian.yaml"
    rows = []
    for launcher in ("none", "torchrun"):
        done = run(launcher, config, tmp_path / launcher)
        assert done.returncode == 0, done.stderr
        files = sorted((tmp_path / launcher).glob("generation_*/metrics.json"))
        rows.append([path.read_text() for path in files])
    assert rows[0] == rows[1]


@dataclass
class Launched:
    """A run of two processes by torchrun, and the file that takes what they print."""

    process: subprocess.Popen[bytes]
    output: Path

    def until(self, condition, seconds=240):
        """Wait for a condition; AssertionError with the output if it cannot come any more."""
        began = time.monotonic()
        while not condition():
            code = self.process.poll()
            assert code is None, f"it has ended with {code}:\n{self.printed()}"
            if time.monotonic() - began > seconds:
                self.fail(f"nothing after {seconds} s")
            time.sleep(0.05)

    def end(self, seconds=240):
        """Return the exit code of the launcher; AssertionError with the stacks if it hangs."""
        try:
            return self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.fail(f"it does not end in {seconds} s")

    def ranks(self):
        return [
            child
            for child in psutil.Process(self.process.pid).children(recursive=True)
            if "imglab" in child.cmdline() and "torch.distributed.run" not in child.cmdline()
        ]

    def fail(self, what):
        """Let every process print where it stands, and end."""
        times = [child.cpu_times() for child in self.ranks()]
        for child in self.ranks():
            child.send_signal(signal.SIGABRT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=20)
        pytest.fail(f"{what}; CPU times {times}:\n{self.printed()}")

    def printed(self):
        lines = self.output.read_text(errors="replace").splitlines()
        shown = [line for line in lines if not line.startswith("Extension modules:")]
        return "\n".join(shown)[-8000:]


@contextlib.contextmanager
def started(config, out, **environment):
    output = config.with_name("output.txt")
    environment = {"OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1", **environment}
    with output.open("wb") as file:
        process = subprocess.Popen(
            command("torchrun", config, out),
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, **environment},
        )
    family = [psutil.Process(process.pid)]
    try:
        yield Launched(process, output)
        process.wait(timeout=240)
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            family += family[0].children(recursive=True)
        for each in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait()


@pytest.mark.parametrize("rank", [0, 1])
def test_when_one_dies_the_other_ends_and_the_run_goes_on(rank, alone, tmp_path, record_property):
    config, out = write(tmp_path, CHAIN), tmp_path / "run"
    with started(config, out) as one:
        one.until(lambda: (out / "shared/classifier.safetensors").exists())
        children = sorted(one.ranks(), key=lambda child: int(child.environ()["RANK"]))
        children[rank].send_signal(signal.SIGKILL)
        assert one.end() != 0
    assert not [
        child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE
    ]
    assert run("torchrun", config, out).returncode == 0
    apart = (samples_of(alone)["data"].int() - samples_of(out)["data"].int()).abs()
    assert int(apart.max()) <= 1
    record_property("kills", 1)


def test_what_fails_in_one_ends_all(tmp_path):
    """The main process cannot write: the other, which waits for it, does not wait for ever."""
    config, out = write(tmp_path, CHAIN), tmp_path / "run"
    with started(config, out) as one:
        one.until(lambda: (out / "shared/reference.safetensors").exists())
        # In one step: the run goes on writing.
        out.rename(tmp_path / "aside")
        out.write_text("in the way")
        assert one.end() == 1


@pytest.mark.parametrize("divided", ["false", "true"])
def test_a_signal_to_one_stops_all_and_the_run_can_go_on(divided, tmp_path):
    tree = {**CHAIN, "model": {**CHAIN["model"], "training": {"images": 500_000, "batch": 50}}}
    config, out = write(tmp_path, tree), tmp_path / "run"
    with started(config, out, ACCELERATE_USE_FSDP=divided) as one:
        one.until(lambda: (out / "shared/reference.safetensors").exists())
        time.sleep(2)
        one.ranks()[1].send_signal(signal.SIGTERM)
        assert one.end() == 1, "a launcher's own code"
    last = json.loads((out / "events.jsonl").read_text().splitlines()[-1])
    assert last["event"] == "stopped"
    assert last["resumable"] is True
    assert list((out / "generation_000").glob(".checkpoint-*")), "the step was finished and saved"


def test_what_only_one_process_can_do(lab, tmp_path, monkeypatch):
    for name in LAUNCHER:
        monkeypatch.setenv(name, "2")
    config = write(tmp_path, CHAIN)
    for arguments in (["metrics", tmp_path], ["sweep", config]):
        code, _, error = lab(*arguments)
        assert code == 2
        assert "only `imglab run`" in error
    code, _, error = lab("run", config, "--live")
    assert code == 2
    assert "without --live" in error


def test_shares_are_whole(monkeypatch):
    for size in (1, 2, 3, 7):
        monkeypatch.setattr(distributed, "world_size", lambda size=size: size)
        shares: list[int] = []
        for number in range(size):
            monkeypatch.setattr(distributed, "rank", lambda number=number: number)
            shares += distributed.shard(10)
        assert shares == list(range(10))
