"""Metrics against closed forms, limits and reference implementations; degenerate and collapsed
features too.
"""

from __future__ import annotations

import contextlib
import io
import math

import numpy as np
import prdc as prdc_reference
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.image.kid import poly_mmd

from imglab.metrics import (
    Moments,
    Undefined,
    duplicate_share,
    frechet_distance,
    frechet_standard_error,
    kernel_distance,
    nearest_distance,
    nearest_distances,
    neighbours,
    prdc,
    vendi_score,
)
from imglab.metrics.prdc import PrecisionRecallDensityCoverage


def normal(n, d, seed, scale=1.0, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64) * scale + shift


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


class TestFrechet:
    @pytest.mark.parametrize(
        ("n", "m", "d"), [(200, 300, 8), (500, 400, 64), (40, 300, 64), (30, 20, 64), (300, 40, 64)]
    )
    def test_agrees_with_scipy(self, n, m, d):
        real, synthetic = normal(n, d, 1), normal(m, d, 2, scale=0.8, shift=0.1)
        first, second = np.cov(real.numpy().T), np.cov(synthetic.numpy().T)
        if min(n, m) > d:
            root = np.trace(scipy.linalg.sqrtm(first @ second).real)
        # Sqrtm of a singular product loses half the digits; tr (AB)^(1/2) = |A^(1/2) B^(1/2)|_*
        # does not.
        else:
            root = scipy.linalg.svdvals(
                scipy.linalg.sqrtm(first).real @ scipy.linalg.sqrtm(second).real
            ).sum()
        expected = (
            ((real.mean(0) - synthetic.mean(0)) ** 2).sum().item()
            + np.trace(first + second)
            - 2 * root
        )
        scale = np.trace(first) + np.trace(second)
        assert abs(frechet_distance(real=real, synthetic=synthetic) - expected) < 1e-6 * scale

    def test_agrees_with_torchmetrics(self):
        from torchmetrics.image.fid import _compute_fid

        real, synthetic = normal(300, 32, 3), normal(300, 32, 4, scale=1.2)
        expected = _compute_fid(
            mu1=real.mean(0),
            sigma1=torch.cov(real.T),
            mu2=synthetic.mean(0),
            sigma2=torch.cov(synthetic.T),
        )
        assert frechet_distance(real=real, synthetic=synthetic) == pytest.approx(
            float(expected), rel=1e-9
        )

    def test_closed_form_of_diagonal_gaussians(self):
        base = normal(4000, 3, 5)
        base = (base - base.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(base.T)).T)
        stretched = base * torch.tensor([2.0, 1.0, 0.5]) + torch.tensor([1.0, 0.0, 0.0])
        assert frechet_distance(real=base, synthetic=stretched) == pytest.approx(
            1 + 1 + 0 + 0.25, rel=1e-9
        )

    @pytest.mark.parametrize("n", [20, 400])
    def test_identity_is_zero(self, n):
        features = normal(n, 50, 6)
        assert frechet_distance(real=features, synthetic=features) < 1e-9 * float(
            features.square().sum() / n
        )

    def test_constant_features(self):
        real, constant = normal(100, 5, 7), torch.full((50, 5), 2.0, dtype=torch.float64)
        expected = float(torch.cov(real.T).trace() + (real.mean(0) - 2).square().sum())
        assert frechet_distance(real=real, synthetic=constant) == pytest.approx(expected, rel=1e-9)
        assert frechet_distance(real=constant, synthetic=constant) == 0

    def test_dead_feature(self):
        """A column that is constant in both sets adds only its shift."""
        real, synthetic = normal(300, 6, 8), normal(300, 6, 9)
        more_real = torch.cat([real, torch.zeros(300, 1)], 1)
        more_synthetic = torch.cat([synthetic, torch.full((300, 1), 3.0)], 1)
        without = frechet_distance(real=real, synthetic=synthetic)
        assert frechet_distance(real=more_real, synthetic=more_synthetic) == pytest.approx(
            without + 9, rel=1e-7
        )

    def test_standard_error_matches_repeated_draws(self):
        real = Moments.of(normal(2000, 4, 10))
        draws = [normal(300, 4, seed, scale=1.3) for seed in range(100, 400)]
        spread = torch.tensor(
            [frechet_distance(real=normal(2000, 4, 10), synthetic=draw) for draw in draws]
        ).std()
        claimed = torch.tensor(
            [frechet_standard_error(real=real, synthetic=draw) for draw in draws]
        ).mean()
        assert float(claimed / spread) == pytest.approx(1, abs=0.15)

    def test_standard_error_needs_full_rank(self):
        with pytest.raises(Undefined, match="singular"):
            frechet_standard_error(real=Moments.of(normal(100, 4, 1)), synthetic=torch.zeros(50, 4))
        with pytest.raises(Undefined, match="singular"):
            frechet_standard_error(real=Moments.of(normal(100, 40, 1)), synthetic=normal(20, 40, 2))

    def test_too_few_samples(self):
        with pytest.raises(Undefined, match="at least 2 synthetic"):
            frechet_distance(real=normal(10, 3, 1), synthetic=normal(1, 3, 2))


