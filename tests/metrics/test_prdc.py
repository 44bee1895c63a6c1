"""Precision, recall, density and coverage; the arguments' direction is fixed by a mode collapse."""

from __future__ import annotations

import contextlib
import io

import prdc as prdc_reference
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from imglab.metrics import Undefined, prdc, tiles
from imglab.metrics.prdc_metric import PrecisionRecallDensityCoverage
from tests.metrics.references import normal


def brute_force(real, synthetic, k_pr, k_dc):
    """Definitions of the papers, word for word, with closed balls and exact float64 distances."""
    real, synthetic = real.double(), synthetic.double()

    def distances(a, b):
        return (a[:, None] - b[None]).square().cumsum(2)[..., -1]

    def radii(points, k):
        return distances(points, points).sort(1).values[:, k]

    cross = distances(synthetic, real)
    in_real, in_wide = cross <= radii(real, k_pr), cross <= radii(real, k_dc)
    return {
        "precision": in_real.any(1).double().mean(),
        "recall": (cross <= radii(synthetic, k_pr)[:, None]).any(0).double().mean(),
        "density": in_wide.double().sum() / (k_dc * len(synthetic)),
        "coverage": in_wide.any(0).double().mean(),
    }


def reference_prdc(real, synthetic, k):
    with contextlib.redirect_stdout(io.StringIO()):
        return prdc_reference.compute_prdc(real.numpy(), synthetic.numpy(), nearest_k=k)


