"""What a budget of time allows: how many seeds, generations and halvings, and how much training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from imglab.errors import InputError, Problem
from imglab.running.budget import TRAINING, changed_budgets, cut
from imglab.running.cost import RunCost, time_text
from imglab.studies.mixing.search import FEWEST_SEEDS

FEWEST_HALVINGS = 2
SEEDS = (5, FEWEST_SEEDS)
HALVINGS = (4, 3, FEWEST_HALVINGS)
ENDS = 2
"""Chains of a seed beside those of its halvings: real data alone, and none."""


@dataclass(frozen=True)
class Plan:
    """The size of a search.

    training  by what share of the config's budgets fits are trained
    """

    seeds: int
    generations: int
    halvings: int
    training: float = 1.0

    @property
    def chains(self) -> int:
        """Return how many chains there are at most."""
        return self.seeds * (ENDS + self.halvings)

    def seconds(self, cost: RunCost) -> float:
        """Return how long it takes, one chain after the other; `cost` is that of one as it is."""
        short = cut(cost, self.generations, self.training)
        # All chains share what is done once, but each writes its page.
        once = sum(stage.seconds for stage in short.stages if not stage.generation)
        return once + self.chains * (short.seconds - once)

    def changes(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """Return the changes of the model's section that shorten its fits."""
        return changed_budgets(model, self.training)


def plan_for(budget: float, cost: RunCost, generations: int, fewest: int = 2) -> Plan:
    """Return the best plan that takes at most `budget` seconds.

    Training is shortened last, since a poor model says little; before it come halvings, seeds and
    generations. Raises InputError where the smallest plan takes longer.

    cost         of one chain of the config
    generations  those of the config
    fewest       generations that the criterion asks for
    """
    fewest = min(fewest, generations)
    lengths = sorted({generations, max(fewest, min(generations, 3)), fewest}, reverse=True)
    smallest = Plan(FEWEST_SEEDS, fewest, FEWEST_HALVINGS, min(TRAINING))

    for training, length, seeds, halvings in product(TRAINING, lengths, SEEDS, HALVINGS):
        plan = Plan(seeds, length, halvings, training)
        if plan.seconds(cost) <= budget:
            return plan

    needed = smallest.seconds(cost)
    what = f"{time_text(budget)} do not suffice: the smallest search takes {time_text(needed)}"
    remedy = "raise it, or choose a config with a smaller network or fewer samples"
    raise InputError(Problem("--budget", what, remedy))
