"""The early warning of a sweep: an event, alarms that may foretell it, a control. No torch.

All of it is fixed before the sweep runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from imglab.config.section import Section

FALLS = frozenset(
    {
        "precision",
        "precision_bounded",
        "precision_probabilistic",
        "precision_shape",
        "precision_bounded_shape",
        "recall",
        "recall_bounded",
        "recall_probabilistic",
        "recall_shape",
        "recall_bounded_shape",
        "density",
        "coverage",
        "vendi",
        "variance",
        "variance_ratio",
        "contrast_ratio",
        "entropy",
        "distinct_1",
        "distinct_2",
        "distinct_3",
        "gzip_ratio",
        "rare_word_survival",
        "tenth_survival",
        "heterozygosity",
        "categories_alive",
        "classes_alive",
    }
)
"""Metrics of which less is harm."""

RISES = frozenset(
    {
        "fid",
        "fid_shape",
        "kid",
        "kid_standard",
        "w2",
        "mean_error",
        "excess_risk",
        "perplexity",
        "bits_per_byte",
        "memorization",
        "two_sample_auc",
        "duplicate_share",
        "repetition",
    }
)
"""Metrics of which more is harm."""

CHEAP = (
    "variance_ratio",
    "variance",
    "entropy",
    "vendi",
    "distinct_2",
    "repetition",
    "heterozygosity",
    "contrast_ratio",
    "coverage",
    "precision",
    "recall",
)
"""Metrics that are watched where a config names none, the first ones that there are."""
WATCHED = 3
"""How many of them: five seeds against five of the control decide few questions at a time."""

Direction = Literal["rises", "falls", "either"]
MetricName = Annotated[str, Field(min_length=1, max_length=200)]


class Event(Section):
    """What a warning is of: an outcome crosses a threshold."""

    metric: MetricName = "fid"
    """The outcome."""
    threshold: float = 2.0
    """Where the event begins, in the unit that `relative_to` says."""
    relative_to: Literal["generation0", "floor", "absolute"] = "generation0"
    """`generation0`: times its own value in generation 0; `floor`: standard deviations of the floor
    beyond its mean; `absolute`: the metric itself."""
    direction: Literal["rises", "falls"] | None = None
    """Whether the event lies above or below the threshold. Default: where the metric is worse."""

    @model_validator(mode="after")
    def _has_a_direction(self) -> Event:
        if self.direction is None and harm(self.metric) == "either":
            raise ValueError(f"needs `direction`: whether {self.metric} rises or falls is unknown")
        return self

    @property
    def side(self) -> Direction:
        """Which way counts."""
        return self.direction or harm(self.metric)


class Alarm(Section):
    """A rule on a cheap metric that is watched for a warning."""

    metric: MetricName
    direction: Direction | None = None
    """Which way counts. Default: where the metric is worse, either way if that is unknown."""
    against: Literal["control", "generation0", "floor"] = "control"
    """What the metric leaves: the band of the control's seeds in that generation, its own value in
    generation 0 with its standard error, or its floor."""
    z: Annotated[float, Field(gt=0, le=100)] = 3.0
    """Standard deviations that count as leaving; against few control seeds, the quantile of
    Student's distribution with the same chance."""
    consecutive: Annotated[int, Field(ge=1, le=1000)] = 2
    """Generations in a row for which it must have left. The alarm is that of the last of them."""

    @property
    def side(self) -> Direction:
        """Which way counts."""
        return self.direction or harm(self.metric)


def _named(value: Any) -> Any:
    """Read the name of a metric as the rule on it that has defaults."""
    if isinstance(value, str):
        return {"metric": value}
    return value


class EarlyWarning(Section):
    """Which event is foretold, by which alarms, and what shows how often they are false."""

    event: Event = Field(default_factory=Event)
    alarms: Annotated[
        list[Annotated[Alarm, BeforeValidator(_named)]] | None, Field(max_length=100)
    ] = None
    """Rules, or names of metrics. Default: three cheap metrics, the event's not among them."""
    control: Annotated[str, Field(min_length=1, max_length=200)] = "control"
    """The arm in which every alarm is a false one."""

    @field_validator("alarms")
    @classmethod
    def _different(cls, alarms: list[Alarm] | None) -> list[Alarm] | None:
        counts = Counter(alarm.metric for alarm in alarms or ())
        repeated = [name for name, count in counts.items() if count > 1]
        if repeated:
            raise ValueError(f"has {repeated[0]} twice: one rule for each metric")
        return alarms

    def rules(self, names: Collection[str]) -> list[Alarm]:
        """Return the alarms, of which the default depends on the metrics that were measured."""
        if self.alarms is not None:
            return self.alarms
        cheap = [name for name in CHEAP if name in names and name != self.event.metric]
        return [Alarm(metric=name) for name in cheap[:WATCHED]]


def harm(metric: str) -> Direction:
    """Return in which direction a metric is worse; `either` if that is unknown."""
    if metric in FALLS:
        return "falls"
    if metric in RISES:
        return "rises"
    return "either"
