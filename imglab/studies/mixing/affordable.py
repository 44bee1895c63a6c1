"""The search that a budget of time affords, by the measured cost of its chains."""

from __future__ import annotations

from imglab.running.build import build
from imglab.running.cost import RunCost, estimate, estimate_of
from imglab.studies.mixing.plan import Plan, Size, plan_for
from imglab.studies.mixing.request import Request


def affordable(request: Request, budget: float) -> tuple[Plan, float]:
    """Return the best search that takes at most `budget` seconds, and how long it will take.

    A size is probed when no search of the sizes before it fits. Raises InputError where the
    smallest search takes longer.
    """
    whole = request.of_size(Size())
    experiment = build(whole, request.where)
    n = len(experiment.modality.real("train"))

    def cost_of(size: Size) -> RunCost:
        if size == Size():
            return estimate_of(experiment, whole)
        return estimate(request.of_size(size), request.where)

    generations = request.plan.generations
    fewest = request.fewest_generations
    plan, cost = plan_for(budget, cost_of, generations, fewest, request.sizes(n))
    return plan, plan.seconds(cost)
