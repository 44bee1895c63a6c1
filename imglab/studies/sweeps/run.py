"""A sweep in its directory: DIR/<arm>/seed-<s>/, each a run like any other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from imglab.config.shared_problems import SharedProblems
from imglab.errors import InputError, Problem
from imglab.running.build import build
from imglab.running.resume import RUNS, check_folder, resolve
from imglab.store import files, layout
from imglab.store.views import HasView
from imglab.studies.chains import chain_job, tally, threads_per_worker
from imglab.studies.jobs import Ended, Job, Outcome, Place, run_jobs
from imglab.studies.pool import Pool
from imglab.studies.ray import Cluster, check_ray
from imglab.studies.sweeps.config import SweepConfig, run_folder
from imglab.studies.sweeps.described import ADDED
from imglab.studies.sweeps.tasks import Task, chosen_runs


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
        self._described: dict[str, Any] = {
            "arms": list(config.arms),
            "seeds": list(config.seeds),
            "contrasts": [contrast.model_dump() for contrast in config.contrasts],
            "generations": {name: arm.generations for name, arm in config.arms.items()},
            "warning": config.warning.model_dump(),
        }

        self._check_folder()
        self._check_arms(where)

    def run(
        self,
        watch: Callable[[int, int], None],
        ray: str | None = None,
        ended: Ended | None = None,
        only: Task | None = None,
    ) -> dict[str, Outcome]:
        """Run what is not finished, in processes or on the Ray cluster at this address.

        only  the task of a job array whose runs are meant; default: all runs

        Returns how each run, named `<arm>/seed-<s>`, ended. `watch` is given the number of
        generations finished so far, and of all there will be; `ended` each run as it ends.
        """
        if ray is not None:
            check_ray(ray)
        self.begin()

        # On a cluster a run is a task for one core, unless its config says otherwise.
        threads = 1
        if ray is None:
            threads = threads_per_worker(self._workers)

        chosen = None
        if only is not None:
            chosen = only.names(self.config)
        total = 0
        folders: list[Path] = []
        jobs: dict[str, Job] = {}
        for arm, folder, config in chosen_runs(self.config, self.folder, self._workers, chosen):
            folders.append(folder)
            total += config.generations
            job = chain_job(config, folder, threads, self.folder / ".cache")
            jobs[f"{arm}/{folder.name}"] = job

        if not jobs:
            return {}
        place = self._place(ray, max(job.threads for job in jobs.values()))
        return run_jobs(jobs, place, tally(folders, total, watch), ended)

    def _place(self, ray: str | None, threads: int) -> Place[Job]:
        """Return where runs go on: on the Ray cluster at an address, or in processes here."""
        if ray is None:
            return Pool(self._workers, threads)
        return Cluster(ray)

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
            # Arms and contrasts may be added. A sweep of an older version takes this warning.
            if not _holds(self._described[key], existing.get(key, self._described[key])):
                what = f"holds a sweep with other {key}: {existing[key]}"
                raise InputError(Problem(str(self.folder), what, "choose another --out"))

        self._mark_added(existing)
        missing = [seed for seed in existing["seeds"] if seed not in self.config.seeds]
        if missing:
            what = f"holds runs with seeds that the config does not have: {missing}"
            remedy = "add them to `seeds`, or choose another --out"
            raise InputError(Problem(str(self.folder), what, remedy))

    def _mark_added(self, existing: Mapping[str, Any]) -> None:
        """Note which contrasts were added when results could be seen, and so not fixed before."""
        added = list(existing.get(ADDED, []))
        runs = [run_folder(self.folder, arm, seed) for arm, seed, _ in self.config.runs()]
        if any(layout.finished(run, 0) for run in runs):
            contrasts = self._described["contrasts"]
            added += [each for each in contrasts if each not in existing["contrasts"]]
        if added:
            self._described[ADDED] = added

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


def _holds(present: Any, before: Any) -> bool:
    """Say whether a list still holds all that it held; anything else, whether it is the same."""
    if isinstance(present, list) and isinstance(before, list):
        return all(each in present for each in before)
    return bool(present == before)
