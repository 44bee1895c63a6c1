"""A run that is cut goes on to the same bytes wherever it was cut, and refuses another config or
other data.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from filelock import FileLock

from imglab import Progress
from imglab.errors import InputError
from imglab.running.fork import fork
from imglab.running.places import config_of, modality_of
from imglab.running.run import Run
from imglab.store import files
from imglab.store.event_log import read_events
from imglab.store.temporaries import TEMPORARY
from imglab.store.verify import verify
from tests.tiny_chains import TINIES, TINY_GAUSSIAN, TINY_IMAGE, finish, hashes, write

SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in TINIES if name != "gaussian"]


ALSO_SLOW = pytest.mark.parametrize("whole", ["gaussian", *SLOW], indirect=True)
"""One kind of data by default, all with `-m slow`: each costs seconds, and what is tested knows no
kind.
"""


@pytest.mark.slow
@ALSO_SLOW
def test_cut_at_every_event_and_resumed(whole, tmp_path):
    """Closing the generator at any event is a cut at a stage boundary or within a stage."""
    config, run = whole
    expected = hashes(run)
    events = sum(1 for _ in Run.from_file(config, tmp_path / "count").events())
    step = max(1, events // 8)
    for at in range(0, events, step):
        out = tmp_path / f"cut{at}"
        chain = Run.from_file(config, out).events()
        for _ in range(at + 1):
            next(chain)
        chain.close()
        finish(config, out)
        assert hashes(out) == expected, f"cut at event {at} of {events}"


def test_a_fit_that_is_cut_goes_on_from_its_checkpoint(tmp_path):
    config = write(tmp_path, TINY_IMAGE)
    finish(config, tmp_path / "whole")
    out, changes = tmp_path / "cut", ["checkpoint_every=32"]
    chain = Run.from_file(config, out, changes).events()
    fits = (event for event in chain if isinstance(event, Progress) and event.stage == "fit")
    assert [next(fits).seen for _ in range(3)] == [32, 64, 96]
    chain.close()
    events = Run.from_file(config, out, changes).events()
    fits = (event for event in events if isinstance(event, Progress) and event.stage == "fit")
    assert [event.seen for event in fits] == [128, 32, 64]
    expected = {
        name: found for name, found in hashes(tmp_path / "whole").items() if "/model/" in name
    }
    assert expected.items() <= hashes(out).items()
    assert not list(out.rglob("*checkpoint*"))


def test_a_program_that_ends_while_a_run_is_open_leaves_it_stopped(tmp_path):
    config, out = write(tmp_path, TINY_GAUSSIAN), tmp_path / "run"
    program = "import sys, imglab; chain = imglab.Run.from_file(*sys.argv[1:]).generations()"
    command = [sys.executable, "-c", f"{program}; next(chain)", str(config), str(out)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0
    assert "Traceback" not in ended.stderr
    assert "ignored" not in ended.stderr
    assert read_events(out / "events.jsonl")[-1]["event"] == "stopped"
    finish(config, out)
    finish(config, tmp_path / "whole")
    assert hashes(out) == hashes(tmp_path / "whole")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes are forked here")
def test_a_process_that_is_forked_off_leaves_its_parents_run_alone(tmp_path):
    config, out = write(tmp_path, TINY_GAUSSIAN), tmp_path / "run"
    program = "import os, sys, imglab; chain = imglab.Run.from_file(*sys.argv[1:]).generations()"
    program += "\nnext(chain)\nif os.fork() == 0: sys.exit()\nos.wait()\nlist(chain)"
    command = [sys.executable, "-c", program, str(config), str(out)]
    assert subprocess.run(command, check=False).returncode == 0
    events = [event["event"] for event in read_events(out / "events.jsonl") if "event" in event]
    assert events.count("stopped") == 0
    assert events[-1] == "finished"


class Cut(BaseException):
    """Stands for a power cut."""


def cut_at_write(monkeypatch, number, moment):
    """Make the `number`-th write from now on fail, in the middle of it or just before its
    rename.
    """
    honest, writes = files.write_atomically, iter(range(10**6))

    def write_atomically(path, write):
        if next(writes) != number:
            return honest(path, write)
        temporary = path.parent / f"{TEMPORARY}{path.name}"
        if moment == "inside":
            temporary.write_bytes(b"half a fi")
        else:
            write(temporary)
        raise Cut

    monkeypatch.setattr(files, "write_atomically", write_atomically)


@pytest.mark.parametrize("whole", ["gaussian"], indirect=True)
@pytest.mark.slow
@pytest.mark.parametrize("moment", ["inside", "before the rename"])
def test_cut_at_every_write_and_resumed(whole, tmp_path, monkeypatch, moment):
    config, run = whole
    expected = hashes(run)
    for number in range(100):
        out = tmp_path / f"cut{number}"
        with monkeypatch.context() as patch:
            cut_at_write(patch, number, moment)
            try:
                finish(config, out)
            except Cut:
                pass
            else:
                break
        finish(config, out)
        assert hashes(out) == expected, f"cut {moment} write {number}"
    assert number > 15, "a run has more writes than that"


def test_finished_generations_are_not_made_again(whole, tmp_path):
    config, _ = whole
    out = tmp_path / "run"
    finish(config, out)
    stamps = {path: path.stat().st_mtime_ns for path in out.glob("generation_*/**/*")}
    finish(config, out)
    assert {path: path.stat().st_mtime_ns for path in out.glob("generation_*/**/*")} == stamps


@ALSO_SLOW
def test_generations_may_be_raised(whole, tmp_path):
    config, run = whole
    out = tmp_path / "longer"
    finish(config, out)
    more = finish(config, out, ["generations=4"])
    assert [event.index for event in more] == [0, 1, 2, 3]
    kept = {
        name: found for name, found in hashes(run).items() if name.startswith("generation_000/")
    }
    assert kept.items() <= hashes(out).items()
    with pytest.raises(InputError, match="generations: the run there has 4"):
        finish(config, out, ["generations=1"])


@ALSO_SLOW
def test_what_was_fixed_at_the_start_stays_fixed(whole, tmp_path, monkeypatch):
    """`threads: auto` is what it was on the first machine, also where there are more processors."""
    config, _ = whole
    finish(config, tmp_path / "run", ["generations=1"])
    before = (tmp_path / "run" / "config.yaml").read_bytes()
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    finish(config, tmp_path / "run", ["generations=1"])
    assert (tmp_path / "run" / "config.yaml").read_bytes() == before


@ALSO_SLOW
def test_another_config_is_refused_with_a_diff(whole, tmp_path):
    config, _ = whole
    out = tmp_path / "run"
    finish(config, out, ["generations=1"])
    before = hashes(out)
    with pytest.raises(InputError) as caught:
        finish(config, out, ["generations=1", "seed=5", "measure.precision_recall_k=4"])
    assert [problem.what.split(", ")[0] for problem in caught.value.problems] == [
        "the run there has 0",
        "the run there has 3",
    ]
    assert hashes(out) == before


def test_other_data_are_refused(tmp_path, monkeypatch):
    """The same config, but somebody exchanged the file behind it."""
    import numpy as np

    def images(seed):
        return np.random.default_rng(seed).integers(0, 256, (40, 8, 8), dtype=np.uint8)

    np.savez(tmp_path / "a.npz", train_images=images(0), test_images=images(1))
    source = {"kind": "npz", "path": str(tmp_path / "a.npz")}
    tree = {**TINY_IMAGE, "modality": {"kind": "image", "source": source, "extractor": "pixels"}}
    config = write(tmp_path, tree)
    finish(config, tmp_path / "run", ["generations=1"])
    np.savez(tmp_path / "a.npz", train_images=images(2), test_images=images(1))
    with pytest.raises(InputError, match=r"not those that this run began with [(]put it back[)]"):
        finish(config, tmp_path / "run")

    monkeypatch.setattr("imglab.running.environment._code", lambda: {"git_commit": "0123abc"})
    otherwise = "this version may read the same data otherwise"
    with pytest.raises(InputError, match=otherwise):
        finish(config, tmp_path / "run")
    with pytest.raises(InputError, match=otherwise):
        modality_of(tmp_path / "run", config_of(tmp_path / "run"))
    with pytest.raises(InputError, match=otherwise):
        fork(f"{tmp_path / 'run'}@0", tmp_path / "fork", None, ["generations=2"])


@ALSO_SLOW
def test_a_changed_config_or_another_format_is_refused(whole, tmp_path):
    config, _ = whole
    out = tmp_path / "run"
    finish(config, out, ["generations=1"])
    saved = (out / "config.yaml").read_text()
    (out / "config.yaml").write_text(saved.replace("seed: 0", "seed: 1"))
    with pytest.raises(InputError, match="was changed after the run wrote it"):
        finish(config, out)
    (out / "config.yaml").write_text(saved)
    environment = (out / "environment.json").read_text()
    (out / "environment.json").write_text(
        environment.replace('"format_version": 4', '"format_version": 9')
    )
    with pytest.raises(InputError, match="has format 9, made by imglab"):
        finish(config, out)


@ALSO_SLOW
def test_the_log_survives_a_torn_line_and_says_how_it_ended(whole, tmp_path):
    config, _ = whole
    out = tmp_path / "run"
    chain = Run.from_file(config, out).events()
    next(chain)
    chain.close()
    with (out / "events.jsonl").open("a") as file:
        file.write('{"time": 1, "ev')
    finish(config, out)
    lines = (out / "events.jsonl").read_text().splitlines()
    assert lines.count('{"time": 1, "ev') == 1
    ends = [json.loads(line) for line in lines if "resumable" in line]
    assert [(event["event"], event["resumable"]) for event in ends] == [
        ("stopped", True),
        ("finished", False),
    ]


def test_two_processes_never_write_one_run(whole, tmp_path):
    config, _ = whole
    out = tmp_path / "run"
    out.mkdir()
    with (
        FileLock(out / ".lock"),
        pytest.raises(InputError, match="another process is writing this run"),
    ):
        finish(config, out)


def test_an_output_path_that_is_a_file(whole, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="is a file, not a directory"):
        finish(whole[0], tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_directory_with_other_things_is_left_alone(whole, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="not empty and not a run directory"):
        finish(whole[0], tmp_path)


def test_a_run_goes_on_where_another_key_names_the_same_data(tmp_path):
    """Older versions read folders named after splits like all others, and had no such key."""
    (tmp_path / "texts").mkdir()
    for name in ("a", "b", "c"):
        (tmp_path / "texts" / f"{name}.txt").write_text(f"{name} few words. " * 2000)
    source = {"kind": "files", "path": str(tmp_path / "texts")}
    tree = {**TINIES["text"], "modality": {**TINIES["text"]["modality"], "source": source}}
    config = write(tmp_path, tree)
    finish(config, tmp_path / "run", ["generations=1"])
    finish(config, tmp_path / "run", ["generations=2", "modality.source.splits=none"])
    finish(config, tmp_path / "run", ["generations=2"])
    assert list(verify(tmp_path / "run")) == [f"{tmp_path / 'run'}: whole, 2 generations"]


@pytest.mark.slow
def test_a_pretrained_extractor_is_the_same_wherever_it_lies(tmp_path):
    """It is compared by its weights: a run goes on when it was moved, and not with another one."""
    from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

    for name in ("first", "other"):
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        Dinov2Model(Dinov2Config(**sizes, image_size=28)).save_pretrained(tmp_path / name)
        size = {"height": 28, "width": 28}
        BitImageProcessor(size=size, crop_size=size).save_pretrained(tmp_path / name)

    extractor = {"kind": "dinov2", "name": str(tmp_path / "first")}
    modality = {**TINY_IMAGE["modality"], "extractor": extractor}
    config = write(tmp_path, {**TINY_IMAGE, "modality": modality, "generations": 1})
    finish(config, tmp_path / "run")

    (tmp_path / "first").rename(tmp_path / "moved")
    on = ["generations=2", f"modality.extractor.name={tmp_path / 'other'}"]
    with pytest.raises(InputError, match=r"was measured with dinov2@"):
        finish(config, tmp_path / "run", on)
    on[1] = f"modality.extractor.name={tmp_path / 'moved'}"
    assert len(finish(config, tmp_path / "run", on)) == 2
