"""Five claims computed again from the files of a folder, with numpy and scipy alone."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats

from imglab.studies.claims.catalog import Catalog
from imglab.studies.claims.claim import Claim
from imglab.studies.claims.protocol import Protocol
from imglab.studies.claims.run import ClaimsRun
from tests.tiny_chains import TINY_GAUSSIAN

SEEDS = 8
REPLICAS = 60
SHIPPED = ("subsampling_lies_between_on_gaussians", "neon_sign_law")


def scored(name, **statement):
    """A claim about run directories of Gaussian chains."""
    tree = {"name": name, "family": name, "source": "s", "claims": "c", "protocol": "tiny"}
    return Claim.model_validate({**tree, "must": [{"says": "x", **statement}]})


def terms(metric, **keys):
    arms = ("replace", "control")
    return [{"metric": metric, "arm": arm, "generation": 2, **keys} for arm in arms]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which five claims have run: two on run directories, three on files of chains."""
    catalog = Catalog()
    base = {**TINY_GAUSSIAN, "regime": "replace", "modality": {"kind": "gaussian", "n_train": 20}}
    tiny = {"about": "x", "base": base, "arms": {"control": None, "replace": {}}}
    sizes = {"quick": {"cost": "x", "seeds": 5}}
    catalog.protocols["tiny"] = Protocol.model_validate({**tiny, "profiles": sizes})

    claims = [catalog.claims[name] for name in SHIPPED]
    for claim in claims:
        catalog.protocols[str(claim.protocol)].profiles["quick"].seeds[:] = range(SEEDS)
    law = catalog.claims["variance_shrinks"]
    short = law.theory[0].model_copy(update={"replicas": REPLICAS, "generations": [0, 4]})
    claims += [
        law.model_copy(update={"theory": [short]}),
        scored("ratio", ratio=terms("variance"), below=1.0),
        scored("excess", difference=terms("fid", over_floor=True), above=0.0),
    ]

    out = tmp_path_factory.mktemp("claims")
    ClaimsRun(catalog, claims, "quick", out, out).run(1, lambda done, total: None)
    return out


def verdicts(folder):
    tree = json.loads((folder / "claims.json").read_text())
    return {entry["name"]: entry for entry in tree["claims"]}


def interval(values, *, logs):
    """The mean of values with its 95% t-interval, from logarithms for ratios."""
    values = np.log(values) if logs else np.asarray(values)
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    ends = values.mean() + np.array([0, -half, half])
    return np.exp(ends) if logs else ends


def agree(finding, expected):
    computed = [finding["estimate"], finding["low"], finding["high"]]
    np.testing.assert_allclose(computed, expected, rtol=1e-9)
    inside = (finding["above"] is None or expected[1] > finding["above"]) and (
        finding["below"] is None or expected[2] < finding["below"]
    )
    assert finding["holds"] == inside


def column(folder, entry, arm, metric, generation):
    """A metric of an arm by seed, from its file of chains."""
    (file,) = entry["arms"][arm]
    stored = json.loads((folder / file).read_text())
    at = stored["generations"].index(generation)
    rows = dict(zip(stored["seeds"], stored["metrics"][metric], strict=True))
    return np.array([rows[seed][at] for seed in entry["seeds"]])


def rows_of(folder, entry, arm):
    """Generation 2 of an arm by seed, from its run directories."""
    files = [folder / chain / "generation_002/metrics.json" for chain in entry["arms"][arm]]
    return [json.loads(file.read_text()) for file in files]


@pytest.mark.slow
class TestComputedAgain:
    def test_a_ratio_of_unscored_chains(self, folder):
        entry = verdicts(folder)["subsampling_lies_between_on_gaussians"]
        values = {arm: column(folder, entry, arm, "w2", 9) for arm in entry["arms"]}
        for finding, arm in zip(entry["findings"], ("replace", "accumulate"), strict=True):
            agree(finding, interval(values["subsample"] / values[arm], logs=True))

    def test_differences_of_unscored_chains(self, folder):
        entry = verdicts(folder)["neon_sign_law"]
        pairs = [("modes_away", "modes"), ("modes_towards", "modes")]
        pairs += [("diversity_towards", "diversity"), ("diversity_away", "diversity")]
        for finding, (moved, reference) in zip(entry["findings"], pairs, strict=True):
            risks = [column(folder, entry, arm, "population_risk", 0) for arm in (moved, reference)]
            agree(finding, interval(risks[0] - risks[1], logs=False))

    def test_the_null_run_compares_the_reference_with_itself(self, folder):
        entry = verdicts(folder)["neon_sign_law"]
        risks = column(folder, entry, "modes", "population_risk", 0)
        error = risks.std(ddof=1) * (2 / len(risks)) ** 0.5
        estimates = [finding["estimate"] for finding in entry["null"]["findings"]]

        assert entry["null"]["verdict"] != "holds"
        assert 0 < abs(estimates[0]) < 4 * error

    def test_a_law(self, folder):
        """E s^2 = ((n-1)/n)^t and E W2^2 = 2 (1 - c^t), Var mu = 1 - ((n-1)/n)^t; n = 20."""
        entry = verdicts(folder)["variance_shrinks"]
        stored = json.loads((folder / entry["chains"][0]).read_text())
        assert len(stored["seeds"]) == REPLICAS
        n = 20
        c = math.sqrt(2 / n) * math.exp(math.lgamma(n / 2) - math.lgamma((n - 1) / 2))
        laws = {
            "variance": lambda t: ((n - 1) / n) ** t,
            "mean_error": lambda t: 1 - ((n - 1) / n) ** t,
            "w2": lambda t: 2 * (1 - c**t),
        }
        scores = []
        for metric, law in laws.items():
            values = np.array(stored["metrics"][metric])
            errors = stats.sem(values, axis=0)
            expected = np.array([law(g + 1) for g in stored["generations"]])
            scores += list((values.mean(0) - expected) / errors)
        largest = max(scores, key=abs)
        assert entry["findings"][0]["z"] == pytest.approx(largest, rel=1e-6)

    def test_a_ratio_of_run_directories(self, folder):
        entry = verdicts(folder)["ratio"]
        values = {
            arm: np.array([row["variance"] for row in rows_of(folder, entry, arm)])
            for arm in ("replace", "control")
        }
        agree(entry["findings"][0], interval(values["replace"] / values["control"], logs=True))

    def test_an_excess_over_the_floor_of_run_directories(self, folder):
        entry = verdicts(folder)["excess"]
        excess = {
            arm: np.array(
                [row["fid"] - row["floor"]["fid"]["mean"] for row in rows_of(folder, entry, arm)]
            )
            for arm in ("replace", "control")
        }
        agree(entry["findings"][0], interval(excess["replace"] - excess["control"], logs=False))
