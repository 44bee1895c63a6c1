"""Known damage to real text, by which metrics are calibrated.

Most of it works on the words that a block spells. They are encoded again, and a block that has come
out short goes on with the words of another damaged block, so that all have the same length.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from imglab import seeds
from imglab.metrics.damage import (
    MOST_DROPPED,
    draw,
    draw_without,
    mixed,
    rarest,
    repeated,
)
from imglab.modality import Damage
from imglab.samples import Samples
from imglab.training.hub import quiet

Change = Callable[[Sequence[str], float, torch.Generator], list[str]]
"""Changes texts at a strength; a text that stays as it is keeps its tokens."""

CHUNKS = re.compile(r"\s+|\S+")
SENTENCE_END = re.compile(r"(?<=[.!?:;])(?=\s)|(?=\n\n)")
FACT = re.compile(r"\b(?:[A-Z]\w*|\d+(?:\.\d+)*)\b")
"""Names, or what looks like them, and numbers."""

TOPICS = 10
"""Kinds of blocks into which a pool is divided by the words in them."""
TOPIC_WORDS = 500
PHRASE = 6
"""Tokens of a phrase that is repeated."""
MOST_REPEATED = 0.9
MOST_WORDS = 0.2
"""Share of the running words that is left out at strength 1."""


def text_damages(tokenizer: PreTrainedTokenizerBase, train: Samples) -> list[Damage]:
    """Return every damage of text in blocks of this tokenizer; `train` are the training blocks."""
    texts = Texts(tokenizer)
    changes: list[tuple[str, str, Change]] = [
        ("shuffle_words", "the words of a share `strength` of the sentences", _shuffle_words),
        ("shuffle_sentences", "the sentences of a share `strength` of the texts", _sentences),
        ("reverse", "the order of the words of a share `strength` of the texts", _reverse),
        ("unigrams", "a share `strength` of the words, each for an independent one", _unigrams),
        ("drop_rare_words", "the rarest words, 20% x strength of the text", _no_rare_words),
        ("replace_facts", "a share `strength` of names and numbers, for others", _facts),
    ]
    damages = [Damage(name, text, partial(texts.changed, change)) for name, text, change in changes]

    drop_type = partial(_no_type, texts)
    copies = partial(mixed, train)
    return [
        *damages,
        Damage("halves", "a share `strength` goes on as another text from the middle", _halves),
        Damage("repeat_phrases", "the last 90% x strength of each repeats 6 tokens", _phrases),
        Damage("drop_type", "40% x strength are left out, of the rarest topics", drop_type),
        Damage("duplicate", "90% x strength of the texts are repeats of others", repeated),
        Damage("copy", "a share `strength` are training texts", copies),
    ]


@dataclass(frozen=True)
class Texts:
    """Turns blocks of tokens into texts and back."""

    tokenizer: PreTrainedTokenizerBase

    def decode(self, tokens: Tensor) -> list[str]:
        """Return the text of each block, special tokens included."""
        decoded: list[str] = self.tokenizer.batch_decode(tokens)
        return decoded

    def changed(
        self, change: Change, pool: Samples, n: int, *, strength: float, seed: int
    ) -> Samples:
        """Draw n blocks, change their texts, and encode them in blocks of the same length."""
        samples = draw(pool, n, seed=seed)
        before = self.decode(samples.data)
        after = self._change(change, before, strength, seeds.generator(seed, "change"))

        encoded = self._encode(after)
        for number, block in enumerate(samples.data):
            if after[number] == before[number]:
                encoded[number] = block.tolist()
        rows = [_at_length(encoded, number, samples.data.shape[1]) for number in range(n)]
        return replace(samples, data=torch.tensor(rows, dtype=samples.data.dtype))

    def _change(
        self, change: Change, texts: Sequence[str], strength: float, generator: torch.Generator
    ) -> list[str]:
        """Change what lies between the tokens that end documents."""
        end = self.tokenizer.eos_token
        if end is None:
            return change(texts, strength, generator)

        parts = [text.split(end) for text in texts]
        changed = iter(change([piece for text in parts for piece in text], strength, generator))
        return [end.join([next(changed) for _ in text]) for text in parts]

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        with quiet():
            encoded: list[list[int]] = self.tokenizer(
                list(texts), add_special_tokens=False, verbose=False
            )["input_ids"]
        return encoded


def _at_length(encoded: Sequence[list[int]], number: int, length: int) -> list[int]:
    """Return a text's tokens, cut to a length, or continued by the next texts in a circle."""
    tokens = list(encoded[number])
    for step in range(1, len(encoded) + 1):
        if len(tokens) >= length:
            break
        tokens += encoded[(number + step) % len(encoded)]
    if len(tokens) < length:
        raise ValueError("too little text is left to fill the blocks")
    return tokens[:length]


def _shuffled(items: Sequence[str], generator: torch.Generator) -> list[str]:
    return [items[at] for at in torch.randperm(len(items), generator=generator).tolist()]


def _chosen(n: int, strength: float, generator: torch.Generator) -> list[bool]:
    """Choose a share of n things at random."""
    chosen: list[bool] = (torch.rand(n, generator=generator) < strength).tolist()
    return chosen


def _with_words(text: str, change: Callable[[list[str]], Sequence[str]]) -> str:
    """Replace the words of a text, in their order, by as many others; white space stays."""
    chunks = CHUNKS.findall(text)
    words = iter(change([chunk for chunk in chunks if not chunk.isspace()]))
    return "".join(chunk if chunk.isspace() else next(words) for chunk in chunks)


