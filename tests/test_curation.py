"""Curation: exact in its counts, blind to order, and seen in the run directory."""

from __future__ import annotations

import csv
import json
import re
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from imglab import curation, regimes
from imglab.curation import Context
from imglab.errors import InputError, Stopped
from imglab.measure import Measure
from imglab.model import HasAbilities
from imglab.run.run import Run
from imglab.samples import FRESH, REAL, Samples, Selection, TrainingSet
from imglab.solvable.gaussian.modality import GaussianModality
from imglab.solvable.gaussian.settings import GaussianDataSettings
from imglab.store import files
from imglab.store.files import read_signed
from imglab.store.reader import RunFolder
from tests.test_run_directory import TINY_GAUSSIAN, TINY_IMAGE, finish, write
from tests.text_fixtures import finish as result

KEEP = {"regime": "replace", "generations": 2}


def context(features, *, real=None, seed=1, first=None):
    modality = GaussianModality(
        GaussianDataSettings(dimensions=features.shape[1], n_train=20, n_test=20)
    )
    real = (
        torch.randn(20, features.shape[1], generator=torch.Generator().manual_seed(3))
        if real is None
        else real
    )
    return Context(features, real, modality, first, 0, seed)


class Judge(HasAbilities):
    """Gives each sample a density of its own."""

    def __init__(self, scores):
        self.scores = scores

    def log_density(self, samples):
        return self.scores


@given(st.integers(1, 60), st.floats(0.01, 1), st.integers(0, 10))
@settings(deadline=None, max_examples=60)
def test_a_share_is_kept_exactly_once_each(n, keep, seed):
    features = torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))
    drawn, asked = (
        Samples.drawn(features),
        context(features, seed=seed, first=Judge(features[:, 0].double())),
    )
    for curator in (curation.random, curation.oracle, curation.density, curation.diversity):
        accepted = curator(drawn, asked, keep=keep)
        assert len(accepted) == curation.kept_size(n, keep)
        assert accepted.tolist() == sorted(set(accepted.tolist()))
        assert not len(accepted) or (accepted.min() >= 0 and accepted.max() < n)
        assert torch.equal(accepted, curator(drawn, asked, keep=keep))


@given(st.integers(1, 10_000), st.floats(0.001, 1))
def test_enough_are_drawn_for_the_pool_to_get_its_size(samples, keep):
    assert curation.kept_size(curation.drawn_size(samples, keep), keep) == samples


def test_the_best_are_kept():
    features = torch.tensor([[5.0], [0.1], [3.0], [0.2], [float("nan")]])
    drawn, real = Samples.drawn(features), torch.zeros(4, 1)
    asked = context(features[:4], real=real)
    assert curation.oracle(drawn[:4], asked, keep=0.5).tolist() == [1, 3]
    scores = torch.tensor([1.0, float("nan"), 9.0, 2.0, 9.0], dtype=torch.float64)
    assert curation.density(drawn, context(features, first=Judge(scores)), keep=0.4).tolist() == [
        2,
        4,
    ]


def test_diversity_spreads_and_survives_repeats():
    features = torch.tensor([[0.0], [0.0], [0.0], [10.0], [-10.0], [0.1]])
    accepted = curation.diversity(Samples.drawn(features), context(features), keep=0.5)
    assert set(accepted.tolist()) >= {3, 4}
    same = torch.zeros(6, 2)
    assert len(set(curation.diversity(Samples.drawn(same), context(same), keep=1.0).tolist())) == 6


@given(st.integers(1, 700), st.integers(1, 30), st.integers(0, 5))
@settings(deadline=None, max_examples=20)
def test_exact_repeats_are_dropped_once(n, kinds, seed):
    values = torch.randint(kinds, (n, 1), generator=torch.Generator().manual_seed(seed)).float()
    accepted = curation.duplicates(Samples.drawn(values), context(values), distance=0.0)
    first = {float(value): at for at, value in reversed(list(enumerate(values.flatten())))}
    assert accepted.tolist() == sorted(first.values())


def test_near_duplicates_are_measured_in_real_neighbour_distances():
    real = torch.arange(10.0)[:, None] * 2  # each is 2 from the next
    features = torch.tensor([[0.0], [0.9], [1.9], [2.1], [7.0]])
    accepted = curation.duplicates(
        Samples.drawn(features), context(features, real=real), distance=0.5
    )
    assert accepted.tolist() == [0, 2, 4]


