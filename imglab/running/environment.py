"""What a run is made with: versions, code, machine, data."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, get_args

import torch

from imglab import distributed
from imglab.config.schema import RunConfig
from imglab.errors import first_line
from imglab.groups import Grouped
from imglab.modality import Modality, Split
from imglab.model import CARD, DESCRIPTION, GenerativeModel
from imglab.pool import given_samples
from imglab.store.drawn import hash_samples
from imglab.store.files import sha256_file
from imglab.store.layout import FORMAT_VERSION
from imglab.version import __version__

ROOT = Path(__file__).resolve().parents[2]
"""The folder that holds the package: a repository, if the lab is installed from one."""

PACKAGE = "imglab"
"""The folder of the package in its repository."""

CHANGED = "+changed"
"""Ends the name of a commit from which the code was changed."""

PACKAGES = (
    "torch",
    "torchvision",
    "diffusers",
    "transformers",
    "tokenizers",
    "peft",
    "accelerate",
    "torchmetrics",
    "torch-fidelity",
    "scikit-learn",
    "mlxtend",
    "pandas",
    "scipy",
    "numpy",
    "pillow",
    "safetensors",
    "pydantic",
    "pyyaml",
    "regex",
    "typer",
    "rich",
    "filelock",
    "matplotlib",
    "jinja2",
    "markupsafe",
    "datasets",
    "ray",
)
"""Every package that pyproject.toml asks for at run time; recorded if installed."""


def describe_environment(
    modality: Modality,
    bases: Sequence[GenerativeModel | None] = (),
    former: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return what environment.json records; the same machine, code and data give the same value.

    former  names that pretrained networks had when the run began, by those that they have now
    """
    releases = {"imglab": __version__} | {name: _version(name) for name in PACKAGES}
    return {
        "format_version": FORMAT_VERSION,
        "python": platform.python_version(),
        "packages": {name: release for name, release in releases.items() if release},
        **_code(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": available_cores(),
        "processes": distributed.world_size(),
        "accelerator": accelerator(),
        "data": _hash_data(modality),
        "base": [hash_model(base, former) for base in bases if base is not None] or None,
    }


def described_changes(changes: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """Say in a line what a run goes on with that differs from what it began with, if anything.

    changes  dotted key of environment.json -> value then, value now
    """
    if not changes:
        return []
    each = [
        f"{key.removeprefix('packages.')} {before} -> {now}"
        for key, (before, now) in changes.items()
    ]
    return [f"goes on with other software or hardware than it began with: {'; '.join(each)}"]


def accelerator() -> str | None:
    """Return the name of the GPU; None where there is none."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return None


def resolved_threads(config: RunConfig) -> int:
    """Return the number of threads.

    `auto` is OMP_NUM_THREADS, or one thread for each processor that this process may use.
    """
    if config.threads != "auto":
        return config.threads

    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdecimal() and int(threads) > 0:
        return int(threads)
    return available_cores()


def available_cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _hash_data(modality: Modality) -> dict[str, str]:
    """Return the hash of each part of the real data, and of synthetic data that the user gave."""
    hashes = {split: hash_samples(modality.real(split)) for split in get_args(Split)}
    for label, samples in given_samples(modality).items():
        hashes[f"synthetic {label}"] = hash_samples(samples)
    grouped = modality.ability(Grouped)
    if grouped is not None:
        for split in get_args(Split):
            groups = grouped.groups(split)
            names = "\n".join(groups.names).encode()
            numbers = groups.numbers.numpy().tobytes()
            hashes[f"groups {split}"] = hashlib.sha256(names + b"\n" + numbers).hexdigest()
    return hashes


def hash_model(model: GenerativeModel, former: Mapping[str, str] | None = None) -> str:
    """Return the sha256 of what a model saves.

    former  as for `describe_environment`: a model is the same wherever it lies
    """
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model")
        for present, before in (former or {}).items():
            _rename(Path(folder) / "model", present, before)
        paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        lines = [f"{path.relative_to(folder)} {sha256_file(path)}\n" for path in paths]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _rename(folder: Path, present: str, before: str) -> None:
    """Write the former name of a pretrained network where a saved model says from what it comes."""
    names = {
        DESCRIPTION: (json.dumps(present), json.dumps(before)),
        CARD: (f"`{Path(present).name}`", f"`{Path(before).name}`"),
    }
    for file, (now, then) in names.items():
        path = folder / file
        if path.is_file():
            path.write_text(path.read_text().replace(now, then))


@cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _code() -> dict[str, str | None]:
    """Return the commit of the lab's code, or why there is none.

    `git_commit` ends in CHANGED where files of the package differ from it.
    """
    if not (ROOT / ".git").exists():
        return {"git_commit": None}

    try:
        commit = _git("rev-parse", "HEAD")
        if _git("status", "--porcelain", "--", PACKAGE):
            commit += CHANGED
        return {"git_commit": commit}
    except subprocess.CalledProcessError as error:
        reason = next(iter(error.stderr.splitlines()), f"git ended with {error.returncode}")
    except (OSError, subprocess.SubprocessError) as error:
        reason = first_line(error)
    return {"git_commit": None, "git_commit_unknown": reason.replace(str(ROOT), ".")}


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
