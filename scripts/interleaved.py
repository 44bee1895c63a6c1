"""Two commands in two processes, of which one waits while the other works, as a schedule says.

Before each operation on files below a folder, and instead of each sleep, a process says what it is
about to do, and waits until it may. So an order of operations can be drawn from a seed, and
repeated.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from campaign_commands import EVENTS, run_command

WATCHED = EVENTS | {"os.chmod"}
"""Operations on paths before which a process waits."""

LOOKS = frozenset({"os.listdir", "os.scandir"})
LOOK = "look"
WRITE = "write"
SLEEP = "sleep"
END = "end"
HANG = "hang"

MANY = 10**9
"""More operations than a command has."""

PATIENCE = 60.0
"""Seconds that a process may work between two operations."""

IDLE = 400
"""Sleeps in a row after which two processes count as waiting for each other."""


class Gate:
    """What a child passes before each operation; it waits there when it has done its share.

    The share is so many operations, and so many that write, and ends before a sleep.
    """

    def __init__(self, folder: Path, link: socket.socket) -> None:
        self._folder = str(folder)
        self._link = link.makefile("rw", encoding="ascii", errors="replace")
        self._lock = threading.Lock()
        self._share = [0, 0]
        self._done = [0, 0]
        sys.addaudithook(self._heard)

        honest = os.fsync

        def fsync(descriptor: Any) -> None:
            self.wait(f"{WRITE} sync")
            honest(descriptor)

        setattr(os, "fsync", fsync)  # noqa: B010
        setattr(time, "sleep", lambda _: self.wait(SLEEP))  # noqa: B010

    def wait(self, what: str) -> None:
        """Pass one operation, once the schedule lets it happen."""
        writes = what.startswith(WRITE)
        with self._lock:
            is_over = self._share[0] <= 0 or (writes and self._share[1] <= 0)
            if is_over or what == SLEEP:
                self._say(what)
                self._share = [int(number) for number in self._link.readline().split()]
            for counts, by in ((self._share, -1), (self._done, 1)):
                counts[0] += by
                counts[1] += by * writes

    def end(self) -> None:
        """Say how much the command has done."""
        self._say(f"{END} {self._done[0]} {self._done[1]}")

    def _say(self, what: str) -> None:
        self._link.write(f"{what}\n")
        self._link.flush()

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "fcntl.flock":
            self.wait(f"{WRITE} {event}")
        elif event in WATCHED and isinstance(arguments[0], str | os.PathLike):
            path = os.path.abspath(arguments[0])
            if path.startswith(self._folder):
                self.wait(f"{kind_of(event, arguments)} {event}")


def kind_of(event: str, arguments: tuple[Any, ...]) -> str:
    """Say whether an operation writes or only looks."""
    if event == "open":
        only_looks = not arguments[2] & (os.O_WRONLY | os.O_RDWR)
    else:
        only_looks = event in LOOKS
    return LOOK if only_looks else WRITE


@dataclass
class Actor:
    """A command in a child, and what it waits to do.

    head_start  how many times it writes before the other has its turn
    """

    words: list[str]
    errors: Path
    folder: Path
    head_start: int
    is_alive: bool = True
    waits_for: str = ""
    code: int | None = None
    operations: int = 0
    writes: int = 0
    _pid: int = 0
    _link: Any = None

    def start(self) -> None:
        """Start the command, up to its first operation."""
        ours, theirs = socket.socketpair()
        self._pid = os.fork()
        if self._pid == 0:
            ours.close()
            self._work(theirs)
        theirs.close()
        ours.settimeout(PATIENCE)
        self._link = ours.makefile("rwb", buffering=0)
        self._next()

    def step(self, operations: int, writes: int) -> None:
        """Let it do so many operations, and write so often at most."""
        self._link.write(f"{operations} {writes}\n".encode())
        self._next()

    def kill(self) -> None:
        """End the command at once."""
        if self.is_alive:
            os.kill(self._pid, signal.SIGKILL)
            self._end()

    def _next(self) -> None:
        try:
            line = self._link.readline().decode()
        except OSError:
            line = HANG
        self.waits_for = line.strip()
        if line.startswith(END):
            self.operations, self.writes = (int(number) for number in line.split()[1:])
        if line.startswith(END) or not line:
            self._end()

    def _end(self) -> None:
        self.code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        self.is_alive = False
        self._link.close()

    def _work(self, link: socket.socket) -> None:
        code = 1
        try:
            gate = Gate(self.folder, link)
            code, text = run_command(self.words)
            # Outside the folder, so that it is no operation of the command.
            self.errors.write_text(text)
            gate.end()
        finally:
            os._exit(code)


@dataclass
class Schedule:
    """An order in which two commands do their operations, drawn from a seed.

    switch  the share of operations after which the other command has its turn; 0: none, once the
            head starts are over
    """

    chance: random.Random
    switch: float

    def run(self, actors: list[Actor]) -> str | None:
        """Run the commands to their ends; return what is wrong with the way they went."""
        for actor in actors:
            actor.start()

        turn = 0
        idle = 0
        while any(actor.is_alive for actor in actors):
            # One that sleeps waits for the other, which may wait as well.
            actor = actors[turn]
            if actor.is_alive:
                idle = idle + 1 if actor.waits_for == SLEEP else 0
                actor.step(*self._share(actor))
            turn = 1 - turn

            if idle > IDLE or any(each.waits_for == HANG for each in actors):
                for each in actors:
                    each.kill()
                return "they hang"
        return None

    def _share(self, actor: Actor) -> tuple[int, int]:
        """Draw how many operations, and how many that write, a command may do now."""
        head_start = actor.head_start
        actor.head_start = 0
        if head_start:
            return MANY, head_start
        if self.switch == 0:
            return MANY, MANY
        return 1 + int(self.chance.expovariate(self.switch)), MANY
