"""Crash safety, proved by killing: whenever a run is killed, the same command makes the same bytes
of it.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time

import pytest

from imglab.store import files
from imglab.store.faults import find_faults
from imglab.store.hashes import HASH_LIST
from imglab.store.layout import MANIFEST
from tests.faults.killing import Moment, attempt
from tests.tiny_chains import TINY_CHAIN, TINY_GAUSSIAN, TINY_IMAGE, TINY_MIXED, write

GAUSSIAN = {
    "samples": 30,
    "generations": 3,
    "modality": {"kind": "gaussian", "n_train": 30, "n_test": 30},
}
REGIMES = {
    "replace": "replace",
    "accumulate": "accumulate",
    "accumulate_subsample": "accumulate_subsample",
    "mix": {"kind": "mix", "real_fraction": 0.2, "real": "fresh"},
    "scheduled": {"kind": "mix", "real_fraction": [0.9, 0.1]},
    "synthetic_augmentation": {"kind": "synthetic_augmentation", "ratio": 0.5},
    "fresh_data": {"kind": "fresh_data", "fresh": 10},
    "sliding_window": {"kind": "sliding_window", "window": 2},
    "real_only": "real_only",
}
CHAINS = {
    **{name: {**TINY_GAUSSIAN, **GAUSSIAN, "regime": regime} for name, regime in REGIMES.items()},
    "mixed": TINY_MIXED,
    "image": {**TINY_IMAGE, "checkpoint_every": 32},
    "vae": {
        **TINY_IMAGE,
        "checkpoint_every": 32,
        "model": {
            "kind": "vae",
            "hidden": [16],
            "latent": 4,
            "training": {"images": 128, "batch": 32},
            "fine_tuning": {"images": 64, "batch": 32},
        },
    },
    "text": {**TINY_CHAIN, "checkpoint_every": 16},
}
ROUNDS = {"image": 3, "text": 4, "vae": 3, "mixed": 5, "mix": 8, "replace": 8}
"""Runs that are killed again and again, of each chain; of the others, 4."""
KILLS = 3
"""Of each such run; then it goes on to its end."""
COLD = 8


def bytes_of(run):
    """sha256 of every file, but what holds times: the log and the page, with the list that names
    the page's hash.
    """
    others = {"events.jsonl", ".lock", ".results.lock", "report.html", HASH_LIST}
    found = [path for path in sorted(run.rglob("*")) if path.is_file()]
    return {
        str(path.relative_to(run)): files.sha256_file(path)
        for path in found
        if str(path.relative_to(run)) not in others
    }


def finished_files(run):
    """When each file of a finished generation was made, and as which."""
    folders = [path.parent for path in run.glob(f"generation_*/{MANIFEST}")]
    found = [
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and path.name != HASH_LIST
    ]
    return {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in found}


def looked_at(out, before):
    """Check what a kill has left: nothing of a finished generation is made anew, and nothing seems
    damaged.
    """
    now = finished_files(out)
    assert before.items() <= now.items(), "a finished generation was made again"
    if (out / "config.yaml").exists():
        assert list(find_faults(out)) == []
    return now


@pytest.mark.slow
@pytest.mark.parametrize("name", CHAINS)
def test_killed_at_any_operation_and_resumed(name, tmp_path, record_property):
    config = write(tmp_path, CHAINS[name])
    operations = attempt(config, tmp_path / "whole") or 0
    assert operations > 60, "a run has more operations than that"
    expected, chance = bytes_of(tmp_path / "whole"), random.Random(name)
    assert expected
    killed = 0
    for turn in range(ROUNDS.get(name, 4)):
        out = tmp_path / f"run{turn}"
        before: dict[str, str] = {}
        kills: list[Moment] = []
        for _ in range(KILLS):
            moment = Moment(
                chance.randrange(1, max(2, operations // 2)), torn=chance.random() < 0.5
            )
            kills.append(moment)
            if attempt(config, out, moment=moment) is not None:
                kills.pop()  # it was nearly done, and came to its end
                break
            before = looked_at(out, before)
        assert attempt(config, out) is not None
        looked_at(out, before)
        assert bytes_of(out) == expected, kills
        killed += len(kills)
    record_property("kills", killed)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "apart"), [("replace", 5), ("image", 9)])
def test_killed_while_the_figures_and_the_page_are_written(name, apart, tmp_path, record_property):
    config, out = write(tmp_path, CHAINS[name]), tmp_path / "run"
    attempt(config, out)
    attempt(config, tmp_path / "whole", results=True)
    expected, before = bytes_of(tmp_path / "whole"), finished_files(out)
    kills = 0
    while (
        attempt(config, out, moment=Moment(apart * kills + 3, torn=kills % 2 == 1), results=True)
        is None
    ):
        before = looked_at(out, before)
        kills += 1
    assert kills > 5
    record_property("kills", kills)
    assert attempt(config, out, results=True) is not None
    assert bytes_of(out) == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", ["replace", "image", "text"])
def test_killed_from_outside_at_random_times(name, tmp_path, record_property):
    config = write(tmp_path, CHAINS[name])
    # The first one imports what the others find imported: it would give too much time.
    attempt(config, tmp_path / "first")
    began = time.perf_counter()
    attempt(config, tmp_path / "whole")
    longest = 0.7 * (time.perf_counter() - began)
    expected = bytes_of(tmp_path / "whole")

    chance = random.Random(name)
    outs = [tmp_path / "run0"]
    before: dict[str, str] = {}
    kills = 0
    while kills < 6:
        if attempt(config, outs[-1], seconds=chance.uniform(0.1, 1) * longest) is None:
            kills += (outs[-1] / "config.yaml").exists()
            before = looked_at(outs[-1], before)
        else:
            # It has come to its end: earlier kills had left little to do, or other work had slowed
            # the one that was timed.
            if not before:
                longest *= 0.8
            outs.append(tmp_path / f"run{len(outs)}")
            before = {}

    for out in outs:
        assert attempt(config, out) is not None
        assert bytes_of(out) == expected
    record_property("kills", kills)


@pytest.mark.slow
def test_killed_after_cold_starts_of_the_command_line(tmp_path, record_property):
    config = write(tmp_path, {**CHAINS["accumulate"], "generations": 60, "samples": 30})
    attempt(config, tmp_path / "whole", changes=["threads=1"], results=True)
    out = tmp_path / "run"
    before: dict[str, str] = {}
    chance = random.Random(0)
    killed = 0
    command = [
        sys.executable,
        "-m",
        "imglab",
        "run",
        str(config),
        "--out",
        str(out),
        "--set",
        "threads=1",
    ]
    for _ in range(COLD):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert process.stdout is not None
        # Lines that it has printed: none, its title, generations.
        steps = chance.choice([0, 1, 2, 2, 3, 3])
        for _ in zip(range(steps), process.stdout, strict=False):
            pass
        time.sleep(chance.uniform(0, 0.3 if steps else 4.0))
        process.kill()
        killed += process.wait() == -9
        process.stdout.close()
        before = looked_at(out, before)
    assert killed >= COLD - 2
    record_property("kills", killed)
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    looked_at(out, before)
    assert bytes_of(out) == bytes_of(tmp_path / "whole")
