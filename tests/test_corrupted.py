"""Damage to a run directory: found and named whatever it hits, refused by a run, mended by a
repair.
"""

from __future__ import annotations

import errno
import hashlib
import os
import random
import shutil

import pytest

from imglab import Progress
from imglab.errors import InputError
from imglab.report.results import write_results
from imglab.run.fork import fork
from imglab.run.run import Run
from imglab.solvable.gaussian.modality import GaussianModality
from imglab.store import files, layout, reading
from imglab.store.faults import find_faults
from imglab.store.hashes import SEAL
from imglab.store.verify import verify
from tests.test_run_directory import TINIES, TINY_GAUSSIAN, TINY_IMAGE, finish, hashes, write

UNSEALED = ("events.jsonl", ".lock")
"""The log mends itself and nothing is computed from it; the lock is empty."""
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


@pytest.fixture(
    scope="module",
    params=[
        "gaussian",
        *(pytest.param(n, marks=pytest.mark.slow) for n in TINIES if n != "gaussian"),
    ],
)
def run(request, tmp_path_factory):
    """A finished run with its results; each test leaves it as it was."""
    folder = tmp_path_factory.mktemp("damaged")
    finish(write(folder, TINIES[request.param]), folder / "run")
    write_results(folder / "run")
    return folder / "run"


def damaged(content: bytes, kind: str, chance: random.Random) -> bytes | None:
    """Return what is left of a file; None: nothing."""
    at = chance.randrange(len(content))
    match kind:
        case "flip a bit":
            return (
                content[:at] + bytes([content[at] ^ (1 << chance.randrange(8))]) + content[at + 1 :]
            )
        case "cut it short":
            return content[:at]
        case "empty it":
            return b""
        case "zeros in it":
            return content[:at] + bytes(min(512, len(content) - at)) + content[at + 512 :]
        case "another byte":
            return (
                content[:at]
                + bytes([(content[at] + chance.randrange(1, 256)) % 256])
                + content[at + 1 :]
            )
        case "more at its end":
            return content + chance.randbytes(9)
    return None


def sealed_files(run):
    found = (path for path in sorted(run.rglob("*")) if path.is_file())
    return [path for path in found if path.relative_to(run).as_posix() not in UNSEALED]


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
            named = path.with_name(SEAL) if path.name == SEAL else path
            assert named in found, f"{kind}: {path.relative_to(run)}, told as {found}"
        finally:
            path.write_bytes(content)
        tried += 1
    assert list(find_faults(run)) == []


@pytest.fixture
def copy(tmp_path):
    """A finished run of one's own, its config beside it."""
    config = write(tmp_path, TINY_GAUSSIAN)
    finish(config, tmp_path / "run")
    return config, tmp_path / "run"


@pytest.mark.slow
def test_a_run_that_would_go_on_from_damage_refuses_and_a_repair_brings_the_same_bytes_back(copy):
    config, run = copy
    write_results(run)
    expected, chance = hashes(run), random.Random(1)
    of_generations = [path for path in sealed_files(run) if "generation_" in str(path)]
    for path in chance.sample(of_generations, 4):
        content = path.read_bytes()
        path.write_bytes(damaged(content, "flip a bit", chance))
        with pytest.raises(InputError, match="--repair"):
            finish(config, run, ["generations=4"])
        assert any("set aside" in line for line in verify(run, repair=True))
        g = int(path.relative_to(run).parts[0][-3:])
        assert layout.count_finished(run) == g
        aside = run / "damaged" / "1" / path.relative_to(run)
        assert aside.read_bytes() != content, "what was damaged is kept as it was"
        finish(config, run)
        write_results(run)
        shutil.rmtree(run / "damaged")
        assert hashes(run) == expected


def test_shared_files_that_are_damaged_are_made_again(copy):
    config, run = copy
    expected = hashes(run)
    path = run / "shared" / "reference.safetensors"
    path.write_bytes(path.read_bytes()[:-9] + bytes(9))
    with pytest.raises(
        InputError, match=r"shared/reference.safetensors: content does not match its recorded hash"
    ):
        finish(config, run)
    list(verify(run, repair=True))
    finish(config, run, ["generations=4"])  # what nothing asks for is not made again
    assert reading.read_manifest(run, 3)["shared"] == reading.read_manifest(run, 0)["shared"]
    assert {
        name: sign for name, sign in expected.items() if "generation" in name
    }.items() <= hashes(run).items()


