"""Perplexities and entropies: a generation's model on real text, its text under generation 0's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from imglab.measures import Measures
from imglab.model import GenerativeModel
from imglab.samples import Samples
from imglab.text.model import TextModel
from imglab.text.scoring import score_tokens
from imglab.text.statistics import mean_and_error

OF_THE_MODEL = ("perplexity", "bits_per_byte", "reference_perplexity", "entropy")

MOST_NATS = 700.0
"""Nats above which exp overflows."""

NOT_A_LANGUAGE_MODEL = "the model is no causal language model"
INFINITE = "a token has probability 0: the perplexity is infinite"


def likelihood_metrics(
    samples: Samples,
    held_out: Tensor,
    tokenizer: PreTrainedTokenizerBase,
    *,
    model: GenerativeModel,
    generation0: GenerativeModel,
) -> Measures:
    """Measure a model, or each member of a population on its own samples.

    A population has the mean over its members, and the value of each under `<name>_by_source`. The
    reference of all members is the first member of generation 0.
    """
    reference = generation0.members[0]
    members = [member for member in model.members if isinstance(member, TextModel)]
    if len(members) < len(model.members) or not isinstance(reference, TextModel):
        reasons = dict.fromkeys(OF_THE_MODEL, NOT_A_LANGUAGE_MODEL)
        return Measures(dict.fromkeys(OF_THE_MODEL), reasons)

    if len(members) == 1:
        return model_metrics(samples, held_out, tokenizer, model=members[0], generation0=reference)

    of_members = []
    for number, member in enumerate(members):
        drawn = samples[samples.source == number]
        on_real_text = _real_text_metrics(held_out, tokenizer, member)
        of_members.append(Measures.joined([on_real_text, _entropy_metrics(drawn, member)]))
    under_reference = _reference_metrics(samples, held_out, reference)
    return Measures.joined([_population_metrics(of_members), under_reference])


def model_metrics(
    samples: Samples,
    held_out: Tensor,
    tokenizer: PreTrainedTokenizerBase,
    *,
    model: TextModel,
    generation0: TextModel,
) -> Measures:
    """Measure what a model expects, with its own network and with that of generation 0's model.

    perplexity            of `model` on held-out real text, int64 [M, T], joined to windows: exp of
                          the mean negative log-likelihood of each token, given those before it in
                          the window
    bits_per_byte         the same in bits, per byte of the text: comparable between tokenizers
    reference_perplexity  of the samples under `generation0`, each read without its prompt; per
                          sample too. Its floor is that of held-out real blocks
    entropy               mean entropy, in nats, of what `model` expects next as it reads its own
                          samples; before temperature and truncation ("free-running entropy")
    """
    # The order is that of metrics.json.
    parts = [
        _real_text_metrics(held_out, tokenizer, model),
        _reference_metrics(samples, held_out, generation0),
        _entropy_metrics(samples, model),
    ]
    return Measures.joined(parts)


def _population_metrics(of_members: Sequence[Measures]) -> Measures:
    """Return the mean over the members of a population, and the value of each."""
    values: dict[str, Any] = {}
    for name in OF_THE_MODEL:
        if name not in of_members[0].values:
            continue

        column = [measures.values[name] for measures in of_members]
        values[name] = None
        if None not in column:
            values[name] = sum(column) / len(column)
        values[f"{name}_by_source"] = {str(number): value for number, value in enumerate(column)}
    return Measures(values, Measures.joined(of_members).reasons)


def _real_text_metrics(
    held_out: Tensor, tokenizer: PreTrainedTokenizerBase, model: TextModel
) -> Measures:
    """Return `perplexity` and `bits_per_byte`."""
    nats, error = mean_and_error(_nats(model, _windows(held_out, model.window)))
    perplexity = _perplexity("perplexity", nats, error)

    text = str(tokenizer.decode(held_out.flatten(), skip_special_tokens=True))
    size = len(text.encode())
    reason = perplexity.reasons.get("perplexity")
    if reason is None and not size:
        reason = "the held-out text has no bytes"
    if reason is not None:
        undefined = Measures({"bits_per_byte": None}, {"bits_per_byte": reason})
        return Measures.joined([perplexity, undefined])

    bits = held_out.numel() / size / math.log(2)  # per byte, for each nat per token
    values = {"bits_per_byte": nats * bits}
    if error is not None:
        values["bits_per_byte_se"] = error * bits
    return Measures.joined([perplexity, Measures(values)])


def held_out_nats(held_out: Tensor, model: GenerativeModel) -> float | None:
    """Return the mean negative log-likelihood of held-out real text [M, T], in nats per token.

    A population has the mean over its members. None: a member is no language model, or the mean is
    not finite.
    """
    of_members = []
    for member in model.members:
        if not isinstance(member, TextModel):
            return None
        nats, _ = mean_and_error(_nats(member, _windows(held_out, member.window)))
        of_members.append(nats)

    mean = sum(of_members) / len(of_members)
    return mean if math.isfinite(mean) else None


def _reference_metrics(samples: Samples, held_out: Tensor, generation0: TextModel) -> Measures:
    """Return `reference_perplexity`, its floor and its value for each sample."""
    of_samples = _nats(generation0, samples.data)
    perplexity = _perplexity("reference_perplexity", *mean_and_error(of_samples))
    per_sample = {"reference_perplexity": of_samples.exp().float()}

    floor = {"reference_perplexity": _floor(_nats(generation0, held_out), len(samples))}
    return Measures.joined([perplexity, Measures(per_sample=per_sample, floor=floor)])


def _floor(nats: Tensor, samples: int) -> dict[str, float] | None:
    """Return the perplexity of real texts, nats float64 [M], and the error of so many samples."""
    mean = float(nats.mean())
    if not mean < MOST_NATS:
        return None

    deviation = 0.0
    if len(nats) > 1:
        deviation = float(nats.std()) / samples**0.5
    perplexity = math.exp(mean)
    return {"mean": perplexity, "sd": perplexity * deviation}


def _entropy_metrics(samples: Samples, model: TextModel) -> Measures:
    """Return `entropy`, taken after the prompts if there are any."""
    tokens = samples.data
    if samples.condition is not None:
        tokens = torch.cat([samples.condition, tokens], 1)

    last = min(samples.data.shape[1], tokens.shape[1] - 1)
    entropy = score_tokens(model.network, tokens, last).entropy.mean(1)
    mean, error = mean_and_error(entropy)
    if not math.isfinite(mean):
        return Measures({"entropy": None}, {"entropy": f"came out as {mean}"})

    values = {"entropy": mean}
    if error is not None:
        values["entropy_se"] = error
    return Measures(values)


def _windows(blocks: Tensor, window: int) -> Tensor:
    """Join successive blocks, int64 [M, T], to windows, int64 [M', window]; the rest is dropped."""
    join = max(1, min(window // blocks.shape[1], len(blocks)))
    whole = len(blocks) // join * join
    return blocks[:whole].reshape(-1, join * blocks.shape[1])


def _nats(model: TextModel, tokens: Tensor) -> Tensor:
    """Return the mean negative log-likelihood of texts [N, T], in nats per token, float64 [N]."""
    scores = score_tokens(model.network, tokens, tokens.shape[1] - 1)
    return -scores.log_likelihood.mean(1)


def _perplexity(name: str, nats: float, error: float | None) -> Measures:
    """Return exp(nats) and its standard error by the delta method; undefined if it is infinite."""
    if not nats < MOST_NATS:
        return Measures({name: None}, {name: INFINITE})

    perplexity = math.exp(nats)
    values = {name: perplexity}
    if error is not None:
        values[f"{name}_se"] = perplexity * error
    return Measures(values)
