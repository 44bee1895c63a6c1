"""Runs that move away while something reads them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOOKS = {"open", "os.listdir", "os.scandir"}
"""What Python says of each look at a file or a folder (sys.addaudithook)."""


class Mover:
    """Renames a folder as soon as it has been looked into so many times.

    Python keeps an audit hook for ever, so that there is one, which does nothing most of the time.
    """

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._target = Path()
        self._left = 0
        self.looks = 0
        sys.addaudithook(self._hook)

    @contextmanager
    def moves(self, folder: Path, target: Path, *, after: int) -> Iterator[None]:
        """Rename `folder` to `target` before its look number `after`, counted from 0."""
        self._folder, self._target = folder, target
        self._left, self.looks = after, 0
        try:
            yield
        finally:
            self._folder = None

    def _hook(self, event: str, args: tuple[object, ...]) -> None:
        if self._folder is None or event not in LOOKS or not isinstance(args[0], str | Path):
            return
        if not Path(args[0]).is_relative_to(self._folder):
            return

        self.looks += 1
        if self._left == 0:
            self._folder.rename(self._target)
        self._left -= 1


MOVER = Mover()
