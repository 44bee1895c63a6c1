"""One self-contained page that tells the story of one or many runs, from their files. No torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

from jinja2 import Environment

import imglab
from imglab.errors import InputError
from imglab.report.arms import Arm, comparable, differences, read_arms
from imglab.report.nearest import Gallery, collect
from imglab.report.per_sample import histogram, read_per_sample
from imglab.report.survival import (
    CHANCE,
    MOST_LINES,
    SURVIVALS,
    extinction_times,
    part_of,
    survival_tables,
)
from imglab.report.svg import SHAPES, Line, histogram_chart, line_chart, stacked_chart
from imglab.report.table import metric_label, with_error
from imglab.report.verdict import count, verdict
from imglab.store import files, hashes
from imglab.store.reading import metric_names

FEW = 8
"""Charts of a group that stand open; the rest unfolds."""
LAYERS = 12
"""Generations told apart in the make-up of a training set; older ones are one layer."""
HASH = 16


@dataclass(frozen=True)
class Page:
    """A page and the files that go beside it, by name."""

    html: str
    beside: Mapping[str, bytes] = field(default_factory=dict)


def write_report(folders: Sequence[Path], out: Path) -> Page:
    """Write the page of these runs to `out`; what is too much for one page goes into `<name>_files/` beside it."""
    beside = f"{out.stem}_files"
    page = build_page(read_arms(folders), beside=beside)
    files.make_folder(out.parent)
    in_run = (out.parent / hashes.SEAL).exists()
    with hashes.written(out.parent, out.name, beside, made_again=True) if in_run else nullcontext():
        if page.beside:
            files.make_folder(out.parent / beside)
            for name, content in page.beside.items():
                files.write_bytes(out.parent / beside / name, content)
        files.write_bytes(out, encoded(page.html))
    return page


def build_page(arms: Sequence[Arm], *, beside: str | None = None, live: str | None = None) -> Page:
    """Return the page of these arms.

    beside  folder, relative to the page, for pictures that are too much for it; None: they are left out
    live    names the state of a run that goes on; the page asks its server for the next one
    """
    shown = [arm for arm in arms if arm.rows]
    gallery = collect(shown, beside)
    last = max(len(arm.rows) for arm in shown) - 1
    room = resources("imglab.report") / "page"
    data = {
        "key": "imglab "
        + hashlib.sha256(encoded("\n".join(arm.name for arm in arms))).hexdigest()[:HASH],
        "last": last,
        "live": live,
        "sheets": gallery.sheets,
        "arms": gallery.arms,
        "real": gallery.real,
        "inline": gallery.inline,
    }
    histograms, damaged = _histograms(shown)
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        (room / "page.html.j2").read_text(encoding="utf-8")
    )
    html = template.render(
        version=imglab.__version__,
        shapes=SHAPES,
        title=" · ".join(arm.name for arm in arms) if len(arms) < 5 else f"{len(arms)} arms",
        css=_raw((room / "page.css").read_text(encoding="utf-8")),
        script=_raw((room / "page.js").read_text(encoding="utf-8")),
        data=_raw(_json(data)),
        verdict=verdict(shown),
        subtitle=_subtitle(shown),
        notes=[*_notes(arms, gallery, last), *damaged],
        live=live,
        last=last,
        sweep=any(arm.bands for arm in shown),
        has_images=any(
            entry["kind"] == "images" and entry["layout"]["count"] for entry in gallery.arms
        ),
        how_shown=_how_shown(gallery),
        families=_families(shown, gallery),
        groups=[_group(shown, group, last) for group in comparable(shown)],
        origins=[_raw(chart) for chart in _origins(shown, last)],
        survivals=list(_survivals(shown, last)),
        histograms=[_raw(chart) for chart in histograms],
        tables=[_table(arm) for arm in shown],
        names=[arm.name for arm in shown],
        differences=[
            (key, [_value(value) for value in values]) for key, values in differences(shown).items()
        ],
        provenance=[_provenance(arm) for arm in shown],
    )
    return Page(html, gallery.beside)


def _raw(text: str) -> Any:
    """Mark text of our own as HTML; everything else is escaped."""
    from markupsafe import Markup

    return Markup(text)


def _json(value: Any) -> str:
    """Encode data for a script element: nothing in it can end the element or a line of script."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return encoded(text).decode()


def encoded(text: str) -> bytes:
    """Return text as UTF-8; half a character, which the name of a folder may have, becomes an escape."""
    return text.encode("utf-8", "backslashreplace")


def _subtitle(arms: Sequence[Arm]) -> str:
    first = arms[0]
    many = (
        f"{len(arms)} arms"
        if len(arms) > 1
        else f"regime {getattr(first.config.regime, 'kind', '')}"
    )
    seeds = max(arm.seeds for arm in arms)
    kinds = ", ".join(dict.fromkeys(arm.kind for arm in arms))
    longest = max(len(arm.rows) for arm in arms)
    parts = [kinds, many, f"{count(longest)}, number 0 trained on real data alone"]
    return " · ".join(
        parts + ([f"{seeds} seeds an arm, the first one is shown"] if seeds > 1 else [])
    )


