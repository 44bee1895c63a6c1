"""Outcomes: which numbers of a generation the errors are told apart on. No torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from imglab.config.section import Section
from imglab.errors import nearest
from imglab.store.metric_order import FIRST
from imglab.store.reading import is_number

EXCESS = "excess_"
"""Before the name of a metric: its value less the mean of its floor."""

TABLES = (
    *("recall_by_decile", "coverage_by_decile", "tenth_survival"),
    *("fid_by_judge", "precision_by_judge", "recall_by_judge"),
    *("class_survival", "class_counts", "class_counts_corrected"),
    *("precision_by_class", "recall_by_class", "word_survival", "survival"),
    *("group_counts", "recall_by_group"),
    *("facts_right_by_band", "facts_alive_by_band", "entities_alive_by_band"),
    *("fact_types_alive_by_band", "component_sigmas"),
    *("fid_by_source", "precision_by_source", "recall_by_source", "perplexity_by_source"),
)
"""Metrics that are several numbers, of which an outcome names one: `class_counts.8`."""

NAMES = (
    *FIRST,
    *TABLES,
    # Images.
    *("contrast_ratio", "colour_drift", "contrast_drift", "hue_drift", "saturation_drift"),
    *("latent_sigma", "clip_score"),
    # Classes.
    *("classes_alive", "class_agreement", "class_rejected_share"),
    *("share_disparity", "recall_disparity"),
    # Groups of a column.
    *("group_share_disparity", "group_recall_disparity", "group_accuracy", "group_rejected_share"),
    # Text.
    *("perplexity", "bits_per_byte", "reference_perplexity", "entropy", "repetition", "mauve"),
    *("distinct_1", "distinct_2", "distinct_3", "gzip_ratio", "zipf_slope", "rare_word_survival"),
    # Text of an encyclopaedia.
    *("facts_right", "facts_alive", "grammar_kept", "invented_entities"),
    *("entities_alive", "fact_types_alive"),
    # Vectors, categories and counts.
    *("variance", "mean_error", "w2", "component_sigma"),
    *("categories_alive", "heterozygosity", "collapsed"),
    # Regression and labels.
    *("test_error", "excess_risk", "norm", "accuracy", "cosine"),
    # What curation leaves.
    *("share_kept", "verifier_precision", "verifier_recall"),
)
"""Names that an outcome of a shipped kind of data may begin with."""

DEFAULTS = ("excess_fid", "variance_ratio", "recall_by_decile[0]", "perplexity")
"""Outcomes of a decomposition that names none."""

SIZED = (
    *(*FIRST, "recall_", "coverage_", "precision_", "two_sample_auc", "memorization"),
    *("class_counts", "class_survival", "classes_alive", "tenth_survival", "group_"),
    *("facts_alive", "entities_alive", "fact_types_alive"),
    *("categories_alive", "survival"),
)
"""Beginnings of the names of metrics that depend on how many samples are scored."""


class Outcome(Section):
    """A number of a generation's metrics on which effects are estimated."""

    metric: Annotated[str, Field(pattern=r"^\w+(\.[\w+-]+|\[\d+\])*$", max_length=200)]
    """Name of a metric; `excess_` before it subtracts the mean of the floor, unless the whole is a
    metric's name; `name.key` leads into a table, and `name[0]` into a list."""
    scale: Literal["linear", "log"] = "linear"
    """`log` compares logarithms: effects are ratios. The outcome must be positive everywhere."""

    @property
    def base(self) -> str:
        """The name of the metric itself: no excess, no place in a table or list."""
        whole = self.whole
        if whole in NAMES:
            return whole
        return whole.removeprefix(EXCESS)

    @property
    def whole(self) -> str:
        """The name up to a place in a table or list, with `excess_` where it begins so."""
        return re.split(r"[.\[]", self.metric, maxsplit=1)[0]

    @property
    def needs_size(self) -> bool:
        """Whether the outcome depends on how many samples are scored."""
        return self.base.startswith(SIZED)


def spelled_out(value: Any) -> Any:
    """Let the name of a metric stand for an outcome on a linear scale."""
    if isinstance(value, str):
        return {"metric": value}
    return value


def unknown(outcomes: Sequence[Outcome]) -> Iterator[tuple[int, str, str]]:
    """Yield (place, what is wrong, remedy) of each outcome that no shipped kind of data has."""
    for number, outcome in enumerate(outcomes):
        if outcome.base not in NAMES:
            yield number, f"nothing measures {outcome.metric}", nearest(outcome.base, NAMES)
        elif outcome.base in TABLES and outcome.metric == outcome.whole:
            remedy = f"name one of them, as in {outcome.base}.KEY or {outcome.base}[0]"
            yield number, f"{outcome.metric} is several numbers", remedy


def outcome_value(row: Mapping[str, Any], outcome: Outcome) -> float | None:
    """Return an outcome of a generation, before its scale; None where it is undefined."""
    first, *steps = re.findall(r"[\w+-]+", outcome.metric)
    if first in row or first == outcome.base:
        return _lead(row, [first, *steps])

    value = _lead(row, [outcome.base, *steps])
    if value is None:
        return None

    floor = _lead(row["floor"], [outcome.base, "mean"])
    if floor is None:
        return None
    return value - floor


def why_undefined(rows: Sequence[Mapping[str, Any]], outcome: Outcome) -> str:
    """Say why an outcome has no number in some of the rows."""
    reasons = {row["reasons"].get(outcome.base) for row in rows} - {None}
    if reasons:
        return str(sorted(map(str, reasons))[0])
    if all(outcome.base not in row for row in rows):
        return f"these runs do not measure {outcome.base}"
    if outcome.base != outcome.whole:
        return f"{outcome.base} or its floor is undefined in some cells"
    return "it is undefined in some cells"


def _lead(tree: Any, steps: Sequence[str]) -> float | None:
    """Return the number to which steps lead through tables and lists, if there is one."""
    for step in steps:
        if isinstance(tree, list) and step.isdecimal() and int(step) < len(tree):
            tree = tree[int(step)]
        elif isinstance(tree, Mapping):
            tree = tree.get(step)
        else:
            return None
    if is_number(tree):
        return float(tree)
    return None
