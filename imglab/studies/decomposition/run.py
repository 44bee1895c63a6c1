"""A decomposition in its directory: a sweep whose arms are cells, DIR/<cell>/seed-<s>/."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from imglab.config.schema import RunConfig
from imglab.running.cost import RunCost
from imglab.studies.chains import chain_job, fork_job, tally, threads_per_worker
from imglab.studies.decomposition.config import Decomposition
from imglab.studies.jobs import Ended, Job, Outcome, run_jobs
from imglab.studies.pool import Pool
from imglab.studies.sweeps.config import run_folder
from imglab.studies.sweeps.estimate import PlannedRun, cost_of_runs
from imglab.studies.sweeps.run import Sweep

ORIGINS = ".generation0"
"""Folder of the runs whose generation 0 several cells take."""


class DecompositionRun:
    """All runs of a decomposition. Making one checks every cell, and writes nothing."""

    def __init__(
        self,
        config: Decomposition,
        out: Path | None = None,
        *,
        where: str = "config",
        workers: int = 1,
    ) -> None:
        """Check `config`, its data and the directory `out` (default: runs/<name>).

        workers  how many runs go on at the same time; they divide the cores
        """
        self.config = config
        self._sweep = Sweep(config.sweep, out, where=where, workers=workers)
        self.folder = self._sweep.folder
        self._workers = workers

    def run(
        self, watch: Callable[[int, int], None], ended: Ended | None = None
    ) -> dict[str, Outcome]:
        """Run what is not finished; return how each run, named `<cell>/seed-<s>`, ended.

        `watch` is given the number of generations finished so far, and of all there will be, those
        that others fork included; `ended` is given each run as it ends.
        """
        self._sweep.begin()
        cells = list(self.config.sweep.runs(self._workers))
        origins: dict[str, Job] = {}
        folders = {self._cell(cell, seed): config for cell, seed, config in cells}
        for folder, config in self._origin_runs():
            origins[_name(folder)] = self._job(config, folder, None)
            folders[folder] = config
        total = sum(config.generations for config in folders.values())
        look = tally(list(folders), total, watch)

        # First come the runs that others fork; cells whose origin did not end share its outcome.
        of_origins = self._run_jobs(origins, look, ended)
        outcomes: dict[str, Outcome] = {}
        jobs: dict[str, Job] = {}
        for cell, seed, config in cells:
            name = f"{cell}/seed-{seed}"
            origin = self._origin(cell, seed)
            if origin is not None and of_origins[_name(origin)].code:
                outcomes[name] = of_origins[_name(origin)]
            else:
                jobs[name] = self._job(config, self._cell(cell, seed), origin)
        return outcomes | self._run_jobs(jobs, look, ended)

    def expected_cost(self, where: str) -> RunCost | None:
        """Return what the runs that are left will cost; None where that is quickly done.

        where  what messages call the config
        """
        runs = [
            PlannedRun(f"{where}: base", folder, config) for folder, config in self._origin_runs()
        ]
        # Cells share the runs that they fork.
        runs = list({run.folder: run for run in runs}.values())
        for cell, seed, config in self.config.sweep.runs(self._workers):
            forks = self._origin(cell, seed) is not None
            place = f"{where}: cell {cell}"
            runs.append(PlannedRun(place, self._cell(cell, seed), config, is_forked=forks))
        threads = threads_per_worker(self._workers)
        return cost_of_runs(runs, self.folder, workers=self._workers, threads=threads)

    def _run_jobs(
        self, jobs: dict[str, Job], look: Callable[[], None], ended: Ended | None
    ) -> dict[str, Outcome]:
        if not jobs:
            return {}
        pool = Pool(self._workers, max(job.threads for job in jobs.values()))
        return run_jobs(jobs, pool, look, ended)

    def _origin_runs(self) -> Iterator[tuple[Path, RunConfig]]:
        """Yield folder and config of each run that others fork, in the order of the cells."""
        for cell, seed, _ in self.config.sweep.runs(self._workers):
            folder = self._origin(cell, seed)
            if folder is not None:
                yield folder, self.config.origins[cell].model_copy(update={"seed": seed})

    def _job(self, config: RunConfig, folder: Path, origin: Path | None) -> Job:
        """Return the job of a run that makes its own generation 0, or forks its origin's."""
        threads = threads_per_worker(self._workers)
        if origin is not None:
            return fork_job(config, folder, origin, threads)
        return chain_job(config, folder, threads, self.folder / ".cache")

    def _cell(self, cell: str, seed: int) -> Path:
        return run_folder(self.folder, cell, seed)

    def _origin(self, cell: str, seed: int) -> Path | None:
        """Return the directory of the run whose generation 0 a cell takes; None: its own."""
        origin = self.config.origins.get(cell)
        if origin is None:
            return None
        return run_folder(self.folder / ORIGINS, origin.name, seed)


def _name(origin: Path) -> str:
    return f"{origin.parent.name}/{origin.name}"
