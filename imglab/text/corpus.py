"""Real text: CPython's own pages, a generated encyclopaedia, files, or the Hugging Face hub."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from imglab.errors import InputError, Problem
from imglab.failures import raise_if_unavailable
from imglab.progress import report
from imglab.reading import Columns, LeftOut, divided, note_on_others
from imglab.text.columns import Documents, check_texts
from imglab.text.documents import Part, documents_of, without_blank
from imglab.text.encyclopaedia.articles import article_kinds, articles
from imglab.text.folders import text_files
from imglab.text.gate import ROWS, kind_of, read_documents
from imglab.text.group_columns import check_column, group_names
from imglab.text.source_settings import EncyclopaediaSource, FilesSource, HubSource, Source
from imglab.training.hub import load_hub

WHERE = "modality.source"
LONGEST_RUN = 100_000
"""Letters, spaces or other characters that may follow each other. A tokenizer takes such a run for
one word, and needs seconds to learn from it."""

TOO_LONG_A_RUN = "|".join(
    rf"(?<!{kind}){kind}{{{LONGEST_RUN}}}" for kind in (r"\w", r"\s", r"[^\w\s]")
)


@dataclass(frozen=True)
class Corpus:
    """Documents; `test` is None if the source has no test split.

    passed        files and rows that were passed over
    notes         what else a person should know of the reading, each a short phrase
    columns       of each table that was read
    train_groups  name of the group of each document; None where no column names them
    test_groups   the same of the test documents
    """

    train: Sequence[str]
    test: Sequence[str] | None
    passed: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
    columns: tuple[Columns, ...] = ()
    train_groups: Sequence[str] | None = None
    test_groups: Sequence[str] | None = None

    @classmethod
    def of(
        cls,
        train: Part,
        test: Part | None,
        passed: Sequence[LeftOut],
        notes: Sequence[str] = (),
        columns: Sequence[Columns] = (),
    ) -> Corpus:
        """Return the corpus of the parts of a source."""
        corpus = cls(train.texts, None, tuple(passed), tuple(notes), tuple(columns), train.groups)
        if test is None:
            return corpus
        return replace(corpus, test=test.texts, test_groups=test.groups)

    @property
    def left_out(self) -> str:
        """What was passed over, in words."""
        return ", ".join(map(str, self.passed))


def read_corpus(source: Source, *, is_drawn: bool = False, group: str | None = None) -> Corpus:
    """Read a source; InputError where it has no text.

    is_drawn  whether a model may have written the texts of files (`gate.decode`)
    group     the column that names the group of each document; of the encyclopaedia `kind`
    """
    report("reading texts")
    if isinstance(source, FilesSource):
        corpus = _read_files(source, is_drawn, group)
    elif isinstance(source, HubSource):
        corpus = _read_hub(source, group)
    elif isinstance(source, EncyclopaediaSource):
        kinds = None if group is None else article_kinds(source)
        corpus = Corpus(articles(source), None, train_groups=kinds)
    else:
        corpus = _read_pydoc()

    for name, documents in (("training", corpus.train), ("test", corpus.test)):
        if documents is not None and not documents:
            what = f"has no {name} text: it is empty"
            raise InputError(Problem(WHERE, what, "give files with text in them"))
    return corpus


def _read_pydoc() -> Corpus:
    from pydoc_data.topics import topics

    return Corpus(without_blank(topics[name] for name in sorted(topics)), None)


def _read_files(source: FilesSource, is_drawn: bool, group: str | None) -> Corpus:
    if source.test_path is None:
        files = text_files(source.path, f"{WHERE}.path", source.splits)
        train = files.train
        test = files.test
    else:
        # `path` may be the folder that holds both.
        test = text_files(source.test_path, f"{WHERE}.test_path", "none").train
        held_out = {path.resolve() for path in test}
        files = text_files(source.path, f"{WHERE}.path", source.splits, held_out)
        train = files.train
        if not train:
            what = f"holds nothing but what {WHERE}.test_path names"
            raise InputError(Problem(f"{WHERE}.path", what, "give other files to train on"))

    left_out = list(files.left_out)
    read = _read_documents(source, "path", train, left_out, is_drawn, group)
    if test is None:
        return _divided(source, read, files.notes, left_out, is_drawn)
    key = "path"
    if source.test_path is not None:
        key = "test_path"
    of_test = _read_documents(source, key, test, left_out, is_drawn, group)
    return Corpus.of(
        documents_of(Part(read.texts, read.groups), source),
        documents_of(Part(of_test.texts, of_test.groups), source),
        left_out,
        (*files.notes, *note_on_others(read.splits, of_test.splits)),
        (*read.columns, *of_test.columns),
    )


def _divided(
    source: FilesSource,
    read: Documents,
    notes: tuple[str, ...],
    left_out: list[LeftOut],
    is_drawn: bool,
) -> Corpus:
    """Divide documents where their rows name splits; what models drew is wanted whole."""
    whole = Part(read.texts, read.groups)
    rows = None
    if source.splits == "auto" and not is_drawn:
        rows = divided(read.splits, read.columns, f"{WHERE}.path")
    if rows is None:
        return Corpus.of(documents_of(whole, source), None, left_out, notes, read.columns)

    if rows.others:
        left_out.append(LeftOut("rows", "of other splits", (), len(rows.others)))
    train, test = (documents_of(whole.rows(numbers), source) for numbers in (rows.train, rows.test))
    return Corpus.of(train, test, left_out, (*notes, rows.note), read.columns)


def _read_documents(
    source: FilesSource,
    key: str,
    paths: Iterable[Path],
    left_out: list[LeftOut],
    is_drawn: bool,
    group: str | None,
) -> Documents:
    """Return the documents of files, and add the rows without text to what was left out."""
    texts: list[str] = []
    splits: list[Any] = []
    columns: list[Columns] = []
    groups: list[str] = []
    blank = 0
    for path in paths:
        where = f"{WHERE}.{key}"
        of_file = read_texts(path, where, source.column, is_drawn=is_drawn, group=group)
        texts += of_file.texts
        splits += of_file.splits
        columns += of_file.columns
        groups += of_file.groups or []
        if kind_of(path) in ROWS:
            blank += sum(not text.strip() for text in of_file.texts)

    left_out += _blank_rows(blank)
    return Documents(texts, splits, tuple(columns), None if group is None else groups)


def _blank_rows(count: int) -> list[LeftOut]:
    if count == 0:
        return []
    return [LeftOut("rows without text", "", (), count)]


def read_texts(
    path: Path,
    where: str,
    column: str | None = None,
    *,
    is_drawn: bool = False,
    group: str | None = None,
) -> Documents:
    """Return the documents of a file; InputError, at the config's key `where`, if it is not text.

    column    that holds the text, in a file of rows; None: the obvious one
    is_drawn  whether a model may have written them
    group     the column that names the group of each
    """
    with _readable(path, where):
        documents = read_documents(path, where, column, is_drawn=is_drawn, group=group)
        for text in documents.texts:
            _check_runs(text, path, where)
    return documents


@contextmanager
def _readable(path: Path, where: str) -> Iterator[None]:
    """Raise InputError, at the config's key `where`, where a file is not there or too large."""
    try:
        yield
    except OSError as error:
        raise_if_unavailable(error, path)
        what = f"{str(path)!r} cannot be read: {error.strerror}"
        raise InputError(Problem(where, what)) from error
    except MemoryError as error:
        what = f"{str(path)!r} does not fit into memory"
        raise InputError(Problem(where, what, "give a part of it")) from error


