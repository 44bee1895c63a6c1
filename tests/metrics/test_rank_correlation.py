"""Rank correlation, against scipy and at its limits."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import spearmanr

from imglab import seeds
from imglab.metrics.rank_correlation import spearman
from imglab.metrics.undefined import Undefined


def test_it_is_that_of_scipy_with_ties():
    generator = seeds.generator("ranks")
    first, second = torch.randint(8, (2, 40), generator=generator).tolist()
    assert spearman(first, second) == pytest.approx(spearmanr(first, second).statistic)


def test_limits():
    assert spearman([1, 2, 9], [0, 5, 6]) == 1
    assert spearman([1, 2, 9], [3, 2, 1]) == -1
    with pytest.raises(Undefined, match="at least 3 pairs"):
        spearman([1, 2], [1, 2])
    with pytest.raises(Undefined, match="constant"):
        spearman([1, 1, 1], [1, 2, 3])
