"""Statements about exactly solvable chains: means over many chains, compared with closed forms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from imglab.config.load import validate_config
from imglab.config.merge import merged
from imglab.config.schema import RunConfig
from imglab.loop import run_chain
from imglab.measure import Measure
from imglab.measures import Features, Measures
from imglab.progress import Stage
from imglab.run.build import Experiment, build
from imglab.samples import Samples
from imglab.solvable.theory.predict import predict
from imglab.studies.claims.catalog import TheoryStatement
from imglab.studies.claims.evaluate import Comparison, Finding, find_z, with_null
from imglab.studies.jobs import Job, Outcome

SHARES = ("collapsed",)
"""Metrics that are the share of independent dimensions in which something has happened."""

Rows = Sequence[dict[str, Any]]
"""The metrics of a chain's generations, from 0 on."""


def theory_job(statement: TheoryStatement) -> Job:
    """Return the job of judging a statement; its outcome's value is a Finding."""
    return Job(_judge, (statement,))


def theory_finding(statement: TheoryStatement) -> Finding:
    """Run a solvable chain many times and compare the means of its metrics with the closed form.

    Each chain starts from real data of its own. A comparison is a z-score, the difference between
    mean and closed form in standard errors of the mean. The null run compares the same chains with
    a law that is wrong for them.
    """
    generations = max(statement.generations) + 1
    chains: list[Rows] = []
    measure = None
    for replica in range(statement.replicas):
        experiment = _experiment(statement, replica, generations)
        measure = measure or _Unscored(experiment.modality)
        chains.append(_run_once(experiment, measure, replica, generations))

    real = len(experiment.modality.real("train"))
    config = experiment.config
    right = _comparisons(statement, chains, predict(config, real, generations), config)
    finding = find_z(statement.says, right, statement.most_z)
    if not statement.wrong:
        return finding

    other = validate_config(merged(_tree(statement, 0, generations), statement.wrong, "wrong"), "")
    wrong = _comparisons(statement, chains, predict(other, real, generations), config)
    changes = ", ".join(f"{key} {value}" for key, value in statement.wrong.items())
    return with_null(finding, wrong, statement.least_z, changes)


def _comparisons(
    statement: TheoryStatement,
    chains: Sequence[Rows],
    law: Mapping[str, Sequence[float | None]],
    config: RunConfig,
) -> list[Comparison]:
    """Compare the means over chains with a law, in the generations that it speaks of."""
    comparisons: list[Comparison] = []
    for name, expected in law.items():
        for g in statement.generations:
            value = expected[g]
            if value is None or name not in chains[0][g]:
                continue  # theory ends before this generation

            mean, error = _mean([rows[g][name] for rows in chains])
            value *= statement.shifted
            if name in SHARES and 0 < value < 1:
                # A rare event may occur in no chain at all, which then do not vary.
                units = len(chains) * getattr(config.modality, "dimensions", 1)
                error = max(error, math.sqrt(value * (1 - value) / units))
            comparisons.append(Comparison(name, g, mean, error, value))
    return comparisons


class _Unscored(Measure):
    """Compares no distributions: closed forms are about what data and model measure themselves."""

    def prepare(self, n_synthetic: int | None = None) -> Stage[None]:
        """Do nothing: no features of real data are asked for."""
        yield from ()

    def features(self, samples: Samples) -> Stage[Features]:
        """Return the data as features."""
        yield from ()
        return Features(samples.data, "data")

    def scores(self, samples: Samples, features: Tensor) -> Stage[Measures]:
        """Return nothing."""
        yield from ()
        return Measures()


def _judge(statement: TheoryStatement) -> Outcome:
    return Outcome(0, value=theory_finding(statement))


def _experiment(statement: TheoryStatement, replica: int, generations: int) -> Experiment:
    """Build one chain of a statement; seed and real data are those of the replica."""
    return build(validate_config(_tree(statement, replica, generations), "theory"), "theory")


def _tree(statement: TheoryStatement, replica: int, generations: int) -> dict[str, Any]:
    return {
        **statement.config,
        "modality": {**statement.config["modality"], "data_seed": replica},
        "name": "theory",
        "seed": replica,
        "generations": generations,
        "threads": 1,
    }


def _run_once(experiment: Experiment, measure: Measure, seed: int, generations: int) -> Rows:
    # Nobody looks at these chains: one shown sample is the least.
    chain = run_chain(
        experiment.modality,
        experiment.models,
        experiment.regime,
        generations=generations,
        samples=experiment.drawn,
        start=experiment.config.start,
        remedies=experiment.remedies,
        shown=1,
        seed=seed,
        measure=measure,
    )
    return [generation.metrics for generation in chain]


def _mean(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean of values and its standard error."""
    n = len(values)
    mean = sum(values) / n
    error = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1) / n)
    return mean, error
