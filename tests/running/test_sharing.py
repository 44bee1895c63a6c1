"""Pushing and pulling: a folder stands for the hub, and a client of the hub is played."""

from __future__ import annotations

import shutil
from pathlib import Path

import huggingface_hub
import pytest

from imglab.errors import InputError
from imglab.running.sharing.places import Repository, place_of
from imglab.running.sharing.pull import pull
from imglab.running.sharing.push import push
from tests.tiny_chains import POINTS, TINY_IMAGE, write


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return finished(tmp_path_factory.mktemp("runs"), POINTS)


def finished(folder: Path, tree) -> Path:
    from imglab import Run

    run = Run.from_file(write(folder, tree), folder / "the_run")
    for _ in run.generations():
        pass
    return folder / "the_run"


class FakeHub:
    """The calls of huggingface_hub that are made, over folders."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.private: dict[str, bool] = {}

    def _folder(self, name: str, kind: str) -> Path:
        return self.root / kind / name

    def create_repo(self, name, *, repo_type, private, exist_ok):
        self._folder(name, repo_type).mkdir(parents=True, exist_ok=exist_ok)
        (self._folder(name, repo_type) / ".gitattributes").write_text("")
        self.private[name] = private

    def upload_folder(self, *, folder_path, repo_id, repo_type, ignore_patterns):
        ignore = shutil.ignore_patterns("*.tmp")
        target = self._folder(repo_id, repo_type)
        shutil.copytree(folder_path, target, dirs_exist_ok=True, ignore=ignore)

    def upload_file(self, *, path_or_fileobj, path_in_repo, repo_id, repo_type):
        (self._folder(repo_id, repo_type) / path_in_repo).write_bytes(path_or_fileobj)

    def repo_exists(self, name, *, repo_type):
        return self._folder(name, repo_type).is_dir()

    def snapshot_download(self, name, *, repo_type, local_dir):
        if not self.repo_exists(name, repo_type=repo_type):
            raise RuntimeError(f"no repository {name}\nand much more")
        shutil.copytree(self._folder(name, repo_type), local_dir, dirs_exist_ok=True)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    fake = FakeHub(tmp_path / "hub")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: fake)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake.snapshot_download)
    return fake


def contents(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.parametrize("place", ["shared", "hub:me/chain"])
def test_a_run_comes_back_as_it_was(run, place, hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    push(str(run), place_of(place))
    what = pull(place_of(place), tmp_path / "back")
    assert what.startswith("a run, whole")
    assert contents(tmp_path / "back") == contents(run)


def test_a_run_s_card_says_what_it_is_and_names_no_place_of_this_machine(run, tmp_path):
    push(str(run), place_of(str(tmp_path / "shared")))
    card = (tmp_path / "shared/README.md").read_text()
    assert card.startswith("---\ntags:\n- model-collapse\n")
    assert "Generation 0 was not judged: this kind of data has no thresholds." in card
    assert "| 1 |" in card
    assert str(tmp_path.parent) not in card


def test_a_model_opens_from_where_it_was_pulled(run, hub, tmp_path):
    from imglab import load_model

    push(f"{run}@1", place_of("hub:me/model"), private=True)
    assert hub.private == {"me/model": True}
    assert "a model" in pull(place_of("hub:me/model"), tmp_path / "model")
    card = (tmp_path / "model/README.md").read_text()
    assert "Generation 1 of the_run" in card
    assert card.count("tags:") == 1

    here, there = load_model(run / "generation_001/model"), load_model(tmp_path / "model")
    assert here.sample(5, seed=1).data.equal(there.sample(5, seed=1).data)


@pytest.mark.slow
def test_samples_are_files_of_other_programs(tmp_path):
    run = finished(tmp_path, {**TINY_IMAGE, "generations": 1})
    push(f"{run}@0", place_of(str(tmp_path / "drawn")), samples=True)
    pull(place_of(str(tmp_path / "drawn")), tmp_path / "back")
    assert "synthetic samples of generation 0" in (tmp_path / "back/README.md").read_text()
    assert list((tmp_path / "back").rglob("*.png"))


def test_a_run_that_was_changed_on_the_way_is_not_taken(run, tmp_path):
    push(str(run), place_of(str(tmp_path / "shared")))
    (tmp_path / "shared/generation_000/metrics.json").write_text("{}")
    with pytest.raises(InputError, match=r"metrics\.json"):
        pull(place_of(str(tmp_path / "shared")), tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_what_the_hub_says_is_told_in_one_line(hub, tmp_path):
    with pytest.raises(InputError, match="hub:me/nothing: the hub says: no repository me/nothing"):
        pull(Repository("me/nothing"), tmp_path / "back")


def test_what_cannot_be_pushed(run, tmp_path):
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine").write_text("mine")
    for source, place, samples, what in [
        (f"{run}@7", "new", False, "there is no finished generation 7"),
        (str(run), str(full), False, "exists and is not an empty folder"),
        (str(run), "new", True, "a whole run holds its samples already"),
        (str(run), "hub:me", False, "does not name a repository of the hub"),
    ]:
        with pytest.raises(InputError, match=what):
            push(source, place_of(place), samples=samples)
    assert (full / "mine").read_text() == "mine"