class Marked(GaussianModality):
    """Vectors whose first number is the strength of their mark."""

    def watermark_scores(self, samples, *, key):
        return samples.data[:, 0].double()


def test_a_detector_errs_as_often_as_it_is_told_to():
    modality = Marked(GaussianDataSettings(dimensions=1, n_train=5000, n_test=20))
    marked = torch.cat(
        [
            torch.full((4000, 1), 50.0),
            torch.randn(4000, 1, generator=torch.Generator().manual_seed(0)),
        ]
    )
    unused: Any = None
    asked = Context(marked, marked[:9], modality, unused, 0, 1)
    drop = partial(
        curation.drop_watermarked, Samples.drawn(marked), asked, key=1, false_positive_rate=0.05
    )
    kept = drop(error_rate=0.0)
    assert kept.min() >= 4000
    assert abs(len(kept) / 4000 - 0.95) < 4 * (0.05 * 0.95 / 4000) ** 0.5 + 0.015
    kept = drop(error_rate=0.1)
    assert abs(int((kept < 4000).sum()) / 4000 - 0.1) < 4 * (0.1 * 0.9 / 4000) ** 0.5


@given(
    st.lists(st.integers(2, 12), min_size=2, max_size=5),
    st.sampled_from(
        ["replace", "accumulate", "accumulate_subsample", "mix", "sliding_window", "real_only"]
    ),
    st.integers(0, 3),
)
@settings(deadline=None, max_examples=80)
def test_lineage_through_curation_is_exact(sizes, name, seed):
    """Whatever regime and whatever was accepted: only accepted rows, with their origin,
    none twice.
    """
    assume(name != "mix" or sizes[-1] <= 4 * sizes[0])  # half of it are real ones, none twice
    options: dict[str, dict[str, Any]] = {
        "mix": {"real_fraction": 0.5},
        "sliding_window": {"window": 2},
    }
    keys = options.get(name, {})
    entries = {
        at: Samples(
            torch.arange(2.0 * n)[:, None] + 1000 * at,
            None,
            *(torch.full((2 * n,), at - 1).short(),) * 2,
        )
        for at, n in enumerate(sizes)
    }
    generator = torch.Generator().manual_seed(seed)
    accepted = {
        at: torch.randperm(2 * n, generator=generator)[:n].sort().values
        for at, n in enumerate(sizes)
        if at
    }
    pooled = [2 * sizes[0], *sizes[1:]]
    chosen = getattr(regimes, name)(pooled, generation=len(sizes) - 1, seed=seed, **keys)
    train = TrainingSet(entries, chosen.through(accepted)).all()
    rows = train.data.flatten().tolist()
    assert len(rows) == len(chosen) == len(set(rows))
    for value, origin in zip(rows, train.origin.tolist(), strict=True):
        entry, row = divmod(int(value), 1000)
        assert origin == entry - 1
        assert entry == 0 or row in accepted[entry].tolist()


def test_fresh_rows_pass_through_uncurated():
    chosen = Selection(torch.tensor([FRESH, 1, FRESH]), torch.tensor([4, 0, 5])).through(
        {1: torch.tensor([7])}
    )
    assert chosen.index.tolist() == [4, 7, 5]


