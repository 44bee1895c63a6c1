"""What the tests of hostile files share: ways to spoil bytes and JSON, and a count of what was
tried.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from imglab.errors import InputError

STRANGE: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2**31,
        2**63,
        10**400,
        1e308,
        -1e308,
        5e-324,
        0.5,
        float("nan"),
        float("inf"),
    ),
    *(
        "",
        "x",
        "../../secret",
        "/etc/passwd",
        "\x1b[31m",
        "<script>",
        "=cmd()",
        "\ud800",
        "a\0b",
        "x" * 5000,
        "$\\frac$",
    ),
    *([], {}, [[]], {"": {}}, [1, "a", None], {"mean": None}, {"mean": 1, "sd": "x"}, [0] * 1000),
)


class Tally:
    """Counts what was tried of each kind: opened, or refused with an InputError; all else is let
    through and fails.
    """

    def __init__(self) -> None:
        self.opened: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def open(self, kind: str, call: Callable[[], object]) -> bool:
        """Say whether it opened."""
        try:
            call()
        except InputError as refusal:
            self.refused[kind] += 1
            told = refusal.problems
            if not (told and all(problem.where and problem.what for problem in told)):
                raise AssertionError("a refusal says where and what") from refusal
            return False
        self.opened[kind] += 1
        return True

    @property
    def tried(self) -> int:
        """All of it."""
        return self.opened.total() + self.refused.total()


def spoiled(whole: bytes, chance: random.Random) -> bytes:
    """Cut bytes off, turn bits, overwrite, repeat or drop a part, at random places."""
    found, at = bytearray(whole), chance.randrange(len(whole))
    length = chance.randrange(1, 1 + min(64, len(whole)))
    way = chance.randrange(6)
    if way == 0:
        return bytes(found[:at])
    if way == 1:
        for _ in range(chance.randrange(1, 9)):
            found[chance.randrange(len(found))] ^= 1 << chance.randrange(8)
    elif way == 2:
        found[at : at + length] = chance.randbytes(length)
    elif way == 3:
        found[at:at] = found[at : at + length]
    elif way == 4:
        del found[at : at + length]
    else:
        found[at : at + length] = bytes([chance.choice((0, 255))]) * length
    return bytes(found)


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value in a tree of JSON."""
    inner = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    return [path, *(found for key, value in inner for found in places(value, (*path, key)))]


def strange(tree: Any, chance: random.Random) -> Any:
    """Return a tree of JSON with strange values at one to three places, or without what
    was there.
    """
    tree = json.loads(json.dumps(tree))
    for _ in range(chance.randrange(1, 4)):
        path = chance.choice(places(tree))
        if not path:
            if chance.random() < 0.05:
                return chance.choice(STRANGE)
            continue
        node = tree
        for key in path[:-1]:
            node = node[key]
        if chance.random() < 0.2 and isinstance(node, dict):
            del node[path[-1]]
        else:
            node[path[-1]] = json.loads(json.dumps(chance.choice(STRANGE)))
    return tree


def written(tree: Any) -> bytes:
    """Return JSON as a stranger may write it: with NaN and with halves of characters."""
    return json.dumps(tree).encode()
