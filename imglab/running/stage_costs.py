"""What was measured of a config: the cost of each stage, whatever the generations. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from imglab.config.schema import RunConfig

PAGE = 2.5
"""Seconds that figures and page take at the end of a run of a few generations."""


@dataclass(frozen=True)
class Measured:
    """Costs of the stages of one config, in seconds of the clock and in bytes.

    prepare          once: extractor, features of the real data
    fit_first        generation 0's fit; `fit_later` is that of each later one
    grows            whether a fit takes longer in proportion to its training set
    draw             drawing what one generation draws
    measure_first    features, floor and scores of generation 0; `measure_later` of each later one
    pictures         of one generation, with all that is written and sealed
    page             figures and page at the end
    disk_generation  bytes that each generation adds, by stage
    disk_once        bytes that are written once, by stage
    memory           the most bytes at a time
    source           "an earlier run" or "a short probe"
    """

    prepare: float
    fit_first: float
    fit_later: float
    grows: bool
    draw: float
    measure_first: float
    measure_later: float
    pictures: float
    page: float
    disk_generation: Mapping[str, int]
    disk_once: Mapping[str, int]
    memory: int
    source: str

    def with_training(self, share: float) -> Measured:
        """Return the costs where fits are trained by a share of their budgets."""
        return replace(self, fit_first=self.fit_first * share, fit_later=self.fit_later * share)


def grows(config: RunConfig) -> bool:
    """Say whether a fit takes longer the more samples it trains on."""
    plans = [getattr(config.model, name, None) for name in ("training", "fine_tuning")]
    return not any(plans) or any(getattr(plan, "epochs", None) for plan in plans)