def test_what_only_a_copy_mends_is_left_where_it_is(copy):
    _, run = copy
    for name in ("config.yaml", "environment.json"):
        content = (run / name).read_bytes()
        (run / name).write_bytes(content.replace(b"a", b"b", 1))
        with pytest.raises(InputError, match=f"{name}: .*put it back from a copy"):
            list(verify(run, repair=True))
        assert layout.count_finished(run) == TINY_GAUSSIAN["generations"]
        (run / name).write_bytes(content)
    assert list(verify(run))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("../../secret", "is listed, but lies outside its folder"),
        ("/etc/hostname", "is listed, but lies outside its folder"),
        ("model/../../x", "is listed, but lies outside its folder"),
        ("", "is listed, but lies outside its folder"),
        ("x" * 300, "cannot be read: File name too long"),
    ],
)
def test_a_manifest_that_points_outside_is_refused_and_nothing_is_opened(
    copy, monkeypatch, name, told
):
    _, run = copy
    folder = run / "generation_001"
    (run.parent / "secret").write_text("secret")
    manifest = reading.read_manifest(run, 1)
    manifest["files"][name] = "0" * 64
    files.write_signed(folder / layout.MANIFEST, manifest)
    opened = []
    honest = files.sha256_file

    def sha256_file(path):
        opened.append(path.resolve())
        return honest(path)

    monkeypatch.setattr(files, "sha256_file", sha256_file)
    found = [fault for fault in find_faults(run) if fault.path == folder / name]
    assert [told in fault.what for fault in found] == [True]
    assert all(run in path.parents for path in opened)


@pytest.mark.parametrize(
    "name", ["report_files", "damaged", "marks", "report.html", ".files.json", "generation_001/x"]
)
def test_a_link_in_a_run_is_told_and_not_gone_through(lab, copy, tmp_path, name):
    config, run = copy
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "0-001.png").write_text("mine")
    if (run / name).exists():
        (run / name).unlink()
    (run / name).symlink_to(outside)
    assert [fault.path for fault in find_faults(run)] == [run / name]
    for command in (
        ("verify", run),
        ("verify", run, "--repair"),
        ("report", run),
        ("run", config, "--out", run),
    ):
        code, _, err = lab(*command)
        assert code == 2
        assert f"{run / name}: is a symlink or a special file" in err
    assert [path.read_text() for path in outside.iterdir()] == ["mine"]


def test_folders_too_deep_or_with_numbers_too_large_are_no_generations(copy):
    _, run = copy
    (run / "generation_9999999999").mkdir()
    (run / "generation_1").mkdir()
    assert list(verify(run)) == [f"{run}: whole, 3 generations"]
    deep = run / "generation_001"
    for _ in range(1_500):
        deep /= "d"
        deep.mkdir()
    (fault,) = find_faults(run)
    assert "is nested deeper than the 16 levels of folders" in fault.what
    while deep.name == "d":  # which would be too deep for pytest's own cleaning
        deep.rmdir()
        deep = deep.parent


@pytest.mark.parametrize(
    "names",
    [
        ["../victim"],
        ["/etc/hostname"],
        ["generation_000/metrics.json"],
        ["shared/reference.safetensors"],
        [".lock"],
        ["d1/n", "d2/n"],
    ],
)
def test_a_list_of_results_that_names_other_files_moves_none_of_them(copy, names):
    _, run = copy
    victims = [run.parent / "victim", run / "d1" / "n", run / "d2" / "n"]
    for path in victims:
        path.parent.mkdir(exist_ok=True)
        path.write_text(str(path))
    before = hashes(run)
    files.write_signed(run / SEAL, {"files": dict.fromkeys(names, "0" * 64)})
    assert list(find_faults(run))
    told = list(verify(run, repair=True))
    assert told[-1] == f"{run}: whole, 3 generations"
    assert victims[0].read_text() == str(victims[0])
    here = {path.read_text() for path in run.rglob("n")}
    assert here == {str(path) for path in victims[1:]}, "neither took the other's place"
    assert {
        name: sign for name, sign in before.items() if "d1" not in name and "d2" not in name
    }.items() <= hashes(run).items()


def test_a_damaged_list_of_results_is_begun_anew(copy):
    _, run = copy
    write_results(run)
    expected = (run / SEAL).read_bytes()
    (run / SEAL).write_bytes(expected[:-20])
    assert [fault.path for fault in find_faults(run)] == [run / SEAL]
    write_results(run)
    assert (run / SEAL).read_bytes() == expected


