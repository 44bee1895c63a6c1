"""Damage that a repair mends, or leaves where only a copy mends it."""

from __future__ import annotations

import random
import shutil

import pytest

from imglab.errors import InputError
from imglab.report.results import write_results
from imglab.running.fork import fork
from imglab.store import files, layout, reading
from imglab.store.hashes import HASH_LIST
from imglab.store.verify import verify
from tests.store.damage import damaged, sealed_files
from tests.tiny_chains import TINY_GAUSSIAN, finish, hashes, write


@pytest.mark.slow
def test_a_run_that_would_go_on_from_damage_refuses_and_a_repair_brings_the_same_bytes_back(
    plain_run,
):
    config, run = plain_run
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


def test_shared_files_that_are_damaged_are_made_again(plain_run):
    config, run = plain_run
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


def test_what_only_a_copy_mends_is_left_where_it_is(plain_run):
    _, run = plain_run
    for name in ("config.yaml", "environment.json"):
        content = (run / name).read_bytes()
        (run / name).write_bytes(content.replace(b"a", b"b", 1))
        with pytest.raises(InputError, match=f"{name}: .*put it back from a copy"):
            list(verify(run, repair=True))
        assert layout.count_finished(run) == TINY_GAUSSIAN["generations"]
        (run / name).write_bytes(content)
    assert list(verify(run))


def test_a_config_of_another_run_sets_no_generation_aside(plain_run, tmp_path):
    _, run = plain_run
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
    def forked(self, plain_run, tmp_path):
        for _ in fork(
            f"{plain_run[1]}@1", tmp_path / "fork", changes=["generations=4", "regime=accumulate"]
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
        self, plain_run, tmp_path, rules, name, kind
    ):
        # Nothing beside it has the same bytes.
        out = tmp_path / "apart" / "fork"
        for _ in fork(
            f"{plain_run[1]}@1", out, changes=["generations=4", f"regime={rules}"]
        ).events():
            pass
        assert list(verify(out)) == [f"{out}: whole, 4 generations"]
        content = (out / name).read_bytes()
        left = damaged(content, kind, random.Random(0))
        (out / name).unlink()
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

    def test_a_run_whose_shared_files_were_set_aside_can_be_forked(self, plain_run, tmp_path):
        _, run = plain_run
        shutil.rmtree(run / "shared")
        for _ in fork(f"{run}@1", tmp_path / "fork", changes=["generations=3"]).events():
            pass
        assert list(verify(tmp_path / "fork")) == [f"{tmp_path / 'fork'}: whole, 3 generations"]


def test_what_is_in_shared_and_on_no_list_is_made_again(plain_run):
    config, run = plain_run
    expected = hashes(run)
    path = run / "shared" / "reference.safetensors"
    for g in range(3):
        shutil.rmtree(run / f"generation_{g:03d}")
    (run / layout.HEAD).unlink()
    path.with_name(HASH_LIST).unlink()  # as if the run had been killed before it listed the file
    path.write_bytes(path.read_bytes()[:-4] + bytes(4))
    finish(config, run)
    assert hashes(run) == expected


def test_a_repair_waits_for_nobody_who_writes(plain_run):
    from filelock import FileLock

    _, run = plain_run
    (run / "generation_001" / "metrics.json").write_text("{}")
    with (
        FileLock(run / ".lock"),
        pytest.raises(InputError, match="another process is writing this run"),
    ):
        list(verify(run, repair=True))
    assert (run / "generation_001").exists()


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
