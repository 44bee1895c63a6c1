"""Claims: what ships is well-formed, verdicts come from intervals, and a false claim of each family
fails.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from imglab.errors import InputError
from imglab.running.build import build
from imglab.studies.claims.catalog import Catalog
from imglab.studies.claims.claim import Claim, Statement
from imglab.studies.claims.evaluate import find
from imglab.studies.claims.finding import verdict_of
from imglab.studies.claims.judge import law_result
from imglab.studies.claims.laws import Comparison, find_z, with_null
from imglab.studies.claims.run import ClaimsRun
from imglab.studies.claims.table import format_results
from imglab.studies.claims.theory import theory_finding
from tests.tiny_chains import TINY_GAUSSIAN

SEEDS = range(5)


def term(arm="a", generation=1, metric="fid"):
    return {"metric": metric, "arm": arm, "generation": generation}


def chains(**arms):
    """Metrics of chains: arm -> function of seed and generation."""
    return {
        (arm, seed): [{"generation": g, "fid": value(seed, g), "table": {"x": g}} for g in range(3)]
        for arm, value in arms.items()
        for seed in SEEDS
    }


class TestCatalog:
    @pytest.mark.parametrize(
        ("name", "remedy"),
        [
            ("kernels_blurr", "did you mean 'kernels_blur'?"),
            ("gausian", "did you mean 'subsampling_lies_between_on_gaussians'?"),
            ("kernel", "did you mean 'kernels_blur'"),
            ("nosuch", "`imglab claims --list` names all of them"),
        ],
    )
    def test_an_unknown_name_is_answered_with_the_nearest_only(self, name, remedy):
        with pytest.raises(InputError) as error:
            Catalog().chosen([name])
        assert remedy in str(error.value)
        assert len(str(error.value)) < 250

    def test_what_ships(self):
        catalog = Catalog()
        assert len(catalog.claims) >= 20
        assert {
            "theory",
            "shumailov",
            "mad",
            "bertrand",
            "gerstgrasser",
            "farid",
            "feng",
            "tails",
            "open",
        } <= {claim.family for claim in catalog.claims.values()}
        used = {claim.protocol for claim in catalog.claims.values()} - {None}
        assert used == set(catalog.protocols)

    @pytest.mark.parametrize("name", sorted(Catalog().protocols))
    def test_every_arm_of_every_profile_is_a_valid_config(self, name):
        protocol = Catalog().protocols[name]
        for profile, settings in protocol.profiles.items():
            del settings.seeds[2:]  # the others differ by their numbers
            configs = list(protocol.configs(profile, list(protocol.arms), Path("data")))
            assert len(configs) == len(protocol.arms) * 2

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "name",
        [
            name
            for name, protocol in Catalog().protocols.items()
            if not protocol.needs and "got:" not in str(protocol.base)
        ],
    )
    def test_every_arm_can_be_built(self, name):
        """The data are enough for what is asked of them."""
        catalog = Catalog()
        about = [claim.must for claim in catalog.claims.values() if claim.protocol == name]
        last = max(
            term.generation for must in about for statement in must for term in statement.terms
        )
        for arm in catalog.protocols[name].arms:
            size = next(iter(catalog.protocols[name].profiles))
            _, _, config = next(catalog.protocols[name].configs(size, [arm], Path("data")))
            assert build(config.model_copy(update={"generations": last + 1}), name).models

    def test_names_and_families(self):
        catalog = Catalog()
        assert {claim.family for claim in catalog.chosen(["mad"])} == {"mad"}
        assert [claim.name for claim in catalog.chosen(["scaling_bends"])] == ["scaling_bends"]
        with pytest.raises(InputError, match="did you mean 'scaling_bends'"):
            catalog.chosen(["scaling_bend"])

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"protocol": "digit"}, "there is no protocol 'digit' .*'digits'"),
            (
                {"must": [{"says": "x", "value": term("replase"), "above": 0}]},
                "there is no arm 'replase'",
            ),
            ({"must": [{"says": "x", "value": term("replace")}]}, "has above, below, or both"),
            ({"must": [{"says": "x", "above": 1}]}, "has one of value, ratio"),
            ({"must": []}, "says nothing that must hold"),
            (
                {"must": [{"says": "x", "value": term(), "above": 1, "in_floor_sd": True}]},
                "in_floor_sd is for difference and differences",
            ),
            ({"protocol": None}, "has a protocol, or theory"),
            ({"name": "Bad name"}, "name: must match the pattern"),
        ],
    )
    def test_what_is_wrong_is_named(self, tmp_path, changes, message):
        (tmp_path / "protocols").mkdir()
        (tmp_path / "catalog").mkdir()
        digits = {
            "about": "x",
            "base": TINY_GAUSSIAN,
            "arms": {"replace": {}},
            "profiles": {"quick": {"cost": "x", "seeds": [0, 1, 2, 3, 4]}},
        }
        (tmp_path / "protocols/digits.yaml").write_text(yaml.safe_dump(digits))
        claim = {
            "name": "c",
            "family": "f",
            "source": "s",
            "claims": "c",
            "protocol": "digits",
            "must": [{"says": "x", "value": term("replace"), "above": 0}],
        }
        (tmp_path / "catalog/c.yaml").write_text(yaml.safe_dump({**claim, **changes}))
        with pytest.raises(InputError, match=message):
            assert Catalog(tmp_path).claims


class TestVerdicts:
    """Each in the form of a family's claims, true and false of the same numbers."""

    CASES = (
        ("value", term(), {"above": 1.5}, {"above": 2.5}),
        ("ratio", [term(), term("b")], {"above": 1.5, "below": 2.5}, {"below": 1.0}),
        ("difference", [term(), term("b")], {"above": 0.5}, {"below": 0.5}),
        ("ratios", [term(), term("a", 0), term("b"), term("b", 0)], {"above": 1.5}, {"above": 2.2}),
    )

    @pytest.mark.parametrize(
        ("kind", "terms", "true", "false"), CASES, ids=[case[0] for case in CASES]
    )
    def test_true_passes_and_false_fails(self, kind, terms, true, false):
        found = chains(a=lambda seed, g: 1 + g + 0.01 * seed, b=lambda seed, g: 1 + 0.01 * seed)
        for region, holds in ((true, True), (false, False)):
            statement = Statement.model_validate({"says": "x", kind: terms, **region})
            assert find(statement, found, SEEDS, 0.95).holds is holds

    def test_an_interval_that_straddles_shows_nothing(self):
        noisy = chains(a=lambda seed, g: 1 + (-1) ** seed * 0.5, b=lambda seed, g: 1.0)
        statement = Statement.model_validate(
            {"says": "x", "ratio": [term(), term("b")], "above": 0.9}
        )
        found = find(statement, noisy, SEEDS, 0.95)
        assert not found.holds
        assert found.low is not None
        assert found.high is not None
        assert found.low is not None
        assert found.high is not None
        assert found.low < 0.9 < found.high
        assert verdict_of([found]) == "not decided"
        assert "seeds would decide" in found.why

    def test_what_five_seeds_can_see(self):
        """A scatter of .1 on the log scale sees a ratio of 1.18 in four cases of five."""
        spread = [-0.1414, -0.0707, 0.0, 0.0707, 0.1414]
        scale = 0.1 / float(np.std(spread, ddof=1))
        noisy = chains(a=lambda seed, g: math.exp(spread[seed] * scale), b=lambda seed, g: 1.0)
        statement = Statement.model_validate(
            {"says": "x", "ratio": [term(), term("b")], "above": 0.1}
        )
        found = find(statement, noisy, SEEDS, 0.95)
        assert found.power == pytest.approx(1.18, abs=0.01)

    def test_tables_and_undefined_values(self):
        found = chains(a=lambda seed, g: None if seed == 0 else 1.0)
        table = Statement.model_validate(
            {"says": "x", "value": term(metric="table.x"), "above": 0.5}
        )
        assert find(table, found, SEEDS, 0.95).estimate == 1.0
        undefined = find(
            Statement.model_validate({"says": "x", "value": term(), "above": 0.5}),
            found,
            SEEDS,
            0.95,
        )
        assert (undefined.n, undefined.why) == (4, "undefined in 1 of 5 seeds")
        assert not undefined.holds, "four seeds are too few"
        missing = find(
            Statement.model_validate({"says": "x", "value": term(metric="none"), "above": 0}),
            found,
            SEEDS,
            0.95,
        )
        assert (missing.holds, missing.n, missing.estimate) == (False, 0, None)


