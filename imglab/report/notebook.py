"""How runs and generations show themselves in a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from imglab.errors import InputError
from imglab.report.arms import read_arms
from imglab.report.build import build_page, write_report
from imglab.report.nearest import is_images
from imglab.report.sheets import data_url, sheet_png
from imglab.report.table import floor_text, metric_label, value_text
from imglab.store.reading import metric_names
from imglab.store.views import View

if TYPE_CHECKING:
    from imglab.generation import Generation

TALL = 900
"""Screen pixels that a page takes within a notebook."""
FEW = 8
"""Metrics of a generation that are shown if it has no headline."""


class Report:
    """The page of one or many run directories; the last line of a notebook's cell shows it."""

    def __init__(self, *runs: Path | str) -> None:
        """Name the directories of runs, side-by-side runs and sweeps."""
        self._runs = [Path(run) for run in runs]

    @property
    def html(self) -> str:
        """The page as it is now, self-contained; InputError if no generation is finished."""
        return build_page(read_arms(self._runs)).html

    def write(self, out: Path | str) -> None:
        """Write the page to a file; what exceeds one page goes into a folder beside it."""
        write_report(self._runs, Path(out))

    def _repr_html_(self) -> str:
        try:
            page = self.html
        except InputError as error:
            return f"<p>{escape(str(error))}</p>"

        # The frame keeps the page's styles and script apart from the notebook's.
        style = f"width:100%;height:{TALL}px;border:1px solid #d0d7de"
        return (
            f'<iframe title="imglab report" sandbox="allow-scripts" style="{style}" '
            f'srcdoc="{escape(page, quote=True)}"></iframe>'
        )


class _InFolder(Protocol):
    folder: Path


def folder_view(run: _InFolder) -> str:
    """Return the page of a run, a side-by-side run or a sweep, from its directory."""
    return Report(run.folder)._repr_html_()


def generation_view(generation: Generation) -> str:
    """Return a generation's headline metrics beside their floors, over its images if it has any."""
    metrics = generation.metrics
    table = _metrics_table(metrics)
    data = generation.shown.data.numpy()
    if not is_images(data):
        return table + _continuation_text(generation)

    content, layout = sheet_png(data)
    width = layout["width"] * layout["scale"]
    alt = f"{layout['count']} samples of generation {metrics['generation']}"
    return (
        f'{table}<img src="{data_url(content)}" width="{width}" alt="{alt}" '
        'style="image-rendering:pixelated">'
    )


def _continuation_text(generation: Generation) -> str:
    """Return the opening of the panel, how it really goes on, and how the generation goes on."""
    panel = generation.store.continuation(generation.index)
    if panel is None:
        return ""

    texts = {
        "opening": panel.opening,
        "real text": panel.real,
        f"generation {generation.index}": panel.text,
    }
    return "".join(f"<p><b>{name}</b> {escape(text)}</p>" for name, text in texts.items())


def _metrics_table(metrics: Mapping[str, Any]) -> str:
    names = metric_names([metrics])
    headline = [name for name in metrics.get("headline", ()) if name in names]
    shown = headline or names[:FEW]

    head = "".join(f"<th>{escape(metric_label(name, metrics))}</th>" for name in shown)
    floor = "".join(f"<td>{floor_text(metrics, name)}</td>" for name in shown)
    values = "".join(f"<td>{value_text(metrics, name)}</td>" for name in shown)
    return (
        f"<table><tr><th></th>{head}</tr><tr><td>real against real</td>{floor}</tr>"
        f"<tr><td>generation {metrics['generation']}</td>{values}</tr></table>"
    )


VIEWS: dict[str, View] = {
    "Generation": generation_view,
    "Run": folder_view,
    "SideBySide": folder_view,
    "Sweep": folder_view,
}
"""The view of each class that inherits from `HasView`, by the name of the class."""
