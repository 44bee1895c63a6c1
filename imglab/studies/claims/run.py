"""Running claims: the chains that they need, each once; then their verdicts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from imglab.config.schema import RunConfig
from imglab.store import files, layout, reading
from imglab.studies.chains import chain_job, tally, threads_per_worker
from imglab.studies.claims.catalog import Catalog, Claim, Profile, Protocol
from imglab.studies.claims.evaluate import Chains, Finding, Result, Verdict, find, verdict_of
from imglab.studies.claims.theory import theory_job
from imglab.studies.first_generations import count_first_generations
from imglab.studies.jobs import Ended, Job, Outcome, run_jobs
from imglab.studies.pool import Pool

VERDICTS = "claims.json"


@dataclass
class _Plan:
    """The chains of a protocol that claims ask for."""

    protocol: Protocol
    arms: dict[str, None] = field(default_factory=dict)
    """Names of arms, in the order in which claims first name them."""
    generations: int = 1

    def add(self, claim: Claim) -> None:
        """Plan the arms that a claim names, as long as it needs them."""
        for statement in claim.must:
            for term in statement.terms:
                self.arms[term.arm] = None
                self.generations = max(self.generations, term.generation + 1)


class ClaimsRun:
    """A directory of chains, by the hash of their configs, and verdicts on claims about them."""

    def __init__(
        self, catalog: Catalog, claims: Sequence[Claim], profile: Profile, out: Path, data: Path
    ) -> None:
        """Plan the chains of `claims`; `data` is the folder of torchvision data sets."""
        self._claims = claims
        self._profile = profile
        self._out = out
        self._data = data

        self._plans: dict[str, _Plan] = {}
        self._blocked: dict[str, str] = {}
        for claim in claims:
            if claim.protocol is not None:
                self._plan(claim, claim.protocol, catalog.protocols[claim.protocol])

    def run(
        self, workers: int, watch: Callable[[int, int], None], ended: Ended | None = None
    ) -> list[Result]:
        """Run the chains that are not finished, at most `workers` at a time, and judge every claim.

        `watch` is given the number of generations finished so far, and of all there will be. The
        verdicts are written to claims.json, beside those of earlier calls.
        """
        files.make_folder(self._out)
        chains = {name: dict(self._chains(plan)) for name, plan in self._plans.items()}
        failures = self._run_chains(chains, workers, watch, ended)
        theory = self._run_theory(workers)

        results: list[Result] = []
        for claim in self._claims:
            if claim.name in self._blocked:
                results.append(_result(claim, "blocked", [], self._blocked[claim.name]))
            elif claim.protocol is None:
                results.append(_judge_theory(claim, theory[claim.name]))
            else:
                results.append(self._judge(claim, chains[claim.protocol], failures))

        self._write([result.described() for result in results])
        return results

    def _plan(self, claim: Claim, name: str, protocol: Protocol) -> None:
        """Plan the chains of a claim, or note why it is blocked."""
        missing = [data_set for data_set in protocol.needs if not (self._data / data_set).is_dir()]
        if missing:
            why = f"{', '.join(missing)} is not in {self._data}: --data names its folder"
            self._blocked[claim.name] = why
        elif self._profile not in protocol.profiles:
            self._blocked[claim.name] = f"its protocol has no profile {self._profile!r}"
        else:
            self._plans.setdefault(name, _Plan(protocol)).add(claim)

    def _chains(self, plan: _Plan) -> Iterator[tuple[tuple[str, int], RunConfig]]:
        """Yield ((arm, seed), config) for each chain of a plan."""
        arms = list(plan.arms)
        for arm, seed, config in plan.protocol.configs(self._profile, arms, self._data):
            yield (arm, seed), config.model_copy(update={"generations": plan.generations})

    def _run_chains(
        self,
        chains: Mapping[str, Mapping[tuple[str, int], RunConfig]],
        workers: int,
        watch: Callable[[int, int], None],
        ended: Ended | None,
    ) -> dict[Path, str]:
        """Run the chains that are not finished; return why those failed that could not end."""
        # Protocols share chains: the one that asks for most generations is run.
        longest: dict[Path, RunConfig] = {}
        for of_protocol in chains.values():
            for config in of_protocol.values():
                folder = self._folder(config)
                if folder not in longest or longest[folder].generations < config.generations:
                    longest[folder] = config

        unfinished = {
            folder: config
            for folder, config in longest.items()
            if layout.count_finished(folder) < config.generations
        }
        if not unfinished:
            return {}

        threads = threads_per_worker(workers)
        jobs = {
            folder.name: chain_job(config, folder, threads, self._out / ".cache")
            for folder, config in unfinished.items()
        }
        pool = Pool(workers, max(job.threads for job in jobs.values()))
        total = sum(config.generations for config in unfinished.values())
        outcomes = run_jobs(jobs, pool, tally(unfinished, total, watch), ended)

        return {
            folder: outcomes[folder.name].message
            for folder in unfinished
            if outcomes[folder.name].code
        }

    def _run_theory(self, workers: int) -> dict[str, list[Outcome]]:
        """Run the chains of solvable models; return the outcomes of each claim's statements."""
        jobs: dict[str, Job] = {}
        for claim in self._claims:
            for number, statement in enumerate(claim.theory):
                jobs[f"{claim.name}/{number}"] = theory_job(statement)
        outcomes = run_jobs(jobs, Pool(workers))

        of_claims: dict[str, list[Outcome]] = {}
        for claim in self._claims:
            names = [f"{claim.name}/{number}" for number in range(len(claim.theory))]
            of_claims[claim.name] = [outcomes[name] for name in names]
        return of_claims

    def _judge(
        self,
        claim: Claim,
        chains: Mapping[tuple[str, int], RunConfig],
        failures: Mapping[Path, str],
    ) -> Result:
        """Judge a claim by the chains of its protocol, if all that it names have ended."""
        arms = {term.arm for statement in claim.must for term in statement.terms}
        folders = {key: self._folder(config) for key, config in chains.items() if key[0] in arms}
        for (arm, seed), folder in folders.items():
            if folder in failures:
                why = f"its chain {arm}, seed {seed}, did not end: {failures[folder]}"
                return _result(claim, "blocked", [], why)

        rows: Chains = {key: reading.read_metrics(folder) for key, folder in folders.items()}
        seeds = sorted({seed for _, seed in rows})
        findings = [find(statement, rows, seeds, claim.confidence) for statement in claim.must]
        result = _result(claim, verdict_of(findings), findings)
        return replace(result, generation0=count_first_generations(rows.values()))

    def _folder(self, config: RunConfig) -> Path:
        """Return a chain's directory: the same for equal configs, whatever their `generations`."""
        tree = config.model_dump(mode="json", exclude={"generations", "name", "threads", "tracker"})
        content = json.dumps(tree, sort_keys=True).encode()
        return self._out / "chains" / hashlib.sha256(content).hexdigest()[:16]

    def _write(self, verdicts: list[dict[str, Any]]) -> None:
        """Write claims.json; earlier verdicts at this profile on other claims stay in it."""
        path = self._out / VERDICTS
        earlier: list[dict[str, Any]] = []
        if path.exists():
            before = files.read_json(path, ("profile", "claims"))
            if before["profile"] == self._profile:
                earlier = before["claims"]

        by_name = {verdict["name"]: verdict for verdict in [*earlier, *verdicts]}
        files.write_json(path, {"profile": self._profile, "claims": list(by_name.values())})


def _judge_theory(claim: Claim, outcomes: Sequence[Outcome]) -> Result:
    """Judge a claim about solvable chains by the outcomes of its statements."""
    for outcome in outcomes:
        if outcome.code:
            return _result(claim, "blocked", [], f"its chains did not end: {outcome.message}")

    findings: list[Finding] = [outcome.value for outcome in outcomes]
    return _result(claim, verdict_of(findings), findings)


def _result(claim: Claim, verdict: Verdict, findings: list[Finding], why: str = "") -> Result:
    """Return a claim's verdict together with what the claim says."""
    return Result(
        name=claim.name,
        family=claim.family,
        source=claim.source,
        claims=claim.claims,
        verdict=verdict,
        findings=findings,
        substitutions=claim.substitutions,
        why=why,
    )
