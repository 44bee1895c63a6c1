"""Configs of anybody's, as hypothesis draws them, and the judge of each."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imglab.config.load import dump_config, load_config, plug_ins, validate_config
from imglab.config.schema import RunConfig
from imglab.config.yaml import parse_yaml
from imglab.errors import InputError
from imglab.safe_text import printable
from imglab.studies.sweeps.config import SweepConfig, load_sweep
from tests.conftest import ROOT

LONGEST_MESSAGE = 20_000


MOST_PROBLEMS = 500


def counts(quick: int, many: int):
    """Few examples by default, all with `-m slow`."""
    return pytest.mark.parametrize("examples", [quick, pytest.param(many, marks=pytest.mark.slow)])


def fuzz(examples: int, strategy, check) -> None:
    """Call `check` with so many values of a strategy, the same ones each time."""

    def of_one(value):
        check(value)

    given(strategy)(
        settings(
            max_examples=examples,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )(of_one)
    )()


def told(error: InputError) -> list[str]:
    """Return the problems as they are printed, having checked that they can be read."""
    messages = [printable(str(problem)) for problem in error.problems]
    assert 0 < len(messages) <= MOST_PROBLEMS
    for problem, message in zip(error.problems, messages, strict=True):
        assert problem.where
        assert problem.what
        assert len(message) <= LONGEST_MESSAGE, message[:200]
        assert message.isprintable(), "one line, without what drives a terminal"
    return messages


def judge(path: Path, changes=()) -> list[RunConfig]:
    """Load a config as each command would; return what it holds, having checked that it survives
    its own dump.
    """
    found: dict[str, RunConfig] = {}
    for load in (load_config, load_sweep):
        try:
            loaded = load(path, changes)
        except InputError as error:
            told(error)
            continue
        if isinstance(loaded, RunConfig):
            found = {"": loaded}
        elif isinstance(loaded, SweepConfig):
            found = dict(loaded.arms)
        else:
            found = dict(loaded.chains)
    for config in found.values():
        plug_ins(config)
        again = validate_config(parse_yaml(dump_config(config), "dump"), "dump")
        assert again.model_dump(mode="json") == config.model_dump(mode="json")
        json.dumps(again.model_dump(mode="json"), allow_nan=False)
    return list(found.values())


NUMBERS = [-1, 0, 1, 2, 3, 8, 16, 100, 1000, 10**5, 10**9, 10**12, 2**63 - 1, 2**63, 10**30]


WORDS = [
    "",
    "x",
    "digits",
    "previous",
    "gaussian",
    "nowhere/at/all",
    "a" * 300,
    "a" * 5000,
    "é\u202e\x1b[31m",
    "1e-3",
    "null",
    "010",
    "1:30",
    "2026-01-01",
    "<<",
    "=",
    "~x",
    "os:system",
    "a:b:c",
    ":",
    "{}",
    "(",
    "((a+)+)+$",
    "\0",
    "\ufeff",
    "\x85",
    " a ",
    "a\nb\n",
    "- a",
    "# a",
    "'",
    '"',
    "a: b",
    "!!int 3",
    "&a",
    "*a",
    "%",
    "@",
    "`",
    "😀",
    "\u2028",
    "a{99999999999}",
]


signs = st.characters(codec="utf-8")


words = st.one_of(st.sampled_from(WORDS), st.text(signs, max_size=12))


numbers = st.one_of(
    st.sampled_from(NUMBERS),
    st.integers(),
    st.floats(),
    st.sampled_from(
        [0.0, 0.1, 0.5, 1.0, 1.5, 1e-300, 1e300, float("inf"), float("-inf"), float("nan")]
    ),
)


plain = st.one_of(st.none(), st.booleans(), numbers, words)


foreign = st.one_of(
    st.dates(),
    st.datetimes(timezones=st.sampled_from([None, datetime.timezone.utc])),
    st.binary(max_size=8),
    st.frozensets(st.integers(), max_size=3).map(set),
    st.tuples(st.integers(), st.text(signs, max_size=3)),
)


keys = st.one_of(words, st.none(), st.booleans(), st.integers(), st.floats(), st.dates())


any_leaves = st.one_of(plain, foreign)


def trees(leaves=any_leaves, names=keys):
    """Trees of anything that YAML can say."""
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=4)
        ),
        max_leaves=12,
    )


@st.composite
def deep(draw):
    """Lists or mappings in each other, further than anybody needs."""
    tree = draw(plain)
    for _ in range(draw(st.integers(1, 60))):
        tree = [tree] if draw(st.booleans()) else {"a": tree}
    return tree


anything = st.one_of(plain, plain, trees(), deep())


BASE = "modality: gaussian\nmodel: gaussian\n"


def command(*arguments, folder: Path, seconds: float = 120) -> subprocess.CompletedProcess[bytes]:
    """Run the program as a process of its own in `folder`."""
    given_path = os.pathsep.join([str(ROOT), str(folder)])
    environment = {
        **os.environ,
        "PYTHONPATH": given_path,
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    full = [sys.executable, "-m", "imglab", *map(str, arguments)]
    return subprocess.run(
        full, cwd=folder, env=environment, capture_output=True, timeout=seconds, check=False
    )


def assert_told(done: subprocess.CompletedProcess[bytes], codes=(2,)) -> None:
    shown = (done.stdout + done.stderr).decode()
    assert done.returncode in codes, f"{done.args}: {done.returncode}\n{shown}"
    assert "Traceback" not in shown, f"{done.args}\n{shown}"
    assert len(shown) < 1 << 20
    assert done.returncode == 0 or done.stderr
