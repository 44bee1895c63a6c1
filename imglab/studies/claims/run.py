"""Running claims: the chains that they need, each once; then their verdicts."""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imglab.config.schema import RunConfig
from imglab.run.environment import available_cores
from imglab.store import files, layout, reading
from imglab.studies.claims.catalog import Catalog, Claim, Profile, Protocol, TheoryStatement
from imglab.studies.claims.evaluate import Chains, Finding, Result, find, find_z, verdict_of
from imglab.studies.sweeps.pool import Job, make_job, run_in_pool

VERDICTS = "claims.json"


@dataclass
class _Plan:
    """The chains of a protocol that claims ask for."""

    protocol: Protocol
    arms: dict[str, None] = field(default_factory=dict)
    longest: int = 1


class ClaimsRun:
    """A directory of chains by the hash of their configs, and the verdicts on the claims about them."""

    def __init__(
        self, catalog: Catalog, claims: Sequence[Claim], profile: Profile, out: Path, data: Path
    ) -> None:
        """Plan the chains of `claims`; `data` is the folder of torchvision data sets."""
        self._claims, self._profile, self._out, self._data = claims, profile, out, data
        self._plans: dict[str, _Plan] = {}
        self._blocked: dict[str, str] = {}
        for claim in claims:
            if claim.protocol is None:
                continue
            protocol = catalog.protocols[claim.protocol]
            missing = [name for name in protocol.needs if not (data / name).is_dir()]
            if missing:
                self._blocked[claim.name] = (
                    f"{', '.join(missing)} is not in {data}: --data names its folder"
                )
            elif profile not in protocol.profiles:
                self._blocked[claim.name] = f"its protocol has no profile {profile!r}"
            else:
                plan = self._plans.setdefault(claim.protocol, _Plan(protocol))
                for term in (term for statement in claim.must for term in statement.terms):
                    plan.arms[term.arm] = None
                    plan.longest = max(plan.longest, term.generation + 1)

    def run(self, workers: int, watch: Callable[[int, int], None]) -> list[Result]:
        """Run the chains that are not finished, at most `workers` at a time, and judge every claim.

        The verdicts are written to claims.json, beside those of earlier calls.
        """
        files.make_folder(self._out)
        folders = {name: self._chains(plan) for name, plan in self._plans.items()}
        failed = self._run_chains(
            [config for chains in folders.values() for config in chains.values()], workers, watch
        )
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
            theory = {
                claim.name: [pool.submit(theory_finding, each) for each in claim.theory]
                for claim in self._claims
            }
            found = {name: [each.result() for each in futures] for name, futures in theory.items()}
        results = [self._judge(claim, folders, failed, found[claim.name]) for claim in self._claims]
        self._keep([result.described() for result in results])
        return results

    def _keep(self, verdicts: list[dict[str, Any]]) -> None:
        """Write claims.json; verdicts of earlier calls at this profile on other claims stay in it."""
        path = self._out / VERDICTS
        before = files.read_json(path, ("profile", "claims")) if path.exists() else {}
        kept = before["claims"] if before.get("profile") == self._profile else []
        judged = {verdict["name"]: verdict for verdict in [*kept, *verdicts]}
        files.write_json(path, {"profile": self._profile, "claims": list(judged.values())})

    def _chains(self, plan: _Plan) -> dict[tuple[str, int], RunConfig]:
        return {
            (arm, seed): config.model_copy(update={"generations": plan.longest})
            for arm, seed, config in plan.protocol.configs(
                self._profile, list(plan.arms), self._data
            )
        }

    def _run_chains(
        self, configs: Sequence[RunConfig], workers: int, watch: Callable[[int, int], None]
    ) -> dict[Path, str]:
        """Run the chains that are not finished; return what those that could not end have to say."""
        longest: dict[Path, RunConfig] = {}
        for config in configs:
            folder = self._folder(config)
            if folder not in longest or longest[folder].generations < config.generations:
                longest[folder] = config
        open_ = {
            folder: config
            for folder, config in longest.items()
            if layout.count_finished(folder) < config.generations
        }
        if not open_:
            return {}
        threads = max(1, available_cores() // workers)
        jobs: dict[str, Job] = {
            folder.name: make_job(config, folder, threads, self._out / ".cache")
            for folder, config in open_.items()
        }
        total = sum(config.generations for config in open_.values())
        outcomes = run_in_pool(
            jobs,
            workers,
            lambda: watch(sum(layout.count_finished(folder) for folder in open_), total),
        )
        return {
            folder: outcomes[folder.name].message for folder in open_ if outcomes[folder.name].code
        }

    def _folder(self, config: RunConfig) -> Path:
        """Directory of a chain: the same for equal configs, however many generations are asked for."""
        tree = config.model_dump(mode="json", exclude={"generations", "name", "threads", "tracker"})
        sign = hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:16]
        return self._out / "chains" / sign

    def _judge(
        self,
        claim: Claim,
        folders: dict[str, dict[tuple[str, int], RunConfig]],
        failed: dict[Path, str],
        theory: list[Finding],
    ) -> Result:
        about = (claim.name, claim.family, claim.source, claim.claims)
        if claim.name in self._blocked:
            return Result(*about, "blocked", [], claim.substitutions, self._blocked[claim.name])
        if claim.protocol is None:
            return Result(*about, verdict_of(theory), theory, claim.substitutions)
        arms = {term.arm for statement in claim.must for term in statement.terms}
        used = {
            key: self._folder(config)
            for key, config in folders[claim.protocol].items()
            if key[0] in arms
        }
        for (arm, seed), folder in used.items():
            if folder in failed:
                why = f"its chain {arm}, seed {seed}, did not end: {failed[folder]}"
                return Result(*about, "blocked", [], claim.substitutions, why)
        chains: Chains = {key: reading.read_metrics(folder) for key, folder in used.items()}
        seeds = sorted({seed for _, seed in chains})
        findings = [find(statement, chains, seeds, claim.confidence) for statement in claim.must]
        return Result(*about, verdict_of(findings), findings, claim.substitutions)


