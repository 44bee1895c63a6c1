"""How tails die: what theory expects of chance alone, and what a run shows of it."""

from __future__ import annotations

import pytest
import torch

from imglab.report.figures import png
from imglab.report.survival import counted_by, extinction_times
from imglab.report.tails import tails_figure
from imglab.solvable.theory.categories import surviving_categories
from imglab.solvable.theory.tails import chance_alive, chances_alive, expected_alive
from imglab.store.reader import RunFolder
from tests.tiny_chains import TINY_IMAGE, finish, write


@pytest.mark.parametrize("t", [1, 2, 5, 20])
def test_chances_sum_to_the_surviving_categories(t):
    p = torch.tensor([1 / rank for rank in range(1, 101)], dtype=torch.float64)
    p /= p.sum()
    assert sum(chance_alive(float(one), 100, t) for one in p) == pytest.approx(
        surviving_categories(p, 100, t)
    )


def test_looking_at_a_part_against_simulation():
    generator = torch.Generator().manual_seed(0)
    p, n, seen, replicas = torch.full((50,), 1 / 50, dtype=torch.float64), 100, 40, 400
    alive = torch.zeros(3)
    for _ in range(replicas):
        frequencies = p
        for t in range(3):
            drawn = torch.multinomial(frequencies, n, replacement=True, generator=generator)
            looked = torch.bincount(drawn[:seen], minlength=50)
            alive[t] += (looked > 0).double().mean() / replicas
            frequencies = torch.bincount(drawn, minlength=50).double() / n
    expected = [expected_alive(p.tolist(), n, t + 1, seen) for t in range(3)]
    assert alive.tolist() == pytest.approx(expected, rel=0.02)


def test_chances_of_each_category():
    p = torch.full((10,), 0.1)
    assert chances_alive(p, 100, 0) == [1.0] * 10
    exact = chances_alive(p, 100, 60)[0]
    generator, replicas = torch.Generator().manual_seed(0), 2000
    counts = torch.full((replicas,), 0.1, dtype=torch.float64)
    for _ in range(60):
        counts = torch.binomial(torch.full_like(counts, 100.0), counts, generator=generator) / 100
    assert exact == pytest.approx(float((counts > 0).double().mean()), abs=0.04)
    assert exact is not None
    assert exact is not None
    assert exact > chance_alive(0.1, 100, 60), (
        "the rare limit forgets that a category can take over"
    )
    rare = torch.tensor([0.001])
    assert chances_alive(rare, 1000, 3)[0] == pytest.approx(chance_alive(0.001, 1000, 3), rel=0.01)
    assert chances_alive(p, 2000, 101) == [None] * 10, "nobody knows it exactly"


def test_extinction_is_for_good():
    rows = [
        {"generation": g, "x": {"a": a, "b": 1.0, "c": 0.0}}
        for g, a in enumerate([1.0, 0.0, 0.5, 0.0, 0.0])
    ]
    assert extinction_times(rows, "x") == {"a": 3, "b": None, "c": 0}


def test_an_extinct_class_is_told_with_the_classifier_that_counts():
    row = {"generation": 0, "class_survival": {"car": 0.0, "dog": 2.9}}
    assert counted_by([row], "class_survival") == ""
    poor = [{**row, "class_accuracy": {"classifier": 0.337}}]
    assert counted_by(poor, "word_survival") == ""
    said = "as a classifier sees it that is right for 34% of real images"
    assert counted_by(poor, "class_survival") == said
    assert tails_figure(poor).axes[0].get_title().endswith(f"nothing left of car from 0\n{said}")


@pytest.mark.slow
def test_rare_classes_are_followed(tmp_path):
    sizes = {"modality": {**TINY_IMAGE["modality"], "n_train": 200, "class_sizes": {"3": 2}}}
    finish(write(tmp_path, {**TINY_IMAGE, **sizes, "samples": 60}), tmp_path / "run")
    row = RunFolder(tmp_path / "run").metrics(1)
    assert row["classes_alive"] == sum(count > 0 for count in row["class_counts"].values())
    assert row["class_survival_by_chance"]["3"] < row["class_survival_by_chance"]["1"]
    shares = {
        name: row["class_counts"][name] / value
        for name, value in row["class_survival"].items()
        if value
    }
    assert sum(shares.values()) <= 60 + 1e-6
    figure = tails_figure([RunFolder(tmp_path / "run").metrics(g) for g in range(2)])
    assert png(figure)[:4] == b"\x89PNG"
