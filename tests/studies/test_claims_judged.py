"""How claims are judged: null runs, the gate, families of claims, more seeds."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from imglab.studies.claims.catalog import Catalog
from imglab.studies.claims.claim import Claim, NullRun
from imglab.studies.claims.costs import cost_of, read_costs
from imglab.studies.claims.document import claims_document, count_text
from imglab.studies.claims.evaluate import find_null
from imglab.studies.claims.finding import Verdict
from imglab.studies.claims.judge import bare_result, judge, law_result
from imglab.studies.claims.laws import Comparison, find_z, with_null
from imglab.studies.claims.multiplicity import corrected
from imglab.studies.claims.protocol import FirstModels, ProfileSettings
from imglab.studies.claims.stored import Stored
from imglab.studies.claims.table import format_results
from imglab.studies.claims.verdicts import (
    earlier_look,
    merged_verdicts,
    read_verdicts,
    with_costs,
)

SEEDS = range(6)
GOOD = {"verdict": "good", "reasons": []}
POOR = {"verdict": "poor", "reasons": ["variance_ratio is 0.9, at least 0.95 is asked for"]}


def term(arm, metric="loss", generation=1):
    return {"metric": metric, "arm": arm, "generation": generation}


def a_claim(**changes):
    must = {"says": "x", "difference": [term("replace"), term("control")], "above": 0.6}
    tree = {
        "name": "rises",
        "family": "tiny",
        "source": "s",
        "claims": "The loss rises.",
        "protocol": "p",
        "must": [must],
        "absent": {"says": "real data alone", "arms": {"replace": "control"}},
        **changes,
    }
    return Claim.model_validate(tree)


def chains(replace, control=lambda seed: 1.0, gate=lambda seed: GOOD, seeds=SEEDS):
    """Metrics of two generations in two arms."""
    arms = {"replace": replace, "control": control}
    return {
        (arm, seed): [{"generation0": gate(seed), "loss": 1.0}, {"loss": value(seed)}]
        for arm, value in arms.items()
        for seed in seeds
    }


def ends(result):
    """The ends of an interval that has both."""
    low, high = result.interval
    assert low is not None
    assert high is not None
    return low, high


def rising(seed):
    return 2 + 0.1 * (seed % 3)


def noisy(seed):
    return 1 + 0.1 * (-1) ** seed


def test_a_claim_that_holds_fails_where_its_cause_is_absent():
    result = judge(a_claim(), chains(rising, noisy))
    assert result.verdict == "holds"
    assert result.null["verdict"] == "does not hold"
    assert result.null["says"] == "real data alone"
    assert result.effect == pytest.approx(1.1)
    low, high = ends(result)
    assert low < 1.1 < high
    assert not result.withdrawn


def test_a_claim_that_holds_with_its_cause_absent_is_withdrawn():
    trivial = {"says": "x", "value": term("replace"), "above": 0}
    result = judge(a_claim(must=[trivial]), chains(rising))
    assert result.withdrawn
    assert result.verdict == "not decided"
    assert "withdrawn" in result.why
    text = format_results([{**result.described(), "cost": {}}])
    assert "withdrawn, since the null run holds, too: rises" in text


def test_a_claim_whose_null_run_decides_nothing_is_not_decided():
    """With no difference the interval lies on both sides of 0, and can never lie outside."""
    must = {"says": "x", "difference": [term("replace"), term("control")], "above": 0}
    result = judge(a_claim(must=[must]), chains(rising, noisy))
    assert result.findings[0].holds
    assert (result.null["verdict"], result.verdict, result.p) == (
        "not decided",
        "not decided",
        None,
    )
    assert "its null run is not decided" in result.why
    assert not result.withdrawn


def test_a_stand_in_is_read_with_other_seeds():
    """Otherwise the control would differ from itself by exactly nothing, with no scatter."""
    result = judge(a_claim(), chains(rising, noisy))
    (null,) = result.null["findings"]
    assert null["estimate"] != pytest.approx(0)
    assert null["interval"][0] < 0 < null["interval"][1]


def test_a_null_run_holds_as_often_as_chance_lets_it():
    """The interval of an arm beside itself lies above 0 in 2.5% of cases, as a test would."""
    null = NullRun(says="nothing", arms={"replace": "control"})
    must = {"says": "x", "difference": [term("replace"), term("control")], "above": 0}
    statement = a_claim(must=[must]).must[0]
    random = np.random.default_rng(0)
    held = 0
    for number in range(400):
        values = random.standard_normal(12)
        of_arms = chains(lambda seed: 0.0, lambda seed, v=values: v[seed], seeds=range(12))
        named = statement.model_copy(update={"says": f"statement {number}"})
        (finding,) = find_null([named], null, of_arms, list(range(12)), 0.95)
        held += finding.holds
    assert 2 <= held <= 22


def test_two_stand_ins_of_one_arm_are_read_apart():
    arms = {"replace": "control", "accumulate": "control"}
    null = NullRun(says="nothing", arms=arms)
    must = {"says": "x", "difference": [term("replace"), term("accumulate")], "above": 0}
    of_arms = chains(rising, noisy)
    (finding,) = find_null([a_claim(must=[must]).must[0]], null, of_arms, list(SEEDS), 0.95)
    assert finding.low is not None
    assert finding.high is not None
    assert finding.low < finding.high


@pytest.mark.parametrize(
    ("is_poor", "verdict", "seeds"),
    [(lambda seed: False, "holds", 6), (lambda seed: seed == 0, "holds", 5)],
)
def test_a_seed_counts_if_its_generation_0_is_a_good_model(is_poor, verdict, seeds):
    gated = chains(rising, noisy, lambda seed: POOR if is_poor(seed) else GOOD)
    result = judge(a_claim(), gated)
    assert (result.verdict, len(result.seeds)) == (verdict, seeds)


def first_models(**changes):
    return FirstModels.model_validate({"why": "w", **changes})


def with_distances(distances):
    """Chains whose generation 0 has these distances, one for each seed, and a floor of 1 +- .1."""
    of_arms = chains(rising, noisy)
    for (_, seed), rows in of_arms.items():
        gate = POOR if distances[seed] > 1.1 else GOOD
        rows[0] |= {"fid": distances[seed], "floor": {"fid": {"mean": 1.0, "sd": 0.1}}}
        rows[0]["generation0"] = gate
    return of_arms


def test_where_the_mean_of_the_first_models_is_good_every_seed_counts():
    first = first_models(gate={"excess_fid": 1})
    gated = with_distances([1.2, 0.9, 1.0, 1.15, 0.95, 1.1])

    assert judge(a_claim(), gated).verdict == "blocked"
    result = judge(a_claim(), gated, first=first)

    assert (result.verdict, result.seeds) == ("holds", list(SEEDS))
    assert "4 of 12 chains miss their own gate, and their mean passes it" in result.why
    assert result.generation0 == {"good": 12, "poor": 0, "unknown": 0, "reasons": []}


def test_where_the_mean_of_the_first_models_is_poor_no_seed_counts():
    first = first_models(gate={"excess_fid": 1})
    result = judge(a_claim(), with_distances([1.2, 0.9, 1.2, 1.3, 1.2, 1.1]), first=first)

    assert (result.verdict, result.seeds) == ("blocked", [])
    assert "as the mean of 6 chains of control, fid is 1.15 beside a floor of 1 ± 0.1" in result.why
    assert result.generation0["poor"] == 12


def test_one_arm_with_poor_first_models_blocks_the_claim():
    of_arms = with_distances([1.0] * 6)
    for seed in SEEDS:
        of_arms["replace", seed][0]["fid"] = 1.2
    first = first_models(gate={"excess_fid": 1})
    assert "mean of 6 chains of replace, fid is 1.2" in judge(a_claim(), of_arms, first=first).why

    first = first_models(gate={"excess_fid": 1}, without=["replace"])
    assert judge(a_claim(), of_arms, first=first).verdict == "holds"


def test_first_models_may_be_asked_for_other_metrics():
    first = first_models(at_least={"loss": 1.0, "by_band.rare": 0.5})
    of_arms = chains(rising, noisy)
    assert "by_band.rare is undefined" in judge(a_claim(), of_arms, first=first).why

    for rows in of_arms.values():
        rows[0]["by_band"] = {"rare": 0.6}
    assert judge(a_claim(), of_arms, first=first).verdict == "holds"
    first = first_models(at_least={"by_band.rare": 0.7})
    assert "by_band.rare is 0.6, at least 0.7" in judge(a_claim(), of_arms, first=first).why


def test_a_control_that_still_improves_makes_every_first_model_poor():
    first = first_models(at_least={"loss": 1.0})
    of_arms = chains(rising, noisy)
    for seed in SEEDS:
        rows = of_arms["control", seed]
        rows[0] |= {"fid": 2.0, "fid_se": 0.01}
        rows[1] |= {"fid": 1.0, "fid_se": 0.01}

    assert "still improves" in judge(a_claim(), of_arms, first=first).why


def test_a_sampler_without_fault_misses_its_own_gate_in_one_seed_of_six():
    # Null: the distances of generation 0 come from the floor itself.
    random = np.random.default_rng(0)
    distances = 1 + 0.1 * random.standard_normal((4000, 5))

    assert np.mean(distances > 1.1) == pytest.approx(0.159, abs=0.01)
    assert np.mean(distances.max(1) > 1.1) == pytest.approx(1 - 0.841**5, abs=0.02)
    assert np.mean(distances.mean(1) > 1.1) == pytest.approx(0.0127, abs=0.006)


@pytest.mark.parametrize(
    "gate", [POOR, {"verdict": "unknown", "reasons": ["fid or its floor is undefined"]}]
)
def test_without_a_good_first_model_a_claim_is_blocked_with_the_numbers(gate):
    result = judge(a_claim(), chains(rising, noisy, lambda seed: gate))
    assert (result.verdict, result.null["verdict"]) == ("blocked", "blocked")
    assert "generation 0 is not a good model in 6 of 6 seeds" in result.why
    assert gate["reasons"][0] in result.why
    assert not result.findings


@pytest.mark.parametrize(
    "gate", [None, {"verdict": "unknown", "reasons": ["this kind of data has no thresholds"]}]
)
def test_where_nothing_is_asked_of_generation_0_every_seed_counts(gate):
    assert judge(a_claim(), chains(rising, noisy, lambda seed: gate)).verdict == "holds"


def test_each_look_with_more_seeds_halves_the_chance_of_error():
    first = judge(a_claim(), chains(rising, noisy))
    second = judge(a_claim(), chains(rising, noisy), look=2)
    assert ends(second)[0] < ends(first)[0]
    assert "look 2 with more seeds, intervals of 0.975" in second.why

    # What the correction for a family compares is as strict: eight claims looked at four times
    # would otherwise err in 7% and not in 5%.
    assert first.p is not None
    assert second.p == pytest.approx(2 * first.p)


def test_a_measurement_has_no_verdict():
    result = judge(a_claim(is_measurement=True, absent=None), chains(rising, noisy))
    described = result.described()
    assert not {"verdict", "null", "p", "region"} & set(described)
    text = format_results([{**described, "cost": {}}])
    assert text.endswith("1 claims: 1 measured")
    assert "must be" not in text


def test_recall_may_be_0_and_floors_are_taken_off():
    rows: dict[tuple[str, int], list[dict[str, Any]]] = {
        (arm, seed): [
            {"recall": 0.9},
            {"recall": recall + 0.01 * seed, "fid": fid, "floor": {"fid": {"mean": 1.0}}},
        ]
        for arm, recall, fid in (("biased", 0.0, 3.0), ("plain", 0.4, 2.0))
        for seed in SEEDS
    }
    lost = [term("biased", "recall"), term("biased", "recall", 0)]
    lost += [term("plain", "recall"), term("plain", "recall", 0)]
    excess = [{**term(arm, "fid"), "over_floor": True} for arm in ("biased", "plain")]
    must = [
        {"says": "recall", "differences": lost, "below": 0},
        {"says": "excess", "ratio": excess, "above": 1.5},
    ]
    result = judge(a_claim(must=must, absent=None), rows)
    estimates = [finding.estimate for finding in result.findings]
    assert estimates == [pytest.approx(-0.4), pytest.approx(2.0)]
    assert result.verdict == "holds"


def test_distances_are_told_apart_in_deviations_of_their_floor():
    def rows(fid, deviation):
        return [{}, {"fid": fid, "floor": {"fid": {"mean": 1.0, "sd": deviation}}}]

    def judged(deviation):
        terms = [{**term(arm, "fid"), "over_floor": True} for arm in ("replace", "control")]
        must = {"says": "x", "difference": terms, "above": 2, "in_floor_sd": True}
        of_chains = {
            (arm, seed): rows(fid + 0.01 * seed * seed, deviation)
            for arm, fid in (("replace", 3.0), ("control", 1.0))
            for seed in SEEDS
        }
        return judge(a_claim(must=[must]), of_chains)

    (finding,) = judged(0.5).findings
    assert (finding.estimate, finding.unit) == (
        pytest.approx(4.0),
        "standard deviations of the floor",
    )
    assert finding.required == "above 2 standard deviations of the floor"
    assert [judged(deviation).verdict for deviation in (0.5, 2.0)] == ["holds", "does not hold"]
    assert judged(0.0).findings[0].why == "undefined in 6 of 6 seeds"


def entry(name, p, verdict="holds"):
    return {"name": name, "family": "f", "verdict": verdict, "p": p, "why": ""}


class TestFamilies:
    """Holm 1979, at 2.5% since each interval has two ends."""

    def test_a_claim_must_stand_among_all_of_its_family(self):
        first, second = corrected([entry("a", 0.004), entry("b", 0.02)], {"f": 2})
        assert (first["p_holm"], first["verdict"]) == (0.008, "holds")
        assert (second["p_holm"], second["verdict"]) == (0.02, "holds")

        alone = corrected([entry("b", 0.02)], {"f": 2})[0]
        assert (alone["p_holm"], alone["verdict"]) == (0.04, "not decided")
        assert "Holm's correction for 2 claims" in alone["why"]

    def test_refutations_are_corrected_too(self):
        (refuted,) = corrected([entry("a", 0.02, "does not hold")], {"f": 4})
        assert refuted["verdict"] == "not decided"

    def test_what_has_no_p_stays(self):
        (blocked,) = corrected([entry("a", None, "blocked")], {"f": 4})
        assert blocked["verdict"] == "blocked"


class TestLaterCalls:
    """claims.json is that of all calls so far, whatever their profiles."""

    @pytest.fixture
    def judged(self, tmp_path):
        def merge(profile, name, size="", **changes):
            verdict: Verdict = "not decided"
            if not size:
                verdict = "blocked"
            result = replace(bare_result(Catalog().claims[name], verdict), size=size, **changes)
            return merged_verdicts(tmp_path, Catalog(), profile, [result])["claims"]

        return merge

    def test_a_claim_that_did_not_run_keeps_its_verdict_and_profile(self, judged, tmp_path):
        name = Catalog().chosen(["mad"])[0].name
        judged("cores", name, "cores", look=2, asked=30)
        judged("quick", "kernels_blur", "quick", look=1, asked=300)
        tree = read_verdicts(tmp_path)
        shown = {each["name"]: (each["profile"], each["look"]) for each in tree["claims"]}
        assert shown == {name: ("cores", 2), "kernels_blur": ("quick", 1)}
        assert earlier_look(tmp_path, name, "cores")["asked"] == 30
        assert with_costs(tmp_path, tree, list(shown))["profile"] == "cores and quick"

    def test_each_size_has_its_looks(self, judged, tmp_path):
        name = "kernels_blur"
        judged("full", name, "full", look=3, asked=50)
        judged("quick", name, "quick", look=1, asked=5)
        assert read_verdicts(tmp_path)["claims"][0]["size"] == "quick"
        assert earlier_look(tmp_path, name, "full")["look"] == 3
        assert earlier_look(tmp_path, name, "cores") == {}

        judged("full", name, "full", look=4, asked=60)
        assert read_verdicts(tmp_path)["claims"][0]["asked"] == 60
        assert [each["size"] for each in read_verdicts(tmp_path)["other_sizes"]] == ["quick"]

    def test_where_chains_are_missing_an_earlier_verdict_stays(self, judged, tmp_path):
        name = "kernels_blur"
        assert judged("quick", name, why="no data")[0]["verdict"] == "blocked"
        assert judged("quick", name, why="none at all")[0]["why"] == "none at all"
        assert read_verdicts(tmp_path)["claims"][0]["why"] == "none at all"

        judged("quick", name, "quick", look=2, asked=10)
        assert judged("full", name, why="no data")[0]["verdict"] == "blocked"
        (entry,) = read_verdicts(tmp_path)["claims"]
        assert (entry["verdict"], entry["profile"], entry["look"]) == ("not decided", "quick", 2)

    def test_a_file_of_an_earlier_version_is_gone_on_with(self, judged, tmp_path):
        judged("quick", "kernels_blur", "quick", look=2, asked=10)
        path = tmp_path / "claims.json"
        tree = json.loads(path.read_text())
        del tree["claims"][0]["profile"]
        path.write_text(json.dumps({**tree, "profile": "cores"}))
        assert earlier_look(tmp_path, "kernels_blur", "quick")["profile"] == "cores"


def test_the_wrong_law_is_the_null_run_of_a_law():
    right = find_z("x", [Comparison("v", 0, mean=1.0, error=0.01, law=1.01)], 4.0)
    assert right.z == pytest.approx(-1.0)
    assert right.estimate == pytest.approx(1 / 1.01)
    assert right.above == pytest.approx(1 - 0.0396, abs=1e-4)

    claim = Catalog().claims["kernels_blur"]
    for law, verdict, withdrawn in ((1.1, "does not hold", False), (1.02, "holds", True)):
        wrong = Comparison("v", 0, mean=1.0, error=0.01, law=law)
        result = law_result(claim, [with_null(right, [wrong], 6.0, "y")])
        assert (result.null["verdict"], result.withdrawn) == (verdict, withdrawn)


def test_seeds_are_added_after_those_of_the_file():
    settings = ProfileSettings.model_validate({"cost": "x", "seeds": [7, 1, 2, 3, 4]})
    assert settings.more_seeds(None) == [7, 1, 2, 3, 4]
    assert settings.more_seeds(7) == [7, 1, 2, 3, 4, 0, 5]
    assert ProfileSettings.model_validate({"cost": "x", "seeds": 6}).seeds == list(range(6))


def test_a_file_of_chains_grows_by_seeds_and_metrics():
    stored = Stored.empty([0, 3])
    stored.add(4, [{"w2": 1.0}, {"w2": 2.0}])
    stored.add(2, [{"w2": 3.0}, {"w2": 4.0, "survival.1": 0.5}])
    assert stored.values("w2", [2, 4]) == [[3.0, 4.0], [1.0, 2.0]]
    assert stored.values("survival.1", [4]) == [[None, None]]
    assert stored.values("none", [4]) is None
    assert stored.rows(2)[3] == {"w2": 4.0, "survival": {"1": 0.5}}


def test_costs_are_read_from_the_log(tmp_path):
    assert read_costs(tmp_path) == {}
    lines = ['{"chains": "a", "cpu_seconds": 2}', '{"chains": "a", "cpu_seconds": 1.5}', '{"torn']
    (tmp_path / "events.jsonl").write_text("\n".join(lines))
    costs = read_costs(tmp_path)
    assert cost_of(["a"], costs) == 3.5
    assert cost_of(["a", "b"], costs) is None
    assert cost_of([], costs) is None


def test_the_document_says_what_ran_and_what_did_not():
    claim = Catalog().claims["kernels_blur"]
    finding = find_z("x", [Comparison("v", 0, mean=1.0, error=0.01, law=1.01)], 4.0)
    wrong = Comparison("v", 0, mean=1.0, error=0.01, law=2.0)
    result = law_result(claim, [with_null(finding, [wrong], 6.0, "y")])
    cost = {"chains": 300, "cpu_seconds": 4.2}
    tree: dict[str, Any] = {"profile": "quick", "claims": [{**result.described(), "cost": cost}]}

    text = claims_document(tree, Catalog(), "runs/claims")
    assert f"{count_text(tree['claims'])} {len(Catalog().claims) - 1} more have not run" in text
    assert "| `kernels_blur` |" in text
    assert "does not hold: wrong law, \\|z\\| 100" in text
    assert "4.2 s, 300 chains" in text
    assert "## Not run" in text
    assert "`neon_sign_law`" in text


@pytest.mark.parametrize("claim", Catalog().claims.values(), ids=lambda claim: claim.name)
def test_every_claim_says_what_it_is_about(claim):
    """Section, limits, and for claims what would falsify them, bounds' sources, null runs."""
    assert claim.question
    assert claim.section
    assert claim.limits
    if claim.is_measurement:
        return
    assert claim.refuted_by
    assert claim.theory or claim.absent is not None
    assert all(statement.bound for statement in claim.must)
    assert all(statement.wrong for statement in claim.theory)


@pytest.mark.parametrize("claim", Catalog().claims.values(), ids=lambda claim: claim.name)
def test_no_region_begins_where_there_is_no_effect(claim):
    """A null run could not lie outside it, however many seeds it has."""
    for statement in claim.must:
        no_effect = float(statement.on_log_scale)
        assert claim.is_measurement or no_effect not in (statement.above, statement.below)


def test_the_catalogue_is_as_large_as_it_should_be():
    catalog = Catalog()
    claims = [claim for claim in catalog.claims.values() if not claim.is_measurement]
    on_two_cores = [claim for claim in claims if catalog.size_of(claim, "cores") is not None]
    assert len(claims) >= 35
    assert len(on_two_cores) >= 25