@pytest.mark.parametrize(
    "family", sorted({claim.family for claim in Catalog().claims.values() if claim.must})
)
def test_a_false_claim_of_each_family_fails(family):
    """Chains of which the claim is true: it passes; and with every bound turned round, it fails."""
    claim = next(each for each in Catalog().claims.values() if each.family == family and each.must)
    for statement in claim.must:
        true = chains_of(statement)
        assert find(statement, true, SEEDS, claim.confidence).holds
        turned = statement.model_copy(update={"above": statement.below, "below": statement.above})
        false = find(turned, true, SEEDS, claim.confidence)
        assert not false.holds
        assert verdict_of([find(statement, true, SEEDS, 0.95), false]) == "does not hold"


def chains_of(statement):
    """Return chains in which a statement's quantity lies where it must, give or take a little from
    seed to seed.
    """
    first, *others = statement.terms
    rest = dict(zip((one.model_dump_json() for one in others), (1.5, 1.2, 1.1), strict=False))
    low, high = statement.above, statement.below
    middle = high - 0.1 if low is None else low + 0.1 if high is None else (low + high) / 2
    offset = {
        "value": middle,
        "difference": middle + 1.5,
        "differences": middle + 1.5 + 1.2 - 1.1,
        "ratio": middle * 1.5,
        "ratios": middle * 1.5 * 1.2 / 1.1,
    }
    kind = next(kind for kind in offset if getattr(statement, kind) is not None)
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for seed in SEEDS:
        values = {first.model_dump_json(): offset[kind] * (1 + 0.001 * seed), **rest}
        for one in statement.terms:
            rows = found.setdefault((one.arm, seed), [{} for _ in range(300)])
            name, _, key = one.metric.partition(".")
            value = values[one.model_dump_json()]
            rows[one.generation].update(
                {name: {**rows[one.generation].get(name, {}), key: value} if key else value}
            )
            rows[one.generation]["floor"] = {name: {"mean": 0.0, "sd": 1.0}}
    return found


