"""events.jsonl of a run: what happened and when, the only place for times and speeds."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from imglab import distributed

T = TypeVar("T")


class EventLog:
    """Appends events to a file, one JSON object to a line."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, **event: Any) -> None:
        """Append an event with its time; only the main process does."""
        if not distributed.is_main():
            return

        line = json.dumps({"time": round(time.time(), 3), **event}, ensure_ascii=False)
        with self._path.open("a+b") as file:
            # A power cut may have torn the last line.
            if file.tell() and not _ends_line(file):
                file.write(b"\n")
            file.write(line.encode() + b"\n")

    def watch(self, events: Generator[T, None, None]) -> Generator[T, None, None]:
        """Pass a chain's events on; record what the lab warns of meanwhile, and how they end.

        They end `finished`, or `stopped` and resumable.
        """
        outcome = "stopped"
        warnings = _Warnings(self)
        logging.getLogger("imglab").addHandler(warnings)

        try:
            yield from events
            outcome = "finished"
        finally:
            logging.getLogger("imglab").removeHandler(warnings)
            self.append(event=outcome, resumable=outcome == "stopped")


class _Warnings(logging.Handler):
    """Records the warnings that the lab's code logs as events."""

    def __init__(self, log: EventLog) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.append(event="note", text=record.getMessage())


def read_events(path: Path) -> list[dict[str, Any]]:
    """Return the events of a log, in the order in which they happened.

    Lines that are torn, because a process was killed while it wrote them, are passed over.
    """
    events = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict):
            events.append(event)
    return events


def _ends_line(file: BinaryIO) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"
