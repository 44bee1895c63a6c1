"""What there is to say of a person's texts before a run reads them."""

from __future__ import annotations

import hashlib
from typing import Any

from imglab.reading import Summary
from imglab.reading.inspection import Inspection, add_columns, duplicates
from imglab.text.corpus import read_corpus
from imglab.text.data import pieces, split_documents
from imglab.text.documents import Part
from imglab.text.settings import TextSettings
from imglab.text.source_settings import FilesSource


def inspect_texts(path: str) -> Inspection:
    """Inspect a text file or a folder of texts; InputError where nothing is usable."""
    keys: dict[str, Any] = {"kind": "files", "path": path}
    corpus = read_corpus(FilesSource.model_validate(keys))
    train = list(corpus.train)
    test = list(corpus.test or ())
    if corpus.test is None and len(train) > 1:  # a single one is divided as a config says
        settings = TextSettings.model_validate({"kind": "text", "source": keys})
        train, test = (part.texts for part in split_documents(Part(train), settings))
    documents = [*train, *test]

    split = {"train": len(train)}
    if test:
        split["test"] = len(test)
    digests = [hashlib.sha256(text.encode("utf-8", "replace")).hexdigest() for text in documents]
    names = [f"document {number}" for number in range(len(documents))]
    lengths = sorted(map(len, documents))
    facts: dict[str, Any] = {
        "characters": f"{sum(lengths):,}; a document has {lengths[len(lengths) // 2]:,} (median)",
        "duplicates": duplicates(names, digests, len(train)),
    }
    add_columns(facts, keys, "the texts", corpus.columns, "column")

    config = {
        "modality": {"kind": "text", "source": keys},
        "model": {"kind": "language_model"},
    }
    notes = corpus.notes
    if len(documents) == 1:
        notes = (*notes, _divided(documents[0]))
    summary = Summary(len(documents), "documents", None, split, corpus.passed, notes)
    return Inspection(summary, facts, config)


def _divided(text: str) -> str:
    """Say how a run divides a text that is the only one."""
    parts = len(pieces(text))
    if parts < 2:
        return "too short to be divided into training and test text"
    return f"a run divides it into {parts} parts, of which whole ones are for testing"
