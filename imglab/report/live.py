"""The page of a run while it goes on, served to this machine alone."""

from __future__ import annotations

import json
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from imglab.errors import InputError
from imglab.report.arms import read_arms
from imglab.report.build import build_page, encoded
from imglab.store.groups import run_folders
from imglab.store.layout import count_finished

ADDRESS = "127.0.0.1"
POLLED = 6.0
"""Seconds since its last question after which a page is taken to be closed."""
PATIENCE = 5.0
"""Seconds that the end waits for an open page to fetch the last generation."""
WAITING = """<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="2">
<title>imglab</title><body style="font:16px system-ui,sans-serif;margin:3rem;color-scheme:light dark">
<p>No generation is finished yet; this page looks again every two seconds.</p></body></html>"""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that went away in the middle of an answer."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class LiveReport:
    """Serves a run directory's page on a free port of 127.0.0.1; use it as a context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._done = False
        self._asked = self._served_last = 0.0
        self._page: tuple[str, bytes] = ("", b"")
        self._building = threading.Lock()
        live = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                live._answer(self)

            def log_message(self, *_: object) -> None:
                """Stay quiet: the terminal belongs to the run."""

        self._server = _QuietServer((ADDRESS, 0), Handler)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{ADDRESS}:{self._port}/"

    def __enter__(self) -> LiveReport:
        self._thread.start()
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        self._done = True
        until = time.monotonic() + PATIENCE
        while (
            failed is None
            and time.monotonic() < until
            and time.monotonic() - self._asked < POLLED
            and self._served_last == 0.0
        ):
            time.sleep(0.05)
        self._server.shutdown()
        self._server.server_close()

    def _state(self) -> str:
        try:
            counts = {
                str(run): count_finished(run) for run in run_folders(self._folder) if run.is_dir()
            }
        except InputError:  # being written just now, or damaged
            counts = {}
        return json.dumps([counts, self._done])

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        if request.headers.get("Host") not in (
            f"{ADDRESS}:{self._port}",
            f"localhost:{self._port}",
        ):
            self._send(
                request,
                HTTPStatus.FORBIDDEN,
                b"this server answers to 127.0.0.1 only",
                "text/plain",
            )
        elif request.path == "/":
            self._asked = time.monotonic()
            done = self._done
            content = self._html()
            self._send(request, HTTPStatus.OK, content, "text/html; charset=utf-8")
            if done:
                self._served_last = time.monotonic()
        elif request.path == "/state":
            self._asked = time.monotonic()
            state = {"state": self._state(), "done": self._done}
            self._send(request, HTTPStatus.OK, json.dumps(state).encode(), "application/json")
        else:
            self._send(request, HTTPStatus.NOT_FOUND, b"there is only /", "text/plain")

    def _html(self) -> bytes:
        with self._building:
            state = self._state()
            if self._page[0] != state:
                try:
                    html = build_page(read_arms([self._folder]), live=state).html
                except InputError:
                    return WAITING.encode()
                self._page = (state, encoded(html))
            return self._page[1]

    @staticmethod
    def _send(
        request: BaseHTTPRequestHandler, status: HTTPStatus, content: bytes, kind: str
    ) -> None:
        request.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(content))),
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", POLICY),
            ("X-Content-Type-Options", "nosniff"),
        ):
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(content)
