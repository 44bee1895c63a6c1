"""How much memory this machine has, so that what cannot fit is refused at once. No torch."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where a container says how much it may use."""


def machine_memory() -> int | None:
    """Return the bytes that a process may use at most, swap included; None where nothing says so.

    What other programs use now is not taken off.
    """
    return min(_bounds(), default=None)


def _bounds() -> Iterator[int]:
    lines = _text("/proc/meminfo").splitlines()
    kilobytes = {line.partition(":")[0]: line.split()[1] for line in lines if len(line.split()) > 1}
    if "MemTotal" in kilobytes:
        yield 1024 * (int(kilobytes["MemTotal"]) + int(kilobytes.get("SwapTotal", 0)))
    elif "SC_PHYS_PAGES" in os.sysconf_names:
        yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

    for path in LIMITS:
        limit = _text(path).strip()
        if limit.isdecimal():
            yield int(limit)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    if limits[0] != resource.RLIM_INFINITY:
        yield limits[0]


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:  # another system, or one that hides it
        return ""


def size_text(size: float) -> str:
    """Write a number of bytes for people."""
    for unit, worth in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= worth:
            return f"{size / worth:.1f} {unit}"
    return f"{size / 1e3:.0f} kB"
