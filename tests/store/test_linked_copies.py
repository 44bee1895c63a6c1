"""Parts of models that generations have alike are stored once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from imglab.store import linked_copies
from imglab.store.linked_copies import bytes_freed, bytes_of, link_alike, other_models

FROZEN = b"f" * linked_copies.SMALLEST


@pytest.fixture
def models(tmp_path) -> list[Path]:
    """The models of three generations: a frozen part, a trained one, and a small file."""
    folders = [tmp_path / f"generation_{g:03d}" / "model" for g in range(3)]
    for g, folder in enumerate(folders):
        (folder / "vae").mkdir(parents=True)
        (folder / "vae/weights").write_bytes(FROZEN)
        (folder / "unet").write_bytes(bytes([g]) * len(FROZEN))
        (folder / "config.json").write_text("{}")
    return folders


def all_files(models):
    return [path for model in models for path in model.rglob("*") if path.is_file()]


def test_what_is_alike_is_stored_once(models):
    before = {path: path.read_bytes() for path in all_files(models)}
    for g in (1, 2):
        link_alike(models[g], models[:g])
    assert {path: path.read_bytes() for path in all_files(models)} == before

    inodes = {name: {(each / name).stat().st_ino for each in models} for name in ("unet", "vae")}
    assert len(inodes["unet"]) == 3
    assert len({(each / "vae/weights").stat().st_ino for each in models}) == 1
    assert len({(each / "config.json").stat().st_ino for each in models}) == 3
    assert bytes_of(all_files(models)) == 4 * len(FROZEN) + 3 * 2


def test_the_latest_models_come_first(models):
    shutil.rmtree(models[0])
    (models[2].parents[1] / "generation_003").mkdir()
    assert list(other_models(models[1].parents[1] / "generation_003/model")) == models[:0:-1]


def test_a_removal_frees_what_nothing_else_leads_to(models):
    for g in (1, 2):
        link_alike(models[g], models[:g])
    assert bytes_freed(all_files(models[1:2])) == len(FROZEN) + 2
    assert bytes_freed(all_files(models)) == bytes_of(all_files(models))
    shutil.rmtree(models[0])
    assert (models[1] / "vae/weights").read_bytes() == FROZEN


def test_a_file_that_is_written_anew_leaves_the_others_alone(models):
    link_alike(models[1], models[:1])
    (models[1] / "new").write_bytes(b"x")
    os.replace(models[1] / "new", models[1] / "vae/weights")
    assert (models[0] / "vae/weights").read_bytes() == FROZEN


def test_where_there_are_no_links_copies_stay(models, monkeypatch):
    def refuse(*paths):
        raise OSError(1, "no links here")

    monkeypatch.setattr("os.link", refuse)
    link_alike(models[1], models[:1])
    assert (models[1] / "vae/weights").stat().st_nlink == 1
    assert not list(models[1].rglob(".*"))
