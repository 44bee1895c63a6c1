"""The two sides of a comparison, read: images, documents, or what a generation drew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from imglab.errors import InputError, Problem, first_line
from imglab.failures import raise_if_unavailable
from imglab.images.arrays import stack_images
from imglab.images.data import in_one_form
from imglab.images.folders import read_folder
from imglab.images.labelled import LabelledImages, SourceImages
from imglab.images.modality import ImageModality
from imglab.images.npz import read_any_npz
from imglab.images.settings import ImageSettings
from imglab.images.source_settings import FolderSource
from imglab.modality import Modality
from imglab.running.places import config_of, modality_of
from imglab.samples import Samples
from imglab.store.faults import check_run
from imglab.store.files import DAMAGED
from imglab.store.reader import RunFolder
from imglab.store.reading import parse_generation
from imglab.studies.score.named import Named
from imglab.studies.score.options import ReadingOptions, as_options, in_options, validated
from imglab.studies.score.tables import Table, holds_images, read_hub, read_image_tables
from imglab.text.corpus import Corpus, read_corpus
from imglab.text.folders import text_files
from imglab.text.gate import PARQUET, kind_of
from imglab.text.model import TokenModality
from imglab.text.source_settings import FilesSource

WHERE = "modality.source.path"
"""The key that problems of files name; the command names its argument instead."""


@dataclass(frozen=True)
class Side:
    """What one side holds: images, or texts, or the samples of a generation, or a run.

    images    images uint8, of one or of two parts
    texts     documents, of one or of two parts
    samples   what a generation drew, as it is stored; `images` or `texts` hold the same
    modality  that of the run or of the generation's run
    files     names of the samples' files, the training part first; empty where they have none
    notes     what was left out, and how the samples were read
    """

    named: Named
    images: SourceImages | None = None
    texts: Corpus | None = None
    samples: Samples | None = None
    modality: Modality | None = None
    files: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """Return `images`, `text`, or the name of a run's kind of data."""
        if self.images is not None or isinstance(self.modality, ImageModality):
            return "images"
        if self.texts is not None or isinstance(self.modality, TokenModality):
            return "text"
        return type(self.modality).__name__


def read_side(named: Named, options: ReadingOptions) -> Side:
    """Read what a side names; InputError holds every problem, in the command's own words."""
    try:
        if named.kind in ("run", "generation"):
            return _of_run(named)
        if named.kind == "images":
            return _of_folder(named, options)
        if named.kind == "npz":
            images = _in_form(read_any_npz(str(named.path)), options)
            return Side(named, images=images)
        if named.kind == "texts":
            return _of_text_files(named, options)
        return _of_table(named, read_hub(named, options.column, options.size), options)
    except InputError as error:
        raise InputError(as_options(error.problems, named.role), [error]) from error


def _of_folder(named: Named, options: ReadingOptions) -> Side:
    assert named.path is not None
    source = FolderSource(path=str(named.path))
    images = _in_form(read_folder(source, options.size, is_drawn=True), options)
    notes = [f"{named.text}: left out: {each}" for each in images.left_out]
    notes += [f"{named.text}: {in_options(note, named.role)}" for note in images.notes]
    files = tuple(str(path.relative_to(named.path)) for path in images.paths)
    return Side(named, images=images, files=files, notes=notes)


def _in_form(images: SourceImages, options: ReadingOptions) -> SourceImages:
    """Resize images and convert their colours, as the options ask."""
    tree: dict[str, Any] = {"source": {"kind": "folder", "path": "."}, "extractor": "pixels"}
    tree.update(size=options.size, colour=options.colour)
    settings = validated(ImageSettings, tree)
    test = images.test
    if test is not None:
        test = in_one_form(test, settings)
    return replace(images, train=in_one_form(images.train, settings), test=test)


def _of_text_files(named: Named, options: ReadingOptions) -> Side:
    """Read a text file or a folder of texts; of a single plain file each paragraph is a document.

    Models may have drawn the texts.
    """
    assert named.path is not None
    source = FilesSource(path=str(named.path), column=options.column)
    files = text_files(source.path, WHERE)
    if kind_of(files.train[0]) in PARQUET and holds_images(files.train[0], options.column):
        table = read_image_tables(named, files, options.column, options.size)
        return _of_table(named, table, options)

    corpus = read_corpus(source, is_drawn=True)
    notes = [f"{named.text}: {in_options(note, named.role)}" for note in corpus.notes]
    if corpus.left_out:
        notes.append(f"{named.text}: left out: {corpus.left_out}")
    if named.path.is_file() and len(corpus.train) == 1:
        paragraphs = [each for each in corpus.train[0].split("\n\n") if each.strip()]
        corpus = replace(corpus, train=paragraphs)
        notes.append(f"{named.text}: one file, of which each paragraph is a document")
    return Side(named, texts=corpus, notes=notes)


def _of_table(named: Named, table: Table, options: ReadingOptions) -> Side:
    if table.is_images:
        return Side(named, images=_in_form(_stacked(table), options), notes=table.notes)
    return Side(named, texts=Corpus(table.train, table.test), notes=table.notes)


def _stacked(table: Table) -> SourceImages:
    parts = [table.train] if table.test is None else [table.train, table.test]
    sets = [
        LabelledImages(stack_images(part, [f"row {row}" for row in range(len(part))]), None)
        for part in parts
    ]
    return SourceImages(sets[0], sets[1] if len(sets) > 1 else None, None)


def _of_run(named: Named) -> Side:
    """Open a run, or what one of its generations drew."""
    assert named.path is not None
    run = named.path
    g = None
    if named.kind == "generation":
        run, g = parse_generation(named.text)
    check_run(run)

    config = config_of(run)
    modality = modality_of(run, config)
    if g is None:
        return Side(named, modality=modality)

    stage = "samples" if config.measure.samples is None else "evaluation"
    stored = RunFolder(run)
    with reading(stored.path(g, stage)):
        samples = stored.samples(g, stage)
    return _of_generation(named, samples, modality)


def _of_generation(named: Named, samples: Samples, modality: Modality) -> Side:
    images = None
    texts = None
    if isinstance(modality, ImageModality):
        spec = modality.spec
        labels = None if spec.prompts else samples.condition
        classes = None if labels is None else spec.conditions
        images = SourceImages(LabelledImages(samples.data, labels), None, classes)
    elif isinstance(modality, TokenModality):
        texts = Corpus(modality.tokenizer.batch_decode(samples.data), None)
    return Side(named, images=images, texts=texts, samples=samples, modality=modality)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what a damaged file raises while it is read into an InputError that names it."""
    try:
        yield
    except (OSError, ValueError, KeyError, MemoryError, SafetensorError) as error:
        raise_if_unavailable(error, path)
        what = f"cannot be read: {first_line(error)}"
        raise InputError(Problem(str(path), what, DAMAGED)) from error


def all_texts(corpus: Corpus) -> Sequence[str]:
    """Join the two parts of documents."""
    return [*corpus.train, *(corpus.test or ())]
