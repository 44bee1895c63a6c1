"""Real text: documents from CPython's own pages, from files, or from a corpus of the Hugging Face hub."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imglab.errors import InputError, Problem, first_line
from imglab.text.settings import FilesSource, HubSource, PydocSource
from imglab.training.hub import quiet

WHERE = "modality.source"
SUFFIX = ".txt"
MOST_BYTES = 1 << 32
"""Of a text file: all of it is held in memory."""
LONGEST = 100_000
"""Letters in a row, or other signs of one kind: a tokenizer takes them for one word, and seconds to learn from it."""
STRETCH = "|".join(rf"(?<!{kind}){kind}{{{LONGEST}}}" for kind in (r"\w", r"\s", r"[^\w\s]"))


@dataclass(frozen=True)
class Corpus:
    """Documents; `test` is None where the source has no test part of its own."""

    train: Sequence[str]
    test: Sequence[str] | None


def read_corpus(source: PydocSource | FilesSource | HubSource) -> Corpus:
    """Read a source; InputError where there is no text in it."""
    if isinstance(source, FilesSource):
        corpus = _read_files(source)
    elif isinstance(source, HubSource):
        corpus = _read_hub(source)
    else:
        corpus = _read_pydoc()
    for name, documents in (("training", corpus.train), ("test", corpus.test)):
        if documents is not None and not documents:
            raise InputError(
                Problem(WHERE, f"has no {name} text: it is empty", "give files with text in them")
            )
    return corpus


def _read_pydoc() -> Corpus:
    from pydoc_data.topics import topics

    return Corpus(_with_text(topics[name] for name in sorted(topics)), None)


def _read_files(source: FilesSource) -> Corpus:
    def read(key: str, paths: Iterable[Path]) -> list[str]:
        return _documents(
            [_read_text(path, f"{WHERE}.{key}") for path in paths], source.document_start
        )

    paths = _text_files(source.path, f"{WHERE}.path")
    if source.test_path is None:
        return Corpus(read("path", paths), None)
    held_out = _text_files(source.test_path, f"{WHERE}.test_path")
    apart = {path.resolve() for path in held_out}
    kept = [
        path for path in paths if path.resolve() not in apart
    ]  # `path` may be the folder that holds both
    if not kept:
        what = f"holds nothing but what {WHERE}.test_path names"
        raise InputError(Problem(f"{WHERE}.path", what, "give other files to train on"))
    return Corpus(read("path", kept), read("test_path", held_out))


def _text_files(name: str, where: str) -> list[Path]:
    path = Path(name)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(
            Problem(where, f"there is no file or folder {name!r}", "give a text file or a folder")
        )
    found = sorted(inner for inner in path.rglob(f"*{SUFFIX}") if inner.is_file())
    if not found:
        raise InputError(
            Problem(
                where, f"the folder {name!r} holds no {SUFFIX} file", "give a folder of text files"
            )
        )
    return found


def _read_text(path: Path, where: str) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            what = f"{str(path)!r} is larger than {MOST_BYTES:,} bytes"
            raise InputError(Problem(where, what, "give a part of it"))
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        what = (
            f"{str(path)!r} is not UTF-8: byte {error.start} is 0x{error.object[error.start]:02x}"
        )
        raise InputError(Problem(where, what, "save it as UTF-8")) from error
    except OSError as error:
        raise InputError(
            Problem(where, f"{str(path)!r} cannot be read: {error.strerror}")
        ) from error
    except MemoryError as error:
        raise InputError(
            Problem(where, f"{str(path)!r} does not fit into memory", "give a part of it")
        ) from error
    if len(text) >= LONGEST and (found := re.search(STRETCH, text)):
        what = f"{str(path)!r} has {LONGEST:,} letters, spaces or others in a row, from character {found.start()} on"
        raise InputError(Problem(where, what, "is it text?"))
    return text


def _read_hub(source: HubSource) -> Corpus:
    try:
        import datasets
    except ImportError as error:
        remedy = "pip install 'imglab[hub]'"
        raise InputError(
            Problem(WHERE, "corpora of the hub are read with the package `datasets`", remedy)
        ) from error

    def read(key: str, split: str) -> list[str]:
        try:
            with quiet():
                found: Any = datasets.load_dataset(
                    source.name,
                    source.subset,
                    split=split,
                    revision=source.revision,
                    trust_remote_code=False,
                )
        except (
            Exception
        ) as error:  # datasets raises a dozen kinds for names, splits, files and the network
            cause = f" ({first_line(error.__cause__)})" if error.__cause__ else ""
            what = f"{source.name!r} did not load: {first_line(error)}{cause}"
            remedy = "check the name and `subset`; without network give a local folder"
            raise InputError(Problem(f"{WHERE}.{key}", what, remedy)) from error
        if source.column not in found.column_names:
            there = ", ".join(found.column_names)
            raise InputError(
                Problem(
                    f"{WHERE}.column", f"there is no column {source.column!r}", f"one of: {there}"
                )
            )
        rows = [str(text) for text in found[source.column] if text is not None]
        return _documents(["".join(rows)] if source.document_start else rows, source.document_start)

    train = read("train_split", source.train_split)
    return Corpus(
        train, None if source.test_split is None else read("test_split", source.test_split)
    )


def _documents(texts: Iterable[str], start: str | None) -> list[str]:
    """Cut texts before each line that `start` matches; what is blank is left out."""
    if start is None:
        return _with_text(texts)
    try:
        begins = re.compile(
            start
        )  # only now: some take a tenth of a second, and a schema must be quick
    except (re.error, RecursionError, OverflowError) as error:
        what = f"{start!r} is no regular expression: {error}"
        raise InputError(
            Problem(f"{WHERE}.document_start", what, "e.g. '^ = [^=]+ = $' for WikiText")
        ) from error
    found: list[list[str]] = []
    for text in texts:
        found.append([])
        for line in text.splitlines(keepends=True):
            if begins.search(line.rstrip("\r\n")):
                found.append([])
            found[-1].append(line)
    return _with_text("".join(lines) for lines in found)


def _with_text(documents: Iterable[str]) -> list[str]:
    return [document for document in documents if document.strip()]