def _shuffle_words(texts: Sequence[str], strength: float, generator: torch.Generator) -> list[str]:
    shuffled = []
    for text in texts:
        sentences = SENTENCE_END.split(text)
        chosen = _chosen(len(sentences), strength, generator)
        for number, is_chosen in enumerate(chosen):
            if is_chosen:
                mixed = partial(_shuffled, generator=generator)
                sentences[number] = _with_words(sentences[number], mixed)
        shuffled.append("".join(sentences))
    return shuffled


def _sentences(texts: Sequence[str], strength: float, generator: torch.Generator) -> list[str]:
    shuffled = list(texts)
    for number, is_chosen in enumerate(_chosen(len(texts), strength, generator)):
        if is_chosen:
            shuffled[number] = "".join(_shuffled(SENTENCE_END.split(texts[number]), generator))
    return shuffled


def _reverse(texts: Sequence[str], strength: float, generator: torch.Generator) -> list[str]:
    reversed_texts = list(texts)
    for number, is_chosen in enumerate(_chosen(len(texts), strength, generator)):
        if is_chosen:
            reversed_texts[number] = _with_words(texts[number], lambda words: words[::-1])
    return reversed_texts


def _unigrams(texts: Sequence[str], strength: float, generator: torch.Generator) -> list[str]:
    everything = [chunk for text in texts for chunk in text.split()]

    def independent(words: list[str]) -> list[str]:
        drawn = torch.randint(len(everything), (len(words),), generator=generator).tolist()
        chosen = _chosen(len(words), strength, generator)
        return [
            everything[at] if is_chosen else word
            for word, at, is_chosen in zip(words, drawn, chosen, strict=True)
        ]

    return [_with_words(text, independent) for text in texts]


def _no_rare_words(texts: Sequence[str], strength: float, generator: torch.Generator) -> list[str]:
    """Leave out the rarest words; those of one frequency in alphabetical order."""
    counts = Counter(word for text in texts for word in text.split())
    room = MOST_WORDS * strength * counts.total()
    dropped = set()
    for word, count in sorted(counts.items(), key=lambda item: (item[1], item[0])):
        room -= count
        if room < 0:
            break
        dropped.add(word)

    shorter = []
    for text in texts:
        chunks = [chunk for chunk in CHUNKS.findall(text) if chunk not in dropped]
        shorter.append("".join(_without_double_spaces(chunks)))
    return shorter


def _without_double_spaces(chunks: Sequence[str]) -> Iterator[str]:
    """Yield chunks; of white spaces in a row, which a missing word leaves, only the first."""
    after_space = False
    for chunk in chunks:
        is_space = chunk.isspace()
        if not (is_space and after_space):
            yield chunk
        after_space = is_space


def _facts(texts: Sequence[str], strength: float, generator: torch.Generator) -> list[str]:
    """Replace names by names and numbers by numbers that stand elsewhere."""
    facts = [fact for text in texts for fact in FACT.findall(text)]
    numbers = [fact for fact in facts if fact[0].isdigit()]
    names = [fact for fact in facts if not fact[0].isdigit()]

    def other(match: re.Match[str]) -> str:
        choices = names
        if match[0][0].isdigit():
            choices = numbers
        if float(torch.rand((), generator=generator)) >= strength:
            return str(match[0])
        return str(choices[int(torch.randint(len(choices), (), generator=generator))])

    return [FACT.sub(other, text) for text in texts]


def _halves(pool: Samples, n: int, *, strength: float, seed: int) -> Samples:
    """Give some blocks the second half of another one."""
    samples = draw(pool, n, seed=seed)
    rows = torch.arange(round(strength * n))
    middle = samples.data.shape[1] // 2
    data = samples.data.clone()
    data[rows, middle:] = samples.data[(rows + 1) % n, middle:]
    return replace(samples, data=data)


def _phrases(pool: Samples, n: int, *, strength: float, seed: int) -> Samples:
    """Let each block end in repeats of the tokens before."""
    samples = draw(pool, n, seed=seed)
    length = samples.data.shape[1]
    phrase = min(PHRASE, max(1, length // 4))
    start = max(phrase, round(length * (1 - MOST_REPEATED * strength)))

    data = samples.data.clone()
    columns = start - phrase + torch.arange(length - start) % phrase
    data[:, start:] = samples.data[:, columns]
    return replace(samples, data=data)


def _no_type(texts: Texts, pool: Samples, n: int, *, strength: float, seed: int) -> Samples:
    """Leave out the rarest topics; topics are clusters of the blocks' word counts."""
    topics = _topics(texts.decode(pool.data), seed)
    dropped = rarest(topics, MOST_DROPPED * strength)
    return draw_without(pool, n, dropped=dropped, seed=seed)


def _topics(texts: Sequence[str], seed: int) -> Tensor:
    """Divide texts into topics by k-means of their words' square roots of counts, int64 [N]."""
    from sklearn.cluster import KMeans
    from sklearn.feature_extraction.text import CountVectorizer

    try:
        counts = CountVectorizer(max_features=TOPIC_WORDS).fit_transform(texts).toarray()
    except ValueError as error:
        raise ValueError("the texts have no words to tell topics by") from error

    roots = torch.from_numpy(counts).double().sqrt()
    roots = roots / roots.norm(dim=1, keepdim=True).clamp(min=1)
    clusters = min(TOPICS, len(texts) // 4)
    means = KMeans(clusters, n_init=1, random_state=seed % 2**32)
    return torch.from_numpy(means.fit_predict(roots.numpy())).long()
