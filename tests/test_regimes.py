"""Regimes: sizes, origins, no sample twice, generation 0 the same in all of them."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imglab import regimes
from imglab.config import kinds
from imglab.config.sections import REGIME_SECTIONS
from imglab.regimes import Regime
from imglab.samples import FRESH, REAL, Samples, Selection, TrainingSet
from tests.tiny_chains import TINY_GAUSSIAN, write

ALL: dict[str, Regime] = {
    "replace": regimes.replace,
    "real_only": regimes.real_only,
    "real_only, equal budget": partial(regimes.real_only, size="last"),
    "accumulate": regimes.accumulate,
    "accumulate_subsample": regimes.accumulate_subsample,
    "mix fixed": partial(regimes.mix, real_fraction=0.3, real="fixed"),
    "mix resampled": partial(regimes.mix, real_fraction=0.3, real="resampled"),
    "mix fresh": partial(regimes.mix, real_fraction=0.3, real="fresh"),
    "mix, less and less real": partial(
        regimes.mix, real_fraction=[0.9, 0.5, 0.1], real="resampled"
    ),
    "synthetic_augmentation": partial(regimes.synthetic_augmentation, ratio=0.02),
    "fresh_data": partial(regimes.fresh_data, fresh=7),
    "sliding_window": partial(regimes.sliding_window, window=2),
}
SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=6)


def pairs(selection):
    return list(zip(selection.entry.tolist(), selection.index.tolist(), strict=True))


@pytest.mark.parametrize("name", ALL)
def test_generation_0_is_the_real_set(name):
    chosen = ALL[name]([25], generation=0, seed=3)
    assert pairs(chosen) == [(0, i) for i in range(25)]


@pytest.mark.parametrize("name", ALL)
@given(sizes=SIZES, seed=st.integers(0, 2**40))
def test_indices_exist_and_none_is_chosen_twice(name, sizes, seed):
    sizes[0] = max(sizes)  # a mix needs enough real samples
    chosen = ALL[name](sizes, generation=len(sizes) - 1, seed=seed)
    assert len(set(pairs(chosen))) == len(chosen)
    for entry, index in pairs(chosen):
        assert index >= 0
        assert entry == FRESH or index < sizes[entry]


@given(sizes=SIZES, seed=st.integers(0, 2**40))
def test_replace_and_accumulate_take_all(sizes, seed):
    last = len(sizes) - 1
    assert pairs(regimes.replace(sizes, generation=last, seed=seed)) == [
        (last, i) for i in range(sizes[last])
    ]
    everything = [(entry, i) for entry, size in enumerate(sizes) for i in range(size)]
    assert pairs(regimes.accumulate(sizes, generation=last, seed=seed)) == everything


@given(sizes=SIZES, seed=st.integers(0, 2**40))
def test_the_control_is_real_and_of_equal_budget(sizes, seed):
    last = len(sizes) - 1
    assert pairs(regimes.real_only(sizes, generation=last, seed=seed)) == [
        (0, i) for i in range(sizes[0])
    ]
    equal = regimes.real_only(sizes, generation=last, seed=seed, size="last")
    assert len(equal) == min(sizes[0], sizes[last])
    assert set(equal.entry.tolist()) == {0}


@given(sizes=SIZES, seed=st.integers(0, 2**40))
def test_accumulate_subsample_keeps_the_size(sizes, seed):
    last = len(sizes) - 1
    assert len(regimes.accumulate_subsample(sizes, generation=last, seed=seed)) == sizes[last]


def test_accumulate_subsample_is_uniform():
    """Each of three equal entries fills a third of the set, on average over seeds."""
    entries = torch.cat(
        [regimes.accumulate_subsample([50] * 3, generation=2, seed=s).entry for s in range(400)]
    )
    shares = torch.bincount(entries) / len(entries)
    assert shares.tolist() == pytest.approx([1 / 3] * 3, abs=0.02)


@given(
    fraction=st.floats(0, 1),
    size=st.integers(1, 60),
    generation=st.integers(1, 5),
    real=st.sampled_from(["fixed", "resampled", "fresh"]),
)
def test_mix_has_its_share(fraction, size, generation, real):
    sizes = [60, *[size] * generation]
    chosen = regimes.mix(sizes, generation=generation, seed=1, real_fraction=fraction, real=real)
    assert len(chosen) == size
    kept = int((chosen.entry == (FRESH if real == "fresh" else 0)).sum())
    assert kept == round(size * fraction)
    assert int((chosen.entry == generation).sum()) == size - kept


def test_mix_fixed_keeps_its_real_samples_and_resampled_does_not():
    def real_part(generation, real):
        chosen = regimes.mix([100] * 4, generation=generation, seed=7, real_fraction=0.2, real=real)
        return chosen.index[chosen.entry == 0].tolist()

    assert real_part(1, "fixed") == real_part(2, "fixed") == real_part(3, "fixed")
    assert real_part(1, "resampled") != real_part(2, "resampled")


def test_mix_fresh_never_repeats():
    seen = []
    for generation in range(1, 5):
        chosen = regimes.mix(
            [100] * 5, generation=generation, seed=7, real_fraction=0.25, real="fresh"
        )
        seen += chosen.index[chosen.entry == FRESH].tolist()
    assert seen == list(range(100))


def test_a_share_for_each_generation():
    schedule, sizes = [0.8, 0.4, 0.1], [100] * 7
    for real in ("fixed", "fresh"):
        shares = []
        for generation in range(1, 6):
            chosen = regimes.mix(
                sizes, generation=generation, seed=1, real_fraction=schedule, real=real
            )
            shares.append(float((chosen.entry <= 0).double().mean()))
        assert shares == [0.8, 0.4, 0.1, 0.1, 0.1]
    fresh = [
        regimes.mix(sizes, generation=g, seed=1, real_fraction=schedule, real="fresh")
        for g in range(1, 5)
    ]
    assert [i for chosen in fresh for i in chosen.index[chosen.entry == FRESH].tolist()] == list(
        range(140)
    )


@given(ratio=st.floats(0, 1.5), generation=st.integers(1, 4))
def test_synthetic_augmentation_keeps_all_real_data(ratio, generation):
    chosen = regimes.synthetic_augmentation(
        [20, *[30] * generation], generation=generation, seed=2, ratio=ratio
    )
    assert chosen.index[chosen.entry == 0].tolist() == list(range(20))
    assert int((chosen.entry == generation).sum()) == round(20 * ratio) == len(chosen) - 20


def test_fresh_data_adds_what_nobody_has_seen():
    seen = []
    for generation in range(1, 5):
        chosen = regimes.fresh_data(
            [10, *[15] * generation], generation=generation, seed=3, fresh=6
        )
        seen += chosen.index[chosen.entry == FRESH].tolist()
        assert chosen.index[chosen.entry == generation].tolist() == list(range(15))
        assert len(chosen) == 21
    assert seen == list(range(24))


@given(sizes=SIZES, seed=st.integers(0, 2**40))
def test_sliding_window_lies_between_replace_and_accumulate(sizes, seed):
    last = len(sizes) - 1
    arguments = {"generation": last, "seed": seed}
    assert pairs(regimes.sliding_window(sizes, window=1, **arguments)) == pairs(
        regimes.replace(sizes, **arguments)
    )
    assert pairs(regimes.sliding_window(sizes, window=99, **arguments)) == pairs(
        regimes.accumulate(sizes, **arguments)
    )
    two = regimes.sliding_window(sizes, window=2, **arguments)
    assert set(two.entry.tolist()) == {last, max(0, last - 1)}


def test_too_many_real_samples_is_an_error():
    with pytest.raises(ValueError, match="cannot draw 40 of 10"):
        regimes.mix([10, 40], generation=1, seed=0, real_fraction=1.0)


def test_importing_them_does_not_import_torch():
    code = "import sys, imglab.regimes; assert 'torch' not in sys.modules; imglab.regimes.mix"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == ""


@pytest.mark.parametrize("name", regimes.REGIMES)
def test_every_key_says_what_it_is(name):
    section = REGIME_SECTIONS[name]
    assert getattr(regimes, name) is regimes.REGIMES[name]
    assert section.model_fields["kind"].default == name
    for key, field in section.model_fields.items():
        assert key == "kind" or (field.description or "").endswith((".", ")."))


class TestAThirdPartysRegime:
    """One that a config names as `module:function` answers before the run as those that ship do."""

    CODE = """
