"""Statements about exactly solvable chains: means over many chains, compared with closed forms."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imglab.config.load import validate_config
from imglab.config.merge import merged
from imglab.config.schema import RunConfig
from imglab.running.build import build
from imglab.solvable.theory.predict import predict
from imglab.studies.claims.claim import TheoryStatement
from imglab.studies.claims.finding import Finding
from imglab.studies.claims.laws import Comparison, find_z, with_null
from imglab.studies.claims.stored import Stored
from imglab.studies.claims.unscored import run_unscored
from imglab.studies.jobs import Job, Outcome

SHARES = ("collapsed",)
"""Metrics that are the share of independent dimensions in which something has happened."""


def theory_job(statement: TheoryStatement, path: Path | None = None) -> Job:
    """Return the job of judging a statement; its outcome's value is a Finding."""
    return Job(_judge, (statement, path))


def theory_file(statement: TheoryStatement) -> str:
    """Return the name of the file of a statement's chains, however many they are."""
    tree = statement.model_dump(mode="json", exclude={"replicas"})
    content = json.dumps(tree, sort_keys=True).encode()
    return f"{hashlib.sha256(content).hexdigest()[:16]}.json"


def theory_finding(statement: TheoryStatement, path: Path | None = None) -> Finding:
    """Run a solvable chain many times and compare the means of its metrics with the closed form.

    Each chain starts from real data of its own. A comparison is a z-score, the difference between
    mean and closed form in standard errors of the mean. The null run compares the same chains with
    a law that is wrong for them.

    path  a file in which the chains are kept, and those that it holds are taken from
    """
    config = _config(statement, 0)
    seeds = range(statement.replicas)
    chains = run_unscored(lambda seed: _config(statement, seed), seeds, statement.generations, path)

    real = len(build(config, "theory").modality.real("train"))
    right = _comparisons(statement, chains, predict(config, real, config.generations), config)
    finding = find_z(statement.says, right, statement.most_z)
    if not statement.wrong:
        return finding

    other = validate_config(merged(_tree(statement, 0), statement.wrong, "wrong"), "")
    wrong = _comparisons(statement, chains, predict(other, real, config.generations), config)
    changes = ", ".join(f"{key} {value}" for key, value in statement.wrong.items())
    return with_null(finding, wrong, statement.least_z, changes, statement.most_z)


def _comparisons(
    statement: TheoryStatement,
    chains: Stored,
    law: Mapping[str, Sequence[float | None]],
    config: RunConfig,
) -> list[Comparison]:
    """Compare the means over chains with a law, in the generations that it speaks of."""
    comparisons: list[Comparison] = []
    for name, expected in law.items():
        of_chains = chains.values(name, range(statement.replicas))
        for place, g in enumerate(statement.generations):
            value = expected[g]
            if value is None or of_chains is None:
                continue  # theory ends before this generation

            numbers = [row[place] for row in of_chains]
            defined = [number for number in numbers if number is not None]
            if len(defined) < len(numbers):
                continue  # a mean over some of the chains is another quantity

            mean, error = _mean(defined)
            value *= statement.shifted
            if name in SHARES and 0 < value < 1:
                # A rare event may occur in no chain at all, which then do not vary.
                units = statement.replicas * getattr(config.modality, "dimensions", 1)
                error = max(error, math.sqrt(value * (1 - value) / units))
            comparisons.append(Comparison(name, g, mean, error, value))
    return comparisons


def _judge(statement: TheoryStatement, path: Path | None) -> Outcome:
    return Outcome(0, value=theory_finding(statement, path))


def _config(statement: TheoryStatement, replica: int) -> RunConfig:
    """Return the config of one chain; seed and real data are those of the replica."""
    return validate_config(_tree(statement, replica), "theory")


def _tree(statement: TheoryStatement, replica: int) -> dict[str, Any]:
    return {
        **statement.config,
        "modality": {**statement.config["modality"], "data_seed": replica},
        "name": "theory",
        "seed": replica,
        "generations": max(statement.generations) + 1,
        "threads": 1,
    }


def _mean(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean of values and its standard error."""
    n = len(values)
    mean = sum(values) / n
    error = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1) / n)
    return mean, error
