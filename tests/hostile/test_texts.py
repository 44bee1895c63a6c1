"""Text files: damaged, odd, or without end."""

from __future__ import annotations

import os
import random

import pytest

from imglab.text import expressions, gate
from imglab.text.corpus import read_corpus
from imglab.text.data import load_real_text
from imglab.text.settings import TextSettings
from imglab.text.source_settings import FilesSource
from tests.hostile.files import refused
from tests.hostile.fuzzing import Tally, spoiled


def text_of(path, **keys):
    return read_corpus(FilesSource(path=str(path), **keys))


class TestText:
    def test_damaged_anywhere(self, tmp_path):
        path, tally = tmp_path / "a.txt", Tally()
        whole = (
            "Grüße, 日本語 \u202e and words.\r\nOne \x1b[31mline\x1b[0m\u2028more\n" * 20
        ).encode()
        for seed in range(150):
            path.write_bytes(spoiled(whole, random.Random(seed)))
            tally.open("text", lambda: text_of(path, document_start="^One"))
        assert tally.opened.total() > 10
        assert tally.refused.total() > 10

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"\xed\xa0\x80 half a character", "is not UTF-8: byte 0"),
            (b"ab\xff", "is not UTF-8: byte 2"),
            ("words".encode("utf-16"), "is not UTF-8"),
            (b" \n\t\r\n\x0b\x0c \xe2\x80\x83", "has no training text"),
            (b"", "has no training text"),
            (b"words\0 and words", "1 zero bytes, the first at character 5"),
            ("some words".encode("utf-16-le"), "as UTF-16 does (save it as UTF-8)"),
            (b"\x1f\x8b" + b"words" * 9, "is damaged gzip"),
            (b"a" * 200_000, "100,000 letters, spaces or others in a row, from character 0 on"),
            (b"a b" + b" " * 200_000, "in a row, from character 3 on"),
            (b"a " + b"=" * 200_000, "in a row, from character 2 on"),
        ],
    )
    def test_what_is_no_text_is_refused(self, content, message, tmp_path):
        (tmp_path / "a.txt").write_bytes(content)
        assert message in refused(lambda: text_of(tmp_path / "a.txt"))

    @pytest.mark.parametrize(
        "text",
        ["one\rtwo\rthree", "\u202eback\u202c", "\ufefftext", "\x1b[2J" * 99],
    )
    def test_odd_text_goes_through_the_tokenizer(self, text, tmp_path):
        for at in range(4):
            (tmp_path / f"{at}.txt").write_text(f"{text} and {'some more words ' * 40}", newline="")
        settings = {"kind": "files", "path": str(tmp_path)}
        tiny = {"source": settings, "tokenizer": {"kind": "bpe", "vocabulary": 300}, "block": 8}
        real = load_real_text(TextSettings.model_validate(tiny))
        assert len(real.train) > 2

    def test_pipes_and_links_do_not_hang(self, tmp_path):
        os.mkfifo(tmp_path / "pipe.txt")
        (tmp_path / "zero.txt").symlink_to("/dev/zero")
        (tmp_path / "itself.txt").symlink_to(tmp_path / "itself.txt")
        assert "holds no .txt file" in refused(lambda: text_of(tmp_path))
        for name in ("pipe.txt", "zero.txt"):
            assert "there is no file or folder" in refused(
                lambda name=name: text_of(tmp_path / name)
            )

    def test_a_file_larger_than_memory(self, tmp_path):
        with (tmp_path / "a.txt").open("wb") as file:
            file.truncate(gate.MOST_BYTES + 1)  # a hole: it takes no room
        assert "is larger than" in refused(lambda: text_of(tmp_path / "a.txt"))

    @pytest.mark.parametrize("key", ["document_start", "leave_out"])
    def test_an_expression_that_searches_for_years_is_given_up(self, key, tmp_path, monkeypatch):
        monkeypatch.setattr(expressions, "SECONDS", 0.1)
        (tmp_path / "a.txt").write_text(("a" * 40 + "!\n") * 5)
        message = refused(lambda: text_of(tmp_path / "a.txt", **{key: "(a|aa)+$"}))
        assert f"source.{key}: '(a|aa)+$' takes too long on this text" in message

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("line", "opens"), [(b"one more word ", True), (b"a", False), ("字".encode(), False)]
    )
    def test_a_line_of_a_hundred_megabytes(self, line, opens, tmp_path):
        path = tmp_path / "a.txt"
        path.write_bytes(line * (100_000_000 // len(line)))
        assert Tally().open("long", lambda: text_of(path)) is opens
