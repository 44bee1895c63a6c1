"""Training a causal language model on windows of tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from imglab.config.section import LoraSettings
from imglab.progress import Stage
from imglab.samples import Samples, TrainingSet
from imglab.text.dropout import dropout
from imglab.text.settings import TextTrainingSettings
from imglab.training.batches import WEIGHT
from imglab.training.devices import device
from imglab.training.fit import Fitted, fit
from imglab.training.moving import weighted_mean
from imglab.training.recipe import Recipe
from imglab.training.trainer import Batch


@dataclass(frozen=True)
class NextToken:
    """Trains a network to predict each token of a window from those before it.

    truncate  tokens of a higher probability are left out (`imglab.remedies.truncated_loss`)
    """

    window: int
    device: torch.device
    truncate: float = 1.0

    def batch(self, samples: Samples, step: int) -> Batch:
        """Return the windows of a batch, int64 [B, window]; nothing in it is random."""
        return {"tokens": samples.data.view(-1, self.window).to(self.device)}

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the mean cross-entropy of all tokens but the first of each window, in nats."""
        tokens = batch["tokens"]
        logits = network(input_ids=tokens, use_cache=False).logits
        predicted = logits[:, :-1].float().flatten(0, 1)
        weights = batch.get(WEIGHT)
        if weights is None and self.truncate == 1:
            return nn.functional.cross_entropy(predicted, tokens[:, 1:].flatten())

        surprise = nn.functional.cross_entropy(predicted, tokens[:, 1:].flatten(), reduction="none")
        if self.truncate < 1:
            surprise = surprise * (surprise >= -math.log(self.truncate))
        return weighted_mean(surprise.view(len(tokens), -1), weights)


def fit_network(
    network: PreTrainedModel,
    train: TrainingSet,
    plan: TextTrainingSettings,
    *,
    join: int,
    seed: int,
    lora: LoraSettings | None = None,
    bf16: bool = False,
    drop: float = 0.0,
    truncate: float = 1.0,
    resume: dict[str, Tensor] | None = None,
) -> Stage[Fitted]:
    """Train `network` in place on windows of `join` successive samples.

    The budget of the plan counts tokens.

    drop      dropout rate of networks that have none of their own
    truncate  tokens of a higher probability are left out of the loss
    """
    objective = NextToken(join * train.shape[0], device(), truncate)
    recipe = Recipe.from_plan(plan, examples=plan.tokens / objective.window, unit="tokens")
    recipe = replace(
        recipe, weight_decay=plan.weight_decay, bf16=bf16, lora=lora, lora_task="CAUSAL_LM"
    )

    # Measured for windows of 128 tokens in bf16 on a CPU: attention that is written out is 1.8
    # times as fast as fused attention.
    attention = network.config._attn_implementation
    if bf16 and objective.device.type == "cpu":
        network.set_attn_implementation("eager")

    with dropout(network, drop):
        fitted = yield from fit(
            network, objective, train, recipe, join=join, seed=seed, resume=resume, in_threads=True
        )
    fitted.network.set_attn_implementation(attention)
    return fitted
