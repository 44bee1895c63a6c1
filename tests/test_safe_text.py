"""Text from outside: printed without its codes, published without its paths."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imglab.cli.stdio import SafeStream
from imglab.safe_text import without_local_paths


@given(st.text(max_size=40))
def test_a_stream_prints_nothing_that_drives_a_terminal(text):
    raw = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace", newline="")
    SafeStream(raw).write(text)
    raw.flush()
    shown = raw.buffer.getvalue().decode()
    assert all(each.isprintable() or each in "\n\t\u200c\u200d" for each in shown)


def test_a_stream_takes_text_alone():
    stream = SafeStream(io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    with pytest.raises(TypeError):
        stream.write(b"")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "published"),
    [
        ("/home/ada/my data", ".../my data"),
        ("~/runs/first", ".../first"),
        (r"C:\\Users\\ada\\data", ".../data"),
        ("path: /home/ada/data\nname: x/y", "path: .../data\nname: x/y"),
        ('"/scratch/group/corpus.txt", "b"', '".../corpus.txt", "b"'),
        ("configs/x.yaml, and/or, 1/2/3", "configs/x.yaml, and/or, 1/2/3"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("HuggingFaceTB/SmolLM2-135M", "HuggingFaceTB/SmolLM2-135M"),
    ],
)
def test_what_is_published_holds_no_local_path(text, published):
    assert without_local_paths(text) == published
