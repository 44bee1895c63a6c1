"""Real text as blocks of tokens, split by document."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from imglab import seeds
from imglab.errors import InputError, Problem
from imglab.groups import Groups
from imglab.groups.numbering import check_groups
from imglab.modality import Split
from imglab.progress import report
from imglab.safe_text import one_line
from imglab.text.corpus import Corpus, read_corpus
from imglab.text.documents import Part
from imglab.text.group_columns import GroupedTokens, blocks_in_words, groups_of_splits
from imglab.text.hub import make_tokenizer
from imglab.text.openings import real_openings
from imglab.text.settings import PretrainedTokenizerSettings, TextSettings
from imglab.text.source_settings import FilesSource, HubSource
from imglab.training.hub import quiet

PIECES = 50
"""Parts of a single document, of which whole ones are held out."""

PARAGRAPH = re.compile(r"\n\s*\n")
LINE = re.compile(r"\n")
WORD = re.compile(r"\s+")


@dataclass(frozen=True)
class RealText:
    """The real data of a text chain: three sets of blocks, int64 [N, block].

    No document is in two of the sets. `openings`, int64 [M, 2 block], is how documents of the test
    set begin. `line` says what was found in files or in a corpus of the hub. `groups` are those of
    the blocks of both splits where a column names them, and `test_documents` says how many
    documents there are for each test block, 1 at most.
    """

    train: Tensor
    test: Tensor
    fresh: Tensor
    openings: Tensor
    tokenizer: PreTrainedTokenizerBase
    line: str = ""
    groups: Mapping[Split, Groups] = field(default_factory=dict)
    test_documents: float = 1.0

    def first(self, n_train: int | None, n_test: int | None) -> RealText:
        """Return the first blocks of both splits; None: all of them."""
        sizes: dict[Split, int | None] = {"train": n_train, "test": n_test}
        groups: dict[Split, Groups] = {
            split: Groups(of_split.names, of_split.numbers[: sizes[split]])
            for split, of_split in self.groups.items()
        }
        return replace(self, train=self.train[:n_train], test=self.test[:n_test], groups=groups)


def load_real_text(settings: TextSettings, corpus: Corpus | None = None) -> RealText:
    """Read the source, split it by document, train or open the tokenizer, and cut blocks.

    Within a part the documents follow each other in the order of the source, each closed by the
    tokenizer's end token; an incomplete last block is dropped. Raises InputError with every problem
    that the data show.

    corpus  documents that were read already; None: those that the settings name
    """
    if corpus is None:
        corpus = read_corpus(settings.source, group=settings.groups)
    train, test = _parts(corpus, settings)
    of_documents = [*(train.groups or ()), *(test.groups or ())]
    if of_documents:
        check_groups(of_documents, repr(settings.groups), of="documents")
    line = _line(corpus, train.texts, test.texts, settings)

    tokenizer = make_tokenizer(settings.tokenizer, train.texts)
    if len(tokenizer) < 2:
        what = "has fewer than two tokens"
        raise InputError(Problem("modality.tokenizer", what, "give another one"))

    report("cutting texts into blocks")
    begin = begin_tokens(settings, tokenizer)
    encoded = _encode(train.texts, tokenizer, begin)
    held_out = _encode(test.texts, tokenizer, begin)

    # Fresh text is the end of the training text.
    fresh = _take_from_end(encoded, settings.n_fresh * settings.block)
    documents = {"train": encoded, "test": held_out, "fresh": fresh}
    blocks = {name: _cut(part, settings.block) for name, part in documents.items()}

    problems = [*_size_problems(documents, blocks, settings)]
    if problems:
        raise InputError(problems)

    real = RealText(
        blocks["train"][: settings.n_train],
        blocks["test"][: settings.n_test],
        blocks["fresh"][: settings.n_fresh],
        real_openings(held_out, blocks["test"]),
        tokenizer,
        line,
    )
    if train.groups is None or test.groups is None:
        return real
    tokens: dict[Split, GroupedTokens] = {
        "train": GroupedTokens(encoded, train.groups[: len(encoded)]),
        "test": GroupedTokens(held_out, test.groups),
    }
    return _with_groups(real, tokens, settings)


def _parts(corpus: Corpus, settings: TextSettings) -> tuple[Part, Part]:
    """Return the training and the test documents, drawn at random where the source has no test."""
    groups = corpus.train_groups
    train = Part(list(corpus.train), None if groups is None else list(groups))
    if corpus.test is None:
        return split_documents(train, settings)
    groups = corpus.test_groups
    return train, Part(list(corpus.test), None if groups is None else list(groups))


def _with_groups(
    real: RealText, tokens: Mapping[Split, GroupedTokens], settings: TextSettings
) -> RealText:
    """Return the text with the groups of its blocks, of which its line says how many there are."""
    sizes: dict[Split, int] = {"train": len(real.train), "test": len(real.test)}
    names = {split: part.blocks(settings.block, sizes[split]) for split, part in tokens.items()}
    groups = groups_of_splits(names)
    of_documents = [name for part in tokens.values() for name in part.names]
    note = blocks_in_words(names, of_documents, settings.groups or "")
    line = "; ".join(filter(None, [real.line, note]))
    test_documents = tokens["test"].documents_per_block(settings.block, sizes["test"])
    return replace(real, line=line, groups=groups, test_documents=test_documents)


def _line(corpus: Corpus, train: Sequence[str], test: Sequence[str], settings: TextSettings) -> str:
    """Say in a line which documents a source of people's own text has; "" for the lab's texts."""
    if not isinstance(settings.source, FilesSource | HubSource):
        return ""

    total = len(train) + len(test)
    line = f"{total} documents: train {len(train)}, test {len(test)}"
    if corpus.test is None and len(corpus.train) == 1:
        line = f"1 document, divided into {total} parts: train {len(train)}, test {len(test)}"
    if corpus.left_out:
        line += f"; left out: {corpus.left_out}"
    return one_line("; ".join([line, *corpus.notes]))


def pieces(text: str) -> list[str]:
    """Divide one long document into about PIECES successive parts, which end with a paragraph.

    Where it has no blank lines they end with a line, and else with a word.
    """
    for border in PARAGRAPH, LINE, WORD:
        parts: list[str] = []
        begin = 0
        for match in border.finditer(text):
            if match.end() - begin >= len(text) / PIECES:
                parts.append(text[begin : match.end()])
                begin = match.end()
        parts.append(text[begin:])
        parts = [part for part in parts if part.strip()]
        if len(parts) >= PIECES // 4:
            break
    return parts


def split_documents(part: Part, settings: TextSettings) -> tuple[Part, Part]:
    """Divide whole documents at random into a training and a test part, each in the source's order.

    The test part holds at most `test_share` of the characters, but at least the shortest document.
    """
    documents = part.texts
    if len(documents) == 1:
        documents = pieces(documents[0])
        part = Part(documents, part.groups and part.groups * len(documents))
    if len(documents) < 2:
        what = "is one document, too short to be split"
        remedy = "give test_path, or document_start to say where documents begin"
        raise InputError(Problem("modality.source", what, remedy))

    # Take every document, in random order, that still fits into the test part.
    generator = seeds.generator(settings.split_seed, "split", "documents")
    order = torch.randperm(len(documents), generator=generator).tolist()
    room = settings.test_share * sum(map(len, documents))
    held_out: set[int] = set()
    for number in order:
        if len(documents[number]) <= room:
            held_out.add(number)
            room -= len(documents[number])

    if not held_out:
        held_out.add(min(range(len(documents)), key=lambda number: len(documents[number])))
    train = part.rows(number for number in range(len(documents)) if number not in held_out)
    return train, part.rows(sorted(held_out))


def begin_tokens(settings: TextSettings, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return what stands before each document: what the tokenizer's own call puts before a text."""
    section = settings.tokenizer
    if not (isinstance(section, PretrainedTokenizerSettings) and section.begin_tokens):
        return []
    called: list[int] = tokenizer("a").input_ids
    plain: list[int] = tokenizer("a", add_special_tokens=False).input_ids
    for count in range(len(called)):
        if called[count : count + len(plain)] == plain:
            return called[:count]
    return []


