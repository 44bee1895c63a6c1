"""The page of a run while it goes on, served to this machine alone."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from imglab.errors import InputError, Problem, Stopped
from imglab.report.arms import read_arms
from imglab.report.build import build_page, encoded
from imglab.store.groups import run_folders
from imglab.store.layout import count_finished

ADDRESS = "127.0.0.1"
POLLED = 6.0
"""Seconds since its last question after which a page is taken to be closed."""
CONNECTIONS = 16
"""Connections that are open at a time."""
SILENCE = 5.0
"""Seconds that a connection may say nothing."""
LONGEST = 30.0
"""Seconds that a connection may take in all."""
PATIENCE = 5.0
"""Seconds that the end of a run waits for an open page to fetch the last generation."""
WAITING = """<!doctype html><html lang="en"><meta charset="utf-8">\
<meta http-equiv="refresh" content="2">
<title>imglab</title>\
<body style="font:16px system-ui,sans-serif;margin:3rem;color-scheme:light dark">
<p>No generation is finished yet; this page looks again every two seconds.</p></body></html>"""
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; connect-src 'self'"
)
"""The page may load nothing from anywhere else, whatever a run's texts contain."""


class _Server(ThreadingHTTPServer):
    """Serves a few connections at a time, none of them for long.

    Each costs the run a descriptor and a thread. A browser keeps two open; whoever opens more takes
    the place of the connection that is open longest.
    """

    daemon_threads = True
    # `server_close` would wait for a connection that says nothing.
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self._open: dict[Any, float] = {}
        self._changing = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection in a thread of its own; close the oldest if there are too many."""
        with self._changing:
            while len(self._open) >= CONNECTIONS:
                _hang_up(self._open_longest())
            self._open[request] = time.monotonic()
        super().process_request(request, client_address)

    def _open_longest(self) -> Any:
        request = min(self._open, key=self._open.__getitem__)
        del self._open[request]
        return request

    def shutdown_request(self, request: Any) -> None:
        """Close a connection that was answered, or was given up."""
        with self._changing:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Close what has been open for too long; the server calls this twice a second."""
        with self._changing:
            late = time.monotonic() - LONGEST
            for request in [each for each, since in self._open.items() if since < late]:
                del self._open[request]
                _hang_up(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing if a browser went away in the middle of an answer, or was sent away."""
        if not isinstance(sys.exc_info()[1], OSError | ValueError):
            super().handle_error(request, client_address)


def _hang_up(request: Any) -> None:
    """End a connection under the thread that reads from it, which then closes it."""
    try:
        request.shutdown(socket.SHUT_RDWR)
    except OSError:
        # The other side was faster.
        return


class LiveReport:
    """Serves a run directory's page on 127.0.0.1; use it as a context manager."""

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

        self._server = _listening(port, self)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{ADDRESS}:{self._port}/"

    def __enter__(self) -> LiveReport:
        self._thread.start()
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        self._done = True
        until = time.monotonic() + PATIENCE
        while failed is None and time.monotonic() < until and self._is_awaited():
            time.sleep(0.05)
        self._server.shutdown()
        self._server.server_close()

    def _is_awaited(self) -> bool:
        """Say whether a page is open that does not have the last generation yet."""
        is_open = time.monotonic() - self._last_asked < POLLED
        return is_open and not self._served_last

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer a browser's request for the page, or for the state of the run."""
        hosts = (f"{ADDRESS}:{self._port}", f"localhost:{self._port}")
        if request.headers.get("Host") not in hosts:
            # A site elsewhere may have made its own name point to this machine.
            message = b"this server answers to 127.0.0.1 only"
            _send(request, HTTPStatus.FORBIDDEN, message, "text/plain")
            return

        if request.path == "/":
            self._send_page(request)
        elif request.path == "/state":
            self._send_state(request)
        else:
            _send(request, HTTPStatus.NOT_FOUND, b"there is only /", "text/plain")

    def _send_state(self, request: BaseHTTPRequestHandler) -> None:
        self._last_asked = time.monotonic()
        state = {"state": self._state(), "done": self._done}
        _send(request, HTTPStatus.OK, json.dumps(state).encode(), "application/json")

    def _send_page(self, request: BaseHTTPRequestHandler) -> None:
        self._last_asked = time.monotonic()
        done = self._done  # as it is before the page is built: it may lack the last generation
        _send(request, HTTPStatus.OK, self._html(), "text/html; charset=utf-8")
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
                return WAITING.encode()

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


def _listening(port: int, live: LiveReport) -> _Server:
    try:
        return _Server((ADDRESS, port), _handler(live))
    except OSError as error:
        what = f"port {port} of {ADDRESS} cannot be used: {error.strerror}"
        raise InputError(Problem("--live", what, "choose another port, or none")) from error


def _handler(live: LiveReport) -> type[BaseHTTPRequestHandler]:
    """Return the class whose instances answer requests, which http.server makes one for each."""

    class Handler(BaseHTTPRequestHandler):
        timeout = SILENCE

        def do_GET(self) -> None:
            live.answer(self)

        def log_message(self, *_: object) -> None:
            """Stay quiet: the terminal belongs to the run."""

    return Handler


def _send(request: BaseHTTPRequestHandler, status: HTTPStatus, content: bytes, kind: str) -> None:
    headers = {
        "Content-Type": kind,
        "Content-Length": str(len(content)),
        "Cache-Control": "no-store",
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
    }

    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(content)
