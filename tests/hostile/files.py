"""What the tests of hostile files share."""

from __future__ import annotations

import io
import json
import socket
import sys
from pathlib import Path

import pytest

from imglab.cli import main
from imglab.errors import InputError
from imglab.images.data import load_real_images
from imglab.images.settings import ImageSettings
from imglab.report.live import LiveReport
from imglab.store import files, layout


def lab(monkeypatch, *arguments):
    """Run the command line; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["imglab", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code or 0


def load_images(**keys):
    return load_real_images(ImageSettings.model_validate(keys))


def refused(call) -> str:
    with pytest.raises(InputError) as caught:
        call()
    return str(caught.value)


def encoded(image, kind, **keys) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **keys)
    return buffer.getvalue()


class Marker:
    """A pickle of it leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def resealed(path: Path) -> None:
    """Let the manifest of a stranger's generation list a file of it as it now is."""
    manifest = path.with_name(layout.MANIFEST)
    listed = {
        key: value for key, value in json.loads(manifest.read_text()).items() if key != "self"
    }
    listed["files"][path.name] = files.sha256_file(path)
    files.write_signed(manifest, listed)


def ask(live: LiveReport, request: str) -> str:
    """Send bytes to the live server as they are and return its answer."""
    port = int(live.url.rsplit(":", 1)[1].strip("/"))
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        whole = request.replace("{host}", f"127.0.0.1:{port}") + "\r\n\r\n"
        connection.sendall(whole.encode("utf-8", "surrogateescape"))
        connection.shutdown(socket.SHUT_WR)
        parts = []
        while part := connection.recv(1 << 16):
            parts.append(part)
    return b"".join(parts).decode("utf-8", "replace")
