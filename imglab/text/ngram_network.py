"""An n-gram model as a causal network of transformers: sorted counts that are looked up.

Importing this module registers the network with transformers' Auto classes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GenerationMixin,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import CausalLMOutput


class NgramConfig(PreTrainedConfig):  # type: ignore[misc]
    """Sizes of an n-gram model.

    order      n
    smoothing  weight of the shorter context, in tokens for each different token seen after the
               longer one
    entries    how many different n-grams of each length there are, from 1 to n
    """

    model_type = "imglab_ngram"

    vocab_size: int = 2
    order: int = 1
    smoothing: float = 1.0
    entries: list[int] | None = None
    use_cache: bool = False
    num_hidden_layers: int = 0


class NgramForCausalLM(PreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """Interpolated back-off from n-grams to shorter ones.

    P_k(w | c) = (count(c w) + s types(c) P_k-1(w | c')) / (count(c) + s types(c))

    c' is c without its first token, P_0 is uniform, types(c) counts the different tokens seen
    after c, and s is the smoothing: 1 is Witten and Bell 1991; with 0 a context that was seen is
    used alone. Where c was not seen, P_k is P_k-1.

    Buffers `grams_k`, int64 [E], are the n-grams of length k as numbers in base `vocab_size`, in
    rising order; `sums_k`, int64 [E + 1], are their cumulated counts.
    """

    config_class = NgramConfig
    _no_split_modules = ()

    def __init__(self, config: NgramConfig) -> None:
        super().__init__(config)
        for k, entries in enumerate(config.entries or [0] * config.order, start=1):
            self.register_buffer(f"grams_{k}", torch.zeros(entries, dtype=torch.int64))
            self.register_buffer(f"sums_{k}", torch.zeros(entries + 1, dtype=torch.int64))
        self.post_init()

    @classmethod
    def counted(
        cls, grams: list[tuple[Tensor, Tensor]], vocabulary: int, smoothing: float
    ) -> NgramForCausalLM:
        """Make a network from counts.

        grams  for each length from 1 to n: the n-grams in rising order, and their counts, both
               int64 [E]
        """
        config = NgramConfig(
            vocab_size=vocabulary,
            order=len(grams),
            smoothing=smoothing,
            entries=[len(numbers) for numbers, _ in grams],
            dtype="float32",
        )

        network = cls(config)
        for k, (numbers, counts) in enumerate(grams, start=1):
            network.get_buffer(f"grams_{k}").copy_(numbers)
            network.get_buffer(f"sums_{k}")[1:] = counts.cumsum(0)
        network.eval()
        return network

    @property
    def device(self) -> torch.device:
        """Where the counts lie."""
        counts: Tensor = self.get_buffer("grams_1")
        return counts.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the logits; there are no parameters."""
        return torch.float32

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        logits_to_keep: int = 0,
        **_: Any,
    ) -> CausalLMOutput:
        """Return log-probabilities of the next token as logits, float32 [B, L, V].

        logits_to_keep  return those after the last so many tokens only; 0: after all
        """
        rows, length = input_ids.shape
        device = input_ids.device
        vocabulary = self.config.vocab_size
        keep = min(logits_to_keep, length) or length

        probabilities = torch.full((rows * keep, vocabulary), 1 / vocabulary, device=device)
        self._blend_unigrams(probabilities)

        context = torch.zeros(rows * keep, dtype=torch.int64, device=device)
        for k in range(2, self.config.order + 1):
            # The token k - 1 places back joins at the front of the context, where there is one.
            places = torch.arange(length - keep, length, device=device) - (k - 2)
            exists = (places >= 0).repeat(rows)
            joined = input_ids[:, places.clamp(min=0)].flatten()
            context = context + joined * vocabulary ** (k - 2)
            self._blend(probabilities, k, context, exists)
        return CausalLMOutput(logits=probabilities.log().view(rows, keep, -1))

    def _blend_unigrams(self, probabilities: Tensor) -> None:
        """Turn P_0 into P_1, in place: the same for all contexts."""
        grams = self.get_buffer("grams_1")
        sums = self.get_buffer("sums_1")
        weight = self.config.smoothing * len(grams)
        total = sums[-1] + weight
        probabilities.mul_(weight / total)
        probabilities[:, grams] += sums.diff() / total

    def _blend(self, probabilities: Tensor, k: int, context: Tensor, exists: Tensor) -> None:
        """Turn P_k-1 into P_k, in place, where the context was seen.

        context  numbers of k - 1 tokens, int64 [R]
        exists   whether there are so many tokens, bool [R]
        """
        grams = self.get_buffer(f"grams_{k}")
        sums = self.get_buffer(f"sums_{k}")
        vocabulary = self.config.vocab_size

        # The n-grams that begin with a context lie side by side.
        first = torch.searchsorted(grams, context * vocabulary)
        end = torch.searchsorted(grams, (context + 1) * vocabulary)
        seen = (exists & (end > first)).nonzero().flatten()
        first = first[seen]
        end = end[seen]

        types = end - first
        weight = self.config.smoothing * types
        total = (sums[end] - sums[first] + weight).float()
        shorter = torch.ones(len(context), device=context.device)
        shorter[seen] = weight / total
        probabilities.mul_(shorter[:, None])

        # One row for each n-gram that begins with one of the contexts.
        rows = seen.repeat_interleave(types)
        offsets = (first - (types.cumsum(0) - types)).repeat_interleave(types)
        places = torch.arange(len(rows), device=rows.device) + offsets
        counts = (sums[places + 1] - sums[places]).float()
        shares = counts / total.repeat_interleave(types)
        tokens = rows * vocabulary + grams[places] % vocabulary
        probabilities.view(-1).index_add_(0, tokens, shares)

    def prepare_inputs_for_generation(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **_: Any
    ) -> dict[str, Any]:
        """Read everything anew: there is no cache, and only the last n - 1 tokens count."""
        return {"input_ids": input_ids[:, -max(1, self.config.order - 1) :], "logits_to_keep": 1}


AutoConfig.register(NgramConfig.model_type, NgramConfig, exist_ok=True)
AutoModelForCausalLM.register(NgramConfig, NgramForCausalLM, exist_ok=True)
