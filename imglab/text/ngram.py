"""The cheap learner: counts of n-grams, in a second; its tail dies exactly as theory says."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from imglab.errors import InputError, Problem
from imglab.model import GenerativeModel
from imglab.progress import Progress, Stage
from imglab.samples import TrainingSet
from imglab.text.decoding import Reader
from imglab.text.model import TextModel
from imglab.text.ngram_network import NgramForCausalLM
from imglab.text.settings import NgramSettings

BATCH = 1 << 14


class NgramModel(TextModel):
    """Counts n-grams within samples and backs off to shorter contexts; where it starts from makes no difference."""

    kind = "ngram"
    _settings: NgramSettings
    settings_class = NgramSettings

    @staticmethod
    def _checked(settings: NgramSettings, tokenizer: PreTrainedTokenizerBase, block: int) -> None:
        longest = _longest(len(tokenizer), block)
        if settings.order > longest:
            what = f"n-grams of {settings.order} tokens out of {len(tokenizer)} do not fit 64 bits, or the block"
            raise InputError(Problem("model.order", what, f"at most {longest}"))

    @property
    def window(self) -> int:
        """A prompt and its continuation."""
        return 2 * self._block

    def reader(self) -> Reader:
        """Read with a memory of n - 1 tokens."""
        network, memory = self.network, max(1, self._settings.order - 1)
        before: Tensor | None = None

        def read(tokens: Tensor) -> Tensor:
            nonlocal before
            before = (tokens if before is None else torch.cat([before, tokens], 1))[:, -memory:]
            logits: Tensor = network(before, logits_to_keep=1).logits[:, -1]
            return logits

        return read

    def fit(
        self,
        train: TrainingSet,
        *,
        start: GenerativeModel | None,
        seed: int,
        resume: dict[str, Tensor] | None = None,
    ) -> Stage[GenerativeModel]:
        """Count the n-grams of each length in `train`."""
        vocabulary = len(self.tokenizer)
        found: list[tuple[Tensor, Tensor]] = []
        for rows in torch.arange(len(train)).split(BATCH):
            tokens = train.rows(rows).data
            grams = tokens
            for k in range(1, self._settings.order + 1):
                if k > 1:
                    grams = grams[:, :-1] * vocabulary + tokens[:, k - 1 :]
                counted = torch.unique(grams, return_counts=True)
                if len(found) < k:
                    found.append(counted)
                else:
                    found[k - 1] = _merged(found[k - 1], counted)
            yield Progress("fit", int(rows[-1]) + 1, len(train))
        network = NgramForCausalLM.counted(found, vocabulary, self._settings.smoothing)
        training = {"samples_seen": len(train), "budget": "exact"}
        return NgramModel(
            self._settings,
            network=network,
            tokenizer=self.tokenizer,
            block=self._block,
            training=training,
        )


def _longest(vocabulary: int, block: int) -> int:
    """Return the longest n-gram whose number, in base `vocabulary`, fits 63 bits and that fits a block."""
    n = 1
    while n < block and vocabulary ** (n + 1) < 2**63:
        n += 1
    return n


def _merged(one: tuple[Tensor, Tensor], two: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Add counts of n-grams, (numbers in rising order, counts)."""
    keys, places = torch.unique(torch.cat([one[0], two[0]]), return_inverse=True)
    return keys, torch.zeros_like(keys).index_add_(0, places, torch.cat([one[1], two[1]]))
