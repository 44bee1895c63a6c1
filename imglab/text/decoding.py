"""From a model's next-token logits to text: sampling with noise that belongs to each sample, and beam search."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from transformers import DynamicCache, GenerationConfig, PreTrainedModel

from imglab.training.hub import quiet


class Reader(Protocol):
    """Reads on: takes the next tokens, int64 [B, L], returns the logits of the token after all read so far, [B, V]."""

    def __call__(self, tokens: Tensor) -> Tensor:  # noqa: D102
        ...


PROBE, PART = 6, 3
"""Tokens read to see how a network reads, and how many of them first."""


def cached_reader(network: PreTrainedModel) -> Reader:
    """Read on with a key-value cache."""
    named = (
        "cache" if "cache" in inspect.signature(network.forward).parameters else "past_key_values"
    )
    kept = {
        named: DynamicCache(config=network.config)
    }  # newer versions of transformers call it `cache`

    def read(tokens: Tensor) -> Tensor:
        logits: Tensor = network(tokens, **kept, use_cache=True, logits_to_keep=1).logits[:, -1]
        return logits

    return read


def whole_reader(network: PreTrainedModel) -> Reader:
    """Read everything again for each token: for networks that keep what they have read in no key-value cache."""
    seen: list[Tensor] = []

    def read(tokens: Tensor) -> Tensor:
        seen[:] = [torch.cat([*seen, tokens], 1)]
        logits: Tensor = network(seen[0], use_cache=False).logits[:, -1]
        return logits

    return read


@torch.inference_mode()
def reads_with_cache(network: PreTrainedModel) -> bool:
    """Say whether a network, given a key-value cache, reads on as it reads all at once.

    Some take no cache, or keep one of their own, and pass over the keyword without a word. Raises ValueError for a
    network whose logits depend on tokens that come later: it cannot continue text.
    """
    tokens = torch.arange(1, PROBE + 1, device=network.device)[None] % network.config.vocab_size
    whole = network(tokens, use_cache=False).logits
    begun = network(tokens[:, :PART], use_cache=False).logits
    if not _alike(whole[:, PART - 1], begun[:, -1]):
        raise ValueError("it looks at the tokens that come after: it is no causal language model")
    try:
        read = cached_reader(network)
        read(tokens[:, :PART])
        for at in range(PART, PROBE):
            logits = read(tokens[:, at : at + 1])
    except (TypeError, ValueError, AttributeError, IndexError, RuntimeError, NotImplementedError):
        return False
    return _alike(logits, whole[:, -1])


def _alike(one: Tensor, two: Tensor) -> bool:
    scale = float((two - two.mean()).abs().max()) or 1.0
    return float((one - two).abs().max()) <= 1e-3 * scale


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


def invert(
    logits: Tensor, uniform: Tensor, *, top_k: int | None = None, top_p: float = 1.0
) -> Tensor:
    """Return the token, int64 [B], where the cumulated distribution of logits [B, V] passes `uniform` [B].

    top_k keeps the k most likely tokens, top_p of these the fewest whose probabilities sum to p (Holtzman et al.
    2020); what is kept is drawn from in proportion.
    """
    if top_k is None and top_p == 1:
        return _passed(logits.softmax(-1).cumsum(-1, dtype=torch.float64), uniform)
    likely, order = (
        logits.topk(min(top_k, logits.shape[1])) if top_k else logits.sort(dim=-1, descending=True)
    )
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


def search_beams(
    network: PreTrainedModel,
    prompts: Tensor,
    length: int,
    *,
    beams: int,
    ids: int,
    cached: bool = True,
) -> Tensor:
    """Return the most likely continuations of `length` tokens, int64 [B, length], that beam search finds.

    The token that ends a document is one like any other: text goes on after it. `cached` as `reads_with_cache` says.
    """
    beyond = list(range(ids, network.config.vocab_size))
    plan = GenerationConfig(
        max_new_tokens=length,
        min_new_tokens=length,
        num_beams=beams,
        do_sample=False,
        pad_token_id=0,
        suppress_tokens=beyond or None,
        use_cache=cached,
    )
    own, network.generation_config = network.generation_config, GenerationConfig()
    try:
        with quiet():
            found: Tensor = network.generate(
                prompts, attention_mask=torch.ones_like(prompts), generation_config=plan
            )
    finally:
        network.generation_config = own
    return found[:, prompts.shape[1] :]
