"""The mode that the umask gives to new files. No torch."""

from __future__ import annotations

import os
import re
from pathlib import Path


def current_umask() -> int:
    """Return the bits that new files of this process do not get."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = re.search(r"^Umask:\s*([0-7]+)$", status.read_text(errors="replace"), re.MULTILINE)
        if line:
            return int(line[1], 8)

    # Elsewhere it can only be read by setting it.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
