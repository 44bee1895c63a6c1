"""What a budget of time allows: how many seeds, generations, halvings; how large, how long."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

from imglab.config.merge import merged
from imglab.errors import InputError, Problem
from imglab.running.budget import TRAINING, changed_budgets, cut, narrower
from imglab.running.cost import RunCost, time_text
from imglab.studies.mixing.search import FEWEST_SEEDS

FEWEST_HALVINGS = 2
SEEDS = (5, FEWEST_SEEDS)
HALVINGS = (4, 3, FEWEST_HALVINGS)
ENDS = 2
"""Chains of a seed beside those of its halvings: real data alone, and none."""

FEWEST_SAMPLES = 500
"""Real training samples that a budget leaves at least, where there are so many."""


@dataclass(frozen=True)
class Size:
    """How large each chain is.

    n_train    real training samples; None: all that the config takes
    is_narrow  whether the network is half as wide as the config's
    """

    n_train: int | None = None
    is_narrow: bool = False

    def changes(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """Return the changes of a config with this model."""
        changed: dict[str, Any] = {}
        if self.n_train is not None:
            changed["modality"] = {"n_train": self.n_train}
        if self.is_narrow:
            changed["model"] = narrower(model)
        return changed


@dataclass(frozen=True)
class Plan:
    """The size of a search.

    training  by what share of the config's budgets fits are trained
    size      of each chain
    """

    seeds: int
    generations: int
    halvings: int
    training: float = 1.0
    size: Size = Size()

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Plan:
        """Return a plan as `asdict` wrote it; older ones have no size."""
        return cls(**{**stored, "size": Size(**stored.get("size", {}))})

    @property
    def chains(self) -> int:
        """Return how many chains there are at most."""
        return self.seeds * (ENDS + self.halvings)

    def seconds(self, cost: RunCost) -> float:
        """Return how long it takes, one chain after the other.

        cost  of one chain of this size, whose generations and training are the config's
        """
        short = cut(cost, self.generations, self.training)
        # All chains share what is done once, but each writes its page.
        once = sum(stage.seconds for stage in short.stages if not stage.generation)
        return once + self.chains * (short.seconds - once)

    @property
    def described(self) -> str:
        """The plan in words."""
        parts = [
            f"{self.seeds} seeds, each with at most {self.chains // self.seeds} chains of "
            f"{self.generations} generations",
            f"shares to within {2.0**-self.halvings:g}",
            f"{TRAINING[self.training]} of the config's training",
        ]
        if self.size.n_train is not None:
            parts.append(f"{self.size.n_train:,} real training samples")
        if self.size.is_narrow:
            parts.append("a network half as wide as the config's")
        return ", ".join(parts)

    def changes(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """Return the changes of a config with this model that make its chains smaller."""
        changed = self.size.changes(model)
        narrow = changed.get("model", {})
        # Of several models each has its whole section in the changes, those of its width included.
        short = changed_budgets(merged(model, narrow, "model"), self.training)
        return {**changed, "model": merged(narrow, short, "model")}


def sizes_of(n: int, model: Mapping[str, Any]) -> list[Size]:
    """Return the sizes that the chains of a config may have, the largest first.

    n  real training samples that it takes

    A smaller set is tried before a narrower network: an answer holds for a set of the size that it
    names, but a poor model gives none.
    """
    numbers: list[int | None] = [None]
    if n // 2 >= FEWEST_SAMPLES:
        numbers.append(n // 2)
    widths = [False, True] if narrower(model) else [False]
    return [Size(number, is_narrow) for is_narrow, number in product(widths, numbers)]


def plan_for(
    budget: float,
    cost_of: Callable[[Size], RunCost],
    generations: int,
    fewest: int = 2,
    sizes: Sequence[Size] = (Size(),),
) -> tuple[Plan, RunCost]:
    """Return the best plan that takes at most `budget` seconds, and the cost of its chains.

    Training is shortened last, since a poor model says little; before it come halvings, seeds and
    generations, and then the size. Raises InputError where the smallest plan takes longer.

    cost_of      returns the cost of one chain of a size, in the config's generations
    generations  those of the config
    fewest       generations that the criterion asks for
    sizes        that may be chosen, the best first
    """
    cost_of = cache(cost_of)
    fewest = min(fewest, generations)
    lengths = sorted({generations, max(fewest, min(generations, 3)), fewest}, reverse=True)
    for training, size, length in product(TRAINING, sizes, lengths):
        for seeds, halvings in product(SEEDS, HALVINGS):
            plan = Plan(seeds, length, halvings, training, size)
            if plan.seconds(cost_of(size)) <= budget:
                return plan, cost_of(size)

    smallest = Plan(FEWEST_SEEDS, fewest, FEWEST_HALVINGS, min(TRAINING))
    needed = min(smallest.seconds(cost_of(size)) for size in sizes)
    what = f"{time_text(budget)} do not suffice: the smallest search takes {time_text(needed)}"
    remedy = "raise it, or choose a config with a smaller network or fewer samples"
    raise InputError(Problem("--budget", what, remedy))
