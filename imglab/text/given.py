"""Synthetic text of one's own, cut into blocks of the run's tokens."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from imglab.config.given import SyntheticSettings, check_apart, place_of, placed
from imglab.errors import InputError, Problem
from imglab.samples import Samples
from imglab.store.drawn import read_drawn
from imglab.text.corpus import read_corpus
from imglab.text.data import begin_tokens, text_blocks
from imglab.text.hub import open_tokenizer
from imglab.text.settings import TextSettings
from imglab.text.source_settings import FilesSource, HubSource


def read_given(
    settings: TextSettings, tokenizer: PreTrainedTokenizerBase, held_out: Tensor
) -> dict[str, Samples]:
    """Return each set of `modality.synthetic` by its label, as blocks of tokens int64 [N, block].

    held_out  the real blocks of the test split, which must not be among them

    Raises InputError with every problem.
    """
    sets: dict[str, Samples] = {}
    problems: list[Problem] = []
    for number, section in enumerate(settings.synthetic):
        try:
            blocks = _read(section, settings, tokenizer)
            check_apart(blocks, held_out, place_of(section))
        except InputError as error:
            problems += error.problems
            continue
        sets[section.label] = Samples.given(blocks, None, number)

    if problems:
        raise InputError(problems)
    return sets


def _read(
    section: SyntheticSettings, settings: TextSettings, tokenizer: PreTrainedTokenizerBase
) -> Tensor:
    where = place_of(section)
    if section.classes != "match":
        raise InputError(Problem(f"{where}.classes", "texts have no classes", "leave it out"))
    if section.run is not None:
        return _of_run(section.run, settings, tokenizer, f"{where}.run")

    try:
        documents = _documents(section)
    except InputError as error:
        raise InputError(placed(error.problems, where), [error]) from error

    begin = begin_tokens(settings, tokenizer)
    blocks = text_blocks(documents, tokenizer, settings.block, begin)
    if not len(blocks):
        what = f"its {len(documents)} documents do not fill one block of {settings.block} tokens"
        raise InputError(Problem(where, what, "give more text, or lower modality.block"))
    return blocks


def _documents(section: SyntheticSettings) -> Sequence[str]:
    """Return the documents of files, of all their parts, or of a corpus of the hub."""
    if section.hub is not None:
        column = section.column or "text"
        return read_corpus(HubSource(name=section.hub, column=column, test_split=None)).train

    assert section.path is not None
    corpus = read_corpus(FilesSource(path=section.path, column=section.column), is_drawn=True)
    return [*corpus.train, *(corpus.test or ())]


def _of_run(
    run: str, settings: TextSettings, tokenizer: PreTrainedTokenizerBase, where: str
) -> Tensor:
    """Return what a generation of a run with the same tokenizer and blocks drew."""
    drawn = read_drawn(run, where)
    remedy = f"imglab export {run} --to DIR, and give DIR as path"
    if not isinstance(drawn.config.modality, TextSettings):
        raise InputError(Problem(where, f"{run} is not a run on text"))

    length = drawn.samples.data.shape[1]
    if length != settings.block:
        what = f"{run} drew blocks of {length} tokens, these are of {settings.block}"
        raise InputError(Problem(where, what, remedy))
    other = open_tokenizer(str(drawn.run / "shared/tokenizer"), None, where)
    if other.get_vocab() != tokenizer.get_vocab():
        raise InputError(Problem(where, f"{run} has another tokenizer", remedy))
    return drawn.samples.data
