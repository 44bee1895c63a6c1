"""Which form, and how many generations and chains of it, fit into a budget of time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from math import ceil

from imglab.config.merge import merged
from imglab.errors import InputError, Problem
from imglab.running.budget import TRAINING, changed_budgets, cut
from imglab.running.cost import RunCost, StageCost, time_text
from imglab.running.proposal.forms import Form

GENERATIONS = 6
FEWEST = 3
LENGTHS = (6, 4, FEWEST)

REGIMES = ("replace", "accumulate", "tenth_real")
"""Chains to compare, the first of which runs alone where there is time for one."""

SECTIONS = {"tenth_real": {"kind": "mix", "real_fraction": 0.1}}
"""What a chain's regime is, where its name does not say it."""

MARGIN = 0.8
"""Share of the budget that is planned for: an estimate may be too low."""


@dataclass(frozen=True)
class Candidate:
    """A size of an experiment.

    training  share of the recipe's budgets by which fits are trained
    chains    how many regimes are compared
    """

    form: Form
    training: float
    generations: int
    chains: int

    @property
    def regimes(self) -> tuple[str, ...]:
        """Names of the chains."""
        return REGIMES[: self.chains]

    @property
    def described(self) -> str:
        """What was chosen, in a line."""
        text = f"{self.form.described}, {self.generations} generations, "
        text += f"{TRAINING[self.training]} of the recipe's training, regime {REGIMES[0]}"
        if self.chains > 1:
            text += f" beside {' and '.join(self.regimes[1:])}"
        return text

    def tree(self) -> dict[str, object]:
        """Return the config, without its name: one chain, or several under `chains`."""
        model = self.form.tree["model"]
        short = changed_budgets(model, self.training)
        sections = merged(self.form.tree, {"model": short}, "config")
        tree: dict[str, object] = {"generations": self.generations, "regime": REGIMES[0]}
        if self.chains > 1:
            chains = {name: {"regime": SECTIONS.get(name, name)} for name in self.regimes}
            tree = {"generations": self.generations, "chains": chains}
        return {**tree, **sections}

    def seconds(self, cost: RunCost) -> float:
        """Return how long all of it takes; `cost` is that of a chain of full size and training."""
        return self.chains * self.cost(cost).seconds

    def cost(self, cost: RunCost) -> RunCost:
        """Return the cost of one chain; `cost` is that of a chain of full size and training."""
        return cut(cost, self.generations, self.training)

    def shortfall(self, cost: RunCost, budget: str) -> str:
        """Say that its models are trained for less than the recipe's time, and what would do.

        "" where they are trained as the recipe is, with which generation 0 was seen to be good.
        """
        if self.training == 1.0:
            return ""
        whole = Candidate(self.form, 1.0, FEWEST, 1)
        needed = budget_text(whole.seconds(cost) / MARGIN)
        what = f"a budget of {budget} is too short to train generation 0 as the recipe does"
        return f"{what}; it may be a poor model, as its gate will say: about {needed} would do"


@dataclass
class Choice:
    """Probes forms as far as the choice needs it.

    probe  returns the cost of a chain of a form
    """

    forms: Sequence[Form]
    wide: Form | None
    probe: Callable[[Form], RunCost]
    _costs: dict[str, RunCost] = field(default_factory=dict)

    def best(self, budget: float) -> tuple[Candidate, RunCost]:
        """Return the best candidate that takes at most `budget` seconds, and its chain's cost.

        The smallest form is probed first, and what it says of the others is believed until they
        are probed themselves. Raises InputError where nothing fits, with what would.
        """
        for candidate in self._candidates():
            expected = self._expected(candidate.form)
            if candidate.seconds(expected) > MARGIN * budget:
                continue
            cost = self._probed(candidate.form)
            if candidate.seconds(cost) <= MARGIN * budget:
                return candidate, cost

        smallest = Candidate(self.forms[-1], min(TRAINING), FEWEST, 1)
        needed = smallest.seconds(self._probed(smallest.form)) / MARGIN
        what = f"{time_text(budget)} do not suffice for these data on this machine"
        remedy = f"the smallest chain fits into about {budget_text(needed)}"
        raise InputError(Problem("--budget", what, f"give more: {remedy}"))

    def _candidates(self) -> Iterator[Candidate]:
        """Yield what to try, the best first: a model that is trained well comes before all else."""
        if self.wide is not None:
            yield Candidate(self.wide, 1.0, GENERATIONS, len(REGIMES))
        chains = range(len(REGIMES), 0, -1)
        for training, form, number, length in product(TRAINING, self.forms, chains, LENGTHS):
            # A short comparison says less than a longer chain.
            if number == 1 or length > FEWEST:
                yield Candidate(form, training, length, number)

    def _probed(self, form: Form) -> RunCost:
        if form.described not in self._costs:
            self._costs[form.described] = self.probe(form)
        return self._costs[form.described]

    def _expected(self, form: Form) -> RunCost:
        """Return what a form costs: as it was probed, or as the smallest one was."""
        if form.described in self._costs:
            return self._costs[form.described]
        smallest = self.forms[-1]
        return scaled(self._probed(smallest), smallest.factors, form.factors)


def scaled(cost: RunCost, before: Mapping[str, float], after: Mapping[str, float]) -> RunCost:
    """Return the cost of a form from that of another one, whose factors are `before`."""
    stages: list[StageCost] = []
    for stage in cost.stages:
        factor = after.get(stage.name, 1.0) / before.get(stage.name, 1.0)
        each = tuple(seconds * factor for seconds in stage.generation)
        stages.append(replace(stage, seconds=stage.seconds * factor, generation=each))
    return replace(cost, stages=tuple(stages))


def budget_text(seconds: float) -> str:
    """Write a time as `--budget` takes it, rounded up.

    >>> [budget_text(50), budget_text(61), budget_text(9000)]
    ['50s', '2m', '150m']
    """
    if seconds <= 60:
        return f"{ceil(seconds)}s"
    return f"{ceil(seconds / 60)}m"
