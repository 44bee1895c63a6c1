"""The smallest real share that holds: bisection, its interval, criteria, budgets, the command."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from imglab.cli.app import app
from imglab.errors import InputError
from imglab.running.budget import narrower, seconds_of
from imglab.running.cost import RunCost, StageCost
from imglab.studies.mixing.criterion import Criterion
from imglab.studies.mixing.plan import Plan, Size, plan_for, sizes_of
from imglab.studies.mixing.request import read_request
from imglab.studies.mixing.run import Mixing
from imglab.studies.mixing.search import FEWEST_SEEDS, Search, threshold
from imglab.studies.mixing.sentences import sentences
from tests.conftest import ROOT, load_chain
from tests.tiny_chains import TINY_IMAGE, write


def searched(holds, halvings=4) -> Any:
    """Search where `holds(share)` says what comes out."""
    held: dict[float, bool | None] = {}
    while (share := Search(halvings, held).next_share()) is not None:
        assert share not in held
        held[share] = holds(share)
    return Search(halvings, held)


class TestSearch:
    @given(limit=st.floats(0.001, 1), halvings=st.integers(1, 8))
    def test_it_brackets_the_limit(self, limit, halvings):
        search = searched(lambda share: share >= limit, halvings)
        low, high = search.bracket()
        assert low < limit <= high
        assert high - low == 2.0**-halvings
        assert len(search.held) == 2 + halvings

    def test_no_real_data_needed(self):
        search = searched(lambda share: True)
        assert search.bracket() == (0, 0)
        assert set(search.held) == {0, 1}

    def test_real_data_alone_do_not_hold(self):
        search = searched(lambda share: False)
        assert search.bracket() is None
        assert set(search.held) == {1}

    def test_what_cannot_be_decided_ends_it(self):
        assert searched(lambda share: None).bracket() is None
        search = searched(lambda share: {0.0: False, 1.0: True}.get(share))
        assert search.bracket() == (0, 1)
        assert set(search.held) == {0, 0.5, 1}


class TestThreshold:
    def test_the_interval_covers_the_mean_over_seeds(self):
        """Limits vary from seed to seed: 95% of the intervals hold their mean, or more."""
        rng = np.random.default_rng(0)
        covered = 0
        for _ in range(400):
            limits = np.clip(rng.normal(0.4, 0.1, 4), 0.01, 1)
            brackets = [
                searched(lambda share, limit=limit: bool(share >= limit)).bracket()
                for limit in limits
            ]
            answer: Any = threshold(brackets)
            covered += answer.low <= 0.4 <= answer.high
        assert 0.93 <= covered / 400 <= 1

    def test_narrow_intervals_of_the_fewest_seeds_hold_it_too(self):
        """Of two seeds they would be those that agree by chance."""
        rng = np.random.default_rng(0)
        covered = []
        for _ in range(400):
            brackets = [
                searched(lambda share, limit=limit: bool(share >= limit)).bracket()
                for limit in rng.normal(0.4, 0.05, FEWEST_SEEDS)
            ]
            answer: Any = threshold(brackets)
            if answer.high - answer.low <= 0.5:
                covered.append(answer.low <= 0.4 <= answer.high)
        assert len(covered) > 200
        assert np.mean(covered) > 0.93

    def test_two_seeds_have_no_interval(self):
        assert threshold([(0.25, 0.5)] * 2) is None


def row(**values):
    floor = {"fid": {"mean": 1.0, "sd": 0.1}, "precision": {"mean": 0.9, "sd": 0.01}}
    return {"floor": floor, **values}


GATE = {"variance_ratio": 0.95, "excess_fid": 1.0, "precision": 0.05, "further_training": 0.02}


class TestCriterion:
    def judged(self, name, last, control=None):
        criterion = Criterion(name, GATE)
        return criterion.judge([row(), last], [[row(), control or last]])

    def test_the_gate_asks_the_last_generation(self):
        good = row(variance_ratio=0.97, fid=1.05, precision=0.88)
        assert self.judged("gate", good) == (True, "")
        holds, reason = self.judged("gate", row(variance_ratio=0.9, fid=1.05, precision=0.88))
        assert holds is False
        assert "variance_ratio is 0.9" in reason

    def test_beside_the_control(self):
        """A poor network has a poor control, and a mixture is asked to be no worse than it."""
        control = row(variance_ratio=0.8, fid=3.0, precision=0.6)
        assert self.judged("gate", control)[0] is False
        assert self.judged("control", control, control)[0] is True
        near = row(variance_ratio=0.78, fid=3.19, precision=0.58)
        assert self.judged("control", near, control)[0] is True
        far = row(variance_ratio=0.78, fid=3.3, precision=0.58)
        holds, reason = self.judged("control", far, control)
        assert holds is False
        assert "beside real data alone, 3 ± 0.1" in reason

    @pytest.mark.parametrize("seeds", [2, 3, 5])
    def test_chains_on_the_same_data_hold_beside_each_other(self, seeds):
        """The null: chains differ by their training alone, ten times as much as the floor does.

        One in 44 lies more than two standard deviations above the others, however many they are.
        """
        rng = np.random.default_rng(0)
        criterion = Criterion("control", GATE)
        held = 0
        for fids in (30 + rng.normal(0, 1, (2000, seeds + 1))).tolist():
            rows = [row(variance_ratio=0.8, fid=fid, precision=0.6) for fid in fids]
            controls = [[row(), each] for each in rows[1:]]
            held += criterion.judge([row(), rows[0]], controls)[0] is True
        assert held / 2000 == pytest.approx(0.977, abs=0.01)

    def test_a_definition_of_collapse(self):
        rows = [row(generation=g, fid=1.0 + 10 * g, fid_se=0.01, n_train=10) for g in range(6)]
        criterion = Criterion("risk rises catastrophically", {})
        holds, reason = criterion.judge(rows, [rows])
        assert holds is False, reason

    def test_a_chain_that_is_bad_from_the_start_does_not_hold(self):
        """A definition compares with the model of real data, not with that of the mixture."""
        good = [row(generation=g, fid=1.0, fid_se=0.01, n_train=10) for g in range(6)]
        bad = [row(generation=g, fid=500.0, fid_se=0.01, n_train=10) for g in range(6)]
        criterion = Criterion("risk rises catastrophically", {})
        assert criterion.judge(good, [good])[0] is True
        assert criterion.judge(bad, [good])[0] is False


COST = RunCost(
    (
        StageCost("prepare", 10.0, (), 0),
        StageCost("fit", 60.0, (20.0, 10.0, 10.0, 10.0, 10.0), 0),
        StageCost("measure", 15.0, (3.0,) * 5, 0),
    ),
    0,
    "a test",
)


NARROW = RunCost(tuple(replace(stage, generation=()) for stage in COST.stages[:1]), 0, "a test")
"""A chain that costs nothing but what is done once."""


def planned(budget, *others):
    """Return the plan for chains that cost `COST`, or as much as other sizes do, in their order."""
    costs = [COST, *others]
    sizes = [Size(), Size(1000), Size(is_narrow=True)][: len(costs)]
    probed: list[Size] = []

    def cost_of(size):
        probed.append(size)
        return costs[sizes.index(size)]

    plan, cost = plan_for(budget, cost_of, 5, sizes=sizes)
    assert cost is costs[sizes.index(plan.size)]
    assert len(probed) == len(set(probed))
    return plan, probed


class TestPlan:
    def test_seconds_are_those_of_its_chains(self):
        assert Plan(5, 5, 4).seconds(COST) == 10 + 5 * 6 * 75
        assert Plan(2, 2, 2, 0.5).seconds(COST) == 10 + 2 * 4 * (15 + 6)

    @given(budget=st.floats(180, 5000))
    def test_a_plan_stays_within_its_budget(self, budget):
        assert planned(budget)[0].seconds(COST) <= budget

    def test_training_is_shortened_last(self):
        assert planned(3000)[0] == Plan(5, 5, 4)
        assert planned(450)[0].training == 1.0
        assert planned(180)[0].training < 1.0
        assert planned(180, COST, NARROW)[0] == Plan(5, 5, 4, 1.0, Size(is_narrow=True))

    def test_a_size_is_probed_when_no_search_of_those_before_it_fits(self):
        assert planned(450, NARROW) == (Plan(3, 2, 2), [Size()])
        assert planned(180, NARROW) == (Plan(5, 5, 4, size=Size(1000)), [Size(), Size(1000)])

    def test_an_impossible_budget_says_what_would_do(self):
        with pytest.raises(InputError, match=r"30 s do not suffice: .* takes 3 min"):
            planned(30)
        with pytest.raises(InputError, match=r"5\.0 s do not suffice: .* takes 10 s"):
            planned(5, COST, NARROW)

    def test_several_models_are_narrower_and_trained_for_less(self):
        member = {"channels": [8], "training": {"images": 100}}
        plan = Plan(3, 2, 2, 0.5, Size(is_narrow=True))
        (one, other) = plan.changes({"models": [member, member]})["model"]["models"]
        assert one == other == {"channels": [4], "training": {"images": 50}}

    def test_older_plans_have_no_size(self):
        assert Plan.read({"seeds": 3, "generations": 2, "halvings": 2}) == Plan(3, 2, 2)
        plan = Plan(3, 2, 2, 0.5, Size(700, is_narrow=True))
        assert Plan.read(asdict(plan)) == plan
        assert plan.described.endswith(
            "half of the config's training, 700 real training samples, "
            "a network half as wide as the config's"
        )

    def test_budgets_are_times(self):
        assert seconds_of("1.5h") == 5400
        with pytest.raises(InputError, match="is no time"):
            seconds_of("soon")


class TestCommand:
    @pytest.fixture
    def web(self, tmp_path):
        rng = np.random.default_rng(0)
        path = tmp_path / "web.npz"
        np.savez(path, images=rng.integers(0, 256, (60, 8, 8), dtype=np.uint8))
        return path

    @pytest.mark.slow
    def test_a_search_from_end_to_end(self, lab, web, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        config = write(tmp_path, {**TINY_IMAGE, "name": "tiny"})
        arguments = ["mix", config, "--synthetic", web, "--seeds", "3", "--halvings", "2"]
        arguments += ["--criterion", "control"]
        code, out, err = lab(*arguments)
        assert code == 0, err
        result = json.loads((tmp_path / "runs/mix_tiny/mixing.json").read_text())
        shares = {(chain["seed"], chain["share"]) for chain in result["chains"]}
        assert {(0, 1.0), (1, 1.0)} <= shares
        for kind in ("html", "png", "svg", "pdf"):
            assert (tmp_path / f"runs/mix_tiny/mixing.{kind}").is_file()
        assert sentences(result)[0] in out

        # The same command finds everything done, and gives the same answer.
        again = json.loads((tmp_path / "runs/mix_tiny/mixing.json").read_text())
        assert lab(*arguments)[0] == 0
        assert json.loads((tmp_path / "runs/mix_tiny/mixing.json").read_text()) == again
        assert lab(*arguments, "--label", "other")[0] == 2

    def test_wrong_input(self, lab, web, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        config = write(tmp_path, {**TINY_IMAGE, "name": "tiny"})

        def said(*arguments):
            code, _, error = lab("mix", *arguments)
            assert code == 2
            return error

        assert "modality.synthetic.nowhere" in said(config, "--synthetic", "nowhere")
        assert "did you mean 'gate'" in said(config, "--synthetic", web, "--criterion", "gat")
        assert "`imglab map` finds the share" in said("gaussian", "--synthetic", web)
        assert "is no time" in said(config, "--synthetic", web, "--budget", "soon")
        assert "--budget" in said(config, "--synthetic", web, "--budget", "1m", "--seeds", "3")
        few = ["--criterion", "tails vanish"]
        assert "needs 5 generations" in said(config, "--synthetic", web, *few)
        many = ["--criterion", "scaling worsens"]
        assert "runs of several sizes" in said(config, "--synthetic", web, *many)
        off = ["--set", "measure.gate=none"]
        assert "measure.gate, which is none" in said(config, "--synthetic", web, *off)
        assert not (tmp_path / "runs").exists()

    def test_a_small_set_makes_all_training_sets_small(self, tmp_path):
        np.savez(tmp_path / "few.npz", images=np.zeros((25, 8, 8), np.uint8))
        config = write(tmp_path, {**TINY_IMAGE, "name": "tiny"})
        request = read_request(config, str(tmp_path / "few.npz"))
        search = Mixing(request, tmp_path / "search")
        regime: Any = search.request.config(0.5).regime
        assert regime.size == 25


class TestSizes:
    @pytest.mark.parametrize(
        ("model", "changes"),
        [
            ({"kind": "vae", "hidden": [400]}, {"hidden": [200]}),
            ({"network": {"kind": "llama", "width": 128}}, {"network": {"width": 64}}),
            ({"network": {"kind": "pretrained", "name": "a"}}, {}),
            ({"channels": [9, 18]}, {}),
            ({"models": [{"channels": [8]}, {}]}, {}),
            ({"models": [{"channels": [8]}] * 2}, {"models": [{"channels": [4]}] * 2}),
        ],
    )
    def test_a_narrower_network_is_half_as_wide(self, model, changes):
        assert narrower(model) == changes

    def test_a_smaller_set_comes_before_a_narrower_network(self):
        assert sizes_of(4000, {"channels": [8]}) == [
            Size(),
            Size(2000),
            Size(None, is_narrow=True),
            Size(2000, is_narrow=True),
        ]
        assert sizes_of(900, {}) == [Size()]

    @pytest.mark.parametrize("name", ["image_digits", "text_pydoc", "image_vae_mnist"])
    def test_configs_that_ship_take_them(self, name):
        request = read_request(ROOT / f"configs/{name}.yaml", "anything.npz")
        sizes = request.sizes(4000)
        assert len(sizes) == 4
        small: Any = request.of_size(sizes[-1])
        assert small.modality.n_train == 2000
        assert small.generations == request.tree["generations"]
        whole: Any = request.of_size(Size())
        assert narrower(whole.model.model_dump()).keys() <= small.model.model_fields_set

    def test_a_width_that_the_heads_do_not_divide_is_not_offered(self):
        changes = ["model.network={kind: gpt2, width: 12, heads: 12}"]
        request = read_request(ROOT / "configs/text_pydoc.yaml", "anything.txt", changes=changes)
        assert [size.is_narrow for size in request.sizes(900)] == [False]


def answered(brackets):
    """Return what a search with these brackets writes."""
    plan = {"seeds": 3, "generations": 3, "halvings": 4, "training": 1.0}
    question = {"label": "web", "plan": plan, "criterion": "gate"}
    sizes = {"real": 1000, "size": 1000, "thresholds": {"excess_fid": 1.0}, "chains": []}
    answer = vars(threshold(brackets))
    return {"question": question, "finished": True, **sizes, "brackets": brackets, "answer": answer}


class TestSentences:
    @pytest.mark.parametrize(
        ("brackets", "said"),
        [
            ([(0.0, 0.0)] * 3, "No real data are needed"),
            ([(0.25, 0.3125)] * 3, "from a real share of about 0.312 on"),
            ([(0.0, 1 / 1024)] * 3, "about 0.000977 on"),
            ([(0.9375, 1.0)] * 3, "No mixture that was tried holds"),
            ([(0.0, 0.5)] * 3, "the seeds agree, so more halvings narrow it"),
            ([(0.0, 0.25), (0.5, 0.75), (0.25, 0.5)], "more seeds and more halvings"),
        ],
    )
    def test_the_first_says_what_was_seen(self, brackets, said):
        assert said in sentences(answered(brackets))[0]

    def test_what_a_budget_chose_is_said(self):
        result = answered([(0.25, 0.3125)] * 3)
        assert not any("budget" in sentence for sentence in sentences(result))
        result["question"]["budget"] = "30m"
        expected = "A budget of 30m chose 3 seeds, each with at most 6 chains of 3 generations"
        assert any(sentence.startswith(expected) for sentence in sentences(result))

    def test_what_is_not_real_is_named(self):
        second = sentences(answered([(0.25, 0.3125)] * 3))[1]
        assert "excess_fid 2" in second
        assert "web in generation 0, and in each later generation what the one before" in second


def test_real_data_of_another_place(tmp_path):
    config = write(tmp_path, {**TINY_IMAGE, "name": "tiny"})
    request = read_request(config, "runs/x@3", real="photos", label="own")
    assert request.tree["modality"]["source"] == {"kind": "folder", "path": "photos"}
    assert request.tree["modality"]["synthetic"][0]["run"] == "runs/x@3"
    assert request.label == "own"
    half: Any = request.config(0.5, 3)
    assert half.regime.shares == {"real": 0.5, "own": 0.0, "last": 0.5}
    assert half.seed == 3


def test_labels_come_from_names(tmp_path):
    config = write(tmp_path, {**TINY_IMAGE, "name": "tiny"})
    names = {"drawn/web.npz": "web", "runs/x@3": "x_3", "./real": "set_real", "hub:a/b-c": "b-c"}
    for synthetic, label in names.items():
        assert read_request(config, synthetic).label == label


def commands_of(page):
    """The commands in the shell blocks of a page, as lists of words without `imglab`."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / page).read_text(), re.S)
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    return [words[1:] for words in lines if words and words[0] == "imglab"]


def parsed(words):
    """What the command line makes of a command, which is not run."""
    group: Any = typer.main.get_command(app)
    name, *others = words
    command = group.get_command(None, name)
    return command.make_context(name, others).params


def test_the_examples_of_the_page_can_be_asked():
    """Commands parse, and those about configs that ship name chains that the configs allow."""
    asked = [(words[0], parsed(words)) for words in commands_of("mixtures.md")]
    assert [name for name, _ in asked].count("mix") == 3
    configs = [(name, params) for name, params in asked if "config" in params]
    for name, params in configs:
        path = ROOT / params["config"]
        if not path.is_relative_to(ROOT / "configs"):
            continue
        if name == "run":
            assert load_chain(path, params["changes"]).generations == 4
            continue

        request = read_request(path, params["synthetic"], criterion=params["criterion"])
        assert request.tree["modality"]["synthetic"][0]["run"].endswith(f"{path.stem}@3")
        if params["budget"] is None:
            assert (params["halvings"], params["workers"]) == (3, 2)
            continue
        assert seconds_of(params["budget"]) == 3600
