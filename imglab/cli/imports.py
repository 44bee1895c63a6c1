"""How the command line imports torch, and what it asks of it before."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

WAIT_POLICY = "OMP_WAIT_POLICY"
"""The variable that says whether threads without work spin or sleep; read when torch is imported.

Spinning threads take the cores from whatever else runs on the machine, and from each other.
"""

SPIN_COUNT = "GOMP_SPINCOUNT"
"""The variable that says how often GNU's OpenMP looks for a task before it sleeps."""

SPINS = "10000"


def sleep_between_tasks() -> None:
    """Let the threads of torch sleep while they wait, in this process and in those it starts.

    They spin for some microseconds first: the next task is mostly there by then, and to wake a
    thread costs more. A policy that the user has set stays as it is.
    """
    if WAIT_POLICY not in os.environ:
        os.environ[WAIT_POLICY] = "PASSIVE"
        os.environ.setdefault(SPIN_COUNT, SPINS)


@contextmanager
def importing() -> Iterator[None]:
    """Keep the garbage collector away from imports: it finds nothing, and takes a sixth of them."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
