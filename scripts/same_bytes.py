"""Prove that the working tree makes the same bytes as an earlier commit, on this machine.

    python scripts/same_bytes.py COMMIT                      all configs below, from both
    python scripts/same_bytes.py COMMIT --only image vae     some of the configs
    python scripts/same_bytes.py COMMIT --keep DIR           keep what the commit made for next time
    python scripts/same_bytes.py COMMIT --json               the outcome as one JSON object

A copy of the commit and a copy of the working tree each run the same small configs by the command
line, and every file that the two leave is compared by its sha256. `VOLATILE` lists the files that
no two runs write alike, and what of them is left out. With --keep, what the commit made is in
DIR/COMMIT and is not made again, and what the working tree made differently is in DIR/different.

Exit codes: 0 the same, 1 differences, 2 wrong input: no such commit, or a command that failed.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace, RawTextHelpFormatter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory
from typing import Any

from same_bytes_cases import CASES, CONFIGS, PARTS

ROOT = Path(__file__).resolve().parent.parent
SHOWN = 25  # differences of one case that are printed
CONSOLE = "console.txt"  # what the commands print, beside the directories that they write
SURROUNDINGS = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "COLUMNS": "120"}

VOLATILE = {
    # When something happened, and how long it took.
    "events.jsonl": rb'(?<="time": )[\d.]+|(?<="seconds": )[-\d.e]+',
    # The seconds of each stage, in table rows that end with the hash of a manifest.
    "*.html": rb"(?<=<td>)\d+\.\d(?=</td>(<td>[\d.]*</td>)*<td><code>\w+</code></td></tr>)",
    # The hashes of such pages and of the list itself: `imglab verify` compares them with the files.
    ".files.json": rb'(?<=\.html": ")[0-9a-f]{64}|(?<="self": ")[0-9a-f]{64}',
    # How long a run took, and how often the progress of a sweep was looked at.
    CONSOLE: rb"^done in \d+:\d\d\n|^\d+ of \d+ generations finished\n",
}
"""Names of the files that no two runs write alike, and what is not compared of them."""


class WrongInput(Exception):
    """There is no such commit, or a command failed."""


@dataclass
class Outcome:
    """What became of a case: how long it took, how many files it left, what differs or failed."""

    seconds: float = 0.0
    files: int = 0
    differences: dict[str, str] = field(default_factory=dict)
    failure: str | None = None


def canonical(path: Path) -> bytes:
    """Return what is compared of a file: its bytes, without those that `VOLATILE` takes from it."""
    content = path.read_bytes()
    for pattern, volatile in VOLATILE.items():
        if fnmatch.fnmatch(path.name, pattern):
            content = re.sub(volatile, b"", content, flags=re.MULTILINE)
    return content


def hashes(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file below a folder, by its path; the configs left out."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    results = [path for path in paths if path.parent != folder or path.suffix != ".yaml"]
    return {str(path.relative_to(folder)): sha256(canonical(path)).hexdigest() for path in results}


def compare(before: Path, after: Path, outcome: Outcome) -> None:
    """Note which files of two folders differ; last those that hold the hashes of others."""
    old, new = hashes(before), hashes(after)
    outcome.files = len(old)
    unlike = [name for name in old.keys() | new.keys() if old.get(name) != new.get(name)]
    lists = ("manifest.json", ".files.json")
    for name in sorted(unlike, key=lambda name: (name.endswith(lists), name)):
        if name in old and name in new:
            outcome.differences[name] = difference(before / name, after / name)
        else:
            outcome.differences[name] = "is missing" if name in old else "is new"


def difference(before: Path, after: Path) -> str:
    """Say where two files differ first: at which key of JSON, in which line, or at which byte."""
    first, second = canonical(before), canonical(after)
    with suppress(ValueError, StopIteration):
        place, old, new = next(unlike_values(json.loads(first), json.loads(second)))
        return f"{place}: {json.dumps(old)[:80]} before, {json.dumps(new)[:80]} now"

    pairs = enumerate(zip_longest(first, second))
    at = next(at for at, (old, new) in pairs if old != new)
    if b"\0" in first + second:
        return f"byte {at:,} is the first: {len(first):,} bytes before, {len(second):,} now"
    begin = max(first.rfind(b"\n", 0, at) + 1, at - 40)
    excerpts = [text[begin : begin + 80].partition(b"\n")[0] for text in (first, second)]
    old, new = (excerpt.decode(errors="replace") for excerpt in excerpts)
    line = first.count(b"\n", 0, at) + 1
    return f"line {line}: {old!r} before, {new!r} now"


def unlike_values(before: Any, after: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield the place, and both values, of everything in which two JSON values differ."""
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        before, after = dict(enumerate(before)), dict(enumerate(after))
    if isinstance(before, dict) and isinstance(after, dict):
        for key in {**before, **after}:
            inner = f"{place}.{key}".removeprefix(".")
            yield from unlike_values(before.get(key), after.get(key), inner)
    elif before != after:
        yield place, before, after


def git(*arguments: str) -> bytes:
    """Return what a command of git prints about the repository of this script."""
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout


def copy_working_tree(folder: Path) -> None:
    """Fill a folder with the files that git does not ignore, which may change meanwhile."""
    names = git("ls-files", "-z", "--cached", "--others", "--exclude-standard").decode()
    for name in names.split("\0"):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)


