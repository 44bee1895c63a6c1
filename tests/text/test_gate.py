"""What is text: the same documents from every form that people have, and what is refused."""

from __future__ import annotations

import csv
import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imglab.errors import InputError
from imglab.text.corpus import read_corpus
from imglab.text.data import PIECES, load_real_text, pieces
from imglab.text.settings import TextSettings
from imglab.text.source_settings import FilesSource

TEXTS = ["One, two.", 'He said "three".', "línea\nand line", "天地"]


def json_lines(path):
    path.write_text("\n".join(json.dumps({"id": n, "text": text}) for n, text in enumerate(TEXTS)))


def json_list(path):
    path.write_text(json.dumps(TEXTS))


def table(path):
    separator = {".csv": ",", ".tsv": "\t"}[path.suffix]
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        rows = [[len(text), text] for text in TEXTS]
        csv.writer(file, delimiter=separator).writerows([["length", "story"], *rows])


def marked(path):
    path.write_bytes("\r\n<|endoftext|>\r\n".join(TEXTS).encode())


def packed(path):
    path.write_bytes(gzip.compress(b'{"content": "One, two."}\n' * 4))


def parquet(path):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    write_table(arrow.table({"n": list(range(4)), "document": TEXTS}), path)


def read(path, **keys):
    return [text.rstrip("\n") for text in read_corpus(FilesSource(path=str(path), **keys)).train]


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.jsonl", json_lines),
        ("a.NDJSON", json_lines),
        ("a.json", json_list),
        ("a.csv", table),
        ("a.tsv", table),
        ("a.txt", marked),
        ("a.parquet", parquet),
    ],
)
def test_every_form_gives_the_same_documents(name, write, tmp_path):
    write(tmp_path / name)
    assert read(tmp_path / name) == TEXTS
    assert read(tmp_path) == TEXTS, "the folder that holds it"


def test_files_may_be_compressed(tmp_path):
    packed(tmp_path / "a.jsonl.gz")
    assert read(tmp_path / "a.jsonl.gz") == TEXTS[:1] * 4


@pytest.mark.parametrize(
    ("row", "column", "message"),
    [
        ({"messages": [{"role": "user", "content": "a"}]}, None, "lists of messages, not text"),
        ({"text": [{"from": "human", "value": "a"}]}, None, "apply_chat_template"),
        ({"id": "c", "conversations": [{"from": "human", "value": "a"}]}, None, "of messages, not"),
        ({"id": 1, "data": {"text": "a"}}, None, "the text itself as a column"),
        ({"name": "a", "messages": [{"id": 1, "text": "a"}]}, None, "holds lists of objects, not"),
        ({"text": 3.5}, None, "holds float, not text: 3.5"),
        ({"text": "a", "label": 1}, "label", "holds int, not text"),
        ({"question": "a", "answer": "b"}, None, "name one of: question, answer"),
        ({"text": "a"}, "body", "has no column 'body' (one of: text)"),
        (3, None, "not an object in each line"),
    ],
)
def test_what_is_no_column_of_texts_is_refused_with_the_way(row, column, message, tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError) as refused:
        read(tmp_path / "a.jsonl", column=column)
    assert message in str(refused.value)


@settings(max_examples=30)
@given(st.lists(st.text("ab天 é", min_size=1).filter(str.strip), min_size=1, max_size=6))
def test_the_ends_of_lines_change_nothing(lines):
    from pathlib import Path
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.txt"
        for end in ("\n", "\r\n", "\r"):
            path.write_bytes(end.join(lines).encode())
            assert read_corpus(FilesSource(path=str(path))).train == ["\n".join(lines)]


