"""What the scores of one set against another say: a few sentences, and a table. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from imglab.report.kind_of_loss import kind_of_loss
from imglab.report.table import SCALES, floor_text, metric_label, undefined_reasons, value_text
from imglab.report.values import standard_error
from imglab.report.verdict import short
from imglab.safe_text import one_line
from imglab.store.reading import is_number, metric_names, metric_value

SURE = 2.0
"""Standard errors that a difference must exceed to be reported as one."""

HARM = {
    "fid": 1,
    "precision": -1,
    "recall": -1,
    "variance_ratio": -1,
}
"""Metrics of the gate, and on which side of the floor samples are worse than real ones."""

BALLS = ("recall", "precision", "recall_bounded", "precision_bounded")
OF_SHAPE = {f"{name}_shape": name for name in ("fid", *BALLS)}
"""Metrics whose floor, where it was not drawn, is about that of another one: real data that are
matched to real data stay what they are."""

CELLS = ("metric", "score", "real against real", "95% of them")


def reading(row: Mapping[str, Any]) -> list[str]:
    """Say in sentences what a row of scores means: quality, kind of loss, copies."""
    return [*_quality(row), *_loss(row), *_copies(row)]


def _quality(row: Mapping[str, Any]) -> Iterator[str]:
    """Say whether the samples pass for real data at these sizes."""
    verdict = row["verdict"]
    reasons = "; ".join(verdict["reasons"])
    extractor = one_line(row["extractor"].partition("@")[0])
    difference = _told_apart(row)
    if verdict["verdict"] == "good":
        yield (
            f"At these sizes, and in the features of {extractor}, the synthetic samples score as "
            "real ones do: every threshold for a good model is met"
            + (f"; but {difference}." if difference else ".")
        )
    elif verdict["verdict"] == "poor" and _is_beyond_chance(row):
        yield f"The synthetic samples differ from the real ones: {reasons}."
    elif verdict["verdict"] == "poor" and difference:
        yield (
            f"The synthetic samples differ from the real ones: {difference}. Thresholds are "
            f"missed, too ({reasons}), but real data score like this against real data."
        )
    elif verdict["verdict"] == "poor":
        yield (
            "Whether the synthetic samples differ from real ones is not decided at these sizes: "
            f"{reasons}; but real data score like this against real data, too."
        )
    else:
        yield f"Whether the synthetic samples pass for real ones is not decided: {reasons}."


def _is_beyond_chance(row: Mapping[str, Any]) -> bool:
    """Say whether a metric of the gate lies where hardly any two real sets lie.

    The gate's thresholds are those of a good model. With few samples, real data miss them as well.
    """
    if not any(row["floor"].get(name) for name in HARM):
        return True
    return any(_is_outside(row, name, side) for name, side in HARM.items())


def _is_outside(row: Mapping[str, Any], name: str, side: int) -> bool:
    """Say whether a metric lies outside its floor on a side, above (1) or below (-1)."""
    floor = row["floor"].get(name)
    value = metric_value(row, name)
    if not floor or value is None:
        return False
    spread = SURE * (floor["sd"] or 0.0)
    if side > 0:
        return bool(value > max(floor.get("high") or 0.0, floor["mean"] + spread))
    return bool(value < min(floor.get("low") or floor["mean"], floor["mean"] - spread))


def _told_apart(row: Mapping[str, Any]) -> str:
    """Say that a held-out classifier tells the samples from real ones; "" where it does not."""
    if not _is_outside(row, "two_sample_auc", 1):
        return ""
    area = metric_value(row, "two_sample_auc")
    return (
        f"a classifier tells them from real ones with an area under the curve of {area:.2f}, where "
        f"real data have {row['floor']['two_sample_auc']['mean']:.2f}"
    )


def _loss(row: Mapping[str, Any]) -> Iterator[str]:
    """Say what the excess of the Fréchet distance over its floor is made of."""
    floor = row["floor"]
    if row["verdict"]["verdict"] == "good" or not floor.get("fid") or not _is_beyond_chance(row):
        return

    null: dict[str, Any] = {"variance_ratio": 1.0}
    for name in ("fid", *BALLS, *OF_SHAPE):
        of_metric = floor.get(name) or floor.get(OF_SHAPE.get(name, name))
        if of_metric:
            null |= {name: of_metric["mean"], f"{name}_se": of_metric["sd"]}
    loss = kind_of_loss([null, row])
    if loss is not None:
        yield loss.described().replace("the rise of the", "the excess of the", 1)


def _copies(row: Mapping[str, Any]) -> Iterator[str]:
    """Say whether samples are copies of real ones."""
    copies = row["copies"]
    share = metric_value(row, "duplicate_share")
    if share:
        yield f"{share:.1%} of them equal a training sample, byte for byte."

    memorization = metric_value(row, "memorization")
    error = standard_error(row, "memorization")
    if memorization is not None and memorization > 0.5 + SURE * error:
        yield (
            f"In {memorization:.0%} of pairs a synthetic sample is nearer to the training set than "
            "a held-out real one (50% where they are as real ones): they are near copies, or keep "
            "to where training samples are dense."
        )

    if copies["identical_to_held_out"]:
        yield (
            f"{copies['identical_to_held_out']:,} equal a held-out sample: the model has seen data "
            "that are held out here, so its scores are too good."
        )


def table(row: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return a line for each metric: its name, value, floor, and the range of the floor."""
    return [
        (metric_label(name, row), value_text(row, name), floor_text(row, name), _range(row, name))
        for name in metric_names([row])
    ]


def _range(row: Mapping[str, Any], name: str) -> str:
    floor = row["floor"].get(name) or {}
    if not (is_number(floor.get("low")) and is_number(floor.get("high"))):
        return ""
    scale = SCALES.get(name, 1.0)
    return f"{short(floor['low'] * scale)} to {short(floor['high'] * scale)}"


def format_score(row: Mapping[str, Any]) -> str:
    """Return notes, table and sentences as plain text."""
    lines = [*row["notes"], "", *aligned([CELLS, *table(row)])]
    sizes = f"{row['extractor']}: {row['n_real']:,} real against {row['n_synthetic']:,} synthetic"
    lines += [sizes, *(f"undefined: {reason}" for reason in undefined_reasons([row]))]
    floor = row["floor"].get("reason")
    if floor:
        lines.append(f"no floor: {floor}")
    return "\n".join([*lines, "", *row["reading"]])


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Pad cells to columns: the first at the left, the others at the right."""
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    return [
        "  ".join(
            [line[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        ).rstrip()
        for line in lines
    ]
