"""Jobs: what they are, how they end, and the one loop that runs many of them. No torch.

A job runs at a place: in a process of this machine that takes one job after another (`pool`), as a
command of its own (`commands`), or on a cluster (`ray`). The loop is the same for all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, TypeAlias, TypeVar

from imglab.running.interrupt import STOPPED

J = TypeVar("J")
P = TypeVar("P", bound="Place[Any]")

TRIES = 3
"""How many workers a job may lose before it is given up."""
POLL = 1.0
"""Seconds between two looks at how far the jobs are."""
LOST = "its worker died"


@dataclass(frozen=True)
class Outcome:
    """How a job ended: an exit code as of a command, a message, and what the job computed."""

    code: int
    message: str = ""
    value: Any = None


@dataclass(frozen=True)
class Job:
    """A call that a worker makes.

    function   a function of a module, so that a worker anywhere can import it
    arguments  values that can be pickled
    threads    how many threads the call computes with
    """

    function: Callable[..., Outcome]
    arguments: tuple[Any, ...]
    threads: int = 1

    def run(self) -> Outcome:
        """Make the call."""
        return self.function(*self.arguments)


class Place(ABC, Generic[J]):
    """Where jobs of the type J run. It is open inside a `with` block, and can be opened again.

    Leaving the block waits for the workers. If an exception leaves it (Ctrl-C, above all), the jobs
    that are running are asked to save and end.
    """

    at_once: int
    """How many jobs it takes at a time."""

    @abstractmethod
    def __enter__(self: P) -> P:
        """Start the workers, or prepare to."""

    def check(self) -> None:
        """Raise Stopped if no job can come to its end here any more; asked once a second."""

    @abstractmethod
    def submit(self, name: str, job: J) -> Future[Outcome]:
        """Start a job; its future raises BrokenExecutor if a worker died and it must be repeated.

        Any other exception of the future ends all jobs. A job that wants to fail alone returns an
        Outcome that says so.
        """

    @abstractmethod
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for the workers, or stop the running jobs if an exception leaves the block."""


Ended: TypeAlias = Callable[[str, Outcome], None]
"""Is given the name of a job that has ended, and how."""


def run_jobs(
    jobs: Mapping[str, J],
    place: Place[J],
    watch: Callable[[], None] = lambda: None,
    ended: Ended | None = None,
) -> dict[str, Outcome]:
    """Run jobs at a place and return how each ended; `watch` is called about once a second.

    ended  is given each job as it ends

    A job whose worker dies begins again in another one: what it had finished stays in its folder. A
    job that may have killed its workers again and again is tried once more alone, so that no
    neighbour is given up for it. When the caller is interrupted, the jobs save and end, and
    KeyboardInterrupt goes on.
    """
    outcomes: dict[str, Outcome] = {}
    losses: Counter[str] = Counter()

    while unfinished := [name for name in jobs if name not in outcomes]:
        # Jobs that are on their last try wait for the others, and then go one at a time.
        batch = [name for name in unfinished if losses[name] < TRIES - 1] or unfinished[:1]
        with place:
            lost = _run_batch({name: jobs[name] for name in batch}, place, outcomes, watch, ended)

        losses.update(lost)
        for name in lost:
            if losses[name] == TRIES:
                outcomes[name] = Outcome(STOPPED, f"{LOST} {TRIES} times")

    return {name: outcomes[name] for name in jobs}


def _run_batch(
    jobs: Mapping[str, J],
    place: Place[J],
    outcomes: dict[str, Outcome],
    watch: Callable[[], None],
    ended: Ended | None,
) -> list[str]:
    """Run jobs and add to `outcomes`, until all have ended or a worker dies.

    Returns the names of the jobs that were running when it died.
    """
    waiting = deque(jobs)
    running: dict[Future[Outcome], str] = {}
    newly: list[str] = []

    try:
        while waiting or running:
            while waiting and len(running) < place.at_once:
                name = waiting.popleft()
                running[place.submit(name, jobs[name])] = name

            for future in wait(running, timeout=POLL, return_when=FIRST_COMPLETED).done:
                outcomes[running[future]] = future.result()
                newly.append(running.pop(future))
            place.check()
            watch()
            while ended is not None and newly:
                name = newly.pop(0)
                ended(name, outcomes[name])
    except BrokenExecutor:
        # One dead worker breaks all of them. A job that had ended by then keeps its outcome.
        for future in wait(running).done:
            if future.exception() is None:
                outcomes[running[future]] = future.result()

    return [name for name in running.values() if name not in outcomes]
