"""What a sweep says of early warnings and contrasts, as plain text and for the page. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from imglab.errors import InputError
from imglab.report.arms import Arm
from imglab.report.ranking import excess_text, ranking_columns, ranking_rows
from imglab.safe_text import one_line
from imglab.store.layout import SWEEP

COLUMNS = (
    "arm",
    "alarm",
    "events",
    "warned",
    "late",
    "missed",
    "lead",
    "p",
    "holm",
    "verdict",
)
CONTRASTS = ("question", "estimate", "95% interval", "p", "corrected (Holm)", "seeds", "verdict")


def format_warning(warning: Mapping[str, Any]) -> str:
    """Return a sweep's early warning as text: the event, a line for each alarm, false alarms."""
    lines = [f"early warning that {event_text(warning['event'])}"]
    rows = [COLUMNS, *alarm_rows(warning)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(COLUMNS))]
    for row in rows:
        cells = [f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())

    lines.append(f"false alarms in {one_line(warning['control'])}:")
    lines += [f"  {line}" for line in false_alarm_lines(warning)]
    tests = sum(len(arm["alarms"]) for arm in warning["arms"].values())
    lines.append(f"p: Fisher's exact test against false alarms; holm: corrected for {tests} tests")
    return "\n".join(lines)


def event_text(event: Mapping[str, Any]) -> str:
    """Say in words what an event is."""
    metric = one_line(event["metric"])
    threshold = f"{event['threshold']:g}"
    of = {
        "generation0": f"{threshold} times its value in generation 0",
        "floor": f"{threshold} standard deviations off its floor",
        "absolute": threshold,
    }[event["relative_to"]]
    return f"{metric} {event['direction']} beyond {of}"


def alarm_rows(warning: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield the cells of each alarm in each arm."""
    for name, arm in warning["arms"].items():
        events = sum(event is not None for event in arm["events"])
        seeds = f"{events} of {len(arm['events'])}"

        for metric, alarm in arm["alarms"].items():
            if "at" not in alarm:
                reason = one_line(alarm["reason"])
                yield (one_line(name), one_line(metric), seeds, *[""] * 6, reason)
                continue

            counts = [str(alarm[key]) for key in ("warned", "late", "missed")]
            numbers = (lead_text(alarm), _p(alarm["p"]), _p(alarm["p_holm"]))
            yield (one_line(name), one_line(metric), seeds, *counts, *numbers, alarm["verdict"])


def lead_text(alarm: Mapping[str, Any]) -> str:
    """Write the median lead; a bound has a sign of its own, and without a median there is `-`."""
    if alarm["lead"] is None:
        return "-"
    text = f"{alarm['lead']:g}"
    if alarm["lead_at_least"]:
        return f">={text}"
    return text


def false_alarm_lines(warning: Mapping[str, Any]) -> Iterator[str]:
    """Yield how often each alarm, and any of them, was false."""
    rates = {**warning["false_alarms"], "any of them": warning["any_false_alarm"]}
    for metric, rate in rates.items():
        if rate["alarms"] is None:
            yield f"{one_line(metric)}: not known, with too few control seeds or none that differ"
            continue
        interval = f"{rate['low']:.0%} to {rate['high']:.0%}"
        yield f"{one_line(metric)}: {rate['alarms']} of {rate['seeds']} seeds (95%: {interval})"


def sweep_tables(arms: Sequence[Arm]) -> dict[str, Any]:
    """Return the sweeps' part of the template's values: contrasts and warnings of each."""
    folders = {arm.folder.parent.parent: None for arm in arms if arm.seeds > 1}
    tables = [_sweep_table(folder) for folder in folders if (folder / SWEEP).is_file()]
    return {"sweep_tables": tables}


def _sweep_table(folder: Path) -> dict[str, Any]:
    """Return the tables of a sweep, or what is wrong with its files: the rest is still shown."""
    # This imports scipy.stats, which takes longer than to build the page of a run.
    from imglab.studies.sweeps.results import summary_of

    try:
        summary = summary_of(folder)
    except InputError as error:
        return {"title": folder.name, "note": str(error)}

    warning = summary["warning"]
    return {
        "title": folder.name,
        "contrast_columns": CONTRASTS,
        "contrasts": [_contrast(answer) for answer in summary["contrasts"]],
        "columns": COLUMNS,
        "event": event_text(warning["event"]),
        "alarms": list(alarm_rows(warning)),
        "false_alarms": list(false_alarm_lines(warning)),
        "methods": [summary["method"], warning["method"]],
        **_ranking_table(summary.get("ranking")),
    }


def _ranking_table(ranking: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the ranking's part of a sweep's tables; nothing where the sweep has none."""
    if ranking is None:
        return {}
    if not ranking["arms"]:
        return {"ranking_note": f"No ranking: {ranking['reason']}."}
    return {
        "ranking_note": f"Generation {ranking['generation']}, {excess_text(ranking)}.",
        "ranking_columns": ranking_columns(ranking),
        "ranking": list(ranking_rows(ranking)),
        "ranking_method": ranking["method"],
    }


def _contrast(answer: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the cells of a contrast."""
    one, two = answer["arms"]
    question = f"{answer['metric']}, {one} against {two}"
    estimate = ""
    interval = ""
    if answer.get("estimate") is not None:
        estimate = f"{answer['estimate']:.3g} ({answer['scale']})"
        ends = [answer["low"], answer["high"]]
        interval = " to ".join("unbounded" if end is None else f"{end:.3g}" for end in ends)

    ps = (_p(answer.get("p")), _p(answer.get("p_holm")))
    return (question, estimate, interval, *ps, str(answer["n"]), answer["verdict"])


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2g}"