def test_metrics_that_were_changed_reach_no_table(copy):
    _, run = copy
    path = run / "generation_001" / "metrics.json"
    path.write_text(path.read_text().replace('"fid": ', '"fid": 1', 1))
    with pytest.raises(InputError, match=r"metrics.json: content does not match its recorded hash"):
        reading.read_metrics(run)


def test_generations_behind_a_gap_are_not_passed_over_in_silence(copy):
    _, run = copy
    (run / "generation_000" / layout.MANIFEST).unlink()
    with pytest.raises(
        InputError, match=r"generation_000/manifest.json: is missing, and generation 2 is finished"
    ):
        reading.read_metrics(run)
    with pytest.raises(InputError, match=r"generation_000/manifest.json: is missing"):
        list(verify(run))


def test_a_disk_that_fails_while_it_is_read_is_told(copy, monkeypatch):
    _, run = copy
    honest = files.sha256_file

    def failing(path):
        if path.name == "samples.safetensors":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return honest(path)

    monkeypatch.setattr(files, "sha256_file", failing)
    told = {(fault.path.name, fault.what) for fault in find_faults(run)}
    assert told == {("samples.safetensors", "cannot be read: Input/output error")}


def test_a_config_that_is_sealed_and_no_text_is_told(copy):
    _, run = copy
    text = b"name: \xff\n"
    seal = f"# sha256 of what follows: {hashlib.sha256(text).hexdigest()}\n".encode()
    (run / "config.yaml").write_bytes(seal + text)
    with pytest.raises(InputError, match=r"config.yaml: is not UTF-8 text"):
        list(verify(run))


def test_a_config_of_another_run_sets_no_generation_aside(copy, tmp_path):
    _, run = copy
    other = tmp_path / "other"
    finish(write(tmp_path, {**TINY_GAUSSIAN, "seed": 1}, "other"), other)
    own = (run / "config.yaml").read_bytes()
    shutil.copy(other / "config.yaml", run / "config.yaml")
    for repair in (False, True):
        with pytest.raises(
            InputError,
            match=r"config.yaml: is not the one that generation 0 was made with .put it back",
        ):
            list(verify(run, repair=repair))
    assert layout.count_finished(run) == 3
    (run / "config.yaml").write_bytes(own)
    assert list(verify(run)) == [f"{run}: whole, 3 generations"]


class TestForks:
    """A fork cannot make again what it was given: a repair leaves that where it is."""

    @pytest.fixture
    def forked(self, copy, tmp_path):
        for _ in fork(
            f"{copy[1]}@1", tmp_path / "fork", changes=["generations=4", "regime=accumulate"]
        ).events():
            pass
        return tmp_path / "fork"

    @pytest.mark.parametrize("rules", ["accumulate", "replace"])
    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("fork.json", "flip a bit"),
            ("fork.json", "remove it"),
            ("generation_000/samples.safetensors", "flip a bit"),
            ("generation_001/metrics.json", "cut it short"),
            ("generation_001/manifest.json", "flip a bit"),
            ("generation_000/manifest.json", "remove it"),
        ],
    )
    def test_damage_to_what_it_was_given_is_named_and_nothing_is_moved(
        self, copy, tmp_path, rules, name, kind
    ):
        out = tmp_path / "fork"
        for _ in fork(f"{copy[1]}@1", out, changes=["generations=4", f"regime={rules}"]).events():
            pass
        assert list(verify(out)) == [f"{out}: whole, 4 generations"]
        content = (out / name).read_bytes()
        left = damaged(content, kind, random.Random(0))
        (out / name).unlink()  # it is linked to the parent's
        if left is not None:
            (out / name).write_bytes(left)
        for repair in (False, True):
            with pytest.raises(InputError, match=rf"{name}: .*put it back from a copy"):
                list(verify(out, repair=repair))
        assert not (out / "damaged").exists()
        (out / name).write_bytes(content)
        assert list(verify(out)) == [f"{out}: whole, 4 generations"]

    def test_damage_to_its_own_is_repaired(self, forked):
        expected = hashes(forked)
        (forked / "generation_002" / "samples.safetensors").write_bytes(b"")
        told = list(verify(forked, repair=True))
        assert told[-1] == f"{forked}: whole, 2 generations"
        finish(forked / "config.yaml", forked)
        shutil.rmtree(forked / "damaged")
        assert hashes(forked) == expected

    @pytest.mark.parametrize("generation", ["x", -1, 10**30, None])
    def test_a_number_that_is_none(self, forked, generation):
        described = files.read_signed(forked / "fork.json", ())
        files.write_signed(forked / "fork.json", {**described, "generation": generation})
        with pytest.raises(InputError):
            list(verify(forked, repair=True))
        assert layout.count_finished(forked) == 4

    def test_a_run_whose_shared_files_were_set_aside_can_be_forked(self, copy, tmp_path):
        _, run = copy
        shutil.rmtree(run / "shared")
        for _ in fork(f"{run}@1", tmp_path / "fork", changes=["generations=3"]).events():
            pass
        assert list(verify(tmp_path / "fork")) == [f"{tmp_path / 'fork'}: whole, 3 generations"]