def _check_runs(text: str, path: Path, where: str) -> None:
    """Raise InputError for more characters of one kind in a row than text has."""
    if len(text) < LONGEST_RUN:
        return

    run = re.search(TOO_LONG_A_RUN, text)
    if run:
        what = f"{str(path)!r} has {LONGEST_RUN:,} letters, spaces or others in a row"
        place = f"from character {run.start()} on"
        raise InputError(Problem(where, f"{what}, {place}", "is it text?"))


def _read_hub(source: HubSource, group: str | None) -> Corpus:
    left_out: list[LeftOut] = []
    train = _read_split(source, "train_split", source.train_split, left_out, group)
    test = None
    if source.test_split is not None:
        test = _read_split(source, "test_split", source.test_split, left_out, group)
    return Corpus.of(train, test, left_out)


def _read_split(
    source: HubSource, key: str, split: str, left_out: list[LeftOut], group: str | None
) -> Part:
    """Return the documents of a split; `key` is the config's key that names it."""
    rows = load_hub(
        source.name,
        source.subset,
        split=split,
        revision=source.revision,
        where=f"{WHERE}.{key}",
    )
    if source.column not in rows.column_names:
        what = f"there is no column {source.column!r}"
        remedy = f"one of: {', '.join(rows.column_names)}"
        raise InputError(Problem(f"{WHERE}.column", what, remedy))

    texts = check_texts(rows[source.column], source.column, source.name, f"{WHERE}.name")
    groups = None
    if group is not None:
        check_column(group, rows.column_names, source.column, source.name)
        cells = rows[group]
        if hasattr(rows.features[group], "int2str"):  # classes, which are stored as numbers
            cells = [None if cell is None else rows.features[group].int2str(cell) for cell in cells]
        groups = group_names(cells, group, source.name)
    if source.document_start:
        texts = ["".join(texts)]
    else:
        left_out += _blank_rows(sum(not text.strip() for text in texts))
    return documents_of(Part(texts, groups), source)
