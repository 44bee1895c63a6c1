"""The command line with configs of strangers, and their classes that only `run` imports."""

from __future__ import annotations

import random
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import strategies as st

from tests.hostile.config_edits import as_yaml, edited, mutable, several, texts
from tests.hostile.config_trees import BASE, assert_told, command, counts, fuzz
from tests.tiny_chains import TINY_GAUSSIAN, write

MARKED = """
import pathlib, sys
from tests.plugged_models import Sevens
from imglab import regimes
pathlib.Path({marker!r}).touch()
print("imported")

def same(sizes, *, generation, seed):
    return regimes.replace(sizes, generation=generation, seed=seed)
"""


@pytest.mark.slow
class TestAnotherPackagesClasses:
    """A config that names `module:Class` runs code: `run` alone does, and says so before."""

    @pytest.fixture
    def marker(self, tmp_path, monkeypatch):
        """A file that is there once a module `marked` was imported."""
        monkeypatch.syspath_prepend(tmp_path)
        (tmp_path / "marked.py").write_text(MARKED.format(marker=str(tmp_path / "marker")))
        yield tmp_path / "marker"
        sys.modules.pop("marked", None)

    @pytest.fixture
    def afresh(self, lab, marker):
        def run(*arguments):
            sys.modules.pop("marked", None)
            marker.unlink(missing_ok=True)
            return lab(*arguments)

        return run

    def test_only_run_imports_them_and_says_so_first(self, afresh, marker, tmp_path):
        tree = {
            **TINY_GAUSSIAN,
            "model": {"kind": "marked:Sevens"},
            "regime": {"kind": "marked:same"},
        }
        config = write(tmp_path, tree)
        code, out, err = afresh("validate", config)
        assert (code, err, marker.exists()) == (0, "", False)
        assert "not imported, so not checked: model (marked:Sevens), regime (marked:same)" in out
        code, out, err = afresh("run", config)
        assert (code, err, marker.exists()) == (0, "", True)
        said = "imports what the config names: model (marked:Sevens), regime (marked:same)\n"
        assert out.index(said) < out.index("imported\n")
        for arguments in (["report", "runs/tiny"], ["metrics", "runs/tiny"]):
            code, out, err = afresh(*arguments)
            assert (code, err, marker.exists()) == (0, "", False), out

    def test_each_chain_s_are_named(self, afresh, tmp_path):
        (tmp_path / "marked.py").write_text("raise RuntimeError('not today')")
        chain = {**TINY_GAUSSIAN, "regime": {"kind": "marked:same"}}
        config = write(tmp_path, {"chains": {"one": chain, "two": TINY_GAUSSIAN}})
        code, out, err = afresh("run", config)
        assert code == 2
        assert "imports what the config names: chains.one.regime (marked:same)\n" in out
        assert "cannot import 'marked:same': RuntimeError: not today" in err

    def test_nothing_is_said_where_nothing_is_imported(self, afresh, tmp_path):
        assert "imports" not in afresh("run", write(tmp_path, TINY_GAUSSIAN))[1]


JUNK = [
    ["run", "fuzzed.yaml"],
    ["run", "fuzzed.yaml", "--workers", "2"],
    ["sweep", "fuzzed.yaml"],
    ["sweep", "."],
    ["fork", "nowhere@0", "fuzzed.yaml", "--out", "x"],
    ["fork", "fuzzed.yaml@" + "9" * 5000, "--out", "x"],
    ["fork", ".@0", "--out", "y", "--set", "\x1b=\udcff"],
    ["report", "fuzzed.yaml"],
    ["report", ".", "\udcff"],
    ["metrics", "nowhere"],
    ["metrics", "\x1b[31m"],
    ["metrics", "x" * 5000],
    ["export", ".@0", "--to", "z"],
    ["validate", "x" * 5000],
    ["validate", "\udcff"],
    ["validate", "fuzzed.yaml", "--set", "a" * 100_000],
    ["validate", "fuzzed.yaml", "--set", "=", "--set", "a.b=\udcff"],
    ["claims", "\x1b", "x"],
    ["claims", "--profile", "\udcff"],
    ["run"],
    ["run", "a", "b"],
    ["run", "fuzzed.yaml", "--workers", "-1"],
    ["nothing"],
    ["validate", ""],
    ["metrics", ""],
]


class TestTheCommandLine:
    """As processes of their own: what they end with, and that nothing of Python's shows."""

    def at_once(self, jobs):
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda job: command(*job[1], folder=job[0]), jobs))

    @counts(6, 30)
    def test_fuzzed_configs(self, examples, tmp_path):
        found: list[bytes] = []
        kinds = st.one_of(texts, edited(), mutable().map(as_yaml), several().map(as_yaml))
        fuzz(max(examples, 20), kinds, found.append)
        jobs = []
        for number, content in enumerate(random.Random(1).sample(found, examples)):
            folder = tmp_path / str(number)
            folder.mkdir()
            (folder / "fuzzed.yaml").write_bytes(content)
            jobs.append((folder, ["validate", "fuzzed.yaml"]))
        for done in self.at_once(jobs):
            assert_told(done, (0, 2))

    @counts(3, len(JUNK))
    def test_junk(self, examples, tmp_path):
        (tmp_path / "fuzzed.yaml").write_text(BASE + "sede: 1\n")
        for done in self.at_once([(tmp_path, arguments) for arguments in JUNK[:examples]]):
            assert_told(done)
        assert [path.name for path in tmp_path.iterdir()] == ["fuzzed.yaml"], (
            "nothing is written for wrong input"
        )
