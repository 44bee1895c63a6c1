"""What the page of many runs may change, where its server allows it: delete runs, or prune them."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from imglab.errors import InputError, Problem
from imglab.store.deletion import check_deletable, delete_run
from imglab.store.pruned import FILES, Keep

MOST_ASKED = 65_536
"""Bytes of a question's body at most."""

TOKEN = "X-Imglab-Token"
"""The header by which a change shows that it comes from the page: other sites cannot read it."""


class NotHere(InputError):
    """A question that the server does not answer."""

    status = HTTPStatus.NOT_FOUND

    def __init__(self, what: str) -> None:
        super().__init__(Problem("imglab view", what))


def changed(
    request: BaseHTTPRequestHandler,
    path: str,
    token: str,
    folders_of: Callable[[Sequence[str]], list[Path]],
) -> bytes:
    """Do what a question of the page asks for; return the answer, as JSON.

    token       what the page knows; "" where nothing may be changed
    folders_of  returns the directories of runs by their labels

    Raises InputError, before anything is changed, where one of the runs cannot be.
    """
    # What is not read would stand before the next question of the connection.
    body = _body(request)
    if path not in ("/delete", "/prune") or not token:
        raise NotHere("this page only reads; start it with --allow-delete")
    if not secrets.compare_digest(request.headers.get(TOKEN, ""), token):
        raise NotHere("this question does not come from the page")

    asked = _parsed(body)
    folders = folders_of(asked["runs"])
    if path == "/delete":
        return _deleted(folders)
    return _pruned(folders, asked)


def _deleted(folders: Sequence[Path]) -> bytes:
    for folder in folders:
        check_deletable(folder)
    for folder in folders:
        delete_run(folder)
    return json.dumps({"deleted": len(folders)}).encode()


def _pruned(folders: Sequence[Path], asked: dict[str, Any]) -> bytes:
    """Remove what is asked for of all generations but those that a run needs; or say what it is."""
    # It opens samples, for which the table has no use.
    from imglab.running.pruning import prune_run

    chosen = asked.get("what")
    if not isinstance(chosen, list) or not chosen or not set(map(str, chosen)) <= set(FILES):
        raise NotHere(f"the question names nothing to remove: {', '.join(FILES)}")
    policy: dict[str, Keep] = {str(what): "last" for what in chosen}
    lines = [prune_run(folder, policy, removes=False) for folder in folders]
    if asked.get("sure") is True:
        lines = [prune_run(folder, policy, removes=True) for folder in folders]
    return json.dumps({"pruned": lines}).encode()


def _body(request: BaseHTTPRequestHandler) -> bytes:
    length = request.headers.get("Content-Length", "")
    if not length.isdecimal() or int(length) > MOST_ASKED:
        raise NotHere("the question is too long")
    return request.rfile.read(int(length))


def _parsed(body: bytes) -> dict[str, Any]:
    """Return what the page asks; its key `runs` holds labels."""
    try:
        asked: dict[str, Any] = json.loads(body)
        labels = asked["runs"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise NotHere("the question names no runs") from error
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise NotHere("the question names no runs")
    return asked
