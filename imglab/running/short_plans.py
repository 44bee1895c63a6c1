"""Plans of fits cut to a few steps, for a probe of a config. No torch."""

from __future__ import annotations

from typing import Any

from imglab.config.section import PlugIn

STEPS = 2
"""Steps of the fit that makes the model that draws."""

BUDGETS = ("images", "tokens")
"""Keys of a training plan that say how much a fit sees."""


def shortened(section: Any) -> Any:
    """Return a model's section with a budget of a few steps; itself where it has no budget.

    Of a mixed model, all members are cut.
    """
    update: dict[str, Any] = {}
    for name in ("training", "fine_tuning"):
        plan: Any = getattr(section, name, None)
        for key in BUDGETS:
            if hasattr(plan, key):
                size = STEPS * _examples_of_step(section, plan, key)
                update[name] = plan.model_copy(update={"epochs": None, key: size})

    if not isinstance(section, PlugIn) and hasattr(section, "models"):
        update["models"] = [shortened(member) for member in section.models]
    if not update:
        return section
    return section.model_copy(update=update)


def _examples_of_step(section: Any, plan: Any, key: str) -> int:
    """Return how much of its budget a step uses up, at least."""
    if key == "tokens":
        return int(plan.batch) * int(getattr(section, "window", None) or 1024)
    return int(plan.batch)


def steps_of_fit(section: Any) -> int:
    """Return how many steps a fit of a model takes, by the budgets of its section; 0: unknown.

    Of a mixed model, the longest fit counts.
    """
    steps = [steps_of_fit(member) for member in getattr(section, "models", ())]
    plan: Any = getattr(section, "training", None)
    for key in BUDGETS:
        size = getattr(plan, key, None)
        if isinstance(size, int) and plan.epochs is None:
            steps.append(size // _examples_of_step(section, plan, key))
    return max(steps, default=0)