def test_a_false_theorem_fails():
    """The closed form off by a tenth, which the same number of chains tells apart."""
    claim = Catalog().claims["categories_drift"]
    statement = claim.theory[0].model_copy(
        update={"replicas": 60, "generations": [0, 3], "wrong": {}}
    )
    assert theory_finding(statement).holds
    assert not theory_finding(statement.model_copy(update={"shifted": 1.1})).holds


def small_catalog(folder, *, below):
    """Two claims about one protocol of Gaussian chains."""
    for name in ("protocols", "catalog"):
        (folder / name).mkdir(parents=True)
    protocol = {
        "about": "x",
        "base": {**TINY_GAUSSIAN, "regime": "replace", "start": "previous"},
        "arms": {"control": None, "replace": {}, "also_replace": {}},
        "profiles": {
            "quick": {
                "cost": "x",
                "seeds": [0, 1, 2, 3, 4],
                "set": {"modality.n_train": 10, "samples": 10},
            }
        },
    }
    (folder / "protocols/tiny.yaml").write_text(yaml.safe_dump(protocol))
    needy = {**protocol, "needs": ["Nonesuch"]}
    (folder / "protocols/needy.yaml").write_text(yaml.safe_dump(needy))
    claims = [
        {
            "name": name,
            "family": "tiny",
            "source": "s",
            "claims": "c",
            "protocol": on,
            "must": [
                {
                    "says": "x",
                    "ratio": [term(arm, 2, "variance"), term("control", 2, "variance")],
                    "below": most,
                }
            ],
        }
        for name, on, arm, most in (
            ("loses", "tiny", "replace", below),
            ("loses_alike", "tiny", "also_replace", below),
            ("cannot", "needy", "replace", below),
        )
    ]
    (folder / "catalog/tiny.yaml").write_text(yaml.safe_dump(claims))
    return Catalog(folder)


@pytest.mark.slow
@pytest.mark.parametrize(("below", "verdict"), [(3.0, "holds"), (0.01, "does not hold")])
def test_chains_run_once_and_verdicts_follow(tmp_path, below, verdict):
    catalog = small_catalog(tmp_path / "catalog", below=below)
    run = ClaimsRun(catalog, catalog.chosen([]), "quick", tmp_path / "out", tmp_path)
    results = run.run(2, lambda done, total: None)
    assert [result["verdict"] for result in results] == [verdict, verdict, "blocked"]
    assert results[0]["effect"] == results[1]["effect"]
    assert len(list((tmp_path / "out/chains").iterdir())) == 10  # two equal arms are one
    assert "Nonesuch is not in" in results[2]["why"]
    assert f"3 claims: 2 {verdict}, 1 blocked" in format_results(results)
    assert json.loads((tmp_path / "out/claims.json").read_text())["claims"][0]["verdict"] == verdict


