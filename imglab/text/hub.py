"""Tokenizers and causal language models of transformers: made, opened, saved."""

from __future__ import annotations

from pathlib import Path

from tokenizers import ByteLevelBPETokenizer
from transformers import (
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

import imglab.text.ngram_network  # noqa: F401 (AutoModelForCausalLM then opens n-gram models)
from imglab.errors import InputError, Problem
from imglab.progress import report
from imglab.text.settings import BpeSettings, PretrainedTokenizerSettings, WordsSettings
from imglab.text.word_tokenizer import new_word_tokenizer
from imglab.training.hub import forget_machine, local_name, open_network, opening

DOCUMENT_END = "<|endoftext|>"
CAUSAL = "AutoModelForCausalLM"
TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "vocab.txt", "tokenizer.model", "spiece.model")


def make_tokenizer(
    settings: BpeSettings | WordsSettings | PretrainedTokenizerSettings, documents: list[str]
) -> PreTrainedTokenizerBase:
    """Train a tokenizer on the real training documents, or open the one that is named."""
    if isinstance(settings, PretrainedTokenizerSettings):
        return open_tokenizer(settings.name, settings.revision, "modality.tokenizer.name")

    report("training the tokenizer")
    if isinstance(settings, WordsSettings):
        return new_word_tokenizer(settings, documents, end=DOCUMENT_END)

    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(
        documents,
        vocab_size=settings.vocabulary,
        special_tokens=[DOCUMENT_END],
        show_progress=False,
    )

    # One token ends a document, begins the next and pads.
    ends = dict.fromkeys(("bos_token", "eos_token", "pad_token"), DOCUMENT_END)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe._tokenizer, clean_up_tokenization_spaces=False, **ends
    )


def open_tokenizer(name: str, revision: str | None, where: str) -> PreTrainedTokenizerBase:
    """Open a tokenizer of a local folder or of the hub.

    where  the config's key that names it
    """
    name = local_name(name, where)
    folder = Path(name)
    if folder.is_dir() and not any((folder / file).is_file() for file in TOKENIZER_FILES):
        remedy = "save it there: tokenizer.save_pretrained(folder)"
        raise InputError(Problem(where, f"the folder {name!r} has no tokenizer", remedy))

    with opening(name, where):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            name, revision=revision or "main", trust_remote_code=False
        )
        tokenizer.decode(tokenizer("It reads and writes.").input_ids)
    return tokenizer


def open_model(name: str, revision: str | None, where: str, auto: str = CAUSAL) -> PreTrainedModel:
    """Open a network of a local folder or of the hub in fp32.

    auto  the class of transformers that opens it
    Raises InputError for weights in any form but safetensors.
    """
    network, missing = open_network(name, revision, where, auto)
    # A language model needs its head; an encoder may lack a pooler.
    if auto == CAUSAL and missing:
        what = f"{name!r} is not a whole language model: it lacks {', '.join(missing[:3])}"
        raise InputError(Problem(where, what, "name one that is"))
    return network


def reads_at_most(network: PreTrainedModel) -> int | None:
    """Return how many tokens a network can read, where it has such a bound."""
    bound: int | None = getattr(network.config, "max_position_embeddings", None)
    return bound


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write a tokenizer: the same one, loaded or not, gives the same bytes."""
    tokenizer.save_pretrained(folder)
    forget_machine(folder)