def test_what_is_in_shared_and_on_no_list_is_made_again(copy):
    config, run = copy
    expected = hashes(run)
    path = run / "shared" / "reference.safetensors"
    for g in range(3):
        shutil.rmtree(run / f"generation_{g:03d}")
    path.with_name(SEAL).unlink()  # as if the run had been killed before it listed the file
    path.write_bytes(path.read_bytes()[:-4] + bytes(4))
    finish(config, run)
    assert hashes(run) == expected


def test_shared_files_that_come_out_otherwise_end_the_run_before_they_are_used(copy, monkeypatch):
    config, run = copy
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


def test_files_of_strangers_in_a_finished_generation_are_told(copy):
    _, run = copy
    (run / "generation_000" / "aaa.png").write_bytes(b"mine")
    assert [(fault.path.name, fault.what) for fault in find_faults(run)] == [
        ("aaa.png", "is not in the manifest")
    ]


def test_a_generation_that_is_missing_or_of_another_run_is_told(copy, tmp_path):
    _, run = copy
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
def test_readers_pass_over_damaged_lines_of_the_log(copy):
    _, run = copy
    log, chance = run / "events.jsonl", random.Random(0)
    for kind in ("flip a bit", "cut it short", "zeros in it", "more at its end"):
        log.write_bytes(damaged(log.read_bytes(), kind, chance))
    assert list(find_faults(run)) == []
    assert write_results(run)
    log.unlink()
    assert write_results(run)


def test_a_repair_waits_for_nobody_who_writes(copy):
    from filelock import FileLock

    _, run = copy
    (run / "generation_001" / "metrics.json").write_text("{}")
    with (
        FileLock(run / ".lock"),
        pytest.raises(InputError, match="another process is writing this run"),
    ):
        list(verify(run, repair=True))
    assert (run / "generation_001").exists()


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="is not a run directory"):
        list(verify(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_command_checks_side_by_side_runs_and_repairs_where_it_is_asked(lab, tmp_path):
    tree = {key: value for key, value in TINY_GAUSSIAN.items() if key != "regime"}
    chains = {"one": {"regime": "replace"}, "two": {"regime": "accumulate"}}
    config, out = write(tmp_path, {**tree, "chains": chains}), tmp_path / "both"
    assert lab("run", config, "--out", out)[0] == 0
    code, told, _ = lab("verify", out)
    assert (code, told.splitlines()) == (
        0,
        [f"{out}: whole", *(f"{out / name}: whole, 3 generations" for name in chains)],
    )

    (out / "two" / "generation_002" / "metrics.json").write_text("{}")
    with (out / "side_by_side.svg").open("a") as file:
        file.write(" ")
    code, _, err = lab("verify", out)
    assert code == 2
    assert err.splitlines() == [
        f"error: {out}/side_by_side.svg: content does not match its recorded hash "
        f"(imglab verify {out} --repair)",
        f"error: {out}/two/generation_002/metrics.json: content does not match its recorded hash "
        f"(imglab verify {out}/two --repair)",
    ]
    assert lab("verify", out, "--repair")[0] == 0
    assert lab("verify", out)[0] == 0
    manifest = out / "two" / "generation_000" / layout.MANIFEST
    content = manifest.read_bytes()
    manifest.unlink()
    assert f"{manifest}: is missing" in lab("verify", out)[2]
    assert f"{manifest}: is missing" in lab("report", out)[2] + lab("metrics", out)[2]
    manifest.write_bytes(content)
    assert lab("run", config, "--out", out)[0] == 0
    assert layout.count_finished(out / "two") == 3
    (out / "chains.json").write_text('{"chains": ["one"], "self": ""}\n')
    assert "content does not match its recorded hash" in lab("verify", out)[2]