def _encode(
    documents: Sequence[str], tokenizer: PreTrainedTokenizerBase, begin: Sequence[int] = ()
) -> list[list[int]]:
    """Return the tokens of each document, closed by the end token if the tokenizer has one.

    begin  tokens that stand before each document
    """
    end = []
    if tokenizer.eos_token_id is not None:
        end = [tokenizer.eos_token_id]

    # A text that spells a special token, such as the end token, is read letter by letter.
    with quiet():
        encoded: list[list[int]] = tokenizer(
            list(documents), add_special_tokens=False, split_special_tokens=True, verbose=False
        )["input_ids"]
    return [[*begin, *document, *end] for document in encoded]


def _take_from_end(documents: list[list[int]], tokens: int) -> list[list[int]]:
    """Remove the last documents, which have this many tokens or more, and return them."""
    taken: list[list[int]] = []
    while documents and sum(map(len, taken)) < tokens:
        taken.insert(0, documents.pop())
    return taken


def text_blocks(
    documents: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    block: int,
    begin: Sequence[int] = (),
) -> Tensor:
    """Cut documents into blocks of tokens, int64 [N, block], as those of a real part are cut.

    begin  tokens that stand before each document (`begin_tokens`)
    """
    return _cut(_encode(documents, tokenizer, begin), block)


def _cut(documents: Sequence[Sequence[int]], block: int) -> Tensor:
    """Join documents and cut them into blocks, int64 [N, block]."""
    tokens = [token for document in documents for token in document]
    stream = torch.tensor(tokens, dtype=torch.int64)
    whole = len(stream) // block * block
    return stream[:whole].view(-1, block)


def _size_problems(
    documents: Mapping[str, Sequence[Sequence[int]]],
    blocks: Mapping[str, Tensor],
    settings: TextSettings,
) -> Iterator[Problem]:
    """Yield a problem for each part that is smaller than the settings ask or a chain needs."""
    asked = {"train": settings.n_train, "test": settings.n_test, "fresh": settings.n_fresh}
    needed = {
        "train": ("training", 2, "two blocks"),
        "test": ("test", 1, "one block"),
        "fresh": ("fresh", 0, "nothing"),
    }

    for name, part in blocks.items():
        n_asked = asked[name] or 0
        if n_asked > len(part):
            what = f"asks for {n_asked} blocks of {settings.block} tokens, there are {len(part)}"
            yield Problem(f"modality.n_{name}", what, f"at most {len(part)}")
            continue

        title, n_needed, length = needed[name]
        if len(part) < n_needed:
            tokens = sum(map(len, documents[name]))
            what = f"the {title} text is shorter than {length}: {tokens} tokens"
            yield Problem("modality.block", what, "give more text, or smaller blocks")
