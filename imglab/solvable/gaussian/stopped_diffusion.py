"""A perfect diffusion model of its training set that stops early.

Khelifa et al. 2026 (2606.13796): with the exact score, the only error of a diffusion model is the
time delta at which its reverse process must stop. Its distribution is then that of the training
set, carried forward by the Ornstein-Uhlenbeck process for a time delta.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from imglab.measures import Measures
from imglab.model import GenerativeModel
from imglab.samples import Samples
from imglab.solvable.gaussian.kde import KdeModel
from imglab.solvable.gaussian.settings import LATEST_STOP, StoppedDiffusionSettings
from imglab.solvable.hermite import ORDERS, hermite

if TYPE_CHECKING:
    from typing_extensions import Self


class StoppedDiffusionModel(KdeModel):
    """Keeps its training set x and draws e^-delta x_j + sqrt(1 - e^(-2 delta)) z."""

    kind = "stopped_diffusion"
    settings_class = StoppedDiffusionSettings

    @property
    def _stop(self) -> float:
        assert isinstance(self._settings, StoppedDiffusionSettings)
        return self._settings.stop

    @property
    def _scale(self) -> float:
        return math.exp(-self._stop)

    @property
    def _bandwidth(self) -> float:
        return math.sqrt(-math.expm1(-2 * self._stop))

    def check_stop(self, time: float) -> None:
        """Raise ValueError where the sum is more than `model.stop` may be."""
        if self._stop + time > LATEST_STOP:
            what = f"model.stop: {self._stop:g} and start {time:g} come to more than {LATEST_STOP}"
            raise ValueError(f"{what}: lower one of them")

    def stopped(self, time: float) -> Self:
        """Return the same model, which stops that much earlier: it keeps its Hermite metrics."""
        settings = StoppedDiffusionSettings(stop=self._stop + time)
        return type(self)(settings, fitted=self.tensors, seen=self._seen, between=self._between)

    def metrics(self, samples: Samples, *, generation0: GenerativeModel, seed: int) -> Measures:
        """Add the Hermite coefficients of the fitted distribution to its moments.

        hermite_k  E He_k(x_1), without sampling error: e^(-k delta) times that of the training set
        """
        values = dict(super().metrics(samples, generation0=generation0, seed=seed).values)
        first = self.tensors["points"][:, 0].double().numpy()
        for order in ORDERS:
            of_points = torch.from_numpy(hermite(order, first))
            mean = float((self._weights * of_points).mean())
            values[f"hermite_{order}"] = self._scale**order * mean
        return Measures(values)
