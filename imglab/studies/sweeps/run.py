"""A sweep in its directory: DIR/<arm>/seed-<s>/, each a run like any other."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from imglab.errors import InputError, Problem, ProblemCollector
from imglab.run.build import build
from imglab.run.environment import available_cores
from imglab.run.resume import RUNS, check_folder, resolve
from imglab.store import files, layout
from imglab.store.views import HasView
from imglab.studies.sweeps.config import SweepConfig, run_folder
from imglab.studies.sweeps.pool import Job, Outcome, check_ray, make_job, run_in_pool, run_on_ray


class Sweep(HasView):
    """All runs of a sweep. Making one checks every arm and every directory, and writes nothing."""

    def __init__(
        self,
        config: SweepConfig,
        out: Path | None = None,
        *,
        where: str = "config",
        workers: int = 1,
    ) -> None:
        """Check `config`, its data and the directory `out` (default: runs/<name>)."""
        self.config = config
        self.folder = out or RUNS / config.name
        self._workers = workers
        self._described = {
            "arms": list(config.arms),
            "seeds": list(config.seeds),
            "contrasts": [contrast.model_dump() for contrast in config.contrasts],
            "generations": {name: arm.generations for name, arm in config.arms.items()},
        }
        self._check_folder()
        attempts = ProblemCollector()
        for name, arm in config.arms.items():
            attempts.run(partial(build, arm, f"{where}: arms.{name}"))
        for name, seed, arm in config.runs():
            attempts.run(partial(resolve, arm, run_folder(self.folder, name, seed), where))
        attempts.finish()

    def run(self, watch: Callable[[int, int], None], ray: str | None = None) -> dict[str, Outcome]:
        """Run what is not finished, in processes or on the Ray cluster at this address.

        Returns how each run, named `<arm>/seed-<s>`, ended. `watch` is given the generations finished, and how many
        there will be.
        """
        if ray is not None:
            check_ray(ray)
        files.make_folder(self.folder)
        files.write_signed(self.folder / layout.SWEEP, self._described)
        threads = 1 if ray is not None else max(1, available_cores() // self._workers)
        cache = self.folder / ".cache"
        jobs: dict[str, Job] = {}
        for arm, seed, config in self.config.runs(self._workers):
            folder = run_folder(self.folder, arm, seed)
            jobs[f"{arm}/{folder.name}"] = make_job(config, folder, threads, cache)
        total = sum(config.generations for _, _, config in self.config.runs())
        look = partial(_look, [Path(job.folder) for job in jobs.values()], total, watch)
        return (
            run_in_pool(jobs, self._workers, look) if ray is None else run_on_ray(jobs, ray, look)
        )

    def _check_folder(self) -> None:
        check_folder(self.folder, layout.SWEEP, "no sweep")
        path = self.folder / layout.SWEEP
        if not path.exists():
            return
        there = files.read_signed(path, tuple(self._described))
        for key in ("arms", "contrasts"):
            if there[key] != self._described[key]:
                what = f"holds a sweep with other {key}: {there[key]}"
                raise InputError(Problem(str(self.folder), what, "choose another --out"))
        if missing := [seed for seed in there["seeds"] if seed not in self.config.seeds]:
            what = f"holds seeds that the config has not: {missing}"
            raise InputError(
                Problem(str(self.folder), what, "add them to `seeds`, or choose another --out")
            )


def _look(folders: list[Path], total: int, watch: Callable[[int, int], None]) -> None:
    watch(sum(layout.count_finished(folder) for folder in folders), total)
