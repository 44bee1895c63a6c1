"""Perplexities and entropies: a generation's model on real text, and its text under generation 0's model."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from imglab.measures import Measures
from imglab.model import GenerativeModel
from imglab.samples import Samples
from imglab.text.model import TextModel
from imglab.text.scoring import Scores, score_tokens
from imglab.text.statistics import mean_and_error

OF_THE_MODEL = ("perplexity", "bits_per_byte", "reference_perplexity", "entropy")
MOST = 700.0
"""Nats above which exp overflows."""


def members_measures(
    samples: Samples,
    held_out: Tensor,
    tokenizer: PreTrainedTokenizerBase,
    *,
    model: GenerativeModel,
    generation0: GenerativeModel,
) -> Measures:
    """Measure a model, or each member of a population on what it drew itself.

    Of a population: the mean over its members, and a table of them under `<name>_by_source`. The reference is the
    first member of generation 0, for all.
    """
    reference, members = generation0.members[0], model.members
    usable = [member for member in members if isinstance(member, TextModel)]
    if len(usable) < len(members) or not isinstance(reference, TextModel):
        reason = "the model is no causal language model"
        return Measures(dict.fromkeys(OF_THE_MODEL), dict.fromkeys(OF_THE_MODEL, reason))
    if len(usable) == 1:
        return model_measures(samples, held_out, tokenizer, model=usable[0], generation0=reference)
    found = [
        Measures.joined(
            [
                _on_real_text(held_out, tokenizer, member),
                _entropy(samples[samples.source == at], member),
            ]
        )
        for at, member in enumerate(usable)
    ]
    values: dict[str, Any] = {}
    for name in (name for name in OF_THE_MODEL if name in found[0].values):
        each = [measures.values[name] for measures in found]
        values[name] = None if None in each else sum(each) / len(each)
        values[f"{name}_by_source"] = {str(at): value for at, value in enumerate(each)}
    reasons = Measures.joined(found).reasons
    return Measures.joined(
        [Measures(values, reasons), _under_generation0(samples, held_out, reference)]
    )


def model_measures(
    samples: Samples,
    held_out: Tensor,
    tokenizer: PreTrainedTokenizerBase,
    *,
    model: TextModel,
    generation0: TextModel,
) -> Measures:
    """Measure what a model expects, with its own network and generation 0's (`generation0`).

    perplexity            of `model` on held-out real text, int64 [M, T], joined to its windows: exp of the mean
                          negative log-likelihood of each token given those before it in the window
    bits_per_byte         the same in bits, per byte of the text: compares between tokenizers
    reference_perplexity  of the samples under `generation0`, each read without its prompt; per sample too. Its floor is
                          that of held-out real blocks
    entropy               mean entropy, in nats, of what `model` expects next as it reads its own samples; before
                          temperature and truncation ("free-running entropy")
    """
    parts = (
        _on_real_text(held_out, tokenizer, model),
        _under_generation0(samples, held_out, generation0),
        _entropy(samples, model),
    )
    return Measures.joined(parts)


def _on_real_text(
    held_out: Tensor, tokenizer: PreTrainedTokenizerBase, model: TextModel
) -> Measures:
    windows = _windows(held_out, model.window)
    nats, error = mean_and_error(
        _surprise(score_tokens(model.network, windows, windows.shape[1] - 1))
    )
    found = _perplexity("perplexity", nats, error)
    size = len(str(tokenizer.decode(held_out.flatten(), skip_special_tokens=True)).encode())
    if found.reasons or not size:
        reason = found.reasons.get("perplexity", "the held-out text has no bytes")
        return Measures.joined(
            [found, Measures({"bits_per_byte": None}, {"bits_per_byte": reason})]
        )
    bits = held_out.numel() / size / math.log(2)  # per byte, for each nat per token
    spread = {} if error is None else {"bits_per_byte_se": error * bits}
    return Measures.joined([found, Measures({"bits_per_byte": nats * bits, **spread})])


def _under_generation0(samples: Samples, held_out: Tensor, generation0: TextModel) -> Measures:
    surprise = _surprise(score_tokens(generation0.network, samples.data, samples.data.shape[1] - 1))
    found = _perplexity("reference_perplexity", *mean_and_error(surprise))
    natural = _surprise(score_tokens(generation0.network, held_out, held_out.shape[1] - 1))
    real = _perplexity("mean", float(natural.mean()), None).values["mean"]
    spread = float(natural.std()) / len(samples) ** 0.5 if len(natural) > 1 else 0.0
    floor = {"reference_perplexity": None if real is None else {"mean": real, "sd": real * spread}}
    return Measures.joined(
        [found, Measures(per_sample={"reference_perplexity": surprise.exp().float()}, floor=floor)]
    )


def _entropy(samples: Samples, model: TextModel) -> Measures:
    read, length = samples.data, samples.data.shape[1]
    if samples.condition is not None:
        read = torch.cat([samples.condition, read], 1)
    mean, error = mean_and_error(
        score_tokens(model.network, read, min(length, read.shape[1] - 1)).entropy.mean(1)
    )
    if not math.isfinite(mean):
        return Measures({"entropy": None}, {"entropy": f"came out as {mean}"})
    return Measures({"entropy": mean} if error is None else {"entropy": mean, "entropy_se": error})


def _windows(blocks: Tensor, window: int) -> Tensor:
    """Join blocks that follow each other, int64 [M, T], to windows, int64 [M', window]; the rest is dropped."""
    join = max(1, min(window // blocks.shape[1], len(blocks)))
    return blocks[: len(blocks) // join * join].reshape(-1, join * blocks.shape[1])


def _surprise(scores: Scores) -> Tensor:
    """Mean negative log-likelihood of each text, in nats a token, float64 [N]."""
    return -scores.log_likelihood.mean(1)


def _perplexity(name: str, nats: float, error: float | None) -> Measures:
    if not nats < MOST:
        return Measures(
            {name: None}, {name: "a token has probability 0: the perplexity is infinite"}
        )
    value = math.exp(nats)
    return Measures({name: value} if error is None else {name: value, f"{name}_se": value * error})
