"""Damage to a run directory: found and named whatever it hits, and refused."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import shutil

import pytest

from imglab import Progress
from imglab.errors import InputError
from imglab.failures import Unavailable
from imglab.report.results import write_results
from imglab.running.run import Run
from imglab.solvable.gaussian.modality import GaussianModality
from imglab.store import files, layout, reading
from imglab.store.faults import find_faults
from imglab.store.hashes import HASH_LIST
from imglab.store.verify import verify
from tests.store.damage import damaged, sealed_files
from tests.tiny_chains import TINY_GAUSSIAN, TINY_IMAGE, finish, hashes, write

KINDS = (
    "flip a bit",
    "cut it short",
    "empty it",
    "zeros in it",
    "another byte",
    "more at its end",
    "remove it",
)


MOST = 400
"""Damages tried on each run."""


def test_a_whole_run_has_no_faults(run):
    assert list(find_faults(run)) == []
    done = layout.count_finished(run)
    assert list(verify(run)) == [f"{run}: whole, {done} generations"]


def test_every_damage_is_found_and_named(run):
    chance, tried = random.Random(0), 0
    paths = sealed_files(run)
    kinds_of_file = {path.suffix for path in paths}
    assert {".json", ".yaml", ".safetensors", ".png", ".csv", ".html", ".svg"} <= kinds_of_file
    while tried < MOST:
        path, kind = paths[tried % len(paths)], chance.choice(KINDS)
        content = path.read_bytes()
        left = damaged(content, kind, chance)
        made_again = path.parent in (run, run / "shared") and path.name not in (
            "config.yaml",
            "environment.json",
        )
        if left == content or (left is None and made_again):
            kind, left = (
                "more at its end",
                content + b"\n",
            )  # a person may remove what is made again
        try:
            path.unlink() if left is None else path.write_bytes(left)
            found = [fault.path for fault in find_faults(run)]
            assert found, f"{kind}: {path.relative_to(run)}"
            named = path.with_name(HASH_LIST) if path.name == HASH_LIST else path
            assert named in found, f"{kind}: {path.relative_to(run)}, told as {found}"
        finally:
            path.write_bytes(content)
        tried += 1
    assert list(find_faults(run)) == []


def test_metrics_that_were_changed_reach_no_table(plain_run):
    _, run = plain_run
    path = run / "generation_001" / "metrics.json"
    path.write_text(path.read_text().replace('"fid": ', '"fid": 1', 1))
    with pytest.raises(InputError, match=r"metrics.json: content does not match its recorded hash"):
        reading.read_metrics(run)


def test_generations_behind_a_gap_are_not_passed_over_in_silence(plain_run):
    _, run = plain_run
    (run / "generation_000" / layout.MANIFEST).unlink()
    with pytest.raises(
        InputError, match=r"generation_000/manifest.json: is missing, and generation 2 is finished"
    ):
        reading.read_metrics(run)
    with pytest.raises(InputError, match=r"generation_000/manifest.json: is missing"):
        list(verify(run))


def test_a_disk_that_fails_while_it_is_read_is_told(plain_run, monkeypatch):
    _, run = plain_run
    honest = files.sha256_file

    def failing(path):
        if path.name == "samples.safetensors":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return honest(path)

    monkeypatch.setattr(files, "sha256_file", failing)
    with pytest.raises(Unavailable, match="cannot be read now: Input/output error"):
        list(find_faults(run))


def test_a_config_that_is_sealed_and_no_text_is_told(plain_run):
    _, run = plain_run
    text = b"name: \xff\n"
    seal = f"# sha256 of what follows: {hashlib.sha256(text).hexdigest()}\n".encode()
    (run / "config.yaml").write_bytes(seal + text)
    with pytest.raises(InputError, match=r"config.yaml: is not UTF-8 text"):
        list(verify(run))


def test_shared_files_that_come_out_otherwise_end_the_run_before_they_are_used(
    plain_run, monkeypatch
):
    config, run = plain_run
    shutil.rmtree(run / "shared")
    monkeypatch.setattr(
        GaussianModality,
        "prepare",
        lambda _, shared: (shared / "reference.safetensors").write_text("x"),
    )
    with pytest.raises(
        InputError, match=r"shared/reference.safetensors: was computed again and differs"
    ):
        finish(config, run, ["generations=4"])
    assert layout.count_finished(run) == 3


def test_files_of_strangers_in_a_finished_generation_are_told(plain_run):
    _, run = plain_run
    (run / "generation_000" / "aaa.png").write_bytes(b"mine")
    assert [(fault.path.name, fault.what) for fault in find_faults(run)] == [
        ("aaa.png", "is not in the manifest")
    ]


def test_a_generation_that_is_missing_or_of_another_run_is_told(plain_run, tmp_path):
    _, run = plain_run
    other = tmp_path / "other"
    finish(write(tmp_path, {**TINY_GAUSSIAN, "seed": 1}, "other"), other)
    shutil.rmtree(run / "generation_001")
    assert "manifest.json: is missing" in str(next(find_faults(run)).problem(""))
    shutil.copytree(other / "generation_001", run / "generation_001")
    told = [fault.what for fault in find_faults(run)]
    assert "belongs to another config than the run's" in told
    assert "does not follow generation 0 of this run" in told


def cut_after(config, out, stages, changes=()):
    """Stop a run once so many stages of generation 1 are stored."""
    chain = Run.from_file(config, out, changes).events()
    for _ in chain:
        if len(list((out / "generation_001").glob("*.safetensors"))) >= stages:
            chain.close()
            return


def test_damage_to_a_generation_that_is_not_finished_is_found(tmp_path):
    config, out = write(tmp_path, TINY_GAUSSIAN), tmp_path / "run"
    finish(config, tmp_path / "whole")
    cut_after(config, out, 2)
    path = out / "generation_001" / "samples.safetensors"
    content = path.read_bytes()
    for left in (content[:-3], content[:-1] + bytes([content[-1] ^ 1])):
        path.write_bytes(left)
        with pytest.raises(
            InputError,
            match=r"generation_001/samples.safetensors: content does not match its recorded hash",
        ):
            finish(config, out)
    list(verify(out, repair=True))
    finish(config, out)
    shutil.rmtree(out / "damaged")
    assert hashes(out) == hashes(tmp_path / "whole")


def test_a_damaged_checkpoint_is_passed_over_and_the_log_says_so(tmp_path):
    config, out, changes = (
        write(tmp_path, TINY_IMAGE),
        tmp_path / "run",
        ["checkpoint_every=32", "generations=1"],
    )
    finish(config, tmp_path / "whole", ["generations=1"])
    chain = Run.from_file(config, out, changes).events()
    fits = (event for event in chain if isinstance(event, Progress) and event.stage == "fit")
    assert [next(fits).seen for _ in range(3)] == [32, 64, 96]
    chain.close()
    (kept,) = (out / "generation_000").glob(".checkpoint-*")
    content = kept.read_bytes()
    kept.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    seen = [
        event.seen
        for event in Run.from_file(config, out, changes).events()
        if isinstance(event, Progress) and event.stage == "fit"
    ]
    assert seen == [32, 64, 96, 128], "from the start"
    assert "is damaged: its fit starts again" in (out / "events.jsonl").read_text()
    models = {name: sign for name, sign in hashes(tmp_path / "whole").items() if "/model/" in name}
    assert models.items() <= hashes(out).items()


@pytest.mark.slow
def test_readers_pass_over_damaged_lines_of_the_log(plain_run):
    _, run = plain_run
    log, chance = run / "events.jsonl", random.Random(0)
    for kind in ("flip a bit", "cut it short", "zeros in it", "more at its end"):
        log.write_bytes(damaged(log.read_bytes(), kind, chance))
    assert list(find_faults(run)) == []
    assert write_results(run)
    log.unlink()
    assert write_results(run)


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="is not a run directory"):
        list(verify(tmp_path))
    assert list(tmp_path.iterdir()) == []