def _notes(arms: Sequence[Arm], gallery: Gallery, last: int) -> Iterator[str]:
    for arm in arms:
        if arm.note:
            yield f"{arm.name}: {arm.note}" + (
                f"; shown are {count(len(arm.rows))}" if arm.rows else ""
            )
        elif not arm.rows:
            yield f"{arm.name} has no finished generation yet"
    groups = comparable(arms)
    if len(groups) > 1:
        parts = "; ".join(", ".join(arm.name for arm in group) for group in groups)
        yield f"Measured in different ways or at different sizes, so only compared within: {parts}"
    if len(gallery.inline) <= last:
        where = "lie in the folder beside it" if gallery.beside else "are left out"
        yield f"Pictures of generations {_listed(gallery.inline)} are in this page; those of the others {where}."


def _listed(numbers: Sequence[int]) -> str:
    told = ", ".join(map(str, numbers[:30]))
    return told if len(numbers) <= 30 else f"{told} ... {numbers[-1]}"


def _how_shown(gallery: Gallery) -> str:
    kinds = {entry["kind"] for entry in gallery.arms}
    told = []
    if "images" in kinds:
        told.append("Every place in a grid is the same latent in every generation.")
    if kinds & {"texts", "text"}:
        told.append("Every text continues the same prompt in every generation.")
    if kinds & {"images", "texts"}:
        told.append(
            "Arrow keys move all of it; choose one to see its history and the real data nearest to it."
        )
    else:
        told.append("Arrow keys move all of it.")
    return " ".join(told)


def _families(arms: Sequence[Arm], gallery: Gallery) -> list[list[dict[str, Any]]]:
    """Return the panels of arms that share generation 0, that one first: a list for each family."""
    families: dict[str, list[int]] = {}
    for number, entry in enumerate(gallery.arms):
        first = entry["generations"][0]
        families.setdefault(json.dumps(first.get("sheet", first)), []).append(number)
    found = []
    for numbers in families.values():
        names = [arms[number].name for number in numbers]
        of = "" if len(families) == 1 else f" of {', '.join(names)}"
        panels = [_panel(arms[numbers[0]], gallery.arms[numbers[0]], numbers[0], "pinned", of)]
        found.append(
            panels
            + [_panel(arms[number], gallery.arms[number], number, "now") for number in numbers]
        )
    return found


def _panel(
    arm: Arm, entry: Mapping[str, Any], number: int, role: str, of: str = ""
) -> dict[str, Any]:
    layout = entry["layout"] or {"width": 0, "height": 0, "scale": 1}
    unfinished = f"{len(arm.rows)} of {arm.planned} generations so far" if not arm.finished else ""
    note = entry["generations"][0]["note"] if role == "pinned" else ""
    return {
        "role": role,
        "arm": number,
        "kind": entry["kind"],
        "title": arm.name if role == "now" else f"generation 0{of}, pinned",
        "label": f"{arm.name}, the generation of the slider"
        if role == "now"
        else f"{arm.name}, generation 0",
        "colour": number if role == "now" else None,
        "unfinished": unfinished if role == "now" else "",
        "caption": note or ("trained on real data alone" if role == "pinned" else ""),
        "width": layout["width"] * layout["scale"],
        "height": layout["height"] * layout["scale"],
    }


def _group(arms: Sequence[Arm], group: Sequence[Arm], last: int) -> dict[str, Any]:
    first = group[0].rows[0]
    numbers = {arm.name: number for number, arm in enumerate(arms)}
    names = metric_names([row for arm in group for row in arm.rows])
    leading = [name for name in first.get("headline", ()) if name in names]
    ordered = [*leading, *(name for name in names if name not in leading)]
    charts = [_raw(_metric_chart(name, group, numbers, last)) for name in ordered]
    open_ones = max(len(leading), min(FEW, len(charts)))
    kinds = ", ".join(dict.fromkeys(arm.kind for arm in group))
    return {
        "title": f"What is measured: {kinds}",
        "described": (
            f"{first['extractor']}, {first['n_real']} real ({first['reference']}) against {first['n_synthetic']} "
            "synthetic samples. Grey: what real data score against real data; only what leaves it is collapse."
        ),
        "legend": [(_with_seeds(arm), numbers[arm.name]) for arm in group],
        "theory": any(arm.theory for arm in group),
        "charts": charts[:open_ones],
        "more": charts[open_ones:],
    }


def _with_seeds(arm: Arm) -> str:
    return f"{arm.name} ({arm.seeds} seeds)" if arm.bands else arm.name


def _metric_chart(name: str, group: Sequence[Arm], numbers: Mapping[str, int], last: int) -> str:
    lines = [Line(arm.name, arm.series(name), numbers[arm.name]) for arm in group]
    for expected in dict.fromkeys(tuple(arm.theory.get(name, ())) for arm in group):
        known = [(g, value, value, value) for g, value in enumerate(expected) if value is not None]
        lines.append(Line("theory", known, None))
    return line_chart(
        metric_label(name, group[0].rows[0]), lines, last, group[0].rows[0]["floor"].get(name)
    )


