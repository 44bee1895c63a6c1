"""Run directories of strangers: manifests and links that lead out of them are not followed."""

from __future__ import annotations

import pytest

from imglab.report.results import write_results
from imglab.store import files, layout, reading
from imglab.store.faults import find_faults
from imglab.store.hashes import HASH_LIST, listed
from imglab.store.verify import verify
from tests.tiny_chains import hashes


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
    plain_run, monkeypatch, name, told
):
    _, run = plain_run
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
def test_a_link_in_a_run_is_told_and_not_gone_through(lab, plain_run, tmp_path, name):
    config, run = plain_run
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


def test_folders_too_deep_or_with_numbers_too_large_are_no_generations(plain_run):
    _, run = plain_run
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
def test_a_list_of_results_that_names_other_files_moves_none_of_them(plain_run, names):
    _, run = plain_run
    victims = [run.parent / "victim", run / "d1" / "n", run / "d2" / "n"]
    for path in victims:
        path.parent.mkdir(exist_ok=True)
        path.write_text(str(path))
    before = hashes(run)
    files.write_signed(run / HASH_LIST, {"files": dict.fromkeys(names, "0" * 64)})
    assert list(find_faults(run))
    told = list(verify(run, repair=True))
    assert told[-1] == f"{run}: whole, 3 generations"
    assert victims[0].read_text() == str(victims[0])
    here = {path.read_text() for path in run.rglob("n")}
    assert here == {str(path) for path in victims[1:]}, "neither took the other's place"
    assert {
        name: sign for name, sign in before.items() if "d1" not in name and "d2" not in name
    }.items() <= hashes(run).items()


@pytest.mark.slow
def test_a_damaged_list_of_results_is_begun_anew(plain_run):
    _, run = plain_run
    write_results(run)
    before = listed(run)
    content = (run / HASH_LIST).read_bytes()
    (run / HASH_LIST).write_bytes(content[:-20])
    assert [fault.path for fault in find_faults(run)] == [run / HASH_LIST]

    # What is made again is listed again; nobody vouches for the picture that the chain had drawn.
    write_results(run)
    assert not list(find_faults(run))
    assert listed(run) == {name: sha for name, sha in before.items() if name != "scatter.png"}
