"""A job that does not stop when it is asked to."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from imglab.studies.jobs import Outcome


def sleep(begun: Path) -> Outcome:
    """Write a file, and sleep through every signal that can be ignored."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    begun.touch()
    time.sleep(60)
    return Outcome(0)