def _origins(arms: Sequence[Arm], last: int) -> Iterator[str]:
    for arm in arms:
        if all("origins" in row for row in arm.rows):
            made = [
                {key: count / row["n_train"] for key, count in row["origins"].items()}
                for row in arm.rows
            ]
        else:
            made = [
                {"real": row["real_share"], "earlier": 1 - row["real_share"]} for row in arm.rows
            ]
        keys = sorted(
            {key for shares in made for key in shares} - {"real"}, key=lambda key: (len(key), key)
        )
        older, recent = keys[:-LAYERS], keys[-LAYERS:]
        layers = [("real", [shares.get("real", 0.0) for shares in made])]
        if older:
            name = f"generations {older[0]} to {older[-1]}"
            layers.append((name, [sum(shares.get(key, 0.0) for key in older) for shares in made]))
        layers += [
            (
                f"generation {key}" if key.isdigit() else "earlier generations",
                [shares.get(key, 0.0) for shares in made],
            )
            for key in recent
        ]
        yield stacked_chart(arm.name, layers, last)


def _survivals(arms: Sequence[Arm], last: int) -> Iterator[dict[str, Any]]:
    for arm in arms:
        for name in survival_tables(arm.rows):
            parts = list(arm.rows[0][name])[:MOST_LINES]
            lines = [Line(part, _part(arm, name, part), at) for at, part in enumerate(parts)]
            gone = [
                f"{part} from {g}"
                for part, g in extinction_times(arm.rows, name).items()
                if g is not None
            ]
            yield {
                "chart": _raw(line_chart(arm.name, lines, last, from_zero=True)),
                "caption": SURVIVALS[name],
                "legend": [(part, at) for at, part in enumerate(parts)],
                "extinct": f"Nothing left of {', '.join(gone)}." if gone else "",
            }
            if name + CHANCE in survival_tables(arm.rows, [name + CHANCE]):
                chance = [
                    Line(part, _part(arm, name + CHANCE, part), at) for at, part in enumerate(parts)
                ]
                expected = {
                    "chart": _raw(line_chart(arm.name, chance, last, from_zero=True)),
                    "caption": "chance of any",
                }
                yield {
                    **expected,
                    "legend": [],
                    "extinct": "If each generation only drew by the shares of the last.",
                }


def _part(arm: Arm, name: str, part: str) -> list[tuple[int, float, float, float]]:
    found = [(row["generation"], part_of(row, name, part)) for row in arm.rows]
    return [(g, value, value, value) for g, value in found if value is not None]


def _histograms(arms: Sequence[Arm]) -> tuple[list[str], list[str]]:
    """Return the charts of what is known of each sample, and what could not be read."""
    charts, damaged = [], []
    for arm in arms:
        try:
            found = read_per_sample(arm.folder)
        except InputError as error:
            damaged.append(f"{arm.name}: {error}")
            continue
        for name, values in found.items():
            edges, counts = histogram(values)
            shares = {g: (column / max(1, len(values[g]))).tolist() for g, column in counts.items()}
            charts.append(
                histogram_chart(f"{arm.name}: {name.replace('_', ' ')}", edges.tolist(), shares)
            )
    return charts, damaged


def _table(arm: Arm) -> dict[str, Any]:
    first, names = arm.rows[0], metric_names(arm.rows)
    floors = [first["floor"].get(name) for name in names]
    reasons = {
        f"{name}: {reason}"
        for row in arm.rows
        for name, reason in row["reasons"].items()
        if name in names
    }
    return {
        "title": arm.name,
        "names": [metric_label(name, first) for name in names],
        "floor": [
            "-" if floor is None else with_error(floor["mean"], floor["sd"]) for floor in floors
        ],
        "rows": [
            (
                row["generation"],
                [with_error(row.get(name), row.get(f"{name}_se")) for name in names],
            )
            for row in arm.rows
        ],
        "reasons": sorted(reasons),
    }


def _provenance(arm: Arm) -> dict[str, Any]:
    seconds = arm.seconds()
    stages = list(dict.fromkeys(stage for each in seconds.values() for stage in each))
    rows = []
    for g in range(len(arm.rows)):
        told = [
            f"{seconds[g][stage]:.1f}" if stage in seconds.get(g, {}) else "" for stage in stages
        ]
        rows.append((g, told, _told(lambda g=g: str(arm.manifest(g)["self"])[:HASH])))
    return {
        "name": arm.name,
        "folder": str(arm.folder),
        "config": (arm.folder / "config.yaml").read_text(encoding="utf-8", errors="replace"),
        "environment": _told(lambda: json.dumps(arm.environment(), indent=1)),
        "stages": stages,
        "generations": rows,
    }


def _told(read: Any) -> str:
    """Return what `read` returns, or what is wrong with its file: one damaged file does not hide the others."""
    try:
        return str(read())
    except InputError as error:
        return str(error)


def _value(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)
