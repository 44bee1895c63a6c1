"""Radii and nearest distances against all distances, taken one by one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from imglab import seeds
from imglab.metrics import points as points_module
from imglab.metrics.neighbours import kth_squared_distance, nearest_squared_distance
from imglab.metrics.points import Frame, Points, in_one_frame
from imglab.metrics.tiles import TILE

KS = (1, 3, 5)


def all_distances(rows: Tensor, others: Tensor, scale: float) -> Tensor:
    """Return the squared distances of rows to others in the scale of a frame, float64 [N, M]."""
    rows, others = rows.double(), others.double()
    return torch.stack([((others - row) * scale).square().cumsum(1)[:, -1] for row in rows])


def radii_of(features: Tensor, scale: float, ks: tuple[int, ...]) -> Tensor:
    distances = all_distances(features, features, scale).fill_diagonal_(-1)
    return distances.sort(1).values[:, list(ks)].T


def plain(features):
    return features


def on_a_grid(features):
    return features.round()


def far_away(features):
    return features + 1000


def with_an_outlier(features):
    return torch.cat([features[:1] * 1e6, features[1:]])


def repeated(features):
    return torch.cat([features[: len(features) // 2]] * 2)


def tiny_beside_one(features):
    """Beside one of about 1, squares of the others have no digits left in float32."""
    return torch.cat([features[:1], features[1:] * 3e-22])


@pytest.mark.parametrize(
    "shaped", [plain, on_a_grid, far_away, with_an_outlier, repeated, tiny_beside_one]
)
@pytest.mark.parametrize("small", [0, points_module.SMALL], ids=["float32", "float64"])
def test_they_are_those_of_all_distances(shaped, small, monkeypatch):
    monkeypatch.setattr(points_module, "SMALL", small)
    generator = seeds.generator("neighbours")
    features = shaped(torch.randn(300, 40, generator=generator))
    noise = torch.randn(features.shape, generator=generator)
    others = torch.cat([features[:10], features + 1e-3 * features.abs().median() * noise])

    in_frame, others_in_frame = in_one_frame(features, others)
    scale = in_frame.frame.scale
    alone = in_frame.around_own_middle()
    radii = kth_squared_distance(alone, KS)[:, alone.inverse]
    assert torch.equal(radii, radii_of(features, scale, KS))

    nearest = nearest_squared_distance(in_frame, others_in_frame)[in_frame.inverse]
    assert torch.equal(nearest, all_distances(features, others, scale).amin(1))


@pytest.mark.parametrize("shaped", [plain, on_a_grid, repeated])
def test_neighbours_are_found_in_tiles_of_many_columns(shaped):
    """Whole tiles are searched by groups of columns; the last one here is narrower than a group."""
    few_dimensions = torch.randn(TILE * 2 + 30, 3, generator=seeds.generator("many columns"))
    features = shaped(few_dimensions)
    (alone,) = in_one_frame(features)
    radii = kth_squared_distance(alone, KS)[:, alone.inverse]
    assert torch.equal(radii, radii_of(features, alone.frame.scale, KS))


def test_the_running_sum_of_a_distance_may_err_more_than_the_product():
    """A constant row, whose many equal terms round to the same side, beside a random one."""
    width = 12_288
    constant = torch.full((width,), 1.1739130434782608, dtype=torch.float64)
    drawn = torch.randn(width, generator=seeds.generator("long"), dtype=torch.float64)
    longer = constant.square().sum() * (1 + 1400 * 2.0**-53)
    drawn *= (longer / drawn.square().sum()).sqrt()
    rows = torch.stack([torch.zeros(width, dtype=torch.float64), constant, drawn])

    points = Points(rows, Frame(torch.zeros(width, dtype=torch.float64), 1.0), torch.float64)
    radii = kth_squared_distance(points, (1,))[:, points.inverse]
    assert torch.equal(radii, radii_of(rows, 1.0, (1,)))
