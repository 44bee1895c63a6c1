"""Rounds of chains whose outcomes decide what runs next. No torch before the first chain."""

from __future__ import annotations

from collections.abc import Mapping

from imglab.errors import InputError, Problem, Stopped
from imglab.running.interrupt import STOPPED
from imglab.studies.jobs import Job, Place, run_jobs
from imglab.studies.pool import Pool
from imglab.studies.ray import Cluster


def run_round(jobs: Mapping[str, Job], workers: int, ray: str | None = None) -> None:
    """Run chains to their ends, in processes or on the Ray cluster at this address.

    Raises InputError where a chain cannot run, and Stopped where it was stopped.
    """
    if not jobs:
        return

    # A worker would import the lab again in each round.
    if workers == 1 and ray is None:
        outcomes = {name: job.run() for name, job in jobs.items()}
    else:
        place: Place[Job] = Pool(workers, max(job.threads for job in jobs.values()))
        if ray is not None:
            place = Cluster(ray)
        outcomes = run_jobs(jobs, place)

    for outcome in outcomes.values():
        if outcome.code == STOPPED:
            raise Stopped(outcome.message)
        if outcome.code:
            raise InputError(Problem("a chain of the search", outcome.message))
