"""Real text as blocks of tokens, split by document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from imglab import seeds
from imglab.errors import InputError, Problem
from imglab.text.corpus import read_corpus
from imglab.text.hub import make_tokenizer
from imglab.text.settings import TextSettings
from imglab.training.hub import quiet


@dataclass(frozen=True)
class RealText:
    """The real data of a text chain: three sets of blocks, int64 [N, block], that share no document."""

    train: Tensor
    test: Tensor
    fresh: Tensor
    tokenizer: PreTrainedTokenizerBase


def load_real_text(settings: TextSettings) -> RealText:
    """Read the source, split it by document, train or open the tokenizer, and cut each part into blocks.

    Within a part the documents follow each other in the order of the source, each closed by the tokenizer's end
    token; what is left of the last block is dropped. Raises InputError with every problem that the data show.
    """
    corpus = read_corpus(settings.source)
    pool, test = list(corpus.train), corpus.test
    if test is None:
        pool, test = _split(pool, settings)
    tokenizer = make_tokenizer(settings.tokenizer, pool)
    if len(tokenizer) < 2:
        raise InputError(
            Problem("modality.tokenizer", "has fewer than two tokens", "give another one")
        )
    tokens = {"train": _encoded(pool, tokenizer), "test": _encoded(test, tokenizer), "fresh": []}
    while tokens["train"] and sum(map(len, tokens["fresh"])) < settings.n_fresh * settings.block:
        tokens["fresh"].insert(0, tokens["train"].pop())
    blocks = {name: _blocks(documents, settings.block) for name, documents in tokens.items()}
    problems: list[Problem] = []
    for name, asked in (
        ("train", settings.n_train),
        ("test", settings.n_test),
        ("fresh", settings.n_fresh),
    ):
        there = len(blocks[name])
        if (asked or 0) > there:
            what = f"asks for {asked} blocks of {settings.block} tokens, there are {there}"
            problems.append(Problem(f"modality.n_{name}", what, f"at most {there}"))
        elif name != "fresh" and there < (fewest := 2 if name == "train" else 1):
            part, blocks_of = ("training", "two blocks") if fewest == 2 else ("test", "one block")
            what = (
                f"the {part} text is shorter than {blocks_of}: {sum(map(len, tokens[name]))} tokens"
            )
            problems.append(Problem("modality.block", what, "give more text, or smaller blocks"))
    if problems:
        raise InputError(problems)
    return RealText(
        blocks["train"][: settings.n_train],
        blocks["test"][: settings.n_test],
        blocks["fresh"][: settings.n_fresh],
        tokenizer,
    )


def _split(documents: list[str], settings: TextSettings) -> tuple[list[str], list[str]]:
    """Keep whole documents apart, at random, as many as `test_share` of the characters has room for; at least one."""
    if len(documents) < 2:
        what = "is one document, which is not split: blocks of one document know each other"
        remedy = "give test_path, or document_start to say where documents begin"
        raise InputError(Problem("modality.source", what, remedy))
    order = torch.randperm(
        len(documents), generator=seeds.generator(settings.split_seed, "split", "documents")
    )
    room = settings.test_share * sum(map(len, documents))
    test: set[int] = set()
    for place in order.tolist():
        if len(documents[place]) <= room:
            test.add(place)
            room -= len(documents[place])
    test = test or {min(range(len(documents)), key=lambda place: len(documents[place]))}
    parts = [
        [text for place, text in enumerate(documents) if (place in test) == apart]
        for apart in (False, True)
    ]
    return parts[0], parts[1]


def _encoded(documents: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    with quiet():
        found: list[list[int]] = tokenizer(
            list(documents), add_special_tokens=False, split_special_tokens=True, verbose=False
        )["input_ids"]
    return [document + end for document in found]


def _blocks(documents: Sequence[Sequence[int]], block: int) -> Tensor:
    stream = torch.tensor(
        [token for document in documents for token in document], dtype=torch.int64
    )
    return stream[: len(stream) // block * block].view(-1, block)
