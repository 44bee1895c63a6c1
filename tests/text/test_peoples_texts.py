"""Texts under names of other tools, in parts, and files that are no text or not the text meant."""

from __future__ import annotations

import bz2
import json
import lzma

import pytest

from imglab.errors import InputError
from imglab.text.corpus import read_corpus
from imglab.text.gate import unpacked
from imglab.text.inspection import inspect_texts
from imglab.text.source_settings import FilesSource
from tests.text.test_gate import corpus_of, read


@pytest.mark.parametrize(
    "name",
    [
        "wiki.{}.txt", "wiki.{}.tokens", "ptb.{}.md", "data/{}-00000-of-00001.jsonl.gz",
        "en/{}.parquet", "{}.jsonl", "corpus_{}_v2.txt",
    ],
)  # fmt: skip
def test_files_of_parts_in_any_folder(name, tmp_path):
    """WikiText, Penn Treebank, and the shards of the hub, which lie in a folder called data."""
    for part in ("train", "test", "validation"):
        path = tmp_path / name.format(part)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".parquet":
            arrow = pytest.importorskip("pyarrow")
            from pyarrow.parquet import write_table

            write_table(arrow.table({"text": [part]}), path)
        else:
            path.write_text(json.dumps({"text": part}) if ".jsonl" in name else part)
    corpus = read_corpus(FilesSource(path=str(tmp_path)))
    assert (corpus.train, corpus.test) == (["train"], ["test"])
    assert corpus.left_out == "1 file (of neither part)"


@pytest.mark.parametrize(
    "pair",
    ["train.clean.txt test.txt", "train.en.txt test.de.txt", "train.small.jsonl.gz valid.jsonl"],
)
def test_what_follows_a_dot_may_be_of_one_part_alone(pair, tmp_path):
    for name in pair.split():
        (tmp_path / name).write_text(json.dumps({"text": name}) if "json" in name else name)
    corpus = read_corpus(FilesSource(path=str(tmp_path)))
    assert [*corpus.train, *(corpus.test or ())] == pair.split()


@pytest.mark.parametrize("train", ["train", "trainval", "train_val"])
def test_files_of_parts_and_classes(train, tmp_path):
    names = [f"{part}_{name}_{n}.txt" for part in (train, "test") for name in "ab" for n in (1, 2)]
    corpus = corpus_of(tmp_path, *names)
    assert (sorted(corpus.train), sorted(corpus.test)) == (names[:4], names[4:])


def test_a_readme_is_not_the_text(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}')
    assert corpus_of(tmp_path, "README.txt", "LICENSE.txt").train == ["a"]
    (tmp_path / "sample_submission.csv").write_text("id,target\n1,0\n")
    reason = "taken for a description of the others: LICENSE.txt, README.txt, sample_submission.csv"
    assert corpus_of(tmp_path).left_out == f"3 files ({reason})"
    for name in ("a.jsonl", "sample_submission.csv"):
        (tmp_path / name).unlink()
    assert corpus_of(tmp_path).train == ["LICENSE.txt", "README.txt"], "nothing else is there"
    assert corpus_of(tmp_path, "NOTES.md", "README.md").train == ["NOTES.md"]


def test_programs_are_texts_where_there_is_no_other(tmp_path):
    corpus = corpus_of(tmp_path, "src/a.py", "b.tex", "README.md", "requirements.txt")
    assert corpus.train == ["b.tex", "src/a.py"]
    assert corpus_of(tmp_path, "c.txt").train == ["c.txt", "requirements.txt"]


@pytest.mark.parametrize(
    ("column", "cells"),
    [("is_train", "110"), ("isTest", "001"), ("set", ["train", "train", "dev"])],
)
def test_columns_that_name_the_split(column, cells, tmp_path):
    path = tmp_path / "a.csv"
    table = [f"text {number},{cell}" for number, cell in enumerate(cells)]
    path.write_text("\n".join([f"words,{column}", *table]))
    corpus = read_corpus(FilesSource(path=str(path)))
    assert (corpus.train, corpus.test) == (["text 0", "text 1"], ["text 2"])


@pytest.mark.parametrize("name", ["sample_submission", "sampleSubmission"])
def test_a_form_for_answers_does_not_hide_the_parts(name, tmp_path):
    for part in ("train", "test"):
        (tmp_path / f"{part}.csv").write_text(f"id,text\n1,{part}\n")
    (tmp_path / f"{name}.csv").write_text("id,target\n1,0\n")
    corpus = read_corpus(FilesSource(path=str(tmp_path)))
    assert (corpus.train, corpus.test) == (["train"], ["test"])


def test_what_is_read_in_other_folders_is_left_out_with_its_reason(tmp_path):
    (tmp_path / "about.jsonl").write_text('{"text": "a"}')
    (tmp_path / "b.jsonl").write_text('{"text": "b"}')
    reason = "taken for a description of the others: about.jsonl"
    assert corpus_of(tmp_path).left_out == f"1 file ({reason})"
    left_out = corpus_of(tmp_path, "c.txt", "d.md").left_out
    assert left_out == f"1 .jsonl (since there are .txt files), 1 .md, 1 file ({reason})"


