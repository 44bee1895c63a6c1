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


def sleep_between_tasks() -> None:
    """Let the threads of torch sleep while they wait, in this process and in those it starts.

    A value that the user has set stays.
    """
    os.environ.setdefault(WAIT_POLICY, "PASSIVE")


@contextmanager
def importing() -> Iterator[None]:
    """Keep the garbage collector away from imports: it finds nothing, and takes a sixth of them."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
