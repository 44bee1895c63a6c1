"""Which model each generation is, and whose weights it starts from."""

from __future__ import annotations

from typing import Literal, TypeAlias

from imglab.model import GenerativeModel
from imglab.store.base import Store

Start: TypeAlias = Literal["previous", "base", "scratch"]


def _start(
    start: Start, base: GenerativeModel | None, store: Store, g: int, *, turns: int
) -> GenerativeModel | None:
    if start == "scratch":
        return None
    if g < turns or (start == "base" and base is not None):
        return base
    return store.model(g % turns if start == "base" else g - turns)
