"""A page over many runs, served to this machine alone: the table, and the page of any of them."""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, quote, urlsplit

from markupsafe import Markup

from imglab.errors import InputError, Stopped
from imglab.report.assets import asset, style, template
from imglab.report.local_server import Site, send
from imglab.report.overview import Ending, Glance, Overview, overview
from imglab.report.table import number_text
from imglab.report.view_changes import NotHere, changed
from imglab.store.listing import runs_below
from imglab.store.pruned import FILES
from imglab.version import __version__

MOST_COMPARED = 50
"""Runs that one page compares at most."""
UNITS = ("B", "kB", "MB", "GB", "TB")


class RunsView(Site):
    """Serves the table of the runs below a folder on 127.0.0.1; use it as a context manager.

    It only reads, unless `deletes`: then the page may delete or prune runs that nobody writes.
    """

    takes_posts: ClassVar[bool] = True

    def __init__(self, root: Path, port: int = 0, *, deletes: bool = False) -> None:
        """Listen on a port; 0: on any that is free. InputError if another program has it."""
        runs_below(root)  # says at once if there is no such folder
        self._root = root
        self._token = ""
        if deletes:
            self._token = secrets.token_urlsafe(16)

        # One page is built at a time, whoever asks: a page of images takes memory.
        self._building = threading.Lock()
        super().__init__(port, "--port")

    def await_readers(self, *, failed: bool) -> None:
        """Wait for nothing: each page is sent whole when it is asked for."""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer a browser's request for the table, for a page of runs, or for a change."""
        asked = urlsplit(request.path)
        status = HTTPStatus.OK
        kind = "text/html"
        try:
            with self._building:
                if request.command == "POST":
                    kind = "application/json"
                    content = changed(request, asked.path, self._token, self._folders)
                elif asked.path == "/":
                    content = table_page(overview(self._root), self._token)
                elif asked.path == "/runs":
                    content = self._page_of(asked.query)
                elif asked.path in ("/map", "/claims"):
                    content = self._study_page(asked.path, asked.query)
                else:
                    raise NotHere("there is nothing at this address")
        except (InputError, Stopped, OSError) as error:
            status = getattr(error, "status", HTTPStatus.CONFLICT)
            content = _refusal(str(error), kind)
        send(request, status, content, f"{kind}; charset=utf-8", framed=False)

    def _page_of(self, query: str) -> bytes:
        """Return the page of the runs, sweeps and side-by-side runs that a query names."""
        # What builds a page needs far more than the table does.
        from imglab.report.arms import read_arms
        from imglab.report.build import build_page, encoded

        labels = parse_qs(query, errors="surrogateescape").get("run", [])
        if len(labels) > MOST_COMPARED:
            raise NotHere(f"a page compares at most {MOST_COMPARED} runs")
        return encoded(build_page(read_arms(self._folders(labels)), home="/").html)

    def _study_page(self, path: str, query: str) -> bytes:
        """Return the page of the map, or of the folder of claims, that a query names.

        It is built from their data: a page that a stranger sent could act as this one.
        """
        table = overview(self._root)
        label = "".join(parse_qs(query, errors="surrogateescape").get("run", [])[:1])
        folder = {"/map": table.maps, "/claims": table.claims}[path].get(label)
        if folder is None:
            raise NotHere(f"there is nothing at {label!r}; it may have been deleted")
        if path == "/map":
            from imglab.report.mapping import page_of

            return page_of(folder).encode("utf-8", "backslashreplace")

        from imglab.report.claims import claims_page

        addresses = {run.folder: _address([run.label]) for run in table.runs if run.finished}
        page = claims_page(folder, folder, lambda chain: addresses.get(folder / chain, ""))
        return page.encode("utf-8", "backslashreplace")

    def _folders(self, labels: Sequence[str]) -> list[Path]:
        """Return the directories that labels name: only those of the table, so none outside."""
        table = overview(self._root)
        folders = {**table.groups, **{run.label: run.folder for run in table.runs}}
        missing = [label for label in labels if label not in folders]
        if missing or not labels:
            raise NotHere(f"there is no run {', '.join(missing)!r}; it may have been deleted")
        return [folders[label] for label in labels]


def table_page(table: Overview, token: str = "") -> bytes:
    """Return the page of the table; with a token, it can delete and prune runs."""
    columns = table.columns
    html = template("view.html.j2").render(
        version=__version__,
        css=style() + Markup(asset("view.css")),
        script=Markup(asset("view.js")),
        title=str(table.root),
        columns=columns,
        comparable=table.comparable,
        rows=[_row(run, columns) for run in table.runs],
        studies=[
            ("Sweeps and side-by-side runs", [(each, _address([each])) for each in table.groups]),
            ("Maps", [(each, _address([each], "map")) for each in table.maps]),
            ("Claims", [(each, _address([each], "claims")) for each in table.claims]),
        ],
        bytes=size_text(sum(run.size for run in table.runs)),
        statuses=sorted({run.status for run in table.runs}),
        most=MOST_COMPARED,
        token=token,
        prunable=list(FILES),
    )
    return html.encode("utf-8", "backslashreplace")


def _row(run: Glance, columns: Mapping[str, str]) -> dict[str, Any]:
    """Return what the template shows of a run, and the values by which its cells are sorted."""
    return {
        **{key: getattr(run, key) for key in ("label", "status", "finished", "planned", "gate")},
        "note": run.note,
        "address": _address([run.label]) if run.finished else "",
        "kinds": " · ".join(filter(None, map(run.kind, ("modality", "model", "regime")))),
        "differs": [
            (key, value_text(value)) for key, value in run.differs.items() if value is not None
        ],
        "cells": [ending_cell(run.metrics.get(name)) for name in columns],
        "extractor": (run.measured or ("",))[0],
        "size": size_text(run.size),
        "bytes": run.size,
        "changed": run.changed,
        "date": date_text(run.changed),
    }


def ending_cell(ending: Ending | None) -> tuple[str, float | None]:
    """Return how a metric went, as text, and the value by which it is sorted."""
    if ending is None:
        return "", None
    if ending.last is None:
        return "undefined", None
    if ending.first is None:
        return number_text(ending.last), ending.last
    return f"{number_text(ending.first)} → {number_text(ending.last)}", ending.last


def value_text(value: Any) -> str:
    """Return a value of a config in one line."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def size_text(size: float) -> str:
    """Return a number of bytes with about two digits and its unit."""
    unit = 0
    while size >= 1000 and unit + 1 < len(UNITS):
        size /= 1000
        unit += 1
    digits = 1 if size < 10 and unit else 0
    return f"{size:.{digits}f} {UNITS[unit]}"


def date_text(seconds: float) -> str:
    """Return a time in seconds since 1970 as the local date and minute."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _address(labels: Sequence[str], page: str = "runs") -> str:
    """Return the address of the page of these runs, or of a map or of claims."""
    return f"/{page}?" + "&".join(f"run={quote(os.fsencode(label), safe='')}" for label in labels)


def _refusal(what: str, kind: str) -> bytes:
    if kind == "application/json":
        return json.dumps({"error": what}).encode()
    html = template("refusal.html.j2").render(what=what, css=style())
    return html.encode("utf-8", "backslashreplace")
