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

PARTS = {
    "VECTORS": "{kind: gaussian, dimensions: 2, n_train: 60, n_test: 60, components: 2}",
    "COUNTS": "{kind: categories, categories: 20, n_train: 60, n_test: 60}",
    "DIGITS": "kind: image, n_train: 200, n_test: 100, extractor: {kind: classifier, images: 5000}",
    "TEXT": "kind: text, n_train: 400, n_test: 100, token_budget: 4096, "
    "extractor: {kind: encoder, layers: 1, width: 32, tokens: 20_000}",
    "WRITTEN": "{kind: pretrained, name: text/generation_000/model}",
}
CONFIGS = {
    "gaussian": """generations: 3, modality: $VECTORS, model: {kind: gaussian},
        regime: {kind: mix, real_fraction: 0.1, real: fresh}, curate: {kind: oracle, keep: 0.5}""",
    "categories": """generations: 3, modality: $COUNTS, model: {kind: categories},
        regime: {kind: mix, real_fraction: 0.1, real: fresh}""",
    "mixed": """generations: 3, start: scratch, modality: $VECTORS, chains: {
        alternating: {model: {kind: alternating, models: [{kind: gaussian}, {kind: kde}]}},
        population: {curate: {kind: density, keep: 0.5}, model: {kind: population,
            shares: [0.6, 0.4], models: [{kind: gaussian}, {kind: mixture}]}}}""",
    "side_by_side": """generations: 3, regime: {kind: sliding_window, window: 2}, chains: {
        vectors: {modality: $VECTORS, model: {kind: gaussian}},
        counts: {modality: $COUNTS, model: {kind: categories}}}""",
    "sweep": """generations: 3, seeds: [0, 1], modality: $COUNTS, model: {kind: categories},
        arms: {replace: {regime: replace}, accumulate: {regime: accumulate}}""",
    "image": """generations: 3, samples: 120, shown: 16, modality: {$DIGITS}, model: {
        kind: diffusion, channels: [16, 32], attention: true, class_conditional: true,
        sampling_bias: 0.7, steps: 3, training: {images: 1280}, fine_tuning: {images: 640}}""",
    "pipeline": """generations: 2, samples: 60, shown: 16, modality: {$DIGITS}, model: {
        kind: pipeline, name: image/generation_000/model, lora: {rank: 2, targets: [to_q, to_v]},
        steps: 3, fine_tuning: {images: 320, batch: 32}}""",
    "vae": """generations: 3, samples: 120, shown: 16, start: scratch, regime: accumulate,
        checkpoint_every: 4000, modality: {$DIGITS}, model: {kind: vae, hidden: [64], latent: 8,
        training: {images: 10_000}, watermark: {strength: 16.0}}""",
    "ngram": "generations: 3, samples: 200, shown: 4, modality: {$TEXT}, model: {kind: ngram}",
    "text": """generations: 2, samples: 100, shown: 4, modality: {$TEXT}, model: {
        kind: language_model, network: {kind: gpt2, layers: 1, width: 32, heads: 2},
        training: {tokens: 20_000}, fine_tuning: {tokens: 10_000}, decoding: {kind: sampling}}""",
    "adapters": """generations: 2, samples: 100, shown: 4, start: base,
        modality: {$TEXT, tokenizer: $WRITTEN}, model: {kind: language_model, network: $WRITTEN,
        lora: {rank: 2}, fine_tuning: {tokens: 10_000}, decoding: {kind: beam, beams: 2}}""",
}
CASES = {
    "gaussian": "run gaussian.yaml --out gaussian; fork gaussian@1 --out fork --set generations=4 "
    "--set regime=accumulate --set curate=null; metrics gaussian fork --json; "
    "report gaussian fork --out both.html; verify gaussian fork",
    "categories": "run categories.yaml --out categories; verify categories",
    "mixed": "run mixed.yaml --out mixed; verify mixed",
    "side_by_side": "run side_by_side.yaml --out chains; verify chains",
    "sweep": "sweep sweep.yaml --out sweep; verify sweep",
    "image": "run image.yaml --out image; run pipeline.yaml --out pipeline; verify image pipeline",
    "vae": "run vae.yaml --out vae; export vae@2 --to exported; verify vae",
    "ngram": "run ngram.yaml --out ngram; verify ngram",
    "text": "run text.yaml --out text; run adapters.yaml --out adapters; verify text adapters",
}
"""The commands of each case, in a folder of its own that holds the configs above."""


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


def run_case(name: str, source: Path, folder: Path) -> None:
    """Run the commands of a case in a new folder by the code in `source`, and no other."""
    if not (source / "imglab").is_dir():
        raise WrongInput(f"{source.name}: there is no package imglab on top of it")
    folder.mkdir(parents=True)
    for config, text in CONFIGS.items():
        whole = f"{{threads: 1, {Template(text).substitute(PARTS)}}}\n"
        (folder / f"{config}.yaml").write_text(whole, encoding="utf-8")

    environment = {**os.environ, **SURROUNDINGS, "PYTHONPATH": str(source)}
    for step in CASES[name].split("; "):
        command = [sys.executable, "-m", "imglab", *shlex.split(step)]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        with (folder / CONSOLE).open("a", encoding="utf-8") as console:
            console.write(f"$ imglab {step}\n{done.stdout}\n")
        if done.returncode:
            last = "\n".join([f"exit code {done.returncode}", *done.stderr.splitlines()[-15:]])
            raise WrongInput(f"`imglab {step}` of {source.name} failed: {last}")


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
        run_case(name, scratch / "working_tree", after)
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
