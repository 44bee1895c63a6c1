"""Values as JSON in one layout: equal values give equal bytes. No torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from json.encoder import encode_basestring
from math import isfinite
from typing import Any


def json_bytes(value: Any) -> bytes:
    """Encode a value as JSON with one blank more for each level, and a line for each entry.

    ValueError for NaN and infinite numbers, which JSON does not have.
    """
    try:
        text = _text(value, "\n")
    except _UnusualError:
        text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def signed_bytes(value: Mapping[str, Any]) -> bytes:
    """Encode an object with its own hash: the key `self` is the sha256 of the rest."""
    content = json_bytes(value)
    sha = hashlib.sha256(content).hexdigest()
    if not value or "self" in value:
        return json_bytes({**value, "self": sha})
    return content.removesuffix(b"\n}\n") + f',\n "self": "{sha}"\n}}\n'.encode()


class _UnusualError(Exception):
    """A value that the library should encode, or refuse."""


CONSTANTS = {None: "null", True: "true", False: "false"}


def _text(value: Any, line: str) -> str:
    """Encode a value as `json.dumps(value, indent=1)` does, in less time.

    line  the line break and the blanks that begin a line at the level of the value
    """
    kind = type(value)
    if kind is str:
        return encode_basestring(value)
    if (kind is float and isfinite(value)) or kind is int:
        return repr(value)
    if value is None or kind is bool:
        return CONSTANTS[value]

    inner = line + " "
    if kind is dict:
        entries = (_entry(key, each, inner) for key, each in value.items())
        return _block("{", entries, line, "}")
    if kind is list or kind is tuple:
        return _block("[", (_text(each, inner) for each in value), line, "]")
    raise _UnusualError


def _entry(key: object, value: Any, line: str) -> str:
    if type(key) is not str:
        raise _UnusualError
    return f"{encode_basestring(key)}: {_text(value, line)}"


def _block(begin: str, entries: Iterable[str], line: str, end: str) -> str:
    inner = line + " "
    text = f",{inner}".join(entries)
    if not text:
        return begin + end
    return f"{begin}{inner}{text}{line}{end}"
