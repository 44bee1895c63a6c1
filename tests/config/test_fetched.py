"""`got:NAME` in a config: the same words on every machine."""

from __future__ import annotations

import pytest

from imglab.config.fetched import RECORD, data_folder, locate
from imglab.errors import InputError
from imglab.training.hub import local_name


def test_other_names_stay():
    for name in ("openai-community/gpt2", "runs/base/model", "smollm2"):
        assert locate(name, "here") == name


def test_a_fetched_thing_is_found_in_the_data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("IMGLAB_DATA", str(tmp_path))
    (tmp_path / "smollm2").mkdir()
    (tmp_path / "smollm2" / RECORD).write_text("{}")
    assert local_name("got:smollm2", "here") == str(tmp_path / "smollm2")


def test_the_data_folder_is_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("IMGLAB_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data_folder() == tmp_path / "imglab"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("got:smollm2", "run: imglab get smollm2"),
        ("got:../secrets", "is not the name of something"),
        ("got:", "is not the name of something"),
    ],
)
def test_what_was_not_fetched_is_said_with_the_remedy(tmp_path, monkeypatch, name, message):
    monkeypatch.setenv("IMGLAB_DATA", str(tmp_path))
    with pytest.raises(InputError, match=message):
        locate(name, "model.network.name")
