"""How likely a causal language model finds given text."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

AT_ONCE = 1 << 24
"""Logits held at a time."""


@dataclass(frozen=True)
class Scores:
    """Of K tokens each in N texts, float64 [N, K]: log-likelihood, and entropy of what was expected there, in nats."""

    log_likelihood: Tensor
    entropy: Tensor


@torch.inference_mode()
def score_tokens(network: PreTrainedModel, tokens: Tensor, last: int) -> Scores:
    """Score the `last` tokens of each text, int64 [N, L], L > last, given all that stand before them in it."""
    each = max(1, AT_ONCE // ((last + 1) * network.config.vocab_size))
    likelihoods, entropies = [], []
    for batch in tokens.split(each):
        given = batch.to(network.device)
        logits = network(given[:, :-1], use_cache=False, logits_to_keep=last).logits.float()
        logs = logits.log_softmax(-1)
        likelihoods.append(logs.gather(2, given[:, -last:, None]).squeeze(2).double().cpu())
        entropies.append(torch.special.entr(logs.exp_()).sum(-1).double().cpu())
    return Scores(torch.cat(likelihoods), torch.cat(entropies))
