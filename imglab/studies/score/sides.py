"""The two sides of a comparison, read: images, documents, or what a generation drew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
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
from imglab.run.build import build_modality
from imglab.samples import Samples, hash_samples
from imglab.store.faults import check_run
from imglab.store.files import DAMAGED
from imglab.store.reader import RunFolder
from imglab.store.reading import parse_generation, read_environment
from imglab.store.sealed_config import read_sealed
from imglab.studies.score.named import Named
from imglab.studies.score.options import Options, as_options, validated
from imglab.studies.score.tables import Table, read_hub, read_jsonl, read_parquet
from imglab.text.corpus import Corpus, read_text
from imglab.text.model import TokenModality


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


def read_side(named: Named, options: Options) -> Side:
    """Read what a side names; InputError holds every problem, in the command's own words."""
    try:
        if named.kind in ("run", "generation"):
            return _of_run(named)
        if named.kind == "images":
            return _of_folder(named, options)
        if named.kind == "npz":
            images = _in_form(read_any_npz(str(named.path)), options)
            return Side(named, images=images, notes=named.notes())
        if named.kind == "texts":
            return _of_text_files(named)
        return _of_table(named, options)
    except InputError as error:
        raise InputError(as_options(error.problems, named.role), [error]) from error


def _of_folder(named: Named, options: Options) -> Side:
    images = _in_form(read_folder(FolderSource(path=str(named.path)), options.size), options)

    # What lies beside the parts or the classes is not read.
    assert named.path is not None
    notes = named.notes()
    outside = len(set(named.paths) - set(images.paths))
    if outside:
        notes.append(f"{named.text}: {outside:,} images beside those that are scored left out")
    files = tuple(str(path.relative_to(named.path)) for path in images.paths)
    return Side(named, images=images, files=files, notes=notes)


def _in_form(images: SourceImages, options: Options) -> SourceImages:
    """Resize images and convert their colours, as the options ask."""
    tree: dict[str, Any] = {"source": {"kind": "folder", "path": "."}, "extractor": "pixels"}
    tree.update(size=options.size, colour=options.colour)
    settings = validated(ImageSettings, tree)
    test = images.test
    if test is not None:
        test = in_one_form(test, settings)
    return replace(images, train=in_one_form(images.train, settings), test=test)


def _of_text_files(named: Named) -> Side:
    """Read text files; of a single file each paragraph is a document."""
    assert named.path is not None
    notes = named.notes()
    texts = {path: read_text(path, named.role) for path in named.paths}
    if len(texts) == 1:
        paragraphs = [each for each in next(iter(texts.values())).split("\n\n") if each.strip()]
        notes.append(f"{named.text}: one file, of which each paragraph is a document")
        return Side(named, texts=Corpus(paragraphs, None), notes=notes)

    blank = [path for path, text in texts.items() if not text.strip()]
    if blank:
        names = ", ".join(path.name for path in blank[:5])
        notes.append(f"{named.text}: {len(blank):,} files without text left out ({names})")
    parts = [_below(texts, named.path / part) for part in ("train", "test")]
    if all(parts):
        outside = len(texts) - len(blank) - sum(map(len, parts))
        if outside:
            notes.append(f"{named.text}: {outside:,} texts beside train/ and test/ left out")
        return Side(named, texts=Corpus(parts[0], parts[1]), notes=notes)
    return Side(named, texts=Corpus(_below(texts, named.path), None), notes=notes)


def _below(texts: dict[Path, str], folder: Path) -> list[str]:
    return [text for path, text in texts.items() if text.strip() and folder in path.parents]


def _of_table(named: Named, options: Options) -> Side:
    if named.kind == "jsonl":
        table = read_jsonl(named, options.column)
    elif named.kind == "parquet":
        table = read_parquet(named, options.column, options.size)
    else:
        table = read_hub(named, options.column, options.size)

    notes = [*named.notes(), *table.notes]
    if table.is_images:
        return Side(named, images=_in_form(_stacked(table), options), notes=notes)
    return Side(named, texts=Corpus(table.train, table.test), notes=notes)


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

    config = read_sealed(run / "config.yaml")
    modality = build_modality(config)
    if g is None:
        _check_data(run, modality)
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


def _check_data(run: Path, modality: Modality) -> None:
    """Raise InputError where a run's config no longer leads to the data that the run had."""
    recorded = read_environment(run)["data"]
    for split in ("train", "test"):
        if recorded.get(split) != hash_samples(modality.real(split)):
            what = f"the real data of its config are not those of the run any more ({split})"
            raise InputError(Problem(str(run), what, "give the real data themselves as REAL"))


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what a damaged file raises while it is read into an InputError that names it."""
    try:
        yield
    except (OSError, ValueError, KeyError, MemoryError, SafetensorError) as error:
        raise_if_unavailable(error, path)
        what = f"cannot be read: {first_line(error)}"
        raise InputError(Problem(str(path), what, DAMAGED)) from error


def all_images(images: SourceImages) -> LabelledImages:
    """Join the two parts of images; InputError is left to those who know their shapes."""
    if images.test is None:
        return images.train
    labels = None
    if images.train.labels is not None and images.test.labels is not None:
        labels = torch.cat([images.train.labels, images.test.labels])
    return LabelledImages(torch.cat([images.train.images, images.test.images]), labels)


def all_texts(corpus: Corpus) -> Sequence[str]:
    """Join the two parts of documents."""
    return [*corpus.train, *(corpus.test or ())]