from imglab import regimes
from imglab.errors import Problem

def picky(sizes, *, generation, seed, most=10):
    return regimes.replace(sizes, generation=generation, seed=seed)

def needs(run, *, most):
    if run.real > most:
        yield Problem("regime.most", f"there are {run.real} real samples", f"at least {run.real}")
    yield from run.fresh_problems("most", 3 * len(run.later))

picky.needs = needs
picky.fresh = lambda left, *, generation, most: 3

def plain(sizes, *, generation, seed, **keys):
    assert keys == {"anything": 1}
    return regimes.replace(sizes, generation=generation, seed=seed)
"""

    @pytest.fixture(autouse=True)
    def package(self, tmp_path, monkeypatch):
        monkeypatch.syspath_prepend(tmp_path)
        (tmp_path / "picky_lab.py").write_text(self.CODE)
        yield
        sys.modules.pop("picky_lab", None)

    def test_its_needs_are_told_with_the_other_problems(self, lab, tmp_path):
        tree = {**TINY_GAUSSIAN, "regime": "picky_lab:picky"}
        write(tmp_path, tree)
        code, _, err = lab("run", "tiny.yaml", "--set", "measure.precision_recall_k=30")
        assert code == 2
        assert "tiny.yaml: regime.most: there are 30 real samples (at least 30)" in err
        assert "tiny.yaml: measure.precision_recall_k" in err
        assert lab("run", "tiny.yaml", "--set", "regime.most=30")[0] == 0

    def test_it_may_be_an_entry_point(self, lab, tmp_path, monkeypatch):
        monkeypatch.setattr(kinds, "installed", lambda group: {"picky": "picky_lab:picky"})
        write(tmp_path, {**TINY_GAUSSIAN, "regime": "picky"})
        assert "regime.most: there are 30 real samples" in lab("run", "tiny.yaml")[2]

    def test_a_fork_asks_it_for_fresh_data(self, lab, tmp_path):
        write(tmp_path, {**TINY_GAUSSIAN, "regime": {"kind": "picky_lab:picky", "most": 30}})
        assert lab("run", "tiny.yaml")[0] == 0
        change = "regime={kind: fresh_data, fresh: 1}"
        code, _, err = lab("fork", "runs/tiny@1", "--out", "fork", "--set", change)
        assert code == 2
        assert "fresh data that the shared generations have seen" in err

    def test_without_answers_and_with_any_keys_it_runs(self, lab, tmp_path):
        write(tmp_path, {**TINY_GAUSSIAN, "regime": {"kind": "picky_lab:plain", "anything": 1}})
        assert lab("run", "tiny.yaml")[0] == 0


class TestTrainingSet:
    def pool(self):
        real = Samples.real(torch.arange(10)[:, None].float(), torch.arange(10))
        drawn = Samples.drawn(100 + torch.arange(6)[:, None].float(), torch.arange(6)).stamped(0)
        return [real, drawn]

    def test_rows_come_in_the_order_of_the_selection(self):
        train = TrainingSet(
            dict(enumerate(self.pool())),
            Selection(torch.tensor([1, 0, 1, 0]), torch.tensor([5, 2, 0, 9])),
        )
        assert train.all().data.flatten().tolist() == [105, 2, 100, 9]
        assert train.rows(torch.tensor([3, 0, 0])).data.flatten().tolist() == [9, 105, 105]
        condition = train.all().condition
        assert condition is not None
        assert condition.tolist() == [5, 2, 0, 9]
        assert train.origin.tolist() == [0, REAL, 0, REAL]
        assert train.real_share == 0.5

    def test_a_part_without_conditions_leaves_none(self):
        real, drawn = self.pool()
        bare = Samples(drawn.data, None, drawn.origin, drawn.source)
        train = TrainingSet(
            {0: real, 1: bare}, Selection(torch.tensor([1, 0]), torch.tensor([0, 0]))
        )
        assert train.condition is None
        assert train.all().condition is None
        condition = train.rows(torch.tensor([1])).condition
        assert condition is not None
        assert condition.tolist() == [0]

    def test_columns_must_have_one_length(self):
        with pytest.raises(ValueError, match=r"Samples\.condition has 3 rows, data has 2"):
            Samples.real(torch.zeros(2, 1), torch.zeros(3))

    def test_lineage_survives_mixing(self):
        real, drawn = self.pool()
        mixed = Samples.concatenate([real[:2], drawn[:1]])
        assert mixed.origin.tolist() == [REAL, REAL, 0]
        assert drawn.stamped(4).origin.tolist() == [4] * 6