@pytest.mark.parametrize(
    ("text", "documents"),
    [
        ("a\n<|endoftext|>\nb\n", ["a\n", "b\n"]),
        ("a<|endoftext|>b<|endoftext|>", ["a", "b"]),
        ("a.<|endoftext|>\nb.<|endoftext|>\n", ["a.", "b."]),
        ("a <|endoftext|>\nb", ["a ", "b"]),
        ("the mark <|endoftext|> ends it", ["the mark <|endoftext|> ends it"]),
        ("the mark `<|endoftext|>` ends", ["the mark `<|endoftext|>` ends"]),
    ],
)
def test_marks_part_documents_and_may_be_spoken_of(text, documents, tmp_path):
    (tmp_path / "a.txt").write_text(text)
    assert read_corpus(FilesSource(path=str(tmp_path / "a.txt"))).train == documents


@pytest.mark.parametrize("row", [{"TEXT": "a b", "url": "c"}, {"Text ": "a b", "Title": "c"}])
def test_columns_in_any_case(row, tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    assert read(tmp_path / "a.jsonl") == ["a b"]


def test_a_column_spelt_as_usual_comes_before_one_in_another_case(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"Content": "1", "article": "a b"}) + "\n")
    assert read(tmp_path / "a.jsonl") == ["a b"]


@pytest.mark.parametrize("value", [["train"], {"train": 1}, 1, None])
def test_a_column_split_may_hold_anything(value, tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "a b", "split": value}) + "\n")
    assert read(tmp_path) == ["a b"]


def test_one_object_may_fill_several_lines(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"title": "t", "text": "a b"}, indent=2))
    assert read(tmp_path / "a.json") == ["a b"]


