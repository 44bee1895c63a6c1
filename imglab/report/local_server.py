"""Serving pages to this machine alone: a few connections at a time, none of them for long."""

from __future__ import annotations

import socket
import sys
import threading
import time
from abc import ABC, abstractmethod
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, TypeVar

from imglab.errors import InputError, Problem

S = TypeVar("S", bound="Site")

ADDRESS = "127.0.0.1"
CONNECTIONS = 16
"""Connections that are open at a time."""
SILENCE = 5.0
"""Seconds that a connection may say nothing."""
LONGEST = 30.0
"""Seconds that a connection may take in all."""
LOOK = 0.05
"""Seconds between two looks at whether to end, and at which connections are open for too long."""
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'"
)
"""The page may load nothing from anywhere else, whatever a run's texts contain."""


class LocalServer(ThreadingHTTPServer):
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
        """Close what has been open for too long; the server calls this at every look."""
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


class Site(ABC):
    """What is served from a thread of its own while it is open, as a context manager.

    takes_posts  whether a page of it may ask for a change
    """

    takes_posts: ClassVar[bool]

    def __init__(self, port: int, option: str) -> None:
        """Listen on a port of 127.0.0.1; 0: on any that is free.

        InputError if another program has it.

        option  the option of the command line that chose the port
        """
        try:
            self._server = LocalServer((ADDRESS, port), _handler(self))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or "ports go up to 65535"
            what = f"port {port} of {ADDRESS} cannot be used: {reason}"
            raise InputError(Problem(option, what, "choose another port, or none")) from error
        serve = partial(self._server.serve_forever, LOOK)
        self._thread = threading.Thread(target=serve, daemon=True)

    @property
    def url(self) -> str:
        """The address of the first page."""
        return f"http://{ADDRESS}:{self._server.server_port}/"

    def __enter__(self: S) -> S:
        self._thread.start()
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        self.await_readers(failed=failed is not None)
        self._server.shutdown()
        self._server.server_close()

    @abstractmethod
    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer a request, which came from a page of this very server or from the address bar."""

    @abstractmethod
    def await_readers(self, *, failed: bool) -> None:
        """Wait for what an open page still has to fetch before the server ends.

        failed  whether it ends by an error
        """


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    """Return the class whose instances answer requests, which http.server makes one for each."""

    class Handler(BaseHTTPRequestHandler):
        timeout = SILENCE

        def do_GET(self) -> None:
            if _is_from_here(self):
                site.answer(self)

        def do_POST(self) -> None:
            if site.takes_posts:
                self.do_GET()
            else:
                self.send_error(HTTPStatus.NOT_IMPLEMENTED, "Unsupported method ('POST')")

        def log_message(self, *_: object) -> None:
            """Stay quiet: the terminal belongs to the run."""

    return Handler


def _is_from_here(request: BaseHTTPRequestHandler) -> bool:
    """Say whether a request names this machine as its host; refuse it if not.

    A site elsewhere may have made its own name point to this machine.
    """
    server = request.server
    assert isinstance(server, LocalServer)
    port = server.server_port
    if request.headers.get("Host") in (f"{ADDRESS}:{port}", f"localhost:{port}"):
        return True
    send(request, HTTPStatus.FORBIDDEN, b"this server answers to 127.0.0.1 only", "text/plain")
    return False


def send(
    request: BaseHTTPRequestHandler,
    status: HTTPStatus,
    content: bytes,
    kind: str,
    *,
    framed: bool = True,
) -> None:
    """Send an answer of a media type, which no browser keeps.

    framed  whether a page may show it in a frame, where clicks may be led astray
    """
    headers = {
        "Content-Type": kind,
        "Content-Length": str(len(content)),
        "Cache-Control": "no-store",
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    if not framed:
        headers["X-Frame-Options"] = "DENY"

    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(content)
