"""A run that moves away while a fork or a page is made from it: one message, nothing half made."""

from __future__ import annotations

import pytest

from imglab.errors import InputError
from imglab.running.fork import fork
from imglab.store import files
from imglab.store.verify import verify
from tests.faults.moving import MOVER
from tests.tiny_chains import TINY_GAUSSIAN, finish, write

CHAIN = {**TINY_GAUSSIAN, "regime": "replace", "generations": 3}
CHANGES = ["regime=accumulate", "generations=4"]


@pytest.fixture
def parent(tmp_path):
    finish(write(tmp_path, CHAIN), tmp_path / "parent")
    return tmp_path / "parent"


def looks_of_a_fork(parent, out):
    """How often a fork looks into its parent."""
    with MOVER.moves(parent, parent, after=-1):
        fork(f"{parent}@1", out, None, CHANGES)
    return MOVER.looks


def fork_while_it_moves(parent, out, *, after):
    """Fork a parent that moves away before a look at it; return the message, and move it back."""
    elsewhere = parent.with_name("elsewhere")
    try:
        with MOVER.moves(parent, elsewhere, after=after):
            fork(f"{parent}@1", out, None, CHANGES)
    except InputError as error:
        return str(error)
    finally:
        if elsewhere.exists():
            elsewhere.rename(parent)
    return ""


@pytest.mark.parametrize("moments", [5, pytest.param(None, marks=pytest.mark.slow)])
def test_a_fork_is_whole_or_its_parent_has_moved(parent, tmp_path, moments):
    """Whenever it moves: at some of the looks at it, and at all of them in the slow test."""
    looks = looks_of_a_fork(parent, tmp_path / "fork")
    assert looks > 20
    for after in range(0, looks, looks // (moments or looks)):
        out = tmp_path / f"out-{after}"
        message = fork_while_it_moves(parent, out, after=after)
        if out.exists():
            assert not list(verify(out))
            continue
        assert str(parent) in message
        assert "has moved, or was deleted" in message or "is not a run directory" in message
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_it_is_known_again_where_it_has_moved(parent, tmp_path):
    fork(f"{parent}@1", tmp_path / "fork", None, CHANGES)
    moved = parent.rename(tmp_path / "moved")
    fork(f"{moved}@1", tmp_path / "fork", None, CHANGES)
    with pytest.raises(InputError, match="is a fork of parent@1, not of"):
        fork(f"{moved}@0", tmp_path / "fork", None, CHANGES)


@pytest.mark.slow
def test_a_report_is_whole_or_its_run_has_moved(lab, parent, tmp_path):
    """Nothing is called damaged, and nothing is written where the run was."""
    elsewhere = tmp_path / "elsewhere"
    with MOVER.moves(parent, parent, after=-1):
        assert lab("report", str(parent))[0] == 0

    for after in range(0, MOVER.looks, MOVER.looks // 20):
        with MOVER.moves(parent, elsewhere, after=after):
            code, _, err = lab("report", str(parent))
        assert not parent.exists()
        assert code == 2
        assert str(parent) in err
        assert "is damaged" not in err
        elsewhere.rename(parent)


def test_a_file_whose_folder_has_moved_is_not_called_damaged(tmp_path):
    with pytest.raises(InputError, match=r"gone: was removed, or moved.*run the same command"):
        files.read_json(tmp_path / "gone/metrics.json", ())
    with pytest.raises(InputError, match="damaged"):
        files.read_json(tmp_path / "metrics.json", ())
