"""A sweep in its directory: DIR/<arm>/seed-<s>/, each a run like any other."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from imglab.config.shared_problems import SharedProblems
from imglab.errors import InputError, Problem
from imglab.run.build import build
from imglab.run.resume import RUNS, check_folder, resolve
from imglab.store import files, layout
from imglab.store.views import HasView
from imglab.studies.chains import chain_job, tally, threads_per_worker
from imglab.studies.jobs import Job, Outcome, Place, run_jobs
from imglab.studies.pool import Pool
from imglab.studies.ray import Cluster, check_ray
from imglab.studies.sweeps.config import SweepConfig, run_folder


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
        """Check `config`, its data and the directory `out` (default: runs/<name>).

        workers  how many runs go on at the same time; they divide the cores
        """
        self.config = config
        self.folder = out or RUNS / config.name
        self._workers = workers

        # What sweep.json holds.
        self._described = {
            "arms": list(config.arms),
            "seeds": list(config.seeds),
            "contrasts": [contrast.model_dump() for contrast in config.contrasts],
            "generations": {name: arm.generations for name, arm in config.arms.items()},
            "warning": config.warning.model_dump(),
        }

        self._check_folder()
        self._check_arms(where)

    def run(self, watch: Callable[[int, int], None], ray: str | None = None) -> dict[str, Outcome]:
        """Run what is not finished, in processes or on the Ray cluster at this address.

        Returns how each run, named `<arm>/seed-<s>`, ended. `watch` is given the number of
        generations finished so far, and of all there will be.
        """
        if ray is not None:
            check_ray(ray)
        self.begin()

        # On a cluster a run is a task for one core, unless its config says otherwise.
        threads = 1
        if ray is None:
            threads = threads_per_worker(self._workers)

        folders: list[Path] = []
        jobs: dict[str, Job] = {}
        for arm, seed, config in self.config.runs(self._workers):
            folder = run_folder(self.folder, arm, seed)
            folders.append(folder)
            name = f"{arm}/{folder.name}"
            jobs[name] = chain_job(config, folder, threads, self.folder / ".cache")

        place: Place[Job]
        if ray is None:
            place = Pool(self._workers, max(job.threads for job in jobs.values()))
        else:
            place = Cluster(ray)

        total = sum(config.generations for _, _, config in self.config.runs())
        return run_jobs(jobs, place, tally(folders, total, watch))

    def begin(self) -> None:
        """Make the directory and write in it which runs it will hold."""
        files.make_folder(self.folder)
        files.write_signed(self.folder / layout.SWEEP, self._described)

    def _check_folder(self) -> None:
        """Raise InputError unless the directory is free or holds this sweep, but no other seeds."""
        check_folder(self.folder, layout.SWEEP, "not a sweep")
        path = self.folder / layout.SWEEP
        if not path.exists():
            return

        existing = files.read_signed(path, ("arms", "seeds", "contrasts", "generations"))
        for key in ("arms", "contrasts", "warning"):
            # A sweep of an older version has no warning, and takes this one.
            if existing.get(key, self._described[key]) != self._described[key]:
                what = f"holds a sweep with other {key}: {existing[key]}"
                raise InputError(Problem(str(self.folder), what, "choose another --out"))

        missing = [seed for seed in existing["seeds"] if seed not in self.config.seeds]
        if missing:
            what = f"holds runs with seeds that the config does not have: {missing}"
            remedy = "add them to `seeds`, or choose another --out"
            raise InputError(Problem(str(self.folder), what, remedy))

    def _check_arms(self, where: str) -> None:
        """Raise InputError unless every arm can be built, and every run can begin or go on."""
        arms = SharedProblems(where, "arms", len(self.config.arms))
        for name, config in self.config.arms.items():
            place = f"{where}: arms.{name}"
            arms.run(f"arms.{name}", place, partial(build, config, place))

        runs = SharedProblems(
            str(self.folder), "runs", len(self.config.arms) * len(self.config.seeds)
        )
        for name, seed, config in self.config.runs():
            folder = run_folder(self.folder, name, seed)
            label = str(folder.relative_to(self.folder))
            runs.run(label, str(folder), partial(resolve, config, folder, where))

        problems = [*arms.joined(), *runs.joined()]
        if problems:
            raise InputError(problems, [*arms.sources, *runs.sources])
