"""The collapse profile: chains whose fate is proved, chains to which nothing happens, old runs."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from imglab.studies.profile import EIGHT, collapse_profile
from imglab.studies.profile.trend import noise, pace, steadiness


def rows_of(**columns):
    """Rows of metrics from columns, one value for each generation."""
    length = len(next(iter(columns.values())))
    values = [{name: column[g] for name, column in columns.items()} for g in range(length)]
    return [{"generation": g, "reasons": {}, **values[g]} for g in range(length)]


def gaussian_chain(seed, *, n, generations, regime):
    """Fits of a normal distribution to n draws (Shumailov 2024, theorem 3.1; THEORY of `replace`,
    `accumulate`, and a control that is refitted to fresh real data).
    """
    generator = np.random.default_rng(seed)
    data = generator.normal(size=n)
    rows = []
    for g in range(generations):
        mean, variance = data.mean(), data.var()
        w2 = mean**2 + (np.sqrt(variance) - 1) ** 2
        rows.append({"generation": g, "reasons": {}, "variance": variance, "w2": w2})
        new = mean + np.sqrt(variance) * generator.normal(size=n)
        if regime == "replace":
            data = new
        elif regime == "accumulate":
            data = np.concatenate([data, new])
        else:
            data = generator.normal(size=n)
    return rows


def verdicts(rows, **keys):
    return {row.name: row.verdict for row in collapse_profile(rows, **keys)}


def counts(chains):
    """How often each row had each verdict, in shares."""
    all_verdicts = Counter(
        (name, verdict) for rows in chains for name, verdict in verdicts(rows).items()
    )
    return {key: count / len(chains) for key, count in all_verdicts.items()}


def test_the_variance_of_a_gaussian_vanishes_under_replace_and_not_under_accumulate():
    # E ln s2 falls by .22 a generation at n = 10; under accumulation s2 stays above .84 for ever.
    replace, accumulate = (
        counts([gaussian_chain(s, n=10, generations=60, regime=regime) for s in range(25)])
        for regime in ("replace", "accumulate")
    )
    assert replace["variance vanishes", "yes"] >= 0.9
    assert replace["risk rises", "yes"] >= 0.9
    assert accumulate["variance vanishes", "no"] >= 0.9
    assert accumulate.get(("variance vanishes", "yes"), 0) == 0
    assert accumulate.get(("risk rises without bound", "yes"), 0) <= 0.08


def test_categories_that_die_are_modes_and_tails_that_vanish():
    generator = np.random.default_rng(0)
    true = 1.0 / np.arange(1, 101)
    frequencies = true / true.sum()
    rows = []
    for g in range(12):
        counted = generator.multinomial(300, frequencies)
        frequencies = counted / counted.sum()
        survival = {"1": float((counted[-10:] > 0).mean())}
        alive = int((counted > 0).sum())
        rows.append(
            {"generation": g, "reasons": {}, "categories_alive": alive, "survival": survival}
        )
    shown = verdicts(rows)
    assert (shown["modes vanish"], shown["tails vanish"]) == ("yes", "yes")


@pytest.mark.parametrize("generations", [6, 12])
def test_a_control_to_which_nothing_happens_is_rarely_called_a_collapse(generations):
    generator = np.random.default_rng(generations)
    chains = []
    for _ in range(100):
        noisy = generator.normal(size=(5, generations))
        columns = {
            "fid": np.exp(3 + 0.1 * noisy[0]),
            "variance_ratio": np.exp(0.1 * noisy[1]),
            "classes_alive": np.round(9 + 0.5 * noisy[2]),
            "recall_by_decile": [[0.5 + 0.05 * value] for value in noisy[3]],
            "precision": 0.8 + 0.03 * noisy[4],
        }
        chains.append(rows_of(**columns))
    shares = counts(chains)
    # Each row errs in 2.5% of chains; 100 of them show at most 7% with a chance of 99%.
    assert all(shares.get((definition.name, "yes"), 0) <= 0.07 for definition in EIGHT), shares
    falsely = np.mean(["yes" in verdicts(chain).values() for chain in chains])
    assert falsely <= 0.2  # 10% in the long run
    control = counts(
        [gaussian_chain(s, n=30, generations=generations, regime="real_only") for s in range(40)]
    )
    assert all(control.get((definition.name, "yes"), 0) <= 0.1 for definition in EIGHT), control


@pytest.mark.parametrize("generations", [6, 10, 20])
def test_a_control_whose_generations_resemble_the_last_one_is_rarely_called_a_collapse(generations):
    # A first-order autoregression: neighbours are closer to each other than to generation 0.
    generator = np.random.default_rng(generations)
    noise = generator.normal(size=(generations, 300))
    resembling = noise.copy()
    for g in range(1, generations):
        resembling[g] = 0.8 * resembling[g - 1] + 0.6 * noise[g]
    recall = 0.6 + 0.05 * resembling

    def share_of_yes(**further):
        chains = [[{"recall_by_decile": [value], **further} for value in one] for one in recall.T]
        return counts(chains).get(("tails vanish", "yes"), 0)

    # By its own differences alone 10 to 19% would be; the floor says how far equals lie apart,
    # which helps less where the chain spreads twice as widely.
    assert share_of_yes() > 0.06
    assert share_of_yes(floor={"recall_by_decile": {"mean": [0.65], "sd": [0.05]}}) <= 0.06
    assert share_of_yes(floor={"recall_by_decile": {"mean": [0.65], "sd": [0.025]}}) <= 0.25


def test_a_wide_floor_leaves_a_share_that_stays_the_same_where_it_is():
    floor = {"recall_by_decile": {"mean": [0.65], "sd": [0.05]}}
    rows = [{"recall_by_decile": [0.6], "floor": floor}] * 8
    assert verdicts(rows)["tails vanish"] == "no"


def test_constant_metrics_are_eight_times_no_or_not_decided():
    steady = {"fid": [5.0] * 8, "variance_ratio": [1.0] * 8, "classes_alive": [10] * 8}
    shown = verdicts(rows_of(**steady, precision=[0.8] * 8, rare_word_survival=[0.5] * 8))
    assert Counter(shown.values()) == {"no": 7, "not decided": 1}
    assert shown["scaling worsens"] == "not decided"


def test_a_steady_rise_goes_on_a_jump_does_not():
    wiggle = np.array([0.1, -0.2, 0.15, 0.0, -0.1, 0.2, -0.15, 0.05, 0.1, -0.05])
    g = np.arange(10)
    rising = verdicts(rows_of(fid=10 + 5 * g + wiggle))
    assert (rising["risk rises"], rising["risk rises without bound"]) == ("yes", "yes")
    jump = verdicts(rows_of(perplexity=20 + 20 * (g > 0) + wiggle))
    assert (jump["risk rises"], jump["risk rises without bound"]) == ("yes", "no")
    assert jump["risk rises catastrophically"] == "no"
    assert verdicts(rows_of(w2=0.01 * 2.0**g))["risk rises catastrophically"] == "yes"


def test_a_fall_that_ends_is_not_a_rise():
    # A control that still improves: its pace goes from below 0 to 0.
    improving = [9.0, 7.0, 5.1, 3.0, 1.1, 1.0, 1.02, 0.99, 1.01, 1.0]
    shown = verdicts(rows_of(fid=improving, variance_ratio=1 / np.array(improving)))
    assert "yes" not in shown.values()


def test_no_variance_at_all_has_vanished():
    left = [0.9, 0.7, 0.5, 0.2, 0.05, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert verdicts(rows_of(heterozygosity=left))["variance vanishes"] == "yes"
    assert verdicts(rows_of(heterozygosity=[0.0] * 8))["variance vanishes"] == "not decided"


def test_a_yes_excludes_no_change_and_numbers_are_those_of_the_metric():
    # Pixel variance of ten digits, as measured in the first version's chain.
    fading = [0.905, 0.835, 0.778, 0.734, 0.685, 0.649]
    precision = [0.7, 0.69, 0.64, 0.6, 0.55, 0.5]
    by_name = {
        row.name: row
        for row in collapse_profile(rows_of(variance_ratio=fading, precision=precision))
    }
    for name in ("variance vanishes", "hallucination grows"):
        assert by_name[name].verdict == "yes"
        interval = by_name[name].interval
        assert interval is not None
        assert interval[1] < 0
    assert by_name["hallucination grows"].number == pytest.approx(-0.15)
    assert "precision" in by_name["hallucination grows"].reason


def test_scaling_needs_several_sizes():
    sizes = {
        n: rows_of(fid=np.array([n**-0.5, *[n**-0.2] * 5])) for n in (100, 200, 400, 800, 1600)
    }
    worse = collapse_profile(sizes[100], sizes=sizes)[4]
    assert (worse.name, worse.verdict) == ("scaling worsens", "yes")
    assert worse.number == pytest.approx(0.3)
    same = {n: rows_of(fid=np.full(6, n**-0.5)) for n in sizes}
    assert verdicts(same[100], sizes=same)["scaling worsens"] == "no"


def test_classes_are_counted_as_the_corrected_counts_have_them():
    left = [10, 10, 9, 7, 5, 5, 4, 4]
    counted = [{str(k): 20.0 * (k < alive) for k in range(10)} for alive in left]
    modes = collapse_profile(rows_of(class_counts_corrected=counted, classes_alive=[10] * 8))[5]
    assert (modes.metric, modes.verdict) == ("class_counts_corrected", "yes")
    assert modes.number == pytest.approx(-5.5)


def test_what_is_missing_decides_nothing():
    old = collapse_profile(rows_of(fid=[1.0] * 6), format_version=3)
    assert old[6].verdict == "not decided"
    assert old[6].reason.startswith("made before format 4: there is none of recall_by_decile.0")
    assert collapse_profile(rows_of(fid=[1.0] * 6))[6].reason.startswith("not measured")
    few = collapse_profile(rows_of(fid=[1.0, 2.0, 9.0]))
    assert few[0].reason == "needs 5 generations in which it is defined; there are 3"
    undefined = rows_of(fid=[1.0] * 6, precision=[None] * 6)
    undefined[0]["reasons"] = {"precision": "coverage is near 0"}
    assert collapse_profile(undefined)[7].reason == "precision is undefined: coverage is near 0"
    assert {row.verdict for row in collapse_profile([])} == {"not decided"}
    huge = collapse_profile(rows_of(fid=[1e308, -1e308] * 3, variance_ratio=[1e308, 1e-308] * 3))
    assert "yes" not in {row.verdict for row in huge}
    json.dumps([row.as_json() for row in [*old, *huge]], allow_nan=False)


def test_a_poor_generation_0_is_said_beside_each_yes():
    rows = rows_of(fid=[10.0, 20.0, 30.0, 40.0, 50.0, 60.0])
    rows[0]["generation0"] = {"verdict": "poor", "reasons": ["variance ratio .5"]}
    assert "may be training" in collapse_profile(rows)[0].reason


def test_the_noise_is_measured_about_a_line():
    generator = np.random.default_rng(3)
    values = generator.normal(size=(2_000, 8)) + 50 * np.arange(8)
    squares = np.mean([noise(each)[0] ** 2 for each in values])
    assert squares == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("walks", [False, True])
def test_paces_cover_no_trend_as_often_as_they_say(walks):
    values = np.random.default_rng(4).normal(size=(400, 10))
    if walks:
        values = values.cumsum(1)
    for estimate in (pace, steadiness):
        outside = np.mean([not each.low <= 0 <= each.high for each in map(estimate, values)])
        assert outside <= 0.075
