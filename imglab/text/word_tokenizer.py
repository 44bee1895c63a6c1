"""A tokenizer of whole words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from imglab.errors import InputError, Problem
from imglab.text.settings import WordsSettings

UNKNOWN = "<unk>"
"""What stands for every word that is not in the vocabulary."""

LEAST_COVERED = 0.8
"""Share of the running words that the vocabulary must have, so that there is text to learn."""


def new_word_tokenizer(
    settings: WordsSettings, documents: Sequence[str], *, end: str
) -> PreTrainedTokenizerFast:
    """Return a tokenizer of the most frequent words of documents.

    Decoded text has one space between words and none before a punctuation mark. Words of one
    frequency are taken in alphabetical order. Raises InputError where the vocabulary is so small
    that much of the text is unknown words.

    end  the token that ends a document
    """
    splitter = pre_tokenizers.Whitespace()
    counts: Counter[str] = Counter()
    for document in documents:
        counts.update(word for word, _ in splitter.pre_tokenize_str(document))

    special = [end, UNKNOWN]
    ordered = sorted(counts, key=lambda word: (-counts[word], word))
    listed = [word for word in ordered if word not in special]
    words = listed[: settings.vocabulary - len(special)]
    _check_covered(counts, listed, words, len(special))

    numbers = {word: number for number, word in enumerate([*special, *words])}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = splitter
    # No word has this prefix: the decoder joins words, and closes the gap before punctuation.
    tokenizer.decoder = decoders.WordPiece(prefix="\0", cleanup=True)

    ends = dict.fromkeys(("bos_token", "eos_token", "pad_token"), end)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
        **ends,
    )


def _check_covered(
    counts: Counter[str], listed: Sequence[str], words: Sequence[str], n_special: int
) -> None:
    """Raise InputError where the words are too small a share of all running words.

    listed  all words, the most frequent first
    """
    needed = LEAST_COVERED * counts.total()
    covered = sum(counts[word] for word in words)
    if covered >= needed:
        return

    size = n_special
    running = 0
    for word in listed:
        size += 1
        running += counts[word]
        if running >= needed:
            break
    share = covered / max(1, counts.total())
    what = f"{len(words) + n_special} tokens hold {share:.0%} of the running words"
    raise InputError(Problem("modality.tokenizer.vocabulary", what, f"at least {size}"))