class TestKernel:
    @pytest.mark.parametrize(("n", "m", "d"), [(50, 70, 8), (1500, 1100, 16)])
    def test_agrees_with_torchmetrics(self, n, m, d):
        real, synthetic = normal(n, d, 1), normal(m, d, 2, scale=1.1)
        value, error = kernel_distance(real=real, synthetic=synthetic)
        if n == m:
            expected = float(poly_mmd(real, synthetic))
        else:
            kernel = [
                (a @ b.T / d + 1) ** 3
                for a, b in ((real, real), (synthetic, synthetic), (real, synthetic))
            ]
            inner = [(k.sum() - k.trace()) / (len(k) * (len(k) - 1)) for k in kernel[:2]]
            expected = float(inner[0] + inner[1] - 2 * kernel[2].mean())
        assert value == pytest.approx(expected, rel=1e-9, abs=1e-9)
        assert error > 0

    def test_equal_sizes_agree_with_torchmetrics(self):
        real, synthetic = normal(200, 8, 1), normal(200, 8, 2, scale=1.1)
        value, _ = kernel_distance(real=real, synthetic=synthetic)
        assert value == pytest.approx(float(poly_mmd(real, synthetic)), rel=1e-9)

    def test_unbiased(self):
        """Between draws of one distribution the mean is 0 within its error."""
        values = [
            kernel_distance(real=normal(40, 3, s), synthetic=normal(30, 3, 1000 + s))[0]
            for s in range(300)
        ]
        mean, spread = np.mean(values), np.std(values)
        assert abs(mean) < 4 * spread / math.sqrt(300)

    def test_standard_error_matches_repeated_draws(self):
        real = normal(800, 3, 1)
        pairs = [
            kernel_distance(real=real, synthetic=normal(200, 3, 50 + s, scale=1.2))
            for s in range(200)
        ]
        values, errors = np.array(pairs).T
        assert errors.mean() / values.std() == pytest.approx(1, abs=0.2)


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
        monkeypatch.setattr(neighbours, "TILE", tile)
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
        monkeypatch.setattr(neighbours, "TILE", 33)
        monkeypatch.setattr(neighbours, "TERMS", 2)
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


class TestVendi:
    def test_orthogonal_samples_count_fully(self):
        assert vendi_score(torch.eye(7).repeat(3, 1)) == pytest.approx(7)

    def test_one_repeated_sample_counts_once(self):
        assert vendi_score(torch.ones(20, 3)) == pytest.approx(1)

    @pytest.mark.parametrize(("n", "d"), [(10, 30), (30, 10)])
    def test_dual_form_agrees_with_the_definition(self, n, d):
        features = normal(n, d, 1)
        unit = features / features.norm(dim=1, keepdim=True)
        values = torch.linalg.eigvalsh(unit @ unit.T / n).clamp(min=1e-300)
        assert vendi_score(features) == pytest.approx(
            float(torch.exp(-(values * values.log()).sum())), rel=1e-9
        )

    def test_zero_row_is_undefined(self):
        with pytest.raises(Undefined, match="zero features"):
            vendi_score(torch.zeros(3, 2))


class TestMemorization:
    def test_nearest_distance_is_exact(self):
        train, synthetic = normal(200, 5, 1).float(), normal(150, 5, 2).float()
        each = torch.cdist(
            synthetic.double(), train.double(), compute_mode="donot_use_mm_for_euclid_dist"
        ).amin(1)
        value, error = nearest_distance(train=train, synthetic=synthetic)
        assert value == pytest.approx(float(each.mean()), rel=1e-9)
        assert error == pytest.approx(float(each.std() / 150**0.5), rel=1e-9)

    def test_copies_are_at_distance_zero(self):
        train = normal(50, 5, 1).float()
        assert nearest_distance(train=train, synthetic=train[:20])[0] == 0

    def test_duplicate_share_counts_exact_copies(self):
        train = torch.randint(256, (60, 1, 4, 4), dtype=torch.uint8)
        synthetic = torch.cat([train[:10], 255 - train[10:40]])
        share, error = duplicate_share(train=train, synthetic=synthetic)
        assert share == pytest.approx(0.25)
        assert error == pytest.approx((0.25 * 0.75 / 40) ** 0.5)


def test_copies_among_near_twins_are_at_distance_zero():
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(500, 16, generator=generator) * 10
    twins = points + 1e-5 * torch.randn(500, 16, generator=generator)
    train = torch.cat([twins, points, twins + 1e-5])
    assert not bool(nearest_distances(train=train, synthetic=points).any())
    few = nearest_distances(train=torch.cat([twins[:3]] * 4 + [points[:1]]), synthetic=points[:1])
    assert float(few) == 0
