"""What an n-gram model expects, without a number for each token of the vocabulary.

After any context, P(w) = a P_1(w) + e(w): the unigrams, scaled down, and what longer n-grams add to
the few tokens that have followed. Both parts are looked up, so that a token costs as much as there
are followers. All is float64; a network of transformers rounds each probability to float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from imglab.text.ngram_network import NgramForCausalLM

AT_ONCE = 1 << 22
"""About how many followers are looked up at a time."""


@dataclass(frozen=True)
class Expected:
    """What follows each of R contexts.

    scale   a, float64 [R]: how much of the unigrams is left
    starts  int64 [R + 1]: where the followers of each context begin in `tokens`
    rows    int64 [E], the context of each follower
    tokens  int64 [E], rising within a context
    added   e, float64 [E]
    """

    scale: Tensor
    starts: Tensor
    rows: Tensor
    tokens: Tensor
    added: Tensor


class NgramLookup:
    """Looks up what a network of n-grams expects."""

    def __init__(self, network: NgramForCausalLM) -> None:
        """Read the counts of a network, on the CPU."""
        config = network.config
        self._order = config.order
        self._smoothing = config.smoothing
        self._vocabulary = config.vocab_size
        buffers = {name: buffer.cpu() for name, buffer in network.named_buffers()}
        self._grams = [buffers[f"grams_{k}"] for k in range(1, self._order + 1)]
        self._sums = [buffers[f"sums_{k}"] for k in range(1, self._order + 1)]

        weight = self._smoothing * len(self._grams[0])
        total = int(self._sums[0][-1]) + weight
        self._unigrams = torch.full((self._vocabulary,), weight / total / self._vocabulary).double()
        self._unigrams[self._grams[0]] += self._sums[0].diff().double() / total
        self._cumulated = self._unigrams.cumsum(0)
        self._entropies = torch.special.entr(self._unigrams)

    def scores(self, texts: Tensor, last: int) -> tuple[Tensor, Tensor]:
        """Return log-likelihood and entropy of the `last` tokens of texts, float64 [N, last] each.

        texts  int64 [N, L], L > last
        """
        likelihood = torch.empty(len(texts), last, dtype=torch.float64)
        entropy = torch.empty(len(texts), last, dtype=torch.float64)
        first = texts.shape[1] - last

        # The first places may have fewer tokens before them than an n-gram has.
        place = 0
        while place < last:
            before = min(self._order - 1, first + place)
            end = last if before == self._order - 1 else place + 1
            windows = texts[:, first + place - before : first + end].unfold(1, before + 1, 1)
            contexts = windows[..., :-1].reshape(len(texts) * (end - place), before)
            scored = self._score(contexts, windows[..., -1].flatten())
            for column, values in zip((likelihood, entropy), scored, strict=True):
                column[:, place:end] = values.view(len(texts), -1)
            place = end
        return likelihood, entropy

    def draw(self, texts: Tensor, uniform: Tensor) -> Tensor:
        """Return where the cumulated distribution after each text passes `uniform`: int64 [N].

        texts    int64 [N, L], L >= 1
        uniform  float [N] in [0, 1)
        """
        before = min(self._order - 1, texts.shape[1])
        contexts, which = torch.unique(
            self._numbers(texts[:, texts.shape[1] - before :]), return_inverse=True
        )
        expected = self._expected(contexts, before)

        # Up to and with each follower; contexts lie one after the other, 2 apart.
        sums = _sums_within(expected.added, expected.starts)
        reached = expected.scale[expected.rows] * self._cumulated[expected.tokens] + sums
        whole = expected.scale + _last_of(sums, expected.starts)
        wanted = uniform.double() * whole[which]
        place = torch.searchsorted(2.0 * expected.rows + reached, 2.0 * which + wanted, right=True)
        place = torch.minimum(
            torch.maximum(place, expected.starts[which]), expected.starts[which + 1]
        )
        return self._between(expected, sums, place, which, wanted)

    def _between(
        self, expected: Expected, sums: Tensor, place: Tensor, which: Tensor, wanted: Tensor
    ) -> Tensor:
        """Return the tokens drawn: the follower at `place`, or a token that lies before it."""
        # Both ends get a value, so that places before the first and after the last exist.
        padded = torch.nn.functional.pad(sums, (1, 1))
        tokens = torch.nn.functional.pad(expected.tokens, (1, 1), value=-1)
        is_first = place == expected.starts[which]
        is_end = place == expected.starts[which + 1]

        lower = torch.where(is_first, -1, tokens[place])
        upper = torch.where(is_end, self._vocabulary, tokens[place + 1])
        below = torch.where(is_first, 0.0, padded[place])
        scale = expected.scale[which]
        share = (wanted - below) / scale
        other = torch.searchsorted(self._cumulated, share, right=True)

        # Rounding must not lead beyond the followers on both sides.
        other = torch.minimum(torch.maximum(other, lower + 1), upper)
        follows = (other >= upper) | (scale == 0)
        return torch.where(follows, upper, other).clamp(max=self._vocabulary - 1)

    def _score(self, contexts: Tensor, targets: Tensor) -> Iterator[Tensor]:
        """Return log-likelihood and entropy after contexts [R, m], float64 [R] each."""
        numbers, which = torch.unique(self._numbers(contexts), return_inverse=True)
        order = which.argsort(stable=True)
        likelihood = torch.empty(len(targets), dtype=torch.float64)
        entropies = []

        for part in self._parts(numbers, contexts.shape[1]):
            expected = self._expected(numbers[part], contexts.shape[1])
            entropies.append(self._entropy(expected))
            ends = torch.searchsorted(which[order], torch.tensor([part.start, part.stop]))
            members = order[int(ends[0]) : int(ends[1])]
            probability = self._probability(expected, which[members] - part.start, targets[members])
            likelihood[members] = probability.log()
        yield likelihood
        yield torch.cat(entropies)[which]

    def _probability(self, expected: Expected, which: Tensor, targets: Tensor) -> Tensor:
        """Return the probability of each target after its context, float64."""
        probability = expected.scale[which] * self._unigrams[targets]
        if len(expected.tokens):
            keys = expected.rows * self._vocabulary + expected.tokens
            wanted = which * self._vocabulary + targets
            places = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
            follows = keys[places] == wanted
            probability += torch.where(follows, expected.added[places], 0.0)
        return probability

    def _entropy(self, expected: Expected) -> Tensor:
        """Return the entropy after each context, in nats.

        Tokens that did not follow have a P_1(w) each: their sum needs only what P_1 sums to there.
        """
        unigrams = self._unigrams[expected.tokens]
        probability = expected.scale[expected.rows] * unigrams + expected.added
        zeros = torch.zeros_like(expected.scale)
        of_followers = zeros.index_add(0, expected.rows, torch.special.entr(probability))

        share = 1 - zeros.index_add(0, expected.rows, unigrams)
        entropy = zeros.index_add(0, expected.rows, self._entropies[expected.tokens])
        entropy = self._entropies.sum() - entropy
        scale = expected.scale
        entropy_of_all: Tensor = (
            of_followers + scale * entropy + torch.special.entr(scale) * share.clamp(min=0)
        )
        return entropy_of_all

    def _parts(self, numbers: Tensor, length: int) -> Iterator[slice]:
        """Yield slices of contexts with about `AT_ONCE` followers each."""
        sizes = torch.ones_like(numbers)
        if length:
            grams = self._grams[1]
            last = numbers % self._vocabulary
            first = torch.searchsorted(grams, last * self._vocabulary)
            sizes += torch.searchsorted(grams, (last + 1) * self._vocabulary) - first
        part = sizes.cumsum(0) // AT_ONCE
        edges = [0, *(torch.nonzero(part.diff()).flatten() + 1).tolist(), len(numbers)]
        for start, stop in pairwise(edges):
            yield slice(start, stop)

    def _numbers(self, contexts: Tensor) -> Tensor:
        """Return contexts, int64 [R, m], as numbers in base `vocab_size`, the last token lowest."""
        numbers = torch.zeros(len(contexts), dtype=torch.int64)
        for column in contexts.unbind(1):
            numbers = numbers * self._vocabulary + column
        return numbers

    def _expected(self, numbers: Tensor, length: int) -> Expected:
        """Return what follows contexts of `length` tokens, given as rising numbers [R]."""
        if length == 0:
            return _nothing(len(numbers))

        # What follows a longer context follows the shorter one too: the first level has them all.
        level = self._level(2, numbers % self._vocabulary)
        keys = level.rows * self._vocabulary + level.tokens
        scale = level.scale
        added = level.added
        for k in range(3, length + 2):
            longer = self._level(k, numbers % self._vocabulary ** (k - 1))
            scale = scale * longer.scale
            places = torch.searchsorted(keys, longer.rows * self._vocabulary + longer.tokens)
            added = added * longer.scale[level.rows]
            added = added.index_add(0, places, longer.added)
        return Expected(scale, level.starts, level.rows, level.tokens, added)

    def _level(self, k: int, contexts: Tensor) -> Expected:
        """Return what n-grams of length k alone add, and how much of the shorter ones they leave.

        contexts  numbers of k - 1 tokens, int64 [R]
        """
        grams = self._grams[k - 1]
        sums = self._sums[k - 1]
        first = torch.searchsorted(grams, contexts * self._vocabulary)
        end = torch.searchsorted(grams, (contexts + 1) * self._vocabulary)
        types = end - first
        seen = types > 0
        total = (sums[end] - sums[first]).double() + self._smoothing * types
        scale = torch.where(seen, self._smoothing * types / total, 1.0)

        rows = torch.arange(len(contexts)).repeat_interleave(types)
        starts = torch.nn.functional.pad(types.cumsum(0), (1, 0))
        places = torch.arange(len(rows)) + (first - starts[:-1]).repeat_interleave(types)
        counts = (sums[places + 1] - sums[places]).double()
        return Expected(scale, starts, rows, grams[places] % self._vocabulary, counts / total[rows])


def _nothing(rows: int) -> Expected:
    """Return that nothing follows so many contexts but the unigrams."""
    whole = torch.ones(rows, dtype=torch.float64)
    empty = torch.empty(0, dtype=torch.int64)
    return Expected(whole, torch.zeros(rows + 1, dtype=torch.int64), empty, empty, empty.double())


def _sums_within(values: Tensor, starts: Tensor) -> Tensor:
    """Return the cumulated sums of values [E] within each row, which begin at `starts` [R + 1]."""
    sums = torch.nn.functional.pad(values.cumsum(0), (1, 0))
    before = sums[starts[:-1]].repeat_interleave(starts.diff())
    return sums[1:] - before


def _last_of(sums: Tensor, starts: Tensor) -> Tensor:
    """Return the last cumulated sum of each row, 0 where a row is empty."""
    padded = torch.nn.functional.pad(sums, (1, 0))
    return torch.where(starts.diff() > 0, padded[starts[1:]], 0.0)
