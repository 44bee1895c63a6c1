"""Many runs at once: `imglab view`, `ls`, `compare`, and pages of a folder of runs."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml

import imglab
from imglab.report.overview import overview
from imglab.report.view import RunsView
from imglab.store import files, locks
from imglab.store.deletion import delete_run
from imglab.store.layout import CHAINS, SWEEP
from imglab.store.listing import STUDIES
from imglab.store.sealed_config import SEALED
from imglab.studies.claims import verdicts
from imglab.studies.decomposition import results as decomposition
from imglab.studies.mapping import run as mapping
from imglab.studies.mixing import run as mixing
from imglab.studies.scaling import results as scaling

GAUSSIAN = {"modality": {"kind": "gaussian", "n_train": 20, "n_test": 20}, "model": "gaussian"}


@pytest.fixture(scope="module")
def one(tmp_path_factory) -> Path:
    """A run of three generations, of which two are finished."""
    folder: Path = tmp_path_factory.mktemp("one") / "run"
    chain = imglab.Run.from_dict(GAUSSIAN, folder, {"generations": 3})
    generations = chain.generations()
    next(generations)
    next(generations)
    generations.close()  # type: ignore[attr-defined]
    return folder


def with_seed(run: Path, seed: int) -> Path:
    """Give a copy of a run another seed in its config, and seal that."""
    path = run / "config.yaml"
    tree = yaml.safe_load(path.read_text())
    tree["seed"] = seed
    text = yaml.safe_dump(tree).encode()
    path.write_bytes(SEALED + hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
    return run


@pytest.fixture
def runs(one, tmp_path) -> Path:
    """Two runs, one of them deeper, and a sweep of one arm with two seeds."""
    root: Path = tmp_path / "runs"
    shutil.copytree(one, root / "first")
    with_seed(shutil.copytree(one, root / "deeper" / "<b>second & 'third'"), 1)
    for seed in (0, 1):
        with_seed(shutil.copytree(one, root / "sweep" / "arm" / f"seed-{seed}"), seed)
    content = {"arms": ["arm"], "seeds": [0, 1], "contrasts": []}
    files.write_signed(root / "sweep" / "sweep.json", content)
    return root


def ask(url, body=None, **headers):
    request = urllib.request.Request(url, data=body, headers=headers)
    with urllib.request.urlopen(request) as answer:
        return answer.read().decode()


def refused(url, body=None, **headers) -> tuple[int, str]:
    with pytest.raises(urllib.error.HTTPError) as error:
        ask(url, body, **headers)
    return error.value.code, error.value.read().decode()


def test_each_run_is_seen_at_a_glance(runs, one):
    table = overview(runs)
    labels = ["deeper/<b>second & 'third'", "first", "sweep/arm/seed-0", "sweep/arm/seed-1"]
    assert [run.label for run in table.runs] == labels
    assert list(table.groups) == ["sweep"]

    run = table.runs[1]
    assert (run.status, run.finished, run.planned) == ("stopped", 2, 3)
    rows = [imglab.open(one).metrics(g) for g in (0, 1)]
    assert [run.metrics["fid"].first, run.metrics["fid"].last] == [row["fid"] for row in rows]
    assert run.size == sum(path.stat().st_size for path in run.folder.rglob("*") if path.is_file())
    assert run.differs == {"seed": 0}
    assert table.runs[0].differs == {"seed": 1}
    assert "fid" in table.columns
    assert table.comparable


def test_what_is_damaged_hides_nothing_else(runs):
    (runs / "first" / "generation_001" / "metrics.json").write_text("{")
    (runs / "deeper" / "<b>second & 'third'" / "config.yaml").write_bytes(SEALED + b"x\n[")
    statuses = [(run.status, bool(run.note)) for run in overview(runs).runs]
    assert statuses == [("damaged", True)] * 2 + [("stopped", False)] * 2


def test_the_table_and_the_pages_of_any_runs(runs):
    with RunsView(runs) as view:
        table = ask(view.url)
        assert table.count("<tr data-status=") == 4
        assert "<b>second" not in table, "the names of folders are escaped"

        second = quote("deeper/<b>second & 'third'", safe="")
        assert f"/runs?run={second}" in table
        page = ask(f"{view.url}runs?run=first&run={second}")
        assert 'href="/">All runs' in page
        assert "2 arms" in page
        assert "95% over the seeds" in ask(f"{view.url}runs?run=sweep")
        assert not list(runs.rglob("*.html")), "it writes nothing"

        for query in ("run=..", "run=%2Fetc", "run=first%2Fgeneration_000", "", "run=gone"):
            assert refused(f"{view.url}runs?{query}")[0] == 404
        assert refused(f"{view.url}config.yaml")[0] == 404
        assert refused(view.url, Host="evil.example")[0] == 403


def test_a_page_only_reads_unless_it_is_allowed_to_delete(runs):
    body = json.dumps({"runs": ["first"]}).encode()
    with RunsView(runs) as view:
        code, said = refused(f"{view.url}delete", body)
        assert (code, "--allow-delete" in said) == (404, True)
        assert 'id="delete"' not in ask(view.url)

    with RunsView(runs, deletes=True) as view:
        assert refused(f"{view.url}delete", body)[0] == 404, "another site does not know the token"
        (token,) = {part.split('"')[0] for part in ask(view.url).split('data-token="')[1:]}
        headers = {"X-Imglab-Token": token}
        part = json.dumps({"runs": ["first", "sweep/arm/seed-0"]}).encode()
        code, said = refused(f"{view.url}delete", part, **headers)
        assert (code, "is part of sweep" in said) == (409, True)
        for wrong in (b"{", b"[]", b'{"runs": 3}', json.dumps({"runs": [".."]}).encode()):
            assert refused(f"{view.url}delete", wrong, **headers)[0] == 404
        assert (runs / "first").exists()

        assert json.loads(ask(f"{view.url}delete", body, **headers)) == {"deleted": 1}
        assert not (runs / "first").exists()
        assert not list(runs.glob(".deleted-*"))


def test_runs_are_pruned_after_a_look_at_what_goes(runs):
    model = runs / "first/generation_000/features.safetensors"
    question = {"runs": ["first", "sweep/arm/seed-0"], "what": ["models", "features"]}
    with RunsView(runs) as view:
        code, said = refused(f"{view.url}prune", json.dumps(question).encode())
        assert (code, "--allow-delete" in said) == (404, True)

    with RunsView(runs, deletes=True) as view:
        (token,) = {part.split('"')[0] for part in ask(view.url).split('data-token="')[1:]}

        def prune(**changes):
            body = json.dumps({**question, **changes}).encode()
            return json.loads(ask(f"{view.url}prune", body, **{"X-Imglab-Token": token}))["pruned"]

        def refused_as(**changes):
            body = json.dumps({**question, **changes}).encode()
            return refused(f"{view.url}prune", body, **{"X-Imglab-Token": token})

        # Models of the first and of the last generation always stay; here these are all.
        lines = prune()
        assert len(lines) == 2
        assert lines[0].startswith("features of 0 (")
        assert model.exists()
        for what in ("models", ["config.yaml"], list[str]()):
            assert refused_as(what=what)[0] == 404
        assert refused_as(runs=[".."])[0] == 404
        code, said = refused_as(what=["samples"], sure=True)
        assert (code, "and may read samples" in said) == (409, True)

        with (runs / "sweep/arm/seed-0" / locks.RUN).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            code, said = refused_as(sure=True)
        assert (code, "another process is writing this run" in said) == (409, True)
        assert model.exists(), "all or nothing"

        assert prune(sure=True) == lines
        assert not model.exists()
        assert imglab.open(runs / "first").metrics(0)
        assert prune()[0].startswith("nothing")


def test_a_run_that_is_being_written_is_not_deleted(runs):
    with (runs / "first" / locks.RUN).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert overview(runs).runs[1].status == "running"
        with pytest.raises(imglab.InputError, match="another process is writing this run"):
            delete_run(runs / "first")

    assert overview(runs).runs[1].status == "stopped"
    delete_run(runs / "first")
    with pytest.raises(imglab.InputError, match="is not a run directory"):
        delete_run(runs / "deeper")


@pytest.mark.parametrize(
    ("mark", "place"),
    [
        ("map.json", "cells/0123456789abcdef"),
        ("claims.json", "chains/0123456789abcdef"),
        ("mixing.json", "real-0.5/seed-0"),
        ("chains.json", "replace"),
        ("sweep.json", ".generation0/cell/seed-0"),
    ],
)
def test_what_is_part_of_a_study_is_not_deleted(one, tmp_path, mark, place):
    study = tmp_path / "runs" / "study"
    run = shutil.copytree(one, study / place)
    (study / mark).write_text("{}")
    link = tmp_path / "link"
    link.symlink_to(run.parent)
    for named in (run, link / run.name):
        with pytest.raises(imglab.InputError, match=r"is part of study \(remove .* as a whole\)"):
            delete_run(named)
    (study / mark).unlink()
    delete_run(run)
    assert not run.exists()


def test_maps_have_links_to_pages_that_are_built_from_their_data(runs):
    folder = runs / "<map>"
    folder.mkdir()
    content = {"name": "x", "question": {"axes": []}, "data": "", "columns": []}
    files.write_signed(folder / "map.json", content)
    with RunsView(runs) as view:
        assert "/map?" not in ask(view.url), "it is not finished"
        (folder / "map.png").write_bytes(b"")
        (folder / "map.html").write_text("<script>fetch('/delete')</script>")
        assert 'Maps: <a href="/map?run=%3Cmap%3E">&lt;map&gt;</a>' in ask(view.url)
        code, said = refused(f"{view.url}map?run=%3Cmap%3E")
        assert (code, "is not the file of a finished map" in said) == (409, True)
        assert refused(f"{view.url}map?run=sweep")[0] == 404


def test_the_marks_of_studies_are_those_that_they_write():
    results = (scaling.FILE, decomposition.FILE, mixing.RESULT, mapping.RESULT, verdicts.VERDICTS)
    assert set(STUDIES) == {SWEEP, CHAINS, *results}


def test_ls_and_compare(runs, lab):
    code, out, _ = lab("ls", runs)
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()][1:3] == ["deeper/<b>second", "first"]
    listed = json.loads(lab("ls", runs, "--json")[1])["runs"]
    assert [run["differs"] for run in listed] == [
        {"seed": 1},
        {"seed": 0},
        {"seed": 0},
        {"seed": 1},
    ]
    assert "no runs in" in lab("ls", runs / "first" / "shared")[1]
    assert lab("ls", runs / "none")[0] == 2

    second = runs / "deeper" / "<b>second & 'third'"
    out = lab("compare", runs / "first", second)[1]
    assert "what differs  A  B\nseed          0  1\n" in out
    assert "generation 1" in out
    compared = json.loads(lab("compare", runs / "first", second, "--json")[1])
    assert compared["metrics"]["fid"]["difference"] == 0.0
    assert compared["measured_alike"]
    for wrong in (runs, runs / "sweep"):
        assert lab("compare", runs / "first", wrong)[0] == 2


def test_numbers_of_different_sizes_are_not_subtracted(one, lab, tmp_path):
    imglab.run(GAUSSIAN, {"modality.n_train": 30, "generations": 1}, out=tmp_path / "b", show=False)
    code, out, _ = lab("compare", one, tmp_path / "b")
    assert code == 0
    first = "NOT COMPARABLE: measured with different sample sizes."
    assert out.splitlines()[0] == first, "it comes before the first number"
    assert "B - A" not in out
    assert "floor of B" in out
    compared = json.loads(lab("compare", one, tmp_path / "b", "--json")[1])
    assert compared["metrics"]["fid"]["difference"] is None
    assert compared["measured_differently"] == ["sample sizes"]


def test_another_kind_of_data_is_named_alone(one, lab, tmp_path):
    categories = {"modality": {"kind": "categories", "n_train": 20, "n_test": 20}}
    tree = {**categories, "model": "categories"}
    imglab.run(tree, {"generations": 1}, out=tmp_path / "b", show=False)
    out = lab("compare", one, tmp_path / "b")[1]
    assert out.startswith("NOT COMPARABLE: measured with different kinds of data")


def test_a_folder_of_runs_has_a_page_and_a_table(runs, lab):
    assert lab("metrics", runs)[1].count("FD (identity)") >= 4
    first = runs / "first" / "report.html"
    lab("report", runs / "first")
    before = first.read_bytes()

    assert lab("report", runs)[0] == 0
    assert (runs / "comparison.html").is_file()
    second = runs / "deeper" / "<b>second & 'third'"
    (runs / "comparison.html").unlink()
    lab("report", runs / "first", second)
    assert (runs / "comparison.html").is_file()
    code, _, err = lab("report", runs / "first", second, "--out", first)
    assert code == 2
    assert "is the page of that run alone" in err
    assert first.read_bytes() == before


def test_a_port_in_use_is_wrong_input(runs, lab):
    with RunsView(runs) as view:
        port = view.url.split(":")[2].strip("/")
        code, _, err = lab("view", runs, "--port", port)
    assert code == 2
    assert f"port {port} of 127.0.0.1 cannot be used" in err
    assert "choose another port" in err
    assert lab("view", runs / "none")[0] == 2
