"""One self-contained page that tells the story of one or many runs, from their files. No torch."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from imglab.report.arms import Arm, read_arms
from imglab.report.assets import asset, style, template
from imglab.report.calibration import calibration_tables
from imglab.report.continued import continued
from imglab.report.gallery import Gallery, collect
from imglab.report.page_charts import charts, histograms
from imglab.report.page_heading import heading
from imglab.report.page_panels import panels
from imglab.report.page_tables import tables
from imglab.report.profile import profiles
from imglab.report.warning import sweep_tables
from imglab.safe_text import without_local_paths
from imglab.store import files, hashes
from imglab.version import __version__

KEY = 16
"""Characters of the key under which a browser remembers the state of a page."""


@dataclass(frozen=True)
class Page:
    """A page and the files that go beside it, by name."""

    html: str
    beside: Mapping[str, bytes] = field(default_factory=dict)


def write_report(folders: Sequence[Path], out: Path, *, calibration: Path | None = None) -> Page:
    """Write the page of these runs to `out` and return it.

    calibration  directory of a calibration of the runs' extractor, which is shown as well

    What exceeds the size of one page goes into the folder `<name>_files/` beside it.
    """
    beside = f"{out.stem}_files"
    page = build_page(read_arms(folders), beside=beside, calibration=calibration)
    if out.parent not in folders:
        # A run that has moved away meanwhile is not made again where it was.
        files.make_folder(out.parent)

    # A run directory lists the hashes of all its files, and those of a page change with it.
    writing: Any = nullcontext()
    if (out.parent / hashes.HASH_LIST).exists():
        writing = hashes.written(out.parent, out.name, beside, made_again=True)

    with writing:
        if page.beside:
            files.make_folder(out.parent / beside)
            for name, content in page.beside.items():
                files.write_bytes(out.parent / beside / name, content)
        files.write_bytes(out, encoded(page.html))
    return page


def build_page(
    arms: Sequence[Arm],
    *,
    beside: str | None = None,
    live: str | None = None,
    calibration: Path | None = None,
    home: str | None = None,
) -> Page:
    """Return the page of these arms, of which at least one has a finished generation.

    beside  folder, relative to the page, for pictures that exceed its size; None: they are left out
    live    names the state of a run that goes on; the page asks its server for the next one
    home    the address of the table of all runs, to which the page leads back
    """
    shown = [arm for arm in arms if arm.rows]
    last = max(len(arm.rows) for arm in shown) - 1
    gallery = collect(shown, beside)
    drawn, damaged = histograms(shown)

    html = template("page.html.j2").render(
        version=__version__,
        css=style(),
        script=Markup(asset("page.js")),
        data=Markup(_script_data(arms, gallery, last, live)),
        live=live,
        home=home,
        command=_command(arms, calibration),
        last=last,
        histograms=drawn,
        **heading(arms, gallery, damaged),
        **continued(shown),
        **panels(shown, gallery),
        **charts(shown, last),
        **profiles(shown),
        **sweep_tables(shown),
        **tables(shown),
        **calibration_tables(calibration, shown),
    )
    return Page(html, gallery.beside)


def _command(arms: Sequence[Arm], calibration: Path | None) -> str:
    """Return the command that makes a page of these arms, without the folders of a machine."""
    folders = dict.fromkeys(_reported(arm) for arm in arms)
    parts = ["imglab", "report", *folders]
    if calibration is not None:
        parts += ["--calibration", without_local_paths(str(calibration))]
    return shlex.join(parts)


def _reported(arm: Arm) -> str:
    """Return the directory of an arm, or of the sweep that it belongs to."""
    folder = arm.folder
    if arm.seeds > 1:
        folder = folder.parent.parent
    return without_local_paths(str(folder))


def encoded(text: str) -> bytes:
    """Return text as UTF-8.

    Half a character, which the name of a folder may have, becomes an escape.
    """
    return text.encode("utf-8", "backslashreplace")


def _script_data(arms: Sequence[Arm], gallery: Gallery, last: int, live: str | None) -> str:
    """Return what the page's script needs, as JSON for a script element."""
    names = "\n".join(arm.name for arm in arms)
    key = hashlib.sha256(encoded(names)).hexdigest()[:KEY]

    return _script_json(
        {
            "key": f"imglab {key}",
            "last": last,
            "live": live,
            "sheets": gallery.sheets,
            "arms": gallery.arms,
            "real": gallery.real,
            "inline": gallery.inline,
        }
    )


def _script_json(value: Any) -> str:
    """Encode a value so that nothing in it can end the script element or a line of script."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return encoded(text).decode()
