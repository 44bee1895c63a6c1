"""How likely a causal language model finds a text."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from imglab.text.ngram_lookup import NgramLookup
from imglab.text.ngram_network import NgramForCausalLM
from imglab.training.threads import Threads

AT_ONCE = 1 << 24
"""How many logits a thread holds at a time."""


@dataclass(frozen=True)
class Scores:
    """What a network predicts for K tokens of each of N texts, in nats, float64 [N, K].

    log_likelihood  of the token that stands there
    entropy         of the distribution predicted there
    """

    log_likelihood: Tensor
    entropy: Tensor


@torch.inference_mode()
def score_tokens(network: PreTrainedModel, tokens: Tensor, last: int) -> Scores:
    """Score the `last` tokens of each text, each given all that stand before it.

    tokens  int64 [N, L], L > last
    """
    if isinstance(network, NgramForCausalLM):
        return Scores(*NgramLookup(network).scores(tokens, last))

    @torch.inference_mode()
    def scores(rows: range) -> tuple[Tensor, Tensor]:
        texts = tokens[rows.start : rows.stop].to(network.device)
        logits = network(texts[:, :-1], use_cache=False, logits_to_keep=last).logits.float()
        logs = logits.log_softmax(-1)
        likelihood = logs.gather(2, texts[:, -last:, None]).squeeze(2)
        entropy = torch.special.entr(logs.exp_()).sum(-1)
        return likelihood.double().cpu(), entropy.double().cpu()

    most = max(1, AT_ONCE // ((last + 1) * network.config.vocab_size))
    threads = Threads(network.device)
    parts = threads.map(scores, threads.shares(range(len(tokens)), most))
    likelihoods, entropies = zip(*parts, strict=True)
    return Scores(torch.cat(likelihoods), torch.cat(entropies))
