"""The Vendi score, nearest samples and copies."""

from __future__ import annotations

import pytest
import torch

from imglab.metrics import (
    Undefined,
    duplicate_share,
    nearest_distance,
    nearest_distances,
    vendi_score,
)
from imglab.metrics.rows import HashedRows
from tests.metrics.references import normal


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


def test_copies_among_many_duplicates_are_looked_for_once(monkeypatch):
    train = torch.arange(4000)[:, None] % 10
    synthetic = torch.arange(3000)[:, None] % 12
    rows = HashedRows.of(train)
    assert len(rows.order) == 10
    assert torch.equal(rows.contain(synthetic), synthetic[:, 0] < 10)

    # Rows of one hash are told apart, whichever comes first.
    monkeypatch.setattr("imglab.metrics.rows.hash_rows", lambda data: torch.zeros(len(data)).long())
    rows = HashedRows.of(train[:30])
    assert torch.equal(rows.contain(synthetic[:24]), synthetic[:24, 0] < 10)
    assert not rows.contain(synthetic[:24].int()).any(), "rows of other widths are others"
    assert not HashedRows.of(train[:0]).contain(synthetic).any()


def test_copies_among_near_twins_are_at_distance_zero():
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(500, 16, generator=generator) * 10
    twins = points + 1e-5 * torch.randn(500, 16, generator=generator)
    train = torch.cat([twins, points, twins + 1e-5])
    assert not bool(nearest_distances(train=train, synthetic=points).any())
    few = nearest_distances(train=torch.cat([twins[:3]] * 4 + [points[:1]]), synthetic=points[:1])
    assert float(few) == 0
