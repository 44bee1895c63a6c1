"""The page of a run while it goes on, served to this machine alone."""

from __future__ import annotations

import base64
import json
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import ClassVar

from imglab.errors import InputError, Stopped
from imglab.report.arms import read_arms
from imglab.report.build import build_page, encoded
from imglab.report.local_server import Site, send
from imglab.store.groups import run_folders
from imglab.store.layout import PREVIEW, count_finished

POLLED = 6.0
"""Seconds since its last question after which a page is taken to be closed."""
PATIENCE = 5.0
"""Seconds that the end of a run waits for an open page to fetch the last generation."""
WAITING = """<!doctype html><html lang="en"><meta charset="utf-8">\
<meta http-equiv="refresh" content="2">
<title>imglab</title>\
<body style="font:16px system-ui,sans-serif;margin:3rem;color-scheme:light dark">
<p>No generation is finished yet; this page looks again every two seconds.</p>{}</body></html>"""
LOOK = """<p>What the model of generation 0 draws in the middle of its fit:</p>\
<img alt="draws of a model that is still fitted" src="data:image/png;base64,{}">"""


class LiveReport(Site):
    """Serves a run directory's page on 127.0.0.1; use it as a context manager."""

    takes_posts: ClassVar[bool] = False

    def __init__(self, folder: Path, port: int = 0) -> None:
        """Listen on a port; 0: on any that is free. InputError if another program has it."""
        self._folder = folder
        self._done = False
        self._last_asked = 0.0
        self._served_last = False

        # Several threads may ask; one at a time builds the page, and the others get the same one.
        self._building = threading.Lock()
        self._page_state = ""
        self._page = b""

        super().__init__(port, "--live")

    def await_readers(self, *, failed: bool) -> None:
        """Wait for an open page to fetch the last generation, unless the run failed."""
        self._done = True
        until = time.monotonic() + PATIENCE
        while not failed and time.monotonic() < until and self._is_awaited():
            time.sleep(0.05)

    def _is_awaited(self) -> bool:
        """Say whether a page is open that does not have the last generation yet."""
        is_open = time.monotonic() - self._last_asked < POLLED
        return is_open and not self._served_last

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer a browser's request for the page, or for the state of the run."""
        if request.path == "/":
            self._send_page(request)
        elif request.path == "/state":
            self._send_state(request)
        else:
            send(request, HTTPStatus.NOT_FOUND, b"there is only /", "text/plain")

    def _send_state(self, request: BaseHTTPRequestHandler) -> None:
        self._last_asked = time.monotonic()
        state = {"state": self._state(), "done": self._done}
        send(request, HTTPStatus.OK, json.dumps(state).encode(), "application/json")

    def _send_page(self, request: BaseHTTPRequestHandler) -> None:
        self._last_asked = time.monotonic()
        done = self._done  # as it is before the page is built: it may lack the last generation
        send(request, HTTPStatus.OK, self._html(), "text/html; charset=utf-8")
        if done:
            self._served_last = True

    def _html(self) -> bytes:
        """Return the page as it is now; it is built again only if the state has changed."""
        with self._building:
            state = self._state()
            if self._page_state == state:
                return self._page

            try:
                page = build_page(read_arms([self._folder]), live=state)
            # Something is damaged, or cannot be read now: the run itself will say so.
            except (InputError, Stopped, OSError):
                return _waiting(self._folder).encode()

            self._page = encoded(page.html)
            self._page_state = state
            return self._page

    def _state(self) -> str:
        """Name the state of the run: finished generations of each chain, and whether it ended."""
        try:
            folders = [folder for folder in run_folders(self._folder) if folder.is_dir()]
            counts = {str(folder): count_finished(folder) for folder in folders}
        except (InputError, Stopped, OSError):  # just being written, damaged, or out of reach
            counts = {}
        return json.dumps([counts, self._done])


def _waiting(run: Path) -> str:
    """Return the page of a run without a finished generation, with the picture that there may be.

    A chain beside others lies in a folder of its own, whose picture is not looked for.
    """
    path = run / PREVIEW
    try:
        # A link may lead anywhere, and a pipe never ends.
        picture = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
    except OSError:
        picture = b""
    if not picture:
        return WAITING.format("")
    return WAITING.format(LOOK.format(base64.b64encode(picture).decode()))
