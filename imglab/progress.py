"""How work reports its progress."""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from types import GeneratorType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from weakref import WeakSet

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far a stage has come, in samples.

    stage  its name
    seen   samples that it has worked on
    total  samples that it works on altogether
    loss   the current training loss, in a fit
    state  returns the tensors of a checkpoint in the middle of the stage, if it offers one; a fit
           that gets them back as `resume` continues from there and ends with the same bytes
    model  returns a copy of the model as it stands in the middle of its fit, to look at, if the fit
           offers one
    """

    stage: str
    seen: int
    total: int
    loss: float | None = None
    state: Callable[[], dict[str, Tensor]] | None = None
    model: Callable[[], Any] | None = None


Stage: TypeAlias = Generator[Progress, None, T]
"""Work that yields its progress and returns its result at the end."""


def finish(work: Stage[T]) -> T:
    """Do all the work of a stage and return what it returns."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result


def without_state(work: Stage[T], stage: str | None = None) -> Stage[T]:
    """Pass progress on without what it offers in the middle: the work is done again as a whole.

    stage  the name of the stage in which the work stands; None: as it calls itself
    """
    while True:
        try:
            progress = next(work)
        except StopIteration as end:
            result: T = end.value
            return result
        yield replace(progress, stage=stage or progress.stage, state=None, model=None)


_open: WeakSet[Generator[Any, None, None]] = WeakSet()
"""What is closed when the program ends, if it is still there."""


def closed_at_exit(events: Generator[T, None, None]) -> Generator[T, None, None]:
    """Return events that the end of the program closes where nobody has.

    Later, when Python takes its modules apart, they could save and record nothing.
    """
    _open.add(events)
    return events


@atexit.register
def _close_all() -> None:
    for events in list(_open):
        if not isinstance(events, GeneratorType) or events.gi_running:
            continue
        try:
            events.close()
        except Exception as error:
            log.warning("what was going on could not be closed: %s", error)


# A process that was forked off has copies of what its parent still works on.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open.clear)


Listener: TypeAlias = Callable[[str, int, int], None]
"""Is told the stage of work that cannot yield its progress, how much is done, and of how much; the
latter is 0 where nothing says it."""

_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Let `listener` hear what `report` says within this block."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


@contextmanager
def overheard_by(listener: Listener) -> Iterator[None]:
    """Let `listener` hear what `report` says within this block, beside whoever hears it anyway."""
    outer = _LISTENER.get()

    def both(stage: str, seen: int, total: int) -> None:
        listener(stage, seen, total)
        if outer is not None:
            outer(stage, seen, total)

    with heard_by(both):
        yield


def report(stage: str, seen: int = 0, total: int = 0) -> None:
    """Say how far work is that cannot yield its progress, such as reading files.

    It changes nothing of the work, and is heard only where somebody listens.
    """
    listener = _LISTENER.get()
    if listener is not None:
        listener(stage, seen, total)