def run_case(name: str, source: Path, folder: Path, begun_by: Path | None = None) -> None:
    """Run the commands of a case in a new folder by the code in `source`, and no other.

    begun_by  the code that begins the runs that one version begins and another one finishes
    """
    if not (source / "imglab").is_dir():
        raise WrongInput(f"{source.name}: there is no package imglab on top of it")
    folder.mkdir(parents=True)
    for config, text in CONFIGS.items():
        whole = f"{{threads: 1, {Template(text).substitute(PARTS)}}}\n"
        (folder / f"{config}.yaml").write_text(whole, encoding="utf-8")

    for step in CASES[name].split("; "):
        arguments = shlex.split(step)
        if arguments[0] == "begin":
            if begun_by is not None:
                begin(arguments[2:], begun_by, folder, until=arguments[1])
            arguments = arguments[2:]

        done = subprocess.run(
            command(arguments),
            cwd=folder,
            env=environment(source),
            capture_output=True,
            text=True,
        )
        with (folder / CONSOLE).open("a", encoding="utf-8") as console:
            console.write(f"$ imglab {step}\n{done.stdout}\n")
        if done.returncode:
            last = "\n".join([f"exit code {done.returncode}", *done.stderr.splitlines()[-15:]])
            raise WrongInput(f"`imglab {step}` of {source.name} failed: {last}")


def begin(arguments: list[str], source: Path, folder: Path, *, until: str) -> None:
    """Run a command by the code in `source`, and kill it when a file like `until` is there."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        command(arguments), cwd=folder, env=environment(source), stdout=quiet, stderr=quiet
    )
    while process.poll() is None and not any(folder.glob(until)):
        time.sleep(0.002)

    if process.poll() is not None:
        raise WrongInput(f"`imglab {shlex.join(arguments)}` ended before it could be killed")
    process.kill()
    process.wait()


def command(arguments: list[str]) -> list[str]:
    """Return the command line of a command of imglab, in two processes after `torchrun`."""
    if arguments[0] != "torchrun":
        return [sys.executable, "-m", "imglab", *arguments]

    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return [sys.executable, "-m", *launcher, "-m", "imglab", *arguments[1:]]


def environment(source: Path) -> dict[str, str]:
    """Return the variables with which the code in `source` runs."""
    return {**os.environ, **SURROUNDINGS, "PYTHONPATH": str(source)}


def prove(name: str, scratch: Path, earlier: Path) -> Outcome:
    """Run a case by the working tree and, unless `earlier` has it, by the commit; compare."""
    outcome = Outcome()
    before, after = earlier / name, scratch / "runs" / name
    recipe, recorded = repr([CONFIGS, PARTS, CASES[name], sys.version]), earlier / f"{name}.txt"
    try:
        if not recorded.is_file() or recorded.read_text(encoding="utf-8") != recipe:
            shutil.rmtree(before, ignore_errors=True)
            run_case(name, scratch / "commit", before)
            recorded.write_text(recipe, encoding="utf-8")
        began = time.monotonic()
        run_case(name, scratch / "working_tree", after, begun_by=scratch / "commit")
        outcome.seconds = round(time.monotonic() - began, 1)
        compare(before, after, outcome)
    except WrongInput as error:
        outcome.failure = str(error)
    return outcome


def show(name: str, outcome: Outcome) -> None:
    """Print what became of a case."""
    summary = f"same: {outcome.files} files ({outcome.seconds:.0f} s)"
    if outcome.failure is not None:
        summary = f"failed: {outcome.failure}"
    elif outcome.differences:
        summary = f"{len(outcome.differences)} differences in {outcome.files} files"
    print(f"{name}: {summary}", flush=True)

    lines = [f"  {file}: {what}" for file, what in outcome.differences.items()]
    for line in lines[:SHOWN]:
        print(line)
    if len(lines) > SHOWN:
        print(f"  and {len(lines) - SHOWN} more; --json has them all")


def prove_all(arguments: Namespace, scratch: Path) -> dict[str, Outcome]:
    """Run and compare the chosen cases; print each as it ends, unless JSON is asked for."""
    try:
        commit = git("rev-parse", "--verify", f"{arguments.commit}^{{commit}}").decode().strip()
    except subprocess.CalledProcessError:
        raise WrongInput(f"{arguments.commit} is no commit of the repository at {ROOT}") from None
    git("archive", "-o", str(scratch / "commit.tar"), commit)
    shutil.unpack_archive(scratch / "commit.tar", scratch / "commit", filter="data")
    copy_working_tree(scratch / "working_tree")

    outcomes = {}
    for name in arguments.only:
        outcomes[name] = prove(name, scratch, (arguments.keep or scratch) / commit)
        if not arguments.json:
            show(name, outcomes[name])
        if arguments.keep and outcomes[name].differences:
            different = arguments.keep / "different" / name
            shutil.rmtree(different, ignore_errors=True)
            shutil.copytree(scratch / "runs" / name, different)
    return outcomes


def main() -> int:
    """Run the proof and return the exit code."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawTextHelpFormatter)
    parser.add_argument("commit", metavar="COMMIT")
    parser.add_argument("--keep", type=Path, metavar="DIR")
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), metavar="NAME")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    try:
        with TemporaryDirectory() as folder:
            outcomes = prove_all(arguments, Path(folder))
    except WrongInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

    if arguments.json:
        print(json.dumps({name: vars(outcome) for name, outcome in outcomes.items()}, indent=1))
    if any(outcome.failure is not None for outcome in outcomes.values()):
        return 2
    return int(any(outcome.differences for outcome in outcomes.values()))


if __name__ == "__main__":
    raise SystemExit(main())
