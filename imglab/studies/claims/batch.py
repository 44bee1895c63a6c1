"""Claims that are run and judged together: each chain runs once, whoever asks for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from imglab.config.load import dump_config
from imglab.config.schema import RunConfig
from imglab.store import files, layout, reading
from imglab.studies.chains import chain_job, tally, threads_per_worker
from imglab.studies.claims.catalog import Catalog
from imglab.studies.claims.claim import Claim, TheoryStatement
from imglab.studies.claims.costs import record_costs, timed
from imglab.studies.claims.evaluate import Chains
from imglab.studies.claims.finding import Finding, Result
from imglab.studies.claims.judge import blocked, judge, law_result
from imglab.studies.claims.plan import SOLVED, Plan, arms_of, generations_of
from imglab.studies.claims.protocol import Profile
from imglab.studies.claims.stored import STORED_KEYS, Stored
from imglab.studies.claims.theory import theory_file, theory_job
from imglab.studies.claims.unscored import unscored_job
from imglab.studies.jobs import Job, Outcome, run_jobs
from imglab.studies.pool import Pool

Watch = Callable[[int, int], None]
"""Is given the number of generations finished so far, and of all there will be."""


class Batch:
    """Collects claims, runs their chains, and judges them."""

    def __init__(
        self, catalog: Catalog, profile: Profile, out: Path, data: Path, *, by_name: bool
    ) -> None:
        """Begin without claims; `by_name` as for `ClaimsRun`."""
        self._catalog = catalog
        self._profile: Profile = profile
        self._out = out
        self._data = data
        self._by_name = by_name

        self._plans: dict[tuple[str, int | None], Plan] = {}
        self._asked: dict[str, tuple[int, int | None]] = {}
        self._blocked: dict[str, str] = {}
        self._theory: dict[str, TheoryStatement] = {}
        self._outcomes: dict[str, Outcome] = {}

    def add(self, claim: Claim, look: int, seeds: int | None) -> None:
        """Plan the chains of a claim, or note why it is blocked.

        look   how often it has been judged, this time included
        seeds  how many seeds it gets at least; None: as many as its file says
        """
        self._asked[claim.name] = (look, seeds)
        for statement in claim.theory:
            wanted = _with_replicas(statement, seeds)
            self._theory[f"{SOLVED}/{theory_file(wanted)}"] = wanted
        if claim.protocol is None:
            return

        protocol = self._catalog.protocols[claim.protocol]
        size = self._catalog.size_of(claim, self._profile, by_name=self._by_name)
        missing = [data_set for data_set in protocol.needs if not (self._data / data_set).is_dir()]
        if missing:
            why = f"{', '.join(missing)} is not in {self._data}: --data names its folder"
            self._blocked[claim.name] = why
        elif size is None:
            sizes = " or ".join(protocol.profiles)
            why = f"its protocol has no size for the profile {self._profile!r}, only for {sizes}"
            self._blocked[claim.name] = why
        else:
            plan = Plan(protocol, size, self._data, seeds, kept=self._kept(claim.protocol))
            self._plans.setdefault((claim.protocol, seeds), plan).add(claim)

    def _kept(self, name: str) -> set[int]:
        """Return the generations of a protocol that are planned, whoever asks.

        Unscored chains are kept in the generations that any claim of the catalogue names, so that
        they serve all of them; runs are as long as the chosen claims need.
        """
        if self._catalog.protocols[name].scored:
            return {0}
        claims = self._catalog.claims.values()
        return {0}.union(*(generations_of(each) for each in claims if each.protocol == name))

    def run(self, workers: int, watch: Watch) -> None:
        """Run the chains that are not finished, at most `workers` at a time."""
        self._run_scored(workers, watch)
        jobs = {name: timed(job) for name, job in self._unscored_jobs().items()}
        lacking = {name for name in jobs if self._lacks_chains(name)}
        self._finish(run_jobs(jobs, Pool(workers), self._tally(lacking, watch)), lacking)

    def result(self, claim: Claim) -> Result:
        """Judge a claim whose chains have run."""
        look, seeds = self._asked[claim.name]
        if claim.name in self._blocked:
            return blocked(claim, self._blocked[claim.name])
        if claim.protocol is None:
            return replace(self._judge_theory(claim, seeds), look=look)
        return replace(self._judge(claim, self._plans[claim.protocol, seeds], look), look=look)

    def _run_scored(self, workers: int, watch: Watch) -> None:
        """Run the run directories that are not finished."""
        # Protocols share chains: the one that asks for most generations is run.
        longest: dict[str, RunConfig] = {}
        for plan in self._plans.values():
            if not plan.protocol.scored:
                continue
            for (arm, _), config in plan.chains(list(plan.arms)):
                place = plan.place(arm, config)
                if place not in longest or longest[place].generations < config.generations:
                    longest[place] = config

        unfinished = {
            place: config
            for place, config in longest.items()
            if layout.count_finished(self._out / place) < config.generations
        }
        if not unfinished:
            return

        threads = threads_per_worker(workers)
        jobs = {
            place: timed(chain_job(config, self._out / place, threads, self._out / ".cache"))
            for place, config in unfinished.items()
        }
        pool = Pool(workers, max(job.threads for job in jobs.values()))
        total = sum(config.generations for config in unfinished.values())
        folders = [self._out / place for place in unfinished]
        self._finish(run_jobs(jobs, pool, tally(folders, total, watch)), set(jobs))

    def _unscored_jobs(self) -> dict[str, Job]:
        """Return the jobs of chains that are not scored, and of laws, by their files."""
        jobs = {
            place: theory_job(statement, self._out / place)
            for place, statement in self._theory.items()
        }

        # Claims may ask for different numbers of seeds of an arm, which stand in one file.
        texts: dict[str, dict[int, str]] = {}
        generations: dict[str, list[int]] = {}
        for plan in self._plans.values():
            if plan.protocol.scored:
                continue
            for (arm, seed), config in plan.chains(list(plan.arms)):
                place = plan.place(arm, config)
                texts.setdefault(place, {})[seed] = dump_config(config)
                generations[place] = sorted(plan.kept)

        for place, of_seeds in texts.items():
            if _lacks(self._out / place, of_seeds):
                jobs[place] = unscored_job(of_seeds, self._out / place, generations[place])
        return jobs

    def _tally(self, names: set[str], watch: Watch) -> Callable[[], None]:
        """Return a function that gives `watch` how far files of unscored chains are."""
        lengths = {
            name: statement.replicas * (max(statement.generations) + 1)
            for name, statement in self._theory.items()
            if name in names
        }
        for plan in self._plans.values():
            for (arm, _), config in plan.chains(list(plan.arms)):
                name = plan.place(arm, config)
                if name in names:
                    lengths[name] = lengths.get(name, 0) + config.generations

        # A file is written when all its chains have ended; one that grows counts from the start.
        def look() -> None:
            done = sum(lengths[name] for name in lengths if (self._out / name).exists())
            watch(done, sum(lengths.values()))

        return look

    def _lacks_chains(self, name: str) -> bool:
        """Say whether the file of a law lacks chains that its statement asks for."""
        statement = self._theory.get(name)
        if statement is None:
            return True
        return _lacks(self._out / name, dict.fromkeys(range(statement.replicas)))

    def _finish(self, outcomes: Mapping[str, Outcome], working: set[str]) -> None:
        """Note how jobs ended, and what those have cost that ran chains."""
        record_costs(self._out, {name: outcomes[name] for name in outcomes if name in working})
        self._outcomes.update(outcomes)

    def _judge_theory(self, claim: Claim, seeds: int | None) -> Result:
        """Judge a claim about laws by the outcomes of its statements."""
        findings: list[Finding] = []
        statements = [_with_replicas(statement, seeds) for statement in claim.theory]
        places = [f"{SOLVED}/{theory_file(statement)}" for statement in statements]
        for place in places:
            outcome = self._outcomes[place]
            if outcome.code:
                return blocked(claim, f"its chains did not end: {outcome.message}")
            findings.append(outcome.value.value)

        count = sum(statement.replicas for statement in statements)
        return replace(
            law_result(claim, findings),
            chains=places,
            size="quick",
            asked=max(statement.replicas for statement in statements),
            cost={"chains": count, "expected": "some seconds"},
        )

    def _judge(self, claim: Claim, plan: Plan, look: int) -> Result:
        """Judge a claim by the chains of its protocol, if all that it names have ended."""
        places: dict[tuple[str, int], str] = {}
        for key, config in plan.chains(arms_of(claim)):
            place = plan.place(key[0], config)
            places[key] = place
            outcome = self._outcomes.get(place, Outcome(0))
            if outcome.code:
                why = f"its chain {key[0]}, seed {key[1]}, did not end: {outcome.message}"
                return blocked(claim, why)

        arms: dict[str, dict[str, None]] = {}
        for (arm, _), place in places.items():
            arms.setdefault(arm, {})[place] = None

        size = plan.protocol.profiles[plan.size]
        return replace(
            judge(claim, self._read(plan, places), first=plan.protocol.first, look=look),
            chains=list(dict.fromkeys(places.values())),
            arms={arm: list(of_arm) for arm, of_arm in arms.items()},
            size=plan.size,
            asked=len(size.more_seeds(plan.seeds)),
            cost={"chains": len(places), "expected": size.cost},
        )

    def _read(self, plan: Plan, places: Mapping[tuple[str, int], str]) -> Chains:
        """Return the metrics of chains from their run directories, or from their arm's file."""
        if plan.protocol.scored:
            return {key: reading.read_metrics(self._out / place) for key, place in places.items()}
        stored = {
            place: Stored(files.read_json(self._out / place, STORED_KEYS))
            for place in set(places.values())
        }
        return {(arm, seed): stored[place].rows(seed) for (arm, seed), place in places.items()}


def _with_replicas(statement: TheoryStatement, seeds: int | None) -> TheoryStatement:
    """Return a statement with at least so many chains."""
    if seeds is None or seeds <= statement.replicas:
        return statement
    return statement.model_copy(update={"replicas": seeds})


def _lacks(path: Path, seeds: Mapping[int, Any]) -> bool:
    """Say whether a file of unscored chains lacks one of these seeds."""
    if not path.exists():
        return True
    return not set(seeds) <= set(files.read_json(path, STORED_KEYS)["seeds"])
