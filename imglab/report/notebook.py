"""How runs and generations show themselves in a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imglab.errors import InputError
from imglab.report.arms import read_arms
from imglab.report.build import build_page, write_report
from imglab.report.nearest import data_url, sheet_png
from imglab.report.table import metric_label, with_error
from imglab.store.reading import metric_names

if TYPE_CHECKING:
    from imglab.samples import Samples

TALL = 900
"""Screen pixels of a page within a notebook."""


class Report:
    """The page of one or many run directories; the last line of a notebook's cell shows it."""

    def __init__(self, *runs: Path | str) -> None:
        """Name the directories: of runs, side-by-side runs and sweeps."""
        self._runs = [Path(run) for run in runs]

    @property
    def html(self) -> str:
        """The page as it is now, self-contained; InputError where no generation is finished."""
        return build_page(read_arms(self._runs)).html

    def write(self, out: Path | str) -> None:
        """Write the page to a file; what is too much for one goes into a folder beside it."""
        write_report(self._runs, Path(out))

    def _repr_html_(self) -> str:
        try:
            page = self.html
        except InputError as error:
            return f"<p>{escape(str(error))}</p>"
        # A frame of its own: the page's styles and script stay out of the notebook's.
        sandbox = 'sandbox="allow-scripts"'
        style = f'style="width:100%;height:{TALL}px;border:1px solid #d0d7de"'
        return f'<iframe title="imglab report" {sandbox} {style} srcdoc="{escape(page, quote=True)}"></iframe>'


def generation_html(metrics: Mapping[str, Any], shown: Samples) -> str:
    """Return a generation's headline metrics beside their floors, over what it drew where that is images."""
    names = metric_names([metrics])
    chosen = [name for name in metrics.get("headline", ()) if name in names] or names[:8]
    head = "".join(f"<th>{escape(metric_label(name, metrics))}</th>" for name in chosen)
    floors = [metrics["floor"].get(name) for name in chosen]
    floor = "".join(
        f"<td>{'-' if one is None else with_error(one['mean'], one['sd'])}</td>" for one in floors
    )
    values = "".join(
        f"<td>{with_error(metrics.get(name), metrics.get(f'{name}_se'))}</td>" for name in chosen
    )
    table = (
        f"<table><tr><th></th>{head}</tr><tr><td>real against real</td>{floor}</tr>"
        f"<tr><td>generation {metrics['generation']}</td>{values}</tr></table>"
    )
    data = shown.data.numpy()
    if data.dtype != np.uint8 or data.ndim != 4:
        return table
    content, layout = sheet_png(data)
    width = layout["width"] * layout["scale"]
    alt = f"{layout['count']} samples of generation {metrics['generation']}"
    return f'{table}<img src="{data_url(content)}" width="{width}" alt="{alt}" style="image-rendering:pixelated">'
