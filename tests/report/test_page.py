"""The page of runs: what it says, what it holds, and what it does with damaged, strange and large
input.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from imglab.errors import InputError
from imglab.report import gallery
from imglab.report.arms import comparable, differences, read_arms
from imglab.report.build import build_page, write_report
from imglab.report.judges import judges_notes
from imglab.store import files
from imglab.store.reading import read_environment, read_metrics
from tests.page_fixtures import IMAGES, run_chain_in
from tests.report.pages import data_of


class TestPage:
    def test_one_page_of_all_kinds(self, finished_runs):
        html = build_page(read_arms(list(finished_runs.values()))).html
        found = data_of(html)
        assert [arm["kind"] for arm in found["arms"]] == ["images", "images", "texts", "images"]
        assert found["last"] == 3
        assert len(found["sheets"]) == len(set(found["sheets"])), "each picture once"
        replace, mixed = found["arms"][:2]
        assert replace["generations"][0]["sheet"] == mixed["generations"][0]["sheet"], (
            "they share generation 0"
        )
        assert not re.search(r"""(src|href)=["']?(https?:)?//""", html), "nothing is fetched"
        assert "Measured in different ways" in html

    def test_neighbours_are_the_nearest_real_samples(self, finished_runs):
        run = finished_runs["replace"]
        kept = load_file(run / "generation_001" / "exhibit.safetensors")
        found = data_of(build_page(read_arms([run])).html)
        arm = found["arms"][0]
        assert arm["generations"][1]["near"] == kept["index"].tolist()
        real = found["real"][arm["data"]]
        assert set(map(int, real["place"])) >= set(kept["rows"].tolist())
        distances = np.array(arm["generations"][1]["far"])
        assert (np.diff(distances, axis=1) >= 0).all(), "nearest first"

    def test_texts_are_those_of_the_run_and_cannot_leave_their_place(self, copy):
        run = copy("texts")
        path = run / "generation_002" / "exhibit.json"
        words = json.loads(path.read_text())
        evil = '</script><script>alert(1)</script><img src=x onerror="alert(2)">\u2028'
        words["shown"][0]["text"] = evil
        path.write_text(json.dumps(words))
        html = build_page(read_arms([run])).html
        assert "<script>alert" not in html
        assert "<img src=x" not in html
        assert data_of(html)["arms"][0]["generations"][2]["words"][0] == evil

    def test_one_opening_is_continued_by_generations_beside_the_real_text(self, copy):
        run = copy("texts")
        path = run / "generation_002" / "panel.json"
        panel = json.loads(path.read_text())
        path.write_text(json.dumps({**panel, "text": "<b> one two three one two three"}))
        html = build_page(read_arms([run])).html
        assert html.count("One held-out opening, continued") == 1
        assert "&lt;b&gt; one two three <mark>one two three</mark>" in html
        table = html[html.index('class="continued"') :].partition("</table>")[0]
        assert [int(g) for g in re.findall(r'data-g="(\d+)"', table)] == [0, 1, 2]

    @pytest.mark.parametrize("content", [None, b"[]", b'{"opening": 1, "real": "", "text": ""}'])
    def test_without_a_panel_the_rest_is_there(self, copy, content):
        """Runs of earlier versions have none."""
        run = copy("texts")
        path = run / "generation_000" / "panel.json"
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        html = build_page(read_arms([run])).html
        assert "held-out opening" not in html
        assert "What they draw" in html

    def test_a_run_that_is_not_finished_is_shown_and_marked(self, copy):
        run = copy("replace")
        (run / "generation_002" / "manifest.json").unlink()
        html = build_page(read_arms([run])).html
        assert "2 of 3 generations so far" in html
        shutil.rmtree(run / "generation_001")
        shutil.rmtree(run / "generation_000")
        with pytest.raises(InputError, match="no finished generation"):
            read_arms([run])
        other = copy("mixed")
        assert "replace has no finished generation yet" in build_page(read_arms([run, other])).html

    @pytest.mark.parametrize("name", ["shown.safetensors", "exhibit.safetensors", "exhibit.json"])
    @pytest.mark.parametrize("content", [None, b"", b"\x00" * 50, b"{}"])
    def test_damaged_and_missing_files_leave_the_rest(self, copy, name, content):
        run = copy("replace")
        path = run / "generation_001" / name
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        generations = data_of(build_page(read_arms([run])).html)["arms"][0]["generations"]
        assert generations[0]["near"]
        assert generations[2]["near"]
        if content == b"" or (content is None and name == "shown.safetensors"):
            assert "cannot be read" in generations[1]["note"]

    def test_what_cannot_be_read_of_one_arm_hides_no_other(self, copy, finished_runs):
        broken, short = copy("texts"), copy("replace")
        (broken / "environment.json").unlink()
        (short / "generation_001" / "metrics.json").unlink()
        arms = read_arms([broken, finished_runs["vectors"], short])
        assert [len(arm.rows) for arm in arms] == [0, 4, 1]
        html = build_page(arms).html
        assert "environment.json: cannot be read" in html
        assert "metrics.json: cannot be read" in html
        assert "shown are 1 generation" in html
        with pytest.raises(InputError, match=r"environment\.json"):
            read_arms([broken])

    def test_it_says_whether_judges_agree(self, copy):
        run = copy("replace")
        question = "do judges put the generations in the order"
        assert question not in build_page(read_arms([run])).html
        agreement = {"lenet@1a2b": 0.94, "small@3c4d": -0.2, "dinov2@5e6f": None}
        files.write_json(run / "judges.json", {"agreement": agreement})
        html = build_page(read_arms([run])).html
        assert f"{question} of the FID of" in html
        assert "lenet: yes, 0.94; small: no, -0.20; dinov2: not decided by so few" in html

        (run / "judges.json").write_text("{")
        assert "judges.json" in build_page(read_arms([run])).html

    def test_it_says_whether_the_judges_of_a_run_agree(self, finished_runs):
        arm = read_arms([finished_runs["replace"]])[0]
        fids = [row["fid"] for row in arm.rows]
        rows = [
            {**row, "fid_by_judge": {"a": fid**2, "b": -fid, "c": None}}
            for row, fid in zip(arm.rows, fids, strict=True)
        ]
        (note,) = judges_notes([replace(arm, rows=rows)])
        assert "a: yes, 1.00; b: no, -1.00; c: not decided" in note

    def test_a_damaged_histogram_leaves_the_rest(self, copy):
        run = copy("texts")
        (run / "generation_001" / "per_sample.safetensors").write_bytes(b"junk")
        assert "per_sample.safetensors: cannot be read" in build_page(read_arms([run])).html

    def test_an_arm_is_clickable_without_its_first_picture(self, copy):
        run = copy("replace")
        (run / "generation_000" / "shown.safetensors").unlink()
        entry = gallery.collect(read_arms([run])).arms[0]
        assert entry["layout"]["count"] > 1

    def test_runs_on_other_data_are_not_compared(self, copy):
        one, other = copy("replace"), copy("replace", "other")
        told = read_environment(other)
        told["data"]["test"] = "0" * 64
        files.write_signed(other / "environment.json", told)
        assert len(comparable(read_arms([one, other]))) == 2

    def test_what_arms_differ_in(self, finished_runs):
        arms = read_arms([finished_runs["replace"], finished_runs["mixed"]])
        found = differences(arms)
        assert found["regime.kind"] == ["replace", "mix"]
        assert found["regime.real_fraction"] == [None, 0.5]
        assert "name" not in found
        assert [len(group) for group in comparable(arms)] == [2]

    def test_names_are_told_apart(self, finished_runs, copy):
        copied = copy("replace")
        names = [arm.name for arm in read_arms([finished_runs["replace"], copied, copied])]
        assert len(set(names)) == 3

    def test_what_is_too_much_goes_beside(self, finished_runs, tmp_path, monkeypatch):
        monkeypatch.setattr(gallery.collect, "__defaults__", (None, 2500))
        page = write_report([finished_runs["replace"]], tmp_path / "out" / "page.html")
        found = data_of(page.html)
        outside = [url for url in found["sheets"] if not url.startswith("data:")]
        assert outside == ["page_files/0-001.png"]
        assert (tmp_path / "out" / outside[0]).read_bytes()[:4] == b"\x89PNG"
        assert "generations 0, 2 are in this page" in page.html

    @pytest.mark.slow
    def test_a_sweep_is_its_arms_with_bands(self, tmp_path):
        for seed in (0, 1, 2):
            for arm, changes in (("control", {"regime": "real_only"}), ("replace", {})):
                folder = tmp_path / arm
                folder.mkdir(exist_ok=True)
                run_chain_in(folder, f"seed-{seed}", IMAGES, seed=seed, generations=2, **changes)
        described = {
            "arms": ["replace", "control"],
            "seeds": [0, 1, 2],
            "contrasts": [],
            "generations": {"replace": 2},
        }
        files.write_signed(tmp_path / "sweep.json", described)
        arms = read_arms([tmp_path])
        assert [(arm.name, arm.seeds) for arm in arms] == [("replace", 3), ("control", 3)]
        g, mean, low, high = arms[0].series("fid")[1]
        seeds = [
            read_metrics(tmp_path / "replace" / f"seed-{seed}")[1]["fid"] for seed in (0, 1, 2)
        ]
        assert g == 1
        assert min(seeds) <= mean <= max(seeds)
        assert low < mean < high
        html = build_page(arms).html
        assert "replace (3 seeds)" in html
        assert "Early warning that fid rises beyond 2 times its value in generation 0" in html
        assert "Collapse profile of replace (first seed)" in html
        assert html.count("needs 5 generations in which it is defined; there are 2") >= 2

        # What is wrong with the sweep's own file is said, and hides nothing.
        files.write_signed(tmp_path / "sweep.json", {**described, "contrasts": [{"arms": 3}]})
        html = build_page(read_arms([tmp_path])).html
        assert "has contrasts, generations or a warning of the wrong kind" in html
        assert "Collapse profile of control (first seed)" in html


def test_neighbours_agree_with_brute_force():
    import torch

    from imglab.metrics import nearest_samples

    generator = torch.Generator().manual_seed(0)
    train, synthetic = (
        torch.randn(200, 6, generator=generator),
        torch.randn(7, 6, generator=generator),
    )
    train[17] = train[3]  # a tie: the lower index first
    synthetic[0] = train[3]
    index, distance = nearest_samples(train=train, synthetic=synthetic, k=3)
    every = (synthetic[:, None].double() - train[None].double()).norm(dim=2)
    expected = every.sort(dim=1, stable=True)
    assert torch.equal(index, expected.indices[:, :3])
    assert torch.allclose(distance, expected.values[:, :3])
    assert index[0, :2].tolist() == [3, 17]
    assert nearest_samples(train=train[:2], synthetic=synthetic, k=3)[0].shape == (7, 2)


def test_arrays_that_are_no_images_are_not_shown_as_such(copy):
    run = copy("replace")
    path = run / "generation_000" / "shown.safetensors"
    columns = load_file(path)
    save_file({**columns, "data": np.zeros((3, 2), dtype=np.uint8)}, path)
    assert data_of(build_page(read_arms([run])).html)["arms"][0]["kind"] == "images", (
        "the run's own grid stands in"
    )
