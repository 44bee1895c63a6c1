"""How a network is trained: the budget of a fit, the learning-rate schedule and the options."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from imglab.config.section import LoraSettings, TrainingPlan

WARMUP = 0.05
"""Share of the steps over which the learning rate rises."""


@dataclass(frozen=True)
class Recipe:
    """How `fit` trains a network.

    examples       budget: how many examples a fit sees, repetitions included
    epochs         budget in passes over the training set instead; None: `examples` counts
    unit           what `examples` counts, as metrics.json names it
    batch          examples of a step
    learning_rate  the largest learning rate, reached after 5% of the steps
    decay          "cosine": it falls to a tenth along half a cosine; "linear": it falls to zero
                   along a line; "none": it stays
    optimizer      "adamw", or "muon": Muon for the matrices of hidden layers, AdamW for the rest
    weight_decay   of the optimiser
    max_norm       a gradient with a larger norm is scaled down to it; inf: none is
    ema            decay of the moving average of the weights, which the fit returns in place of
                   the last weights; None: there is no average
    half_life      the average's half-life as a share of the steps, in place of `ema`
    bf16           whether the loss is computed in mixed precision (autocast to bfloat16)
    compile        whether the network is compiled for the fit (`torch.compile`)
    channels_last  whether the weights of convolutions lie in memory with their channels last
    shard_blocks   whether FSDP puts together one block of layers at a time. False: the whole
                   network, where parts of a block are used from outside of it
    lora           train adapters of low rank in place of the weights, merged at the end of a fit
    lora_task      the task for which `peft` wraps the network, such as "CAUSAL_LM"
    """

    examples: float = 50_000
    epochs: float | None = None
    unit: str = "samples"
    batch: int = 128
    learning_rate: float = 1e-3
    decay: Literal["cosine", "linear", "none"] = "cosine"
    optimizer: Literal["adamw", "muon"] = "adamw"
    weight_decay: float = 1e-2
    max_norm: float = 1.0
    ema: float | None = None
    half_life: float | None = None
    bf16: bool = False
    compile: bool = False
    channels_last: bool = False
    shard_blocks: bool = True
    lora: LoraSettings | None = None
    lora_task: str | None = None

    @classmethod
    def from_plan(cls, plan: TrainingPlan, *, examples: float, unit: str) -> Recipe:
        """Return the recipe that a config's plan describes, all other options at their defaults.

        examples  the plan's budget in examples; `unit` names what the plan counts it in
        """
        return cls(
            examples=examples,
            epochs=plan.epochs,
            unit=unit,
            batch=plan.batch,
            learning_rate=plan.learning_rate,
            decay=plan.decay,
            optimizer=plan.optimizer,
        )

    @property
    def budget(self) -> str:
        """The unit in which the budget is given: "epochs", or `unit`."""
        if self.epochs:
            return "epochs"
        return self.unit

    def steps(self, in_epoch: int) -> int:
        """Return how many steps spend the budget, at least one.

        in_epoch  examples in one pass over the training set
        """
        examples = self.examples
        if self.epochs:
            examples = self.epochs * in_epoch
        return max(1, round(examples / self.batch))

    def learning_rate_at(self, progress: float) -> float:
        """Return the learning rate after this share of the steps, `progress` in [0, 1)."""
        if progress < WARMUP:
            return self.learning_rate * ((progress + 1e-3) / WARMUP)
        if self.decay == "none":
            return self.learning_rate

        after_warmup = (progress - WARMUP) / (1 - WARMUP)
        if self.decay == "linear":
            return self.learning_rate * (1 - after_warmup)
        return self.learning_rate * (0.55 + 0.45 * math.cos(math.pi * after_warmup))

    def averaging_decay(self, steps: int) -> float | None:
        """Return by what the average of the weights decays in each of so many steps.

        None: there is no average.
        """
        if self.half_life is None:
            return self.ema
        return float(0.5 ** (1 / (self.half_life * steps)))
