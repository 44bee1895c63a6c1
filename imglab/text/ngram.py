"""The cheap learner: counts of n-grams, in a second. Its tail dies exactly as theory says."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from imglab.errors import InputError, Problem
from imglab.model import GenerativeModel
from imglab.progress import Progress, Stage
from imglab.samples import TrainingSet
from imglab.text.decoding_settings import SamplingSettings
from imglab.text.model import TextModel
from imglab.text.ngram_lookup import NgramLookup
from imglab.text.ngram_network import NgramForCausalLM
from imglab.text.readers import Reader
from imglab.text.settings import NgramSettings

BATCH = 1 << 14
"""Samples counted at a time."""


class NgramModel(TextModel):
    """Counts n-grams within samples and backs off to shorter contexts.

    The model that a fit starts from makes no difference.
    """

    kind = "ngram"
    _settings: NgramSettings
    settings_class = NgramSettings

    @staticmethod
    def _open_network(
        settings: NgramSettings, tokenizer: PreTrainedTokenizerBase, block: int
    ) -> None:
        longest = _longest(len(tokenizer), block)
        if settings.order > longest:
            ngrams = f"n-grams of {settings.order} tokens out of {len(tokenizer)}"
            what = f"{ngrams} do not fit 64 bits, or the block"
            raise InputError(Problem("model.order", what, f"at most {longest}"))

    @property
    def window(self) -> int:
        """How many tokens a prompt and its continuation have."""
        return 2 * self._block

    def reader(self) -> Reader:
        """Return what reads with a memory of n - 1 tokens."""
        network = self.network
        memory = max(1, self._settings.order - 1)
        context: Tensor | None = None

        def read(tokens: Tensor) -> Tensor:
            nonlocal context
            if context is not None:
                tokens = torch.cat([context, tokens], 1)
            context = tokens[:, -memory:]
            logits: Tensor = network(context, logits_to_keep=1).logits[:, -1]
            return logits

        return read

    def _sample(self, prompts: Tensor, uniforms: Tensor, decoding: SamplingSettings) -> Tensor:
        """Continue prompts; where nothing changes the probabilities, without a number for each."""
        plain = decoding.top_k is None and decoding.top_p == 1 and not self._processors()
        if not plain or decoding.temperature * self._settings.sampling_bias != 1:
            return super()._sample(prompts, uniforms, decoding)

        lookup = NgramLookup(self.network)
        text = prompts.cpu()
        for uniform in uniforms.unbind(1):
            text = torch.cat([text, lookup.draw(text, uniform)[:, None]], 1)
        return text[:, prompts.shape[1] :]

    def fit(
        self,
        train: TrainingSet,
        *,
        start: GenerativeModel | None,
        seed: int,
        resume: dict[str, Tensor] | None = None,
    ) -> Stage[GenerativeModel]:
        """Count the n-grams of each length in `train`."""
        settings = self._settings
        vocabulary = len(self.tokenizer)
        counts: list[tuple[Tensor, Tensor]] = []

        for rows in torch.arange(len(train)).split(BATCH):
            of_batch = _count(train.rows(rows).data, vocabulary, settings.order)
            if counts:
                pairs = zip(counts, of_batch, strict=True)
                counts = [_add_counts(one, two) for one, two in pairs]
            else:
                counts = of_batch
            yield Progress("fit", int(rows[-1]) + 1, len(train))

        network = NgramForCausalLM.counted(counts, vocabulary, settings.smoothing)
        return NgramModel(
            settings,
            network=network,
            tokenizer=self.tokenizer,
            block=self._block,
            training={"samples_seen": len(train), "budget": "exact"},
        )


def _longest(vocabulary: int, block: int) -> int:
    """Return the longest n-gram that fits a block and whose number fits 63 bits.

    The number is in base `vocabulary`.
    """
    n = 1
    while n < block and vocabulary ** (n + 1) < 2**63:
        n += 1
    return n


def _count(tokens: Tensor, vocabulary: int, order: int) -> list[tuple[Tensor, Tensor]]:
    """Return the n-grams of each length up to `order` in texts, int64 [N, T], and their counts.

    An n-gram is a number in base `vocabulary`; they are in rising order.
    """
    grams = tokens
    counts = [torch.unique(grams, return_counts=True)]
    for k in range(2, order + 1):
        grams = grams[:, :-1] * vocabulary + tokens[:, k - 1 :]
        counts.append(torch.unique(grams, return_counts=True))
    return counts


def _add_counts(one: tuple[Tensor, Tensor], two: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Add two counts of n-grams, (numbers in rising order, counts)."""
    grams, places = torch.unique(torch.cat([one[0], two[0]]), return_inverse=True)
    counts = torch.zeros_like(grams).index_add_(0, places, torch.cat([one[1], two[1]]))
    return grams, counts