class TestPRDC:
    @pytest.mark.parametrize(
        ("n", "m", "d", "k"), [(100, 150, 4, 3), (400, 300, 64, 5), (60, 2500, 2, 3)]
    )
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_agrees_with_reference_package(self, n, m, d, k, dtype):
        real, synthetic = normal(n, d, 1).to(dtype), normal(m, d, 2, scale=0.9, shift=0.2).to(dtype)
        ours = prdc(real=real, synthetic=synthetic, precision_recall_k=k, density_coverage_k=k)
        theirs = reference_prdc(real.double(), synthetic.double(), k)
        for name, value in theirs.items():
            assert getattr(ours, name) == pytest.approx(value, abs=1e-6), name

    @settings(max_examples=60, deadline=None)
    @given(data=st.data())
    def test_agrees_with_definition_on_ties(self, data):
        """Points on a small lattice: equal rows and equal distances everywhere."""
        n, m = data.draw(st.integers(6, 30)), data.draw(st.integers(6, 30))
        d, side = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4))
        k_pr, k_dc = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5))
        generator = torch.Generator().manual_seed(data.draw(st.integers(0, 10**6)))
        real = torch.randint(side, (n, d), generator=generator).float() / 3
        synthetic = torch.randint(side, (m, d), generator=generator).float() / 3
        ours = prdc(
            real=real, synthetic=synthetic, precision_recall_k=k_pr, density_coverage_k=k_dc
        )
        for name, value in brute_force(real, synthetic, k_pr, k_dc).items():
            assert getattr(ours, name) == pytest.approx(float(value), abs=1e-12), name

    @pytest.mark.parametrize("tile", [7, 64, 2048])
    @pytest.mark.parametrize("kind", ["normal", "lattice", "collapsed", "near", "large"])
    def test_a_set_against_itself_is_whole(self, monkeypatch, tile, kind):
        monkeypatch.setattr(tiles, "TILE", tile)
        features = {
            "normal": normal(150, 6, 1).float(),
            "lattice": torch.randint(
                3, (150, 4), generator=torch.Generator().manual_seed(0)
            ).float()
            / 7,
            "collapsed": torch.full((150, 4), 0.1),
            "near": 1000 + 1e-4 * normal(150, 4, 2).float(),
            "large": normal(150, 4, 3).float() * 1e30,
        }[kind]
        scores = prdc(real=features, synthetic=features)
        assert scores[:2] == (1, 1)
        assert scores.coverage == 1

    def test_answers_do_not_depend_on_the_tile(self, monkeypatch):
        real, synthetic = normal(300, 5, 1).float(), normal(200, 5, 2).float()
        synthetic[::3] = real[:67]
        whole = prdc(real=real, synthetic=synthetic)
        monkeypatch.setattr(tiles, "TILE", 33)
        monkeypatch.setattr(tiles, "TERMS", 2)
        assert prdc(real=real, synthetic=synthetic) == whole

    def test_rounding_does_not_decide(self):
        """Close clusters far from the origin: plain float32 distances would be noise."""
        far = 1e4 + 1e-2 * normal(200, 8, 4)
        real, synthetic = far[:100].float(), far[100:].float()
        exact = brute_force(real, synthetic, 3, 5)
        ours = prdc(real=real, synthetic=synthetic)
        for name, value in exact.items():
            assert getattr(ours, name) == pytest.approx(float(value), abs=1e-12), name

    def test_mode_collapse_has_precision_and_no_recall(self):
        """Which argument is which: a generator that knows one mode of ten is precise and recalls
        little.
        """
        modes = 20 * normal(10, 4, 1)
        real = torch.cat([mode + normal(50, 4, 10 + i) for i, mode in enumerate(modes)])
        synthetic = modes[0] + normal(500, 4, 99)
        scores = prdc(real=real, synthetic=synthetic)
        assert scores.precision > 0.8
        assert scores.recall < 0.2
        assert scores.coverage < 0.2
        swapped = prdc(real=synthetic, synthetic=real)
        assert (swapped.precision, swapped.recall) == (scores.recall, scores.precision)

    def test_far_apart_is_zero(self):
        assert prdc(real=normal(50, 3, 1), synthetic=normal(50, 3, 2, shift=100))[:4] == (
            0,
            0,
            0,
            0,
        )

    def test_k_must_be_below_n(self):
        with pytest.raises(Undefined, match="at least 6 real"):
            prdc(real=normal(5, 3, 1), synthetic=normal(50, 3, 2))

    def test_nan_is_undefined(self):
        features = normal(50, 3, 1)
        features[3, 1] = float("nan")
        with pytest.raises(Undefined, match="synthetic features hold NaN"):
            prdc(real=normal(50, 3, 2), synthetic=features)

    def test_as_a_torchmetrics_metric(self):
        real, synthetic = normal(90, 4, 1).float(), normal(80, 4, 2).float()
        metric = PrecisionRecallDensityCoverage(precision_recall_k=4)
        for batch in real.split(40):
            metric.update(batch, real=True)
        for batch in synthetic.split(30):
            metric.update(batch, real=False)
        expected = prdc(real=real, synthetic=synthetic, precision_recall_k=4)._asdict()
        assert {name: float(value) for name, value in metric.compute().items()} == pytest.approx(
            expected, rel=1e-6
        )
        metric.reset()
        with pytest.raises(ValueError, match="No samples"):
            metric.compute()


def _score_in_process(rank, folder, queue):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/sync", rank=rank, world_size=2
    )
    real, synthetic = normal(90, 4, 1).float(), normal(80, 4, 2).float()
    metric = PrecisionRecallDensityCoverage()
    metric.update(real[rank::2], real=True)
    metric.update(synthetic[rank::2], real=False)
    queue.put({name: float(value) for name, value in metric.compute().items()})
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_metric_synchronises_over_processes(tmp_path):
    context = torch.multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [
        context.Process(target=_score_in_process, args=(rank, tmp_path, queue)) for rank in range(2)
    ]
    for worker in workers:
        worker.start()
    found = [queue.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join(timeout=60)
    expected = prdc(real=normal(90, 4, 1).float(), synthetic=normal(80, 4, 2).float())._asdict()
    assert found[0] == pytest.approx(expected, rel=1e-6)
    assert found[0] == found[1]
