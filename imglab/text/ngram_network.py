"""An n-gram model as a causal network of transformers: sorted counts, looked up; nothing is learned by gradient."""

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
    smoothing  weight of the shorter context, in tokens for each different token seen after the longer one
    entries    different n-grams of each length, 1 to n
    """

    model_type = "imglab_ngram"

    vocab_size: int = 2
    order: int = 1
    smoothing: float = 1.0
    entries: list[int] | None = None
    use_cache: bool = False
    num_hidden_layers: int = 0


class NgramForCausalLM(PreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """Interpolated back-off: P_k(w | c) = (count(c w) + s types(c) P_k-1(w | c')) / (count(c) + s types(c)).

    c' is c without its first token, P_0 is uniform, types(c) counts the different tokens seen after c, s is the
    smoothing: 1 is Witten and Bell 1991; with 0 a context that was seen is used alone. Where c was not seen, P_k is
    P_k-1. Buffers `grams_k`, int64 [E], are the n-grams of length k as numbers in base `vocab_size`, in rising order;
    `sums_k`, int64 [E + 1], their cumulated counts.
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
        """Make a network from (n-grams in rising order, counts), int64 [E] each, of length 1 to n."""
        config = NgramConfig(
            vocab_size=vocabulary,
            order=len(grams),
            smoothing=smoothing,
            entries=[len(keys) for keys, _ in grams],
            dtype="float32",
        )
        made = cls(config)
        for k, (keys, counts) in enumerate(grams, start=1):
            made.get_buffer(f"grams_{k}").copy_(keys)
            made.get_buffer(f"sums_{k}")[1:] = counts.cumsum(0)
        made.eval()
        return made

    @property
    def device(self) -> torch.device:
        """Where the counts lie."""
        counts: Tensor = self.get_buffer("grams_1")
        return counts.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the logits; there are no parameters."""
        return torch.float32

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        logits_to_keep: int = 0,
        **_: Any,
    ) -> CausalLMOutput:
        """Return log-probabilities of the next token as logits, float32 [B, L, V], of the last `logits_to_keep`."""
        rows, length = input_ids.shape
        keep = min(logits_to_keep, length) or length
        vocabulary = self.config.vocab_size
        probabilities = torch.full(
            (rows * keep, vocabulary), 1 / vocabulary, device=input_ids.device
        )
        context = torch.zeros(rows * keep, dtype=torch.int64, device=input_ids.device)
        for k in range(1, self.config.order + 1):
            if k > 1:
                # The token k - 1 places back joins at the front of the context, where there is one.
                place = torch.arange(length - keep, length, device=input_ids.device) - (k - 2)
                there = (place >= 0).repeat(rows)
                joined = input_ids[:, place.clamp(min=0)].flatten()
                context = context + joined * vocabulary ** (k - 2)
            else:
                there = torch.ones(rows * keep, dtype=torch.bool, device=input_ids.device)
            self._blend(probabilities, k, context, there)
        return CausalLMOutput(logits=probabilities.log().view(rows, keep, -1))

    def _blend(self, probabilities: Tensor, k: int, context: Tensor, there: Tensor) -> None:
        """Turn P_k-1 into P_k, in place, where the context was seen."""
        grams, sums = self.get_buffer(f"grams_{k}"), self.get_buffer(f"sums_{k}")
        vocabulary, smoothing = self.config.vocab_size, self.config.smoothing
        if k == 1:  # the same for all
            counts = sums.diff()
            weight = smoothing * len(grams)
            probabilities.mul_(weight / (sums[-1] + weight))
            probabilities[:, grams] += counts / (sums[-1] + weight)
            return
        first = torch.searchsorted(grams, context * vocabulary)
        end = torch.searchsorted(grams, (context + 1) * vocabulary)
        found = (there & (end > first)).nonzero().flatten()
        first, end = first[found], end[found]
        types = end - first
        weight = smoothing * types
        total = (sums[end] - sums[first] + weight).float()
        kept = torch.ones(len(context), device=context.device)
        kept[found] = weight / total
        probabilities.mul_(kept[:, None])
        rows = found.repeat_interleave(types)
        places = torch.arange(len(rows), device=rows.device) + (
            first - (types.cumsum(0) - types)
        ).repeat_interleave(types)
        counts = (sums[places + 1] - sums[places]).float() / total.repeat_interleave(types)
        probabilities.view(-1).index_add_(0, rows * vocabulary + grams[places] % vocabulary, counts)

    def prepare_inputs_for_generation(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **_: Any
    ) -> dict[str, Any]:
        """Read everything anew: there is no cache, and only the last n - 1 tokens count."""
        return {"input_ids": input_ids[:, -max(1, self.config.order - 1) :], "logits_to_keep": 1}


AutoConfig.register(NgramConfig.model_type, NgramConfig, exist_ok=True)
AutoModelForCausalLM.register(NgramConfig, NgramForCausalLM, exist_ok=True)
