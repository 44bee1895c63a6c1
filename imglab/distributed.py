"""Several processes that run one chain together, as `torchrun` and `accelerate launch` start them; most runs have one.

All go through the same steps. The first one leads: it alone writes files and talks to the terminal. What is drawn and
what features are taken of is shared out by index and put together again, so that every process has all of it.
No torch before `begin`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

T = TypeVar("T")
FSDP = "ACCELERATE_USE_FSDP"
"""What accelerate's launcher sets where its config says `distributed_type: FSDP`."""
USE_CPU = "ACCELERATE_USE_CPU"
"""And where it is told `--cpu`."""
LONG = timedelta(days=1)
"""How long a process waits for another: the leader may prepare for an hour alone."""
_apart = False
"""Whether this process works for itself at the moment, within `main_first`."""
_divided = False
"""Whether weights lie in parts on the processes while they are trained."""
_stopping = False
"""Whether all processes have agreed to stop here."""
_talk: Any = None
"""The group in which they tell one another things: over the network, not through the memory of accelerators."""


def launched() -> int:
    """Return how many processes a launcher has started, by what it left in the environment."""
    told = os.environ.get("WORLD_SIZE", "")
    return int(told) if told.isdecimal() and int(told) else 1


def begin() -> None:
    """Join the other processes, if a launcher has started any."""
    global _divided, _talk
    # The lab divides networks itself, on CPUs too: for accelerate they are whole.
    _divided = os.environ.pop(FSDP, "").lower() == "true"
    if launched() > 1:
        import torch
        from accelerate import PartialState
        from accelerate.utils import parse_flag_from_env

        # On CPUs it joins nobody unless it is told so.
        cpu = not torch.cuda.is_available() or parse_flag_from_env(USE_CPU)
        PartialState(cpu=cpu, timeout=LONG)
        _talk = torch.distributed.new_group(backend="gloo", timeout=LONG)


def end(*, done: bool) -> None:
    """Leave the others in order, where this one is done or all stop: one that fails alone would wait for them."""
    if _joined() and (done or _stopping):
        _torch().destroy_process_group()


def world_size() -> int:
    """Return how many processes work together at the moment."""
    return _torch().get_world_size() if _joined() and not _apart else 1


def rank() -> int:
    """Return which of them this one is, from 0."""
    return _torch().get_rank() if _joined() and not _apart else 0


def is_sharded() -> bool:
    """Say whether the processes divide the weights that they train among them (FSDP)."""
    return _divided and world_size() > 1


def is_gatherable() -> bool:
    """Say whether what is trained can be had here: in one piece, or as all processes stop at one place to join it."""
    return not is_sharded() or _stopping


@contextmanager
def stopping() -> Iterator[None]:
    """Do what is done before all processes stop, as they have agreed to, and wait for them."""
    global _stopping
    _stopping = True
    yield
    barrier()  # a launcher ends the others as soon as one has left


def is_main() -> bool:
    """Say whether this process writes and tells."""
    return not _joined() or _torch().get_rank() == 0


def prefix() -> str:
    """Return what stands before what a process that does not lead has to say in the terminal."""
    return "" if is_main() else f"[process {_torch().get_rank()}] "


def shard(n: int) -> range:
    """Return which of n things, in order, are this process's to do."""
    return range(rank() * n // world_size(), (rank() + 1) * n // world_size())


def barrier() -> None:
    """Wait until all processes have come here."""
    if world_size() > 1:
        _torch().barrier(group=_talk)


def broadcast(value: T) -> T:
    """Return the leader's value."""
    if world_size() == 1:
        return value
    kept = [value]
    _torch().broadcast_object_list(kept, src=0, group=_talk)
    return kept[0]


def any_process(flag: bool) -> bool:
    """Say whether it is so in any process."""
    return any(all_gather(flag)) if world_size() > 1 else flag


def all_gather(value: T) -> list[T]:
    """Return the value of each process, in order."""
    if world_size() == 1:
        return [value]
    found: list[Any] = [None] * world_size()
    _torch().all_gather_object(found, value, group=_talk)
    return found


def gather(parts: list[T], join: Callable[[list[T]], T]) -> T:
    """Return the parts of all processes, in order, joined into one.

    This process's are joined first, into a copy, since parts may be views of more than the others are to have; the list
    is then emptied, so that few copies are held at a time.
    """
    own = [join(parts)] if parts else []
    parts.clear()
    found = [part for each in all_gather(own) for part in each]
    return found[0] if len(found) == 1 else join(found)


@contextmanager
def main_first() -> Iterator[None]:
    """Let the leader go through this alone, working for itself, and the others after it, who find what it wrote."""
    global _apart
    together = world_size() > 1
    if together and not is_main():
        barrier()
    _apart = together
    try:
        yield
    finally:
        _apart = False
    if together and is_main():
        barrier()


def _joined() -> bool:
    if launched() == 1:
        return False
    import torch

    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _torch() -> Any:
    import torch

    return torch.distributed
