"""From a model's next-token logits to text: sampling with noise that belongs to each sample, and beam search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from imglab.hub import quiet


class Reader(Protocol):
    """Reads on: takes the next tokens, int64 [B, L], returns the logits of the token after all read so far, [B, V]."""

    def __call__(self, tokens: Tensor) -> Tensor:  # noqa: D102
        ...


def sample_tokens(
    read: Reader,
    prompts: Tensor,
    uniforms: Tensor,
    *,
    temperature: float,
    top_k: int | None,
    top_p: float,
    ids: int,
    process: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Tensor:
    """Continue each prompt, int64 [B, P], by as many tokens as it has uniforms, float [B, T] in [0, 1).

    Token t of sample i is where the cumulated distribution, after temperature, top-k and top-p, passes uniforms[i, t]:
    a sample depends on its own noise alone. Only the first `ids` tokens of the vocabulary are drawn. `process`, such
    as a watermark, changes their logits first, given the last tokens.
    """
    drawn, tokens = [], prompts
    for uniform in uniforms.to(prompts.device).unbind(1):
        logits = read(tokens)[:, :ids].float()
        if process is not None:
            logits = process(tokens, logits)
        tokens = invert(logits / temperature, uniform, top_k=top_k, top_p=top_p)[:, None]
        drawn.append(tokens)
    return torch.cat(drawn, 1)


def invert(logits: Tensor, uniform: Tensor, *, top_k: int | None = None, top_p: float = 1.0) -> Tensor:
    """Return the token, int64 [B], where the cumulated distribution of logits [B, V] passes `uniform` [B].

    top_k keeps the k most likely tokens, top_p of these the fewest whose probabilities sum to p (Holtzman et al.
    2020); what is kept is drawn from in proportion.
    """
    if top_k is None and top_p == 1:
        return _passed(logits.softmax(-1).cumsum(-1, dtype=torch.float64), uniform)
    likely, order = logits.topk(min(top_k, logits.shape[1])) if top_k else logits.sort(dim=-1, descending=True)
    cumulated = likely.softmax(-1).cumsum(-1, dtype=torch.float64)
    if top_p < 1:
        last = (cumulated < top_p).sum(-1, keepdim=True).clamp(max=cumulated.shape[1] - 1)
        cumulated = torch.minimum(cumulated, cumulated.gather(1, last))
    return order.gather(1, _passed(cumulated, uniform)[:, None]).squeeze(1)


def _passed(cumulated: Tensor, uniform: Tensor) -> Tensor:
    """First place whose cumulated probability, float64 [B, V], is above uniform times the whole."""
    level = uniform.double()[:, None] * cumulated[:, -1:]
    found = torch.searchsorted(cumulated, level, right=True).squeeze(1)
    return found.clamp(max=cumulated.shape[1] - 1)


def search_beams(network: PreTrainedModel, prompts: Tensor, length: int, *, beams: int, ids: int) -> Tensor:
    """Return the most likely continuations of `length` tokens, int64 [B, length], that beam search finds.

    The token that ends a document is one like any other: text goes on after it.
    """
    beyond = list(range(ids, network.config.vocab_size))
    plan = GenerationConfig(
        max_new_tokens=length,
        min_new_tokens=length,
        num_beams=beams,
        do_sample=False,
        pad_token_id=0,
        suppress_tokens=beyond or None,
    )
    own, network.generation_config = network.generation_config, GenerationConfig()
    try:
        with quiet():
            found: Tensor = network.generate(prompts, attention_mask=torch.ones_like(prompts), generation_config=plan)
    finally:
        network.generation_config = own
    return found[:, prompts.shape[1] :]
