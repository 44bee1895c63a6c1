"""What runs share is copied: damage to one leaves the others, and they mend it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from imglab.errors import InputError
from imglab.failures import Unavailable
from imglab.running.cache import RunCache
from imglab.running.fork import fork
from imglab.store import files, layout, relatives
from imglab.store import hashes as hash_lists
from imglab.store.fault import Fault
from imglab.store.faults import _Inspection, check_run
from imglab.store.head import write_head
from imglab.store.relatives import heal
from imglab.store.verify import verify
from tests.tiny_chains import finish, hashes

SAMPLES = "generation_000/samples.safetensors"


def flip(path):
    content = path.read_bytes()
    path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])


@pytest.fixture
def forked(plain_run, tmp_path):
    run = plain_run[1]
    for _ in fork(f"{run}@1", run.parent / "fork", changes=["generations=3"]).events():
        pass
    return run, run.parent / "fork"


def test_an_edit_in_a_fork_leaves_its_parent_which_mends_it(forked):
    run, child = forked
    expected = hashes(child)
    flip(child / SAMPLES)
    assert list(verify(run)) == [f"{run}: whole, 3 generations"]

    lines = list(verify(child, repair=True))
    assert lines[0] == f"{child}: {SAMPLES} was taken from {run.resolve() / SAMPLES}"
    assert lines[-1] == f"{child}: whole, 3 generations"
    assert (child / "damaged" / "1" / SAMPLES).is_file(), "what was damaged is kept"
    shutil.rmtree(child / "damaged")
    assert hashes(child) == expected


def test_a_fork_mends_its_parent_and_a_manifest_as_well(forked):
    run, _ = forked
    expected = hashes(run)
    flip(run / SAMPLES)
    (run / "generation_000" / layout.MANIFEST).write_text("{}")
    assert list(verify(run, repair=True))[-1] == f"{run}: whole, 3 generations"
    shutil.rmtree(run / "damaged")
    assert hashes(run) == expected


def test_a_copy_that_was_cut_off_is_not_whole(plain_run):
    _, run = plain_run
    shutil.rmtree(run / "generation_002")
    for action in (check_run, lambda path: list(verify(path))):
        with pytest.raises(InputError, match="had finished 3 generations, and 2 are there"):
            action(run)
    assert list(verify(run, repair=True))[-1] == f"{run}: whole, 2 generations"


def test_what_cannot_be_read_now_is_not_damage(plain_run, monkeypatch):
    _, run = plain_run
    expected = hashes(run)
    honest = files.sha256_file

    def failing(path):
        if path.name == "samples.safetensors":
            raise OSError(5, "Input/output error", str(path))
        return honest(path)

    monkeypatch.setattr(files, "sha256_file", failing)
    with pytest.raises(Unavailable, match="cannot be read now: Input/output error"):
        list(verify(run, repair=True))
    monkeypatch.undo()
    assert hashes(run) == expected


def test_a_neighbour_that_cannot_be_read_has_nothing(forked, monkeypatch):
    run, child = forked
    (run.parent / "another").mkdir()
    honest, hashed = Path.is_file, files.sha256_file

    def is_file(path):
        if path.parent.name == "another":
            raise PermissionError(13, "Permission denied", str(path))
        return honest(path)

    def sha256_file(path):
        if path == run.resolve() / SAMPLES:
            raise OSError(5, "Input/output error", str(path))
        return hashed(path)

    monkeypatch.setattr(Path, "is_file", is_file)
    flip(child / SAMPLES)
    assert "was taken from" in next(verify(child, repair=True))

    flip(child / SAMPLES)
    monkeypatch.setattr(files, "sha256_file", sha256_file)
    with pytest.raises(InputError, match=r"samples.safetensors: .*put it back from a copy"):
        list(verify(child, repair=True))


def test_a_copy_that_is_read_wrongly_is_no_mistake_of_the_code(forked, monkeypatch):
    _, child = forked
    flip(child / SAMPLES)
    monkeypatch.setattr(relatives, "copy_file", lambda source, target: target.write_bytes(b""))
    with pytest.raises(Unavailable, match=r"samples.safetensors: was read wrongly"):
        list(verify(child, repair=True))


def test_what_is_listed_is_what_was_written(tmp_path):
    with hash_lists.written(tmp_path, "a"):
        files.write_bytes(tmp_path / "a", b"whole")
        (tmp_path / "a").write_bytes(b"half")
    assert [name for name, _ in hash_lists.faults(tmp_path)] == ["a"]


@pytest.mark.parametrize("where", ["files", "shared"])
def test_a_repair_of_a_stranger_s_sweep_writes_nothing_outside_it(tmp_path, where):
    sweep, victim = tmp_path / "sweep", tmp_path / "victim"
    folder = sweep / "arm" / "seed-0" / "generation_000"
    cached = sweep / ".cache" / "kind" / "key" / "generation_000"
    for path in (folder, cached):
        path.mkdir(parents=True)
    (folder.parent / "shared").mkdir()
    victim.write_text("the person's\n")
    (sweep / "victim").write_text("the stranger's\n")
    sha = files.sha256_file(sweep / "victim")
    (cached / layout.MANIFEST).write_text(sha)

    files.write_signed(sweep / layout.SWEEP, {"arms": ["arm"], "seeds": [0], "contrasts": []})
    (folder.parent / "config.yaml").write_text("x")
    listed = {"files": {}, "shared": {}, where: {"../../../../victim": sha}}
    rest = {"generation": 0, "config": "", "environment": "", "previous": None}
    files.write_signed(folder / layout.MANIFEST, {**rest, **listed})
    with pytest.raises(InputError):
        list(verify(sweep, repair=True))
    fault = Fault(folder / "../../../../victim", "is wrong", sha=sha)
    assert not list(heal(folder.parent, [fault], tmp_path / "aside"))
    assert victim.read_text() == "the person's\n"


@pytest.mark.parametrize("damage", [flip, Path.unlink])
def test_a_damaged_model_is_not_kept_for_other_runs(plain_run, tmp_path, damage):
    run, cache = plain_run[1], RunCache(tmp_path / "prepared", tmp_path / "generation0")
    path = max((run / "generation_000" / "model").iterdir())
    content = path.read_bytes()
    damage(path)
    with pytest.raises(InputError, match="was changed, or read wrongly"):
        cache.keep_first(run)
    assert not list(cache.generation0.rglob("model"))

    path.write_bytes(content)
    cache.keep_first(run)
    assert next(cache.generation0.rglob(path.name)).read_bytes() == content


def test_a_run_that_finishes_a_generation_meanwhile_is_whole(plain_run, monkeypatch):
    _, run = plain_run
    folder, environment = run / "generation_002", _Inspection._of_environment
    manifest = (folder / layout.MANIFEST).read_bytes()
    (folder / layout.MANIFEST).unlink()
    hash_lists.complete(folder)
    write_head(run)

    def slow(inspection):
        (folder / layout.MANIFEST).write_bytes(manifest)
        write_head(run)
        (folder / hash_lists.HASH_LIST).unlink()
        yield from environment(inspection)

    monkeypatch.setattr(_Inspection, "_of_environment", slow)
    check_run(run)
    assert (folder / layout.MANIFEST).is_file()


def test_a_run_that_ended_before_it_counted_its_last_generation_counts_it(plain_run):
    config, run = plain_run
    before = hashes(run)
    files.write_signed(run / layout.HEAD, {"finished": 2})
    finish(config, run)
    assert hashes(run) == before