def test_a_curated_run_keeps_what_it_says(tmp_path):
    config = write(
        tmp_path, {**TINY_IMAGE, "generations": 3, "curate": {"kind": "confidence", "keep": 0.5}}
    )
    finish(config, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    for g in range(3):
        metrics = run.metrics(g)
        accepted = run.accepted(g)
        assert accepted is not None
        assert (metrics["n_synthetic"], len(accepted)) == (48, 24)
        assert metrics["share_kept"] == 0.5
        assert metrics["verifier_precision"] == metrics["accepted"]["precision"]
        assert metrics["accepted"]["n_synthetic"] == 24
        assert metrics["accepted"]["floor"] != metrics["floor"]
        assert (run.samples(g).origin == g).all()
        if g:
            assert metrics["n_train"] == 24
            assert metrics["real_share"] == 0.0


def test_a_curator_of_a_third_party(tmp_path, monkeypatch):
    (tmp_path / "my_curators.py").write_text(
        "import torch\n"
        "def some(samples, context, *, every):\n"
        "    return torch.arange(0, len(samples), every)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    config = write(
        tmp_path, {**TINY_GAUSSIAN, **KEEP, "curate": {"kind": "my_curators:some", "every": 3}}
    )
    found = finish(config, tmp_path / "run")
    assert found[1].metrics["n_train"] == 10
    with pytest.raises(InputError, match="did you mean 'every'"):
        Run.from_file(config, tmp_path / "other", ["curate={kind: my_curators:some, evry: 3}"])


def test_nothing_left_ends_with_the_key(tmp_path, monkeypatch):
    (tmp_path / "strict_curator.py").write_text(
        "import torch\ndef none(samples, context):\n    return torch.empty(0, dtype=torch.int64)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    config = write(tmp_path, {**TINY_GAUSSIAN, **KEEP, "curate": "strict_curator:none"})
    with pytest.raises(InputError, match="curate: nothing is left to train generation 1 on"):
        finish(config, tmp_path / "run")
    assert RunFolder(tmp_path / "run").metrics(0)["accepted"] is None
    finish(config, tmp_path / "kept", ["regime=accumulate"])
    assert RunFolder(tmp_path / "kept").metrics(1)["real_share"] == 1.0


@pytest.mark.parametrize("tree", [TINY_IMAGE], ids=["image"])
def test_a_person_marks(tmp_path, tree):
    config = write(tmp_path, {**tree, "generations": 2, "samples": 12, "curate": "human"})
    run = tmp_path / "run"
    for g in range(2):
        with pytest.raises(Stopped, match=f"waiting for marks: 12 of 12 samples of generation {g}"):
            finish(config, run)
        marks = run / "marks" / f"generation_{g:03d}" / "marks.csv"
        rows = list(csv.reader(marks.open()))
        assert rows[0] == ["file", "keep"]
        assert all((marks.parent / name).is_file() for name, _ in rows[1:])
        lines = [f"{name},{'yes' if at % 2 else 0}" for at, (name, _) in enumerate(rows[1:])]
        marks.write_text("\n".join(["file,keep", *lines]))
    found = finish(config, run)
    accepted = RunFolder(run).accepted(1)
    assert accepted is not None
    assert accepted.tolist() == [1, 3, 5, 7, 9, 11]
    assert found[1].metrics["n_train"] == 6


def test_marks_of_other_samples_are_not_taken(tmp_path):
    config, run = (
        write(tmp_path, {**TINY_IMAGE, "samples": 12, "curate": "human"}),
        tmp_path / "run",
    )
    with pytest.raises(Stopped):
        finish(config, run)
    names = run / "marks/generation_000/.names.json"
    files.write_signed(names, {**read_signed(names, ()), "samples": "of another machine"})
    with pytest.raises(InputError, match=r"holds marks of other samples: .*move it away"):
        finish(config, run)


def test_marks_that_are_none(tmp_path):
    config = write(tmp_path, {**TINY_IMAGE, "samples": 12, "curate": "human"})
    with pytest.raises(Stopped):
        finish(config, tmp_path / "run")
    marks = tmp_path / "run/marks/generation_000/marks.csv"
    whole = marks.read_text()
    marks.write_text(whole.replace("000003.png,", "000003.png,perhaps"))
    with pytest.raises(InputError, match="line 5: 'perhaps' is not a mark"):
        finish(config, tmp_path / "run")
    marks.write_text(re.sub(",$", ",0", whole, flags=re.M))
    with pytest.raises(InputError, match="keeps no sample"):
        finish(config, tmp_path / "run")
    assert not (tmp_path / "run/generation_000/manifest.json").exists(), (
        "the marks can still be changed"
    )
    marks.write_text("\n".join(whole.splitlines()[:5]))
    with pytest.raises(InputError, match="marks 4 of 12 samples: 000004"):
        finish(config, tmp_path / "run")


def test_the_manifest_seals_the_accepted(tmp_path):
    config = write(tmp_path, {**TINY_GAUSSIAN, **KEEP, "curate": {"kind": "random", "keep": 0.5}})
    finish(config, tmp_path / "run")
    manifest = json.loads((tmp_path / "run/generation_000/manifest.json").read_text())
    assert "samples.safetensors" in manifest["files"]
    assert REAL not in RunFolder(tmp_path / "run").samples(0).origin.tolist()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["curate={kind: oracle, keep: 0.01}"], "curate.keep: keeps none of"),
        (["curate={kind: oracle, kep: 0.5}"], r"curate.kep: unknown key \(did you mean 'keep'"),
        (["curate=orakel"], "curate.kind: 'orakel' is not a known kind .*oracle"),
        (["curate=confidence"], "curate.kind: needs a modality that has a judge"),
        (
            ["curate=human"],
            "curate.kind: needs a modality that has a form in which samples are exported",
        ),
        (
            ["curate=drop_watermarked"],
            "curate.kind: needs a modality that has a watermark detector",
        ),
    ],
)
def test_wrong_curation_is_refused(tmp_path, changes, message):
    config = write(tmp_path, {**TINY_GAUSSIAN, "samples": 12, "modality": {"kind": "gaussian"}})
    changes = [*changes, "curate.oversample=1"] if "0.01" in changes[0] else changes
    with pytest.raises(InputError, match=message):
        Run.from_file(config, tmp_path / "run", changes)


