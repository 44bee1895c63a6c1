"""Real text: CPython's own pages, a generated encyclopaedia, files, or the Hugging Face hub."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imglab.config.paths import check_not_mistyped
from imglab.errors import InputError, Problem, first_line
from imglab.failures import raise_if_unavailable
from imglab.progress import report
from imglab.reading import LeftOut
from imglab.text.columns import check_texts
from imglab.text.encyclopaedia.articles import articles
from imglab.text.expressions import Expression
from imglab.text.folders import text_files
from imglab.text.gate import ROWS, kind_of, read_documents
from imglab.text.source_settings import EncyclopaediaSource, FilesSource, HubSource, Source
from imglab.training.hub import of_local_name, quiet

WHERE = "modality.source"
LONGEST_RUN = 100_000
"""Letters, spaces or other characters that may follow each other. A tokenizer takes such a run for
one word, and needs seconds to learn from it."""

TOO_LONG_A_RUN = "|".join(
    rf"(?<!{kind}){kind}{{{LONGEST_RUN}}}" for kind in (r"\w", r"\s", r"[^\w\s]")
)


SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[\"'(]?\s?[A-Z0-9])")
"""White space between sentences: after a full stop and the like, before a capital or a digit."""


@dataclass(frozen=True)
class Corpus:
    """Documents; `test` is None if the source has no test split.

    passed    files and rows that were passed over
    notes     what else a person should know of the reading, each a short phrase
    """

    train: Sequence[str]
    test: Sequence[str] | None
    passed: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def left_out(self) -> str:
        """What was passed over, in words."""
        return ", ".join(map(str, self.passed))


def read_corpus(source: Source, *, is_drawn: bool = False) -> Corpus:
    """Read a source; InputError where it has no text.

    is_drawn  whether a model may have written the texts of files (`gate.decode`)
    """
    report("reading texts")
    if isinstance(source, FilesSource):
        corpus = _read_files(source, is_drawn)
    elif isinstance(source, HubSource):
        corpus = _read_hub(source)
    elif isinstance(source, EncyclopaediaSource):
        corpus = Corpus(articles(source), None)
    else:
        corpus = _read_pydoc()

    for name, documents in (("training", corpus.train), ("test", corpus.test)):
        if documents is not None and not documents:
            what = f"has no {name} text: it is empty"
            raise InputError(Problem(WHERE, what, "give files with text in them"))
    return corpus


def _read_pydoc() -> Corpus:
    from pydoc_data.topics import topics

    return Corpus(_without_blank(topics[name] for name in sorted(topics)), None)


def _read_files(source: FilesSource, is_drawn: bool = False) -> Corpus:
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
    is_whole = source.splits == "none" or test is not None or is_drawn
    documents = _read_documents(source, "path", train, left_out, is_drawn, is_whole)
    if test is None:
        return Corpus(documents, None, tuple(left_out), files.notes)
    key = "path"
    if source.test_path is not None:
        key = "test_path"
    held_out_documents = _read_documents(source, key, test, left_out, is_drawn)
    return Corpus(documents, held_out_documents, tuple(left_out), files.notes)


def _read_documents(
    source: FilesSource,
    key: str,
    paths: Iterable[Path],
    left_out: list[LeftOut],
    is_drawn: bool,
    is_whole: bool = True,
) -> list[str]:
    """Return the documents of files, and add the rows without text to what was left out."""
    texts: list[str] = []
    blank = 0
    for path in paths:
        of_file = read_texts(
            path, f"{WHERE}.{key}", source.column, is_drawn=is_drawn, is_whole=is_whole
        )
        texts += of_file
        if kind_of(path) in ROWS:
            blank += sum(not text.strip() for text in of_file)

    left_out += _blank_rows(blank)
    return _documents(texts, source)


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
    is_whole: bool = True,
) -> list[str]:
    """Return the documents of a file; InputError, at the config's key `where`, if it is not text.

    column    that holds the text, in a file of rows; None: the obvious one
    is_drawn  whether a model may have written them
    is_whole  whether all rows are wanted, also those that name another split
    """
    with _readable(path, where):
        texts = read_documents(path, where, column, is_drawn=is_drawn, is_whole=is_whole)
        for text in texts:
            _check_runs(text, path, where)
    return texts


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


def _read_hub(source: HubSource) -> Corpus:
    left_out: list[LeftOut] = []
    train = _read_split(source, "train_split", source.train_split, left_out)
    test = None
    if source.test_split is not None:
        test = _read_split(source, "test_split", source.test_split, left_out)
    return Corpus(train, test, tuple(left_out))


def _read_split(source: HubSource, key: str, split: str, left_out: list[LeftOut]) -> list[str]:
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
    if source.document_start:
        texts = ["".join(texts)]
    else:
        left_out += _blank_rows(sum(not text.strip() for text in texts))
    return _documents(texts, source)


def load_hub(
    name: str,
    subset: str | None = None,
    *,
    split: str | None,
    revision: str | None = None,
    where: str,
) -> Any:
    """Load a data set of the Hugging Face hub, or a local folder in its form.

    split  name of one split; None: all of them, by name
    where  what an InputError calls the place of the name
    """
    try:
        import datasets
    except ImportError as error:
        what = "data sets of the hub are read with the package `datasets`"
        raise InputError(Problem(where, what, "pip install 'imglab-collapse[hub]'")) from error

    remedy = "check the name and `subset`; without network give a local folder"
    check_not_mistyped(name, where, remedy)
    # `datasets` is the code of others, and raises a dozen kinds for names, splits, files, network.
    try:
        with quiet():
            return datasets.load_dataset(
                name, subset, split=split, revision=revision, trust_remote_code=False
            )
    except Exception as error:
        what = f"{name!r} did not load: {first_line(error)}"
        if error.__cause__:
            what = f"{what} ({first_line(error.__cause__)})"
        raise InputError(of_local_name(name, Problem(where, what, remedy))) from error


def _documents(texts: Iterable[str], source: FilesSource | HubSource) -> list[str]:
    """Cut texts before each line that begins a document, and drop what the source leaves out."""
    documents = list(texts)
    size = sum(map(len, documents))
    if source.document_start is not None:
        example = "'^ = [^=]+ = $' for WikiText"
        begins = Expression(source.document_start, "document_start", example, size)
        documents = [part for text in documents for part in _cut(text, begins)]

    if source.leave_out is not None:
        unwanted = Expression(source.leave_out, "leave_out", "'<unk>'", size)
        documents = [_without_sentences(text, unwanted) for text in documents]
    return _without_blank(documents)


def _cut(text: str, begins: Expression) -> list[str]:
    """Cut a text before each line in which an expression matches."""
    documents: list[list[str]] = [[]]
    for line in text.splitlines(keepends=True):
        if begins.matches(line.rstrip("\r\n")):
            documents.append([])
        documents[-1].append(line)
    return ["".join(lines) for lines in documents]


def _without_sentences(text: str, unwanted: Expression) -> str:
    """Return a text without the sentences in which an expression matches."""
    lines = []
    for line in text.splitlines(keepends=True):
        if unwanted.matches(line):
            end = line[len(line.rstrip()) :]
            sentences = SENTENCE_END.split(line.rstrip())
            line = " ".join(each for each in sentences if not unwanted.matches(each)) + end
        lines.append(line)
    return "".join(lines)


def _without_blank(documents: Iterable[str]) -> list[str]:
    return [document for document in documents if document.strip()]
