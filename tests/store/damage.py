"""Kinds of damage to a file."""

from __future__ import annotations

import random

UNSEALED = ("events.jsonl", ".lock", ".results.lock")
"""The log mends itself and nothing is computed from it; the lock is empty."""


def damaged(content: bytes, kind: str, chance: random.Random) -> bytes | None:
    """Return what is left of a file; None: nothing."""
    at = chance.randrange(len(content))
    match kind:
        case "flip a bit":
            return (
                content[:at] + bytes([content[at] ^ (1 << chance.randrange(8))]) + content[at + 1 :]
            )
        case "cut it short":
            return content[:at]
        case "empty it":
            return b""
        case "zeros in it":
            return content[:at] + bytes(min(512, len(content) - at)) + content[at + 512 :]
        case "another byte":
            return (
                content[:at]
                + bytes([(content[at] + chance.randrange(1, 256)) % 256])
                + content[at + 1 :]
            )
        case "more at its end":
            return content + chance.randbytes(9)
    return None


def sealed_files(run):
    found = (path for path in sorted(run.rglob("*")) if path.is_file())
    return [path for path in found if path.relative_to(run).as_posix() not in UNSEALED]
