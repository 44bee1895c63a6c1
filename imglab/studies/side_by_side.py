"""Several chains under common settings, images beside text: each a run in its own directory, one figure of them all."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from imglab.config.load import dump_config, load_config
from imglab.config.schema import RunConfig, SideBySideConfig
from imglab.errors import InputError, Problem, ProblemCollector
from imglab.generation import Generation
from imglab.progress import Progress
from imglab.run.environment import available_cores
from imglab.run.resume import RUNS, check_folder
from imglab.run.run import Run
from imglab.store import files, groups, layout
from imglab.store.views import HasView
from imglab.studies import workers


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
        """Check every chain, its data and its directory, `out`/<chain> (default: runs/<name>/<chain>)."""
        self.folder = out or RUNS / config.name
        self._workers = workers
        _check_folder(self.folder, list(config.chains))
        self.runs: dict[str, Run] = {}
        attempts = ProblemCollector()
        for name, chain in config.chains.items():
            folder = self.folder / name
            made = partial(
                Run, _sharing(chain, workers, folder), folder, where=f"{where}: chains.{name}"
            )
            run = attempts.run(made)
            if run is not None:
                self.runs[name] = run
        attempts.finish()

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
        """Run the chains, or the rest of them, in turn: yield (chain, generation) as each is finished."""
        return ((name, event) for name, event in self.events() if isinstance(event, Generation))

    def run_apart(self, show: Callable[[str, str], None]) -> dict[str, int]:
        """Run the chains as separate processes, so many at a time; return the exit code of each.

        `show` is given (chain, line) for each line that one prints.
        """
        self.begin()
        with tempfile.TemporaryDirectory() as folder:
            commands = {}
            for name, run in self.runs.items():
                path = Path(folder) / f"{name}.yaml"
                path.write_text(dump_config(run.experiment.config))
                commands[name] = [
                    sys.executable,
                    "-m",
                    "imglab",
                    "run",
                    str(path),
                    "--out",
                    str(run.folder),
                ]
            return workers.run_commands(commands, self._workers, show)

    def begin(self) -> None:
        """Make the directory and name the chains in it."""
        files.make_folder(self.folder)
        files.write_signed(self.folder / layout.CHAINS, {"chains": list(self.runs)})


def _sharing(chain: RunConfig, workers: int, folder: Path) -> RunConfig:
    """Divide the processors among chains that run at the same time; a run goes on with what it began with."""
    if workers == 1 or chain.threads != "auto" or (folder / "config.yaml").exists():
        return chain
    return chain.model_copy(update={"threads": max(1, available_cores() // workers)})


def _check_folder(folder: Path, names: list[str]) -> None:
    check_folder(folder, layout.CHAINS, "no side-by-side run")
    there = groups.chains_of(folder)
    if there is not None and there != names:
        what = f"holds the chains {', '.join(there)}, the config has {', '.join(names)}"
        raise InputError(Problem(str(folder), what, "choose another --out"))