def test_what_systems_leave_behind_is_not_read(tmp_path):
    for name in ("a.txt", ".ipynb_checkpoints/b.txt", "__MACOSX/c.txt", "._a.txt", "@eaDir/d.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "b.md").write_text("not read")
    assert read(tmp_path) == ["a.txt"]
    assert (
        read_corpus(FilesSource(path=str(tmp_path))).left_out == "1 .md, 4 hidden or system files"
    )


def corpus_of(root, *names, **keys):
    """Write texts that hold their own names, and read the folder."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return read_corpus(FilesSource(path=str(root), **keys))


SPLITS = ("train/a.txt", "val/b.txt", "test/c.txt")


def test_folders_named_after_splits_are_the_parts(tmp_path):
    corpus = corpus_of(tmp_path, *SPLITS, "about.txt")
    assert (corpus.train, corpus.test) == (["train/a.txt"], ["test/c.txt"])
    assert corpus.left_out == "1 file (in val/), 1 file (beside train/ and test/)"
    assert len(corpus_of(tmp_path, splits="none").train) == 4


def test_the_test_path_comes_before_the_test_part(tmp_path):
    corpus = corpus_of(tmp_path / "in", *SPLITS, test_path=str(tmp_path / "in/val"))
    assert (corpus.train, corpus.test) == (["train/a.txt"], ["val/b.txt"])
    assert "1 file (in test/, since test_path names the test text)" in corpus.left_out
    books = corpus_of(tmp_path, "x/a.txt", "x/test/b.txt", test_path=str(tmp_path / "x/test"))
    assert books.test == ["x/test/b.txt"]


def test_linked_folders_are_read_and_other_texts_lie_where_they_did(tmp_path):
    corpus_of(tmp_path / "elsewhere", "b.txt")
    corpus_of(tmp_path / "in", "intro.txt", "part/one/a.txt", "part/two/b.txt")
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere")
    corpus = corpus_of(tmp_path / "in")
    assert corpus.train == ["intro.txt", "b.txt", "part/one/a.txt", "part/two/b.txt"]


@pytest.mark.parametrize(
    ("names", "train", "test"),
    [
        (("train.txt", "val.txt"), ["train.txt"], ["val.txt"]),
        (("a_train.txt", "a_dev.txt", "a_test.txt"), ["a_train.txt"], ["a_test.txt"]),
        (("tiny-train-00000-of-00002.txt", "tiny-train-00001-of-00002.txt",
          "tiny-test-00000-of-00001.txt"),
         ["tiny-train-00000-of-00002.txt", "tiny-train-00001-of-00002.txt"],
         ["tiny-test-00000-of-00001.txt"]),
        (("train.txt", "valid.txt", "README.txt"), ["train.txt"], ["valid.txt"]),
        # Names of things, not of splits.
        (("train.txt", "ship.txt"), ["ship.txt", "train.txt"], None),
        (("exam-test.txt", "steam-train.txt"), ["exam-test.txt", "steam-train.txt"], None),
        (("test.txt", "val.txt"), ["test.txt", "val.txt"], None),
    ],
)  # fmt: skip
def test_files_named_after_splits_are_the_parts(names, train, test, tmp_path):
    """Karpathy's nanoGPT, TinyStories and the shards of the hub keep each part in a file."""
    corpus = corpus_of(tmp_path / "in", *names)
    assert (corpus.train, corpus.test) == (train, test)
    whole = corpus_of(tmp_path / "in", splits="none")
    assert (whole.train, whole.test) == (sorted({*names} - {"README.txt"}), None)


def test_rows_without_text_are_counted(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": null}\n{"id": 1}\n{"text": "b"}')
    corpus = read_corpus(FilesSource(path=str(tmp_path)))
    assert (corpus.train, corpus.left_out) == (["a", "b"], "2 rows without text")


@pytest.mark.parametrize("separator", ["\n\n", "\n", " "])
def test_one_long_document_is_divided_where_its_text_parts(separator, tmp_path):
    text = separator.join(f"sentence {n} of the only book" for n in range(600))
    parts = pieces(text)
    assert "".join(parts) == text
    assert PIECES // 2 <= len(parts) <= PIECES + 1
    assert all(part.endswith(separator) for part in parts[:-1])

    (tmp_path / "book.txt").write_text(text)
    source = {"kind": "files", "path": str(tmp_path / "book.txt")}
    small = {"source": source, "tokenizer": {"kind": "bpe", "vocabulary": 300}, "block": 16}
    real = load_real_text(TextSettings.model_validate(small))
    assert real.line.startswith(f"1 document, divided into {len(parts)} parts: train ")
    share = len(real.test) / (len(real.train) + len(real.test))
    assert 0.1 < share < 0.25


def test_a_table_is_parted_as_its_header_is(tmp_path):
    (tmp_path / "x.csv").write_text("id;text\n1;Hello, there.\n2;Good day.\n")
    assert read(tmp_path / "x.csv") == ["Hello, there.", "Good day."]


def test_a_packed_file_unpacks_within_bounds(tmp_path, monkeypatch):
    monkeypatch.setattr("imglab.text.gate.MOST_UNPACKED", 10_000)
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"a b " * 50_000))
    with pytest.raises(InputError, match="would unpack to more than"):
        read(tmp_path / "a.txt.gz")


def test_a_file_of_holes_is_refused_by_its_first_part(tmp_path):
    """It has gigabytes of zeros, and takes no room on the disk."""
    for name, start in (("a.txt", b""), ("a.jsonl", b'{"text": "a"}\n'), ("a.txt.gz", b"")):
        path = tmp_path / name
        with path.open("wb") as file:
            file.write(start)
            file.truncate(3 << 30)
        if name.endswith(".gz"):
            with gzip.open(path, "wb") as packed:
                packed.write(bytes(1 << 25))
        with pytest.raises(InputError, match=r"zero bytes: [0-9,]+ of its first 33,554,432"):
            read_corpus(FilesSource(path=str(path)))


def test_a_column_of_numbers_is_not_taken_for_texts(tmp_path):
    (tmp_path / "a.csv").write_text("review,label,score\ngood,1,0.5\nbad,0,0.1\n")
    assert read_corpus(FilesSource(path=str(tmp_path))).train == ["good", "bad"]
