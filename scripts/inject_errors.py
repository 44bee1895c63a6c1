"""Let the system fail at every file operation of every command, and count how the commands end.

    python scripts/inject_errors.py --errors 2000     all of them
    python scripts/inject_errors.py --errors 200      a part, chosen by --seed

Each command runs in a child of a process that has everything imported. One of its operations on the
run's files (open, list, rename, remove, make a folder) fails with one of the system's errors. The
command must end with 0, 2 or 3 and without a traceback, and no good generation may be set aside.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import os
import random
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from imglab.cli import main
from imglab.run.run import Run
from imglab.store.layout import count_finished

EVENTS = ("open", "os.listdir", "os.scandir", "os.rename", "os.remove", "os.mkdir")
ERRORS = sorted(set(errno.errorcode) - {errno.EINTR, errno.EAGAIN, errno.EINPROGRESS})
CONFIG = """\
name: t
generations: 2
regime: accumulate
modality: {kind: gaussian, dimensions: 2, n_train: 20, n_test: 20}
model: {kind: gaussian}
"""
COMMANDS = (
    "metrics {run}",
    "verify {run}",
    "verify {run} --repair",
    "report {run}",
    "run {config} --out {run}",
    "run {config} --out {run} --set generations=3",
    "fork {run}@0 --out {folder}/f --set generations=2",
    "validate {config}",
)


class Failing:
    """Counts the operations below a folder, and lets one of them fail."""

    def __init__(self, folder: Path, at: int, number: int) -> None:
        self.count = 0
        self._folder = str(folder)
        self._at = at
        self._number = number
        sys.addaudithook(self._heard)

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in EVENTS or not isinstance(arguments[0], str | os.PathLike):
            return
        path = os.path.abspath(arguments[0])
        if not path.startswith(self._folder):
            return

        self.count += 1
        if self.count == self._at:
            raise OSError(self._number, os.strerror(self._number), path)


def end_of(command: list[str], folder: Path, at: int, number: int) -> tuple[int, int, str]:
    """Run a command in a child; return its exit code, how many operations it had, its errors."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _in_child(command, folder, at, number, writer)

    os.close(writer)
    with os.fdopen(reader, errors="replace") as pipe:
        count, _, text = pipe.read().partition("\n")
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, int(count or 0), text


def _in_child(command: list[str], folder: Path, at: int, number: int, writer: int) -> None:
    failing = Failing(folder, at, number)
    output = io.StringIO()
    code = 1
    sys.argv = ["imglab", *command]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(output):
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        except BaseException:
            # What a user would see as a traceback.
            output.write(traceback.format_exc())

    text = f"{failing.count}\n{output.getvalue()}".encode(errors="replace")
    os.write(writer, text[-60_000:] if len(text) > 60_000 else text)
    os._exit(code)


def campaign(errors: int, seed: int, folder: Path) -> tuple[Counter[int], list[str]]:
    """Inject so many errors; return how often each exit code came, and what broke a promise."""
    config = folder / "g.yaml"
    config.write_text(CONFIG)
    whole = folder / "whole"
    for _ in Run.from_file(config, whole).events():
        pass

    chance = random.Random(seed)
    codes: Counter[int] = Counter()
    broken: list[str] = []
    for turn in range(errors):
        place = folder / f"turn{turn}"
        place.mkdir()
        shutil.copytree(whole, place / "r")
        line = COMMANDS[turn % len(COMMANDS)]
        command = line.format(run=place / "r", config=config, folder=place).split()

        number = chance.choice(ERRORS)
        at = int(chance.triangular(1, 60, 1))
        code, _, text = end_of(command, place, at, number)
        codes[code] += 1

        what = f"{line} at {at}: {errno.errorcode[number]}, exit {code}"
        if code not in (0, 2, 3) or "Traceback" in text:
            broken.append(f"{what}: {text[-400:]}")
        if count_finished(place / "r") < 2:
            broken.append(f"{what}: good generations were set aside")
        shutil.rmtree(place)
    return codes, broken


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--errors", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    import imglab.cli.progress
    import imglab.report.results
    import imglab.run.fork
    import imglab.solvable.gaussian.model  # noqa: F401

    with tempfile.TemporaryDirectory() as temporary:
        codes, broken = campaign(asked.errors, asked.seed, Path(temporary))
    print(f"{sum(codes.values())} errors, exit codes {dict(codes)}; {len(broken)} broken promises")
    print("\n".join(broken[:20]))
    raise SystemExit(bool(broken))
