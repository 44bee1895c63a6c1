"""The form of a claim: what was published, how it is asked here, and what must hold. No torch."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from imglab.config.section import Section


class Term(Section):
    """A metric of an arm in a generation; a dotted name lies in a table, e.g. `word_survival.1`."""

    metric: str
    arm: str
    generation: Annotated[int, Field(ge=0)]
    over_floor: bool = False
    """Whether the mean of the metric's floor, real data against real data, is taken off."""


class Statement(Section):
    """A quantity, one number for each seed, and the region in which its interval must lie.

    The quantity is one of: `value`, a term; `ratio`, a term over another; `difference` of two
    terms; `ratios`, a ratio over another ratio; `differences`, a difference less another one.
    Ratios are averaged on the log scale, differences serve where a metric may be 0.
    """

    says: str
    value: Term | None = None
    ratio: Annotated[list[Term], Field(min_length=2, max_length=2)] | None = None
    difference: Annotated[list[Term], Field(min_length=2, max_length=2)] | None = None
    ratios: Annotated[list[Term], Field(min_length=4, max_length=4)] | None = None
    differences: Annotated[list[Term], Field(min_length=4, max_length=4)] | None = None
    above: float | None = None
    below: float | None = None
    in_floor_sd: bool = False
    """Whether it is in standard deviations of the floor of its first term, of differences alone."""
    bound: str = ""
    """Where the bounds come from: the paper's number, a theorem, or a margin and its reason. With
    the cause absent the quantity must lie outside, so that a region begins beyond no effect."""

    @model_validator(mode="after")
    def _one_quantity_with_bounds(self) -> Statement:
        quantities = (self.value, self.ratio, self.difference, self.ratios, self.differences)
        if len([quantity for quantity in quantities if quantity is not None]) != 1:
            raise ValueError("has one of value, ratio, difference, ratios, differences")
        if self.above is None and self.below is None:
            raise ValueError("has above, below, or both")
        if self.in_floor_sd and self.difference is None and self.differences is None:
            raise ValueError("in_floor_sd is for difference and differences")
        return self

    @property
    def terms(self) -> list[Term]:
        """The terms of its quantity."""
        if self.value is not None:
            return [self.value]
        several = self.ratio or self.difference or self.ratios or self.differences
        return list(several or ())

    @property
    def on_log_scale(self) -> bool:
        """Whether the quantity is a ratio, which is averaged by its logarithm."""
        return self.ratio is not None or self.ratios is not None

    @property
    def unit(self) -> str:
        """What the quantity is: a value, a ratio or a difference."""
        if self.on_log_scale:
            return "ratio"
        if self.value is not None:
            return "value"
        if self.in_floor_sd:
            return "standard deviations of the floor"
        return "difference"


class TheoryStatement(Section):
    """Chains of an exactly solvable model, compared with its closed form.

    Each replica starts from real data of its own.
    """

    says: str
    config: dict[str, Any]
    replicas: Annotated[int, Field(ge=20)]
    generations: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    """Generations in which the mean over replicas is compared."""
    most_z: float = 4.0
    """The statement holds if |z| of every comparison is below it."""
    wrong: dict[str, Any] = Field(default_factory=dict)
    """Keys of another config, whose law is wrong for these chains and must be rejected."""
    least_z: float = 6.0
    """It is rejected if |z| of one comparison is above this."""
    shifted: float = 1.0
    """Factor on the closed form; any value but 1 makes a claim that must fail."""


class NullRun(Section):
    """A claim with the phenomenon absent, in which it must not hold."""

    says: str
    """What is left out."""
    arms: Annotated[dict[str, str], Field(min_length=1)]
    """The arm that stands for another one. It is read with other seeds, so that an arm can stand
    beside itself."""


class Claim(Section):
    """A published claim and the statements that decide whether it holds here.

    A claim with `measured` in place of `must` has no verdict: nobody has claimed anything that
    could be refuted. Its bounds are there to be drawn.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    family: str
    question: str = ""
    """The question under which it stands in docs/claims.md."""
    source: str
    section: str = ""
    """Where in the source: section, theorem, figure."""
    claims: str
    substitutions: list[str] = Field(default_factory=list)
    refuted_by: str = ""
    """What would falsify it, in words."""
    limits: list[str] = Field(default_factory=list)
    """What the evidence does not show."""
    protocol: str | None = None
    must: list[Statement] = Field(default_factory=list)
    absent: NullRun | None = None
    theory: list[TheoryStatement] = Field(default_factory=list)
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    is_measurement: bool = False
    """Whether it is an open question: intervals are reported, and no verdict."""

    @model_validator(mode="after")
    def _is_about_something(self) -> Claim:
        if bool(self.theory) == (self.protocol is not None):
            raise ValueError("has a protocol, or theory")
        if self.protocol is not None and not self.must:
            raise ValueError("says nothing that must hold")
        if self.theory and (self.absent is not None or self.is_measurement):
            raise ValueError("is about theory: its null runs are the wrong laws")
        return self
