"""Several chains under common settings, images beside text.

Each is a run in its own directory; one figure shows all of them.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from imglab.config.load import dump_config, load_config
from imglab.config.schema import RunConfig, SideBySideConfig
from imglab.config.shared_problems import SharedProblems
from imglab.errors import InputError, Problem
from imglab.generation import Generation
from imglab.progress import Progress
from imglab.running.resume import RUNS, check_folder
from imglab.running.run import Run
from imglab.store import files, groups, layout
from imglab.store.views import HasView
from imglab.studies.chains import threads_per_worker, with_threads
from imglab.studies.commands import Commands
from imglab.studies.jobs import run_jobs


class SideBySide(HasView):
    """The chains of a config with `chains:`. Making one checks them all and writes nothing."""

    def __init__(
        self,
        config: SideBySideConfig,
        out: Path | None = None,
        *,
        where: str = "config",
        workers: int = 1,
    ) -> None:
        """Check every chain, its data and its directory, `out`/<chain>.

        out      default: runs/<name>
        workers  how many chains run at the same time; they divide the cores
        """
        self.folder = out or RUNS / config.name
        self._workers = workers
        _check_folder(self.folder, list(config.chains))

        self.runs: dict[str, Run] = {}
        problems = SharedProblems(where, "chains", len(config.chains))
        for name, chain in config.chains.items():
            folder = self.folder / name
            if workers > 1:
                chain = with_threads(chain, folder, threads_per_worker(workers))

            place = f"{where}: chains.{name}"
            run = problems.run(f"chains.{name}", place, partial(Run, chain, folder, where=place))
            if run is not None:
                self.runs[name] = run
        problems.finish()

    @classmethod
    def from_file(
        cls, path: Path | str, out: Path | str | None = None, changes: Sequence[str] = ()
    ) -> SideBySide:
        """Check the config at `path` with `key.sub=value` changes; raises InputError."""
        config = load_config(Path(path), changes)
        if isinstance(config, RunConfig):
            raise InputError(
                Problem(str(path), "holds one chain: it has no `chains`", "use imglab.Run")
            )
        return cls(config, Path(out) if out else None, where=str(path))

    def events(self) -> Iterator[tuple[str, Progress | Generation]]:
        """Run the chains, or the rest of them, in turn: yield (chain, event)."""
        self.begin()
        for name, run in self.runs.items():
            for event in run.events():
                yield name, event

    def generations(self) -> Iterator[tuple[str, Generation]]:
        """Run the chains, or the rest of them, in turn: yield (chain, finished generation)."""
        return ((name, event) for name, event in self.events() if isinstance(event, Generation))

    def run_apart(self, show: Callable[[str, str], None]) -> dict[str, int]:
        """Run the chains as separate processes, `workers` at a time; return the exit code of each.

        `show` is given (chain, line) for each line that a chain prints.
        """
        self.begin()
        with tempfile.TemporaryDirectory() as folder:
            commands: dict[str, Sequence[str]] = {}
            for name, run in self.runs.items():
                path = Path(folder) / f"{name}.yaml"
                path.write_text(dump_config(run.experiment.config))
                commands[name] = _run_command(path, run.folder)

            outcomes = run_jobs(commands, Commands(self._workers, show))
        return {name: outcome.code for name, outcome in outcomes.items()}

    def begin(self) -> None:
        """Make the directory and write the chains' names in it."""
        files.make_folder(self.folder)
        files.write_signed(self.folder / layout.CHAINS, {"chains": list(self.runs)})


def _run_command(config: Path, out: Path) -> list[str]:
    return [sys.executable, "-m", "imglab", "run", str(config), "--out", str(out)]


def _check_folder(folder: Path, names: list[str]) -> None:
    """Raise InputError unless `folder` is free, or holds these very chains."""
    check_folder(folder, layout.CHAINS, "not a side-by-side run")

    existing = groups.chains_of(folder)
    if existing is not None and existing != names:
        what = f"holds the chains {', '.join(existing)}, but the config has {', '.join(names)}"
        raise InputError(Problem(str(folder), what, "choose another --out"))
