"""A job that does not stop when it is asked to."""

from __future__ import annotations

import signal
import time
from pathlib import Path


def sleep(begun: Path) -> None:
    """Write a file, and sleep through every signal that can be ignored."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    begun.touch()
    time.sleep(60)