def test_density_needs_a_model_that_has_one(tmp_path):
    config = write(tmp_path, TINY_IMAGE)
    with pytest.raises(
        InputError, match="needs a model that provides log_density; DiffusionModel does not"
    ):
        Run.from_file(config, tmp_path / "run", ["curate=density"])


def test_marks_go_by_the_file_that_they_stand_beside(tmp_path):
    config = write(tmp_path, {**TINY_IMAGE, "generations": 1, "samples": 12, "curate": "human"})
    with pytest.raises(Stopped):
        finish(config, tmp_path / "run")
    marks = tmp_path / "run/marks/generation_000/marks.csv"
    lines = [f"{at:06d}.png,{int(at in (2, 7))}" for at in range(12)]
    marks.write_text("\n".join(["file,keep", *reversed(lines)]))
    finish(config, tmp_path / "run")
    accepted = RunFolder(tmp_path / "run").accepted(0)
    assert accepted is not None
    assert accepted.tolist() == [2, 7]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["000001.png,1", "000001.png,1"], "names '000001.png' twice"),
        (["other.png,1"], "'other.png' is not the file of a sample"),
    ],
)
def test_marks_of_no_file_are_refused(tmp_path, lines, message):
    config = write(tmp_path, {**TINY_IMAGE, "generations": 1, "samples": 12, "curate": "human"})
    with pytest.raises(Stopped):
        finish(config, tmp_path / "run")
    (tmp_path / "run/marks/generation_000/marks.csv").write_text("\n".join(["file,keep", *lines]))
    with pytest.raises(InputError, match=message):
        finish(config, tmp_path / "run")


def a_mask(samples, context):
    return torch.ones(len(samples), dtype=torch.bool)


def twice(samples, context):
    return torch.tensor([1, 1, 2])


def beyond(samples, context):
    return torch.tensor([0, len(samples)])


@pytest.mark.parametrize(
    ("curator", "message"),
    [
        ("a_mask", "expected int64 indices"),
        ("twice", "do not ascend"),
        ("beyond", "indices beyond the"),
    ],
)
def test_a_curator_that_returns_something_else_is_refused(tmp_path, curator, message):
    config = write(
        tmp_path, {**TINY_GAUSSIAN, "curate": {"kind": f"tests.test_curation:{curator}"}}
    )
    with pytest.raises(InputError, match=message):
        finish(config, tmp_path / "run")


def test_too_few_left_for_the_regime_is_told(tmp_path):
    tree = {
        **TINY_GAUSSIAN,
        "curate": {"kind": "duplicates", "distance": 0.5},
        "regime": "synthetic_augmentation",
    }
    with pytest.raises(InputError, match="generation 1 has too few samples to choose from"):
        finish(write(tmp_path, tree), tmp_path / "run")


def test_recall_of_a_verifier_that_keeps_only_what_is_wrong():
    modality = GaussianModality(GaussianDataSettings(dimensions=2, n_train=60, n_test=60))
    measure = Measure(modality)
    result(measure.prepare())
    near, far = modality.real("test").data[:30], torch.full((30, modality.spec.shape[0]), 50.0)
    far += torch.arange(30.0)[:, None] * 20
    samples = Samples.drawn(torch.cat([near, far]))
    features = modality.features(samples)
    scores = result(measure.scores(samples, features))
    wrong = result(measure.of_accepted(samples, features, torch.arange(30, 60), scores))
    assert wrong.values["verifier_recall"] == 0
    few = result(measure.of_accepted(samples, features, torch.arange(2), scores))
    assert few.values["verifier_recall"] is None
    assert "samples" in few.reasons["verifier_recall"]
