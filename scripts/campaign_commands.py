"""Commands of the lab in children of a process that has everything imported, for the campaigns.

What a campaign watches are operations on files. Figures are therefore not drawn: each is one byte,
or one dot.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import traceback
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import torch
from PIL import Image

import imglab.cli.progress
import imglab.report.figures as figures
import imglab.report.results as results
import imglab.running.fork
import imglab.solvable.gaussian.modality as modality
import imglab.solvable.gaussian.model  # noqa: F401
from imglab.cli import main
from imglab.studies.chains import chain_job
from imglab.studies.jobs import Job, Outcome
from imglab.studies.pool import Pool
from imglab.studies.sweeps.config import load_sweep, run_folder

EVENTS = frozenset(
    {
        "open",
        "os.listdir",
        "os.scandir",
        "os.rename",
        "os.remove",
        "os.mkdir",
        "os.rmdir",
        "os.link",
        "os.symlink",
    }
)
"""Operations on paths, as the interpreter tells of them."""

CONFIG = """\
name: t
generations: 2
threads: 1
regime: accumulate
measure: {floor_splits: 20}
modality: {kind: gaussian, dimensions: 2, n_train: 20, n_test: 20}
model: {kind: gaussian}
"""
IMAGE = """\
name: i
generations: 2
samples: 16
shown: 4
threads: 1
measure: {floor_splits: 20}
modality: {kind: image, n_train: 30, n_test: 20, extractor: pixels}
model:
  kind: vae
  hidden: [8]
  latent: 2
  training: {images: 32, batch: 16}
  fine_tuning: {images: 16, batch: 16}
"""
SWEEP = """\
name: s
seeds: [1]
generations: 2
threads: 1
measure: {floor_splits: 20}
modality: {kind: gaussian, dimensions: 2, n_train: 20, n_test: 20}
model: {kind: gaussian}
arms:
  a: {regime: replace}
  b: {regime: accumulate}
"""


def warm_up() -> None:
    """Import what commands import on their way, draw nothing from now on, and use one thread.

    What commands give to workers is done in their own processes, so that it is watched as well.
    """
    torch.set_num_threads(1)
    replaced: list[tuple[Any, str, Any]] = [
        (results, "curves_figure", lambda *_, **__: None),
        (figures, "png", lambda _: b"p"),
        (figures, "svg", lambda _: b"s"),
        (figures, "pdf", lambda _: b"d"),
        (modality, "draw_scatter", _draw_a_dot),
        (Pool, "__enter__", lambda self: self),
        (Pool, "submit", _work_here),
        (Pool, "__exit__", lambda *_: None),
    ]
    for place, name, stand_in in replaced:
        setattr(place, name, stand_in)

    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "c.yaml")
        config.write_text(CONFIG)
        code, text = run_command(["run", str(config), "--out", str(Path(folder, "r"))])
        assert code == 0, text


def _draw_a_dot(*arguments: Any) -> None:
    Image.new("RGB", (8, 8)).save(arguments[-1], format="png")


def _work_here(_: Pool, __: str, job: Job) -> Future[Outcome]:
    future: Future[Outcome] = Future()
    try:
        future.set_result(job.run())
    except Exception as error:
        future.set_exception(error)
    return future


def run_command(words: list[str]) -> tuple[int, str]:
    """Run a command in this process; return its exit code, and what it says of errors.

    Beside the lab's own commands there are `move FROM TO`, and `arm CONFIG SWEEP ARM`: what a
    worker of a sweep does. An exception that a user would see as a traceback gives the code 1.
    """
    errors = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        try:
            _run(words)
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        except BaseException:
            errors.write(traceback.format_exc())
            code = 1
    return code, errors.getvalue()


def _run(words: list[str]) -> None:
    if words[0] == "move":
        os.rename(words[1], words[2])
    elif words[0] == "arm":
        _run_arm(Path(words[1]), Path(words[2]), words[3])
    else:
        sys.argv = ["imglab", *words]
        main()


def _run_arm(config: Path, folder: Path, name: str) -> None:
    """Run one arm of a sweep in this process, with the sweep's cache."""
    for arm, seed, chain in load_sweep(config).runs():
        if arm == name:
            job = chain_job(chain, run_folder(folder, arm, seed), 1, folder / ".cache")
            outcome = job.run()
            print(outcome.message, file=sys.stderr)
            raise SystemExit(outcome.code)