@pytest.mark.slow
def test_a_chain_that_cannot_run_blocks_its_claims_and_no_other(tmp_path):
    catalog = small_catalog(tmp_path / "catalog", below=3.0)
    catalog.protocols["tiny"].arms["also_replace"] = {
        "modality.n_train": 3,
        "samples": 3,
        "model": "mixture",
    }
    chosen = catalog.chosen(["loses_alike"])
    results = ClaimsRun(catalog, chosen, "quick", tmp_path / "out", tmp_path).run(
        2, lambda done, total: None
    )
    assert [result["verdict"] for result in results] == ["blocked"]
    assert "its chain also_replace, seed 0, did not end:" in results[0]["why"]


@pytest.mark.slow
def test_seeds_are_added_to_what_is_not_decided_and_nothing_runs_twice(tmp_path):
    catalog = small_catalog(tmp_path / "catalog", below=1.0)
    tiny = catalog.protocols["tiny"].model_copy(update={"scored": False})
    catalog.protocols["tiny"] = tiny
    (claim,) = catalog.chosen(["loses"])
    out = tmp_path / "out"

    def run(seeds=None):
        whole = ClaimsRun(catalog, [claim], "quick", out, tmp_path, seeds=seeds)
        (entry,) = whole.run(1, lambda done, total: None)
        return entry

    # A bound in the middle of the interval decides nothing.
    claim.must[0] = claim.must[0].model_copy(update={"below": run()["effect"]})
    (out / "claims.json").unlink()
    first = run()
    assert (first["asked"], first["look"], first["verdict"]) == (5, 1, "not decided")
    files = {path: json.loads(path.read_text()) for path in (out / "solved").iterdir()}

    second = run(30)
    assert (second["asked"], second["look"], second["cost"]["chains"]) == (30, 2, 60)
    for path, stored in files.items():
        longer = json.loads(path.read_text())
        assert longer["seeds"] == list(range(30))
        assert longer["metrics"]["variance"][:5] == stored["metrics"]["variance"]
    assert run(30)["look"] == run()["look"] == 2
    assert [path.name for path in (out / "solved").iterdir()] == [path.name for path in files]


def test_the_command(lab):
    code, out, _ = lab("claims", "--list")
    assert code == 0
    assert "vae_latents_shrink (shumailov)" in out
    assert lab("claims", "nonesuch")[0] == 2
    assert lab("claims", "--profile", "huge")[0] == 2
    code, out, _ = lab("claims", "vae_latents_shrink", "--json", "--data", "nowhere")
    assert (code, json.loads(out)["claims"][0]["verdict"]) == (0, "blocked")


def test_chains_that_cannot_tell_laws_apart_decide_nothing():
    finding = find_z("x", [Comparison("v", 0, mean=1.0, error=0.01, law=1.01)], 4.0)
    findings = [
        with_null(finding, [Comparison("v", 0, mean=1.0, error=error, law=law)], 6.0, "y")
        for error, law in ((0.0, 2.0), (0.01, 1.08), (0.01, 1.02))
    ]
    verdicts = [verdict_of([each]) for each in findings]
    assert verdicts == ["holds", "holds", "not decided"]
    assert finding.power == pytest.approx(4.8416 * 0.01 / 1.01)

    claim = Catalog().claims["kernels_blur"]
    text = format_results([law_result(claim, [each]).described() for each in findings])
    assert "the wrong law (y) is rejected: z is unbounded" in text
    assert "the wrong law (y) is not rejected: z -2; about 9 times as many chains" in text
    assert "3 claims: 2 holds, 1 not decided" in text

    refuted = find_z("x", [Comparison("v", 0, mean=1.0, error=0.01, law=1.1)], 4.0)
    assert verdict_of([refuted]) == "does not hold"


def test_a_claim_is_explained(lab):
    code, out, _ = lab("claims", "regression_accumulates", "scaling_bends", "--explain")
    assert code == 0
    for text in (
        "Gerstgrasser et al. 2024 (2404.01413): linear regression",
        "300 chains of modality {kind: regression, n_test: 20}, model ridge",
        "|z| below 4 in generations 0, 1, 4, 9",
        "must be rejected with |z| above 6: the law of regime.kind accumulate",
        "is above 1.1",
        "bound: smallest effect worth claiming, a tenth",
        "section: section 4: test loss",
        "null run, which must not hold: real text in place of synthetic text",
        "would be falsified by: a gain as large as that of real text",
        "substituted here: nothing",
        "limit of the evidence: a model that counts",
        "Holm's correction for",
        "refuted if",
    ):
        assert text in out, text


def test_a_claim_says_something():
    with pytest.raises(ValueError, match="has a protocol, or theory"):
        Claim(name="x", family="f", source="s", claims="c")
