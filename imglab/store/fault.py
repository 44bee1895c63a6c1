"""What is wrong with a file of a run. No torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from imglab.errors import InputError, Problem


@dataclass(frozen=True)
class Fault:
    """A file that does not match its recorded hash, or should not be there, or is missing.

    generation  the generation that the file belongs to; None: it belongs to the run
    aside       what a repair sets aside; None: only a copy that is kept elsewhere helps
    source      the error that says what is wrong, where reading the file raised one
    sha         the hash that the file should have, if it is known: a copy elsewhere may have it
    """

    path: Path
    what: str
    generation: int | None = None
    aside: Path | None = None
    source: InputError | None = field(default=None, compare=False)
    sha: str | None = field(default=None, compare=False)

    def problem(self, repair: str) -> Problem:
        """Return the fault as a problem of an input; `repair` is the command that repairs it."""
        remedy = repair if self.aside else "put it back from a copy"
        return Problem(str(self.path), self.what, remedy)


def sources_of(faults: Iterable[Fault]) -> list[InputError]:
    """Return the errors that say what is wrong with the files, of those that cannot be read."""
    return [fault.source for fault in faults if fault.source is not None]


def exists(path: Path) -> bool:
    """Say whether there is a file, a folder or a link, which may lead nowhere."""
    return path.exists() or path.is_symlink()