def theory_finding(statement: TheoryStatement) -> Finding:
    """Run a solvable chain many times, each from real data of its own, and compare means with the closed form."""
    from imglab.config.load import validate_config
    from imglab.loop import run_chain
    from imglab.run.build import build
    from imglab.solvable.theory.predict import predict

    last = max(statement.generations) + 1
    found: list[list[dict[str, Any]]] = []
    measure = None
    for replica in range(statement.replicas):
        tree = {
            **statement.config,
            "name": "theory",
            "seed": replica,
            "generations": last,
            "threads": 1,
        }
        tree["modality"] = {**tree["modality"], "data_seed": replica}
        experiment = build(validate_config(tree, "theory"), "theory")
        measure = measure or experiment.measure()
        chain = run_chain(
            experiment.modality,
            experiment.models,
            experiment.regime,
            generations=last,
            samples=experiment.drawn,
            start=experiment.config.start,
            shown=1,
            seed=replica,
            measure=measure,
        )
        found.append([generation.metrics for generation in chain])
    expected = predict(experiment.config, len(experiment.modality.real("train")), last)
    scores, told = [], []
    for name, values in expected.items():
        for g in statement.generations:
            value = values[g]
            if value is None:
                continue
            each = [rows[g][name] for rows in found]
            mean = sum(each) / len(each)
            error = math.sqrt(sum((one - mean) ** 2 for one in each) / (len(each) - 1) / len(each))
            law = value * statement.shifted
            scores.append(_z(mean - law, error))
            told.append(
                f"{name} in generation {g} {mean:.4g} +- {error:.2g}, {law:.4g} expected, z {scores[-1]:+.1f}"
            )
    return find_z(statement.says, scores, told, statement.most_z)


def _z(difference: float, error: float) -> float:
    """Return the z-score; values that do not vary must be those expected up to rounding."""
    if error:
        return difference / error
    return 0.0 if abs(difference) < 1e-9 else math.inf
