"""Metrics of a user's own: values, floors, and what is refused before a run."""

from __future__ import annotations

import json

import pytest
import torch

from imglab import seeds
from imglab.errors import InputError
from imglab.measure.own import check_names, import_metrics, own_floors, own_values
from imglab.metrics import Undefined
from tests.test_docs import blocks


def shift(*, real, synthetic):
    """How far the mean has moved."""
    return float((real.mean(0) - synthetic.mean(0)).norm())


def undefined(*, real, synthetic):
    raise Undefined("there is nothing to say")


def infinite(*, real, synthetic):
    return float("inf")


def points(*names: str, n: int = 200, at: float = 0.0) -> torch.Tensor:
    return at + torch.randn(n, 2, generator=seeds.generator(*names))


def test_a_value_is_the_function_s_and_what_is_undefined_has_its_reason():
    metrics = {"shift": shift, "undefined": undefined, "infinite": infinite}
    values = own_values(metrics, real=torch.zeros(3, 2), synthetic=torch.full((4, 2), 3.0))
    assert values.values == {"shift": pytest.approx(18**0.5), "undefined": None, "infinite": None}
    assert values.reasons["undefined"] == "there is nothing to say"
    assert values.reasons["infinite"] == "came out as inf"


def test_a_floor_is_what_real_data_score_against_real_data():
    pool = points("pool", n=400)
    orders = [torch.randperm(400, generator=seeds.generator("order", k)) for k in range(50)]
    metrics = {"shift": shift, "undefined": undefined}
    floor = own_floors(metrics, pool, n_real=100, n_synthetic=100, orders=orders)["shift"]

    # The difference of two means of 100 in two dimensions is Rayleigh with deviation 2^.5 / 10.
    assert floor["mean"] == pytest.approx((torch.pi / 100) ** 0.5, rel=0.2)
    assert shift(real=pool, synthetic=points("moved", at=1.0)) > floor["mean"] + 10 * floor["sd"]


def test_without_enough_real_data_there_is_no_floor():
    floors = own_floors({"shift": shift}, points("few", n=10), n_real=8, n_synthetic=8, orders=[])
    assert floors == {"shift": None}


def test_everything_that_is_wrong_is_told_at_once():
    names = [
        f"{__name__}:shift",
        f"{__name__}:shift",
        f"{__name__}:nothing",
        "math:sqrt",
        "no_such_module:metric",
        "somewhere:fid",
        "somewhere:fid_se",
        "somewhere:kid_interval",
        "somewhere:generation0",
    ]
    with pytest.raises(InputError) as error:
        import_metrics(names)
    told_of = str(error.value)
    for name in ("shift", "fid", "fid_se", "kid_interval", "generation0"):
        assert f"'{name}' is the name of something else in metrics.json" in told_of
    assert "has no attribute 'nothing'" in told_of
    assert "'math:sqrt' cannot be called with real= and synthetic=" in told_of
    assert "No module named 'no_such_module'" in told_of


def broken(*, real, synthetic):
    return real.mean(0)


def test_one_that_fails_is_told_before_anything_is_trained(lab, tmp_path):
    code, _, err = lab("run", "smoke/gaussian", "--set", f"measure.metrics=[{__name__}:broken]")
    assert code == 2
    assert "measure.metrics: broken failed: ValueError: only one element" in err
    assert not list(tmp_path.rglob("generation_000"))


def test_one_with_the_name_of_a_metric_of_the_data_is_refused():
    with pytest.raises(InputError, match="this kind of data has a metric 'variance' already"):
        check_names({"variance": shift}, ["mean_error", "variance"])


@pytest.fixture
def energy(tmp_path, monkeypatch):
    """The folder of somebody who followed docs/extend/metric.md."""
    (tmp_path / "distances.py").write_text(blocks("docs/extend/metric.md", "python")[0])
    (tmp_path / "energy.yaml").write_text(blocks("docs/extend/metric.md", "yaml")[0])
    monkeypatch.syspath_prepend(tmp_path)


def test_the_documented_metric_agrees_with_a_plain_sum(energy):
    metric = import_metrics(["distances:energy_distance"])["energy_distance"]
    a, b = points("a", n=5).double(), points("b", n=7, at=1.0).double()

    def mean(x, y, pairs):
        return sum(float((u - v).norm()) for u in x for v in y) / pairs

    expected = 2 * mean(a, b, 35) - mean(a, a, 20) - mean(b, b, 42)
    assert metric(real=a, synthetic=b) == pytest.approx(expected)


def test_the_documented_metric_runs_with_a_floor(energy, lab, tmp_path):
    few = ("--set", "generations=1", "--set", "measure.floor_splits=20")
    assert lab("run", "energy.yaml", *few)[0] == 0
    metrics = json.loads((tmp_path / "runs/energy/generation_000/metrics.json").read_text())
    floor = metrics["floor"]["energy_distance"]
    assert abs(metrics["energy_distance"] - floor["mean"]) < 5 * floor["sd"]