@pytest.mark.parametrize("test", ["test", "Validation"])
def test_rows_may_name_their_split(test, tmp_path):
    """In one file or in several, of which each has rows of one split."""
    names = ["train", test, "train", "extra", test, None]
    rows = [{"text": f"a {n}", "Split": name} for n, name in enumerate(names)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    corpus = read_corpus(FilesSource(path=str(tmp_path)))
    assert (corpus.train, corpus.test) == (["a 0", "a 2"], ["a 1", "a 4"])
    assert corpus.left_out == "2 rows (of other splits)"
    assert corpus.notes == (
        f"the rows name their split in 'Split'; {test.lower()} is the test part",
    )
    assert len(read(tmp_path, splits="none")) == 6

    for number in (0, 1):
        (tmp_path / f"{'ab'[number]}.jsonl").write_text(json.dumps(rows[number]))
    corpus = read_corpus(FilesSource(path=str(tmp_path)))
    assert (corpus.train, corpus.test) == (["a 0"], ["a 1"])


@pytest.mark.parametrize(
    ("suffix", "other"), [("jsonl", "phase"), ("csv", "set"), ("parquet", "usage")]
)
def test_the_column_of_splits_is_the_one_whose_cells_name_them(suffix, other, tmp_path):
    path = tmp_path / f"a.{suffix}"
    names = [other, "words", "is_test", "is_valid", "train_val"]
    rows = [("x", f"a {n}", n // 4, n % 2, n % 2) for n in range(6)]
    if suffix == "jsonl":
        path.write_text("\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in rows))
    elif suffix == "csv":
        path.write_text("\n".join(",".join(map(str, row)) for row in [names, *rows]))
    else:
        arrow = pytest.importorskip("pyarrow")
        from pyarrow.parquet import write_table

        columns = zip(*rows, strict=True)
        write_table(arrow.table(dict(zip(names, map(list, columns), strict=True))), path)
    corpus = read_corpus(FilesSource(path=str(tmp_path)))
    assert (len(corpus.train), len(corpus.test or ())) == (4, 2)
    assert corpus.notes == ("the rows name their split in 'is_test'; test is the test part",)
    assert corpus.columns[0].others == ()


def test_rows_for_testing_alone_are_refused(tmp_path):
    rows = [{"text": f"a {n}", "split": ("dev", "test")[n % 2]} for n in range(6)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(InputError, match="test and validation, and none is for training"):
        read(tmp_path)


def test_files_come_before_what_their_rows_name(tmp_path):
    rows = [{"text": f"a {n}", "split": ("train", "test")[n % 2]} for n in range(6)]
    for name in ("train", "test"):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    corpus = read_corpus(FilesSource(path=str(tmp_path)))
    assert (len(corpus.train), len(corpus.test or ())) == (6, 6)
    assert "6 rows name another split than their files or folders, which decide" in corpus.notes
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "b.jsonl").write_text(json.dumps(rows[1]))
    assert len(read(tmp_path / "a.jsonl", test_path=str(tmp_path / "b.jsonl"))) == 6


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt.bz2", bz2.compress(b"a b"), "bzip2, not text (bunzip2 -c < a.txt.bz2 > NEW.txt)"),
        ("a.jsonl", lzma.compress(b"a b"), "xz -dc < a.jsonl > NEW.jsonl"),
        ("a.jsonl.zst", b"\x28\xb5\x2f\xfd...", "zstd -dc < a.jsonl.zst > NEW.jsonl"),
        ("a.txt", b"%PDF-1.4\n1 0 obj", "pdftotext a.txt NEW.txt"),
        ("a.txt", b"PK\3\4word/", "as DOCX, ODT and EPUB are"),
        ("a.txt", b"{\\rtf1 text}", "RTF, not text"),
        ("a.txt", b"\n<!DOCTYPE html>\n<html>", "is a web page"),
        ("a.txt", b"<?xml version='1.0'?><a/>", "is XML"),
        ("a.txt", b'{"text": "a"}\n' * 3, "rename it to a.jsonl"),
        ("wiki.train.txt", b'{"text": "a"}\n' * 3, "rename it to wiki.train.jsonl"),
        ("my text.txt", b"%PDF-1.4\n1 0 obj", "pdftotext 'my text.txt' NEW.txt"),
        ("a.txt", b'[\n {"role": "user", "content": "a"}\n]\n', "rename it to a.json"),
        ("a.csv", b'"It was a bright cold day in April."\n"And so on."\n', "begins with a text"),
        (
            "a.json",
            b'{\n "a": 1\n}\n{\n "a": 2\n}\n',
            "jq -c . a.json > NEW.jsonl, and put it in the place of a.json, since both would",
        ),
        ("a.txt", b"\xef\xbb\xbf<html>", "a web page"),
        ("a.txt", b"PAR1\x15\x04\xff", "rename it to a.parquet"),
        ("a.txt", b"%PDF-1.4\n1 0 obj", "put it in the place of a.txt, since both would be read"),
        ("a.jsonl", rb'{"text": "half \ud83d a pair"}', "half a surrogate pair"),
        ("a.jsonl", b'{"data": {"text": "a"}}\n', "holds objects with text, not text"),
    ],
)  # fmt: skip
def test_what_is_no_text_is_named_with_the_way(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as refused:
        read(tmp_path / name)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    "text",
    ["<!DOCTYPE html>\n<p>\u00e9", "<?xml?>", "{\\rtf1 a}", '{"a": 1}\n' * 3, "[{}]", "%PDF-"],
)
def test_a_text_of_another_form_may_be_read_as_it_stands(text, tmp_path):
    """By the way that the message names."""
    path = tmp_path / "a.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=r"write <\|endoftext\|> into a line before it"):
        read(path)
    path.write_text(f"<|endoftext|>\n{text}")
    assert read(tmp_path) == [text.rstrip("\n")]


@pytest.mark.parametrize(
    "text",
    [
        "PAR1 is the magic of parquet",
        "GIF89a",
        "BZh is short",
        '{"a"} in braces\n' * 3,
        "[1] A note",
        "PKU",
    ],
)
def test_texts_that_only_look_like_other_forms(text, tmp_path):
    (tmp_path / "a.txt").write_text(text)
    assert read(tmp_path / "a.txt") == [text.rstrip("\n")]


def test_an_inspection_reads_a_table_once(tmp_path, monkeypatch):
    (tmp_path / "a.jsonl").write_text('{"title": "t", "text": "a b"}\n' * 3)
    reads = []

    def counted(path, where, *, is_drawn=False):
        reads.append(path)
        return unpacked(path, where, is_drawn=is_drawn)

    monkeypatch.setattr("imglab.text.gate.unpacked", counted)
    fact = inspect_texts(str(tmp_path)).facts["columns"]
    assert (fact["read"], fact["others"], len(reads)) == (["text"], ["title"], 1)


def test_pictures_in_parquet_are_not_read_as_their_captions(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    for other in ("text", "label"):
        rows = [{"image": {"bytes": b"x", "path": f"{n}.png"}, other: "a"} for n in range(4)]
        write_table(arrow.Table.from_pylist(rows), tmp_path / "a.parquet")
        with pytest.raises(InputError, match=r"the column 'image' of .* holds images, not text"):
            read(tmp_path)
        assert len(read(tmp_path, column=other)) == 4


def test_what_datasets_saved_names_the_way(tmp_path):
    for name in ("dataset_dict.json", "train/state.json", "train/data-00000-of-00001.arrow"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    with pytest.raises(InputError, match=r"load_from_disk\('.*/train'\).to_parquet\('NEW.parquet"):
        read(tmp_path)


def test_a_table_may_begin_with_a_hint_for_excel(tmp_path):
    (tmp_path / "a.csv").write_text("sep=;\r\nid;text\r\n1;One, two.\r\n")
    assert read(tmp_path) == ["One, two."]


def test_of_many_columns_some_are_named(tmp_path):
    (tmp_path / "a.csv").write_text(",".join(f"pixel{n}" for n in range(784)) + "\n" + "0," * 783)
    with pytest.raises(InputError, match=r"pixel19 and 764 more"):
        read(tmp_path)


def test_a_folder_without_text_says_what_it_holds(tmp_path):
    (tmp_path / "a.html").write_text("a")
    with pytest.raises(InputError, match=r"it holds 1 \.html; rename plain texts to NAME\.txt"):
        read(tmp_path)
