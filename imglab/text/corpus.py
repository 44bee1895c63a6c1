"""Real text: CPython's own pages, a generated encyclopaedia, files, or the Hugging Face hub."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imglab.errors import InputError, Problem, first_line
from imglab.failures import raise_if_unavailable
from imglab.text.encyclopaedia.articles import articles
from imglab.text.expressions import Expression
from imglab.text.gate import ROWS, check_texts, decode, kind_of, read_documents, unpacked
from imglab.text.source_settings import EncyclopaediaSource, FilesSource, HubSource, Source
from imglab.training.hub import quiet

WHERE = "modality.source"
SUFFIX = ".txt"

SYSTEM = ("__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini")
"""Files and folders that systems leave behind."""

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

    left_out  files that were passed over, in words
    """

    train: Sequence[str]
    test: Sequence[str] | None
    left_out: str = ""


def read_corpus(source: Source) -> Corpus:
    """Read a source; InputError where it has no text."""
    if isinstance(source, FilesSource):
        corpus = _read_files(source)
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


def _read_files(source: FilesSource) -> Corpus:
    train_paths = text_files(source.path, f"{WHERE}.path")
    if source.test_path is None:
        documents = _read_documents(source, "path", train_paths)
        return Corpus(documents, None, _left_out(Path(source.path), train_paths))

    # `path` may be the folder that holds both.
    test_paths = text_files(source.test_path, f"{WHERE}.test_path")
    held_out = {path.resolve() for path in test_paths}
    train_paths = [path for path in train_paths if path.resolve() not in held_out]
    if not train_paths:
        what = f"holds nothing but what {WHERE}.test_path names"
        raise InputError(Problem(f"{WHERE}.path", what, "give other files to train on"))

    train = _read_documents(source, "path", train_paths)
    return Corpus(train, _read_documents(source, "test_path", test_paths))


def text_files(name: str, where: str) -> list[Path]:
    """Return the file of this name, or the text files below the folder of this name, sorted.

    These are its plain texts or, where it has none, its files of rows. Hidden files and folders,
    and those of systems, are passed over.
    """
    path = Path(name)
    if path.is_file():
        return [path]
    if not path.is_dir():
        what = f"there is no file or folder {name!r}"
        raise InputError(Problem(where, what, "give a text file or a folder"))

    listed = sorted(inner for inner in path.rglob("*") if inner.is_file())
    visible = [inner for inner in listed if not _is_hidden(inner.relative_to(path))]
    plain = [inner for inner in visible if kind_of(inner) == SUFFIX]
    files = plain or [inner for inner in visible if kind_of(inner) in ROWS]
    if not files:
        what = f"the folder {name!r} holds no {SUFFIX} file, nor one of {', '.join(ROWS)}"
        raise InputError(Problem(where, what, "give a folder of text files"))
    return files


def _left_out(folder: Path, read: Sequence[Path]) -> str:
    """Say how many visible files of each kind lie in a folder and are not among those read."""
    kinds = Counter(
        kind_of(path) or "without a suffix"
        for path in folder.rglob("*")
        if path.is_file() and not _is_hidden(path.relative_to(folder)) and path not in read
    )
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") or part in SYSTEM for part in path.parts)


def _read_documents(source: FilesSource, key: str, paths: Iterable[Path]) -> list[str]:
    where = f"{WHERE}.{key}"
    texts = [text for path in paths for text in read_texts(path, where, source.column)]
    return _documents(texts, source)


def read_texts(path: Path, where: str, column: str | None = None) -> list[str]:
    """Return the documents of a file; InputError, at the config's key `where`, if it is not text.

    column  that holds the text, in a file of rows; None: the obvious one
    """
    with _readable(path, where):
        texts = read_documents(path, where, column)
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


def read_lines(path: Path, where: str) -> list[str]:
    """Return the lines of a file as they stand; InputError, at `where`, if it is not text."""
    with _readable(path, where):
        return decode(unpacked(path, where), path, where).split("\n")


def read_text(path: Path, where: str) -> str:
    """Return the text of a plain file; InputError, at the config's key `where`, if it is none."""
    return "\n".join(read_texts(path, where))


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
    train = _read_split(source, "train_split", source.train_split)
    if source.test_split is None:
        return Corpus(train, None)
    return Corpus(train, _read_split(source, "test_split", source.test_split))


def _read_split(source: HubSource, key: str, split: str) -> list[str]:
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
        raise InputError(Problem(where, what, "pip install 'imglab[hub]'")) from error

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
        remedy = "check the name and `subset`; without network give a local folder"
        raise InputError(Problem(where, what, remedy)) from error


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
