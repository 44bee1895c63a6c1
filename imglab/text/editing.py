"""Drawing again the tokens of a text of which a language model is all too sure."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from transformers import PreTrainedModel

from imglab import seeds
from imglab.samples import Samples
from imglab.text.inversion import invert
from imglab.text.scoring import AT_ONCE


@torch.inference_mode()
def edited_tokens(
    network: PreTrainedModel, samples: Samples, threshold: float, *, ids: int, seed: int
) -> Samples:
    """Return texts in which each token of a probability above `threshold` is drawn again.

    The probabilities are those that the network gives to the text as it was, read after its prompt
    where it has one; without one the first token stays. The new token is drawn from the same
    distribution, and the noise of text i is that of (seed, i). Zhu et al. 2024, 2412.14689.

    ids  only the first `ids` tokens of the vocabulary are drawn
    """
    texts = samples.data
    if samples.condition is not None:
        texts = torch.cat([samples.condition, texts], 1)
    first = max(1, texts.shape[1] - samples.data.shape[1])
    size = texts.shape[1] - first

    parts = []
    batch = max(1, AT_ONCE // (size * network.config.vocab_size))
    for rows in torch.arange(len(texts)).split(batch):
        generators = [seeds.generator(seed, row) for row in rows.tolist()]
        uniforms = torch.stack([torch.rand(size, generator=each) for each in generators])
        parts.append(_edited(network, texts[rows], uniforms, threshold, ids))

    edited = samples.data.clone()
    edited[:, samples.data.shape[1] - size :] = torch.cat(parts)
    return replace(samples, data=edited)


def _edited(
    network: PreTrainedModel, texts: Tensor, uniforms: Tensor, threshold: float, ids: int
) -> Tensor:
    """Return the last tokens of texts [B, L], edited: as many as there are uniforms, [B, K]."""
    texts = texts.to(network.device)
    size = uniforms.shape[1]
    tokens = texts[:, -size:].clone()
    logits = network(texts[:, :-1], use_cache=False, logits_to_keep=size).logits.float()
    likely = logits.log_softmax(-1).gather(2, tokens[..., None]).squeeze(2).exp()

    is_sure = likely > threshold
    if bool(is_sure.any()):
        uniform = uniforms.to(network.device)[is_sure]
        tokens[is_sure] = invert(logits[is_sure][:, :ids], uniform)
    return tokens.cpu()
