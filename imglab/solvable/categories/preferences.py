"""Frequencies of what users keep: of K draws one, chosen by its reward.

Ferbach et al. 2024 (2407.09499): the choice follows the Bradley-Terry model generalized to K
draws, x with a chance in proportion to e^r(x).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor

from imglab import seeds
from imglab.config.section import Section
from imglab.measures import Measures
from imglab.model import GenerativeModel
from imglab.samples import Samples
from imglab.solvable.categories.model import FrequenciesModel
from imglab.solvable.categories.settings import PreferencesSettings

BATCH = 1 << 12
"""Samples that are drawn at a time."""


class PreferencesModel(FrequenciesModel):
    """Counts categories; each sample that it draws is the one that a user kept of K."""

    settings_class: ClassVar[type[Section]] = PreferencesSettings
    _settings: PreferencesSettings

    @property
    def rewards(self) -> Tensor:
        """The reward of each category, float64 [K]."""
        return torch.tensor(self._settings.rewards(len(self.true)), dtype=torch.float64)

    def draw(self, indices: range, *, conditions: Tensor | None, seed: int) -> Iterator[Samples]:
        """Yield categories, each the one that was kept; all its chance comes from (seed, i)."""
        weights = self.rewards.exp()
        choices = self._settings.choices

        for start in range(0, len(indices), BATCH):
            batch = indices[start : start + BATCH]
            noise = seeds.normal((choices + 1,), batch, seed=seed).double()
            uniforms = torch.special.ndtr(noise)  # [B, K + 1]
            offered = seeds.invert(self.counts, uniforms[:, :choices])

            # Keep one of those offered, by inversion of the last uniform number.
            cumulative = weights[offered].cumsum(1)
            threshold = uniforms[:, choices:] * cumulative[:, -1:]
            place = (cumulative <= threshold).sum(1, keepdim=True).clamp(max=choices - 1)
            yield Samples.drawn(offered.gather(1, place))

    def metrics(self, samples: Samples, *, generation0: GenerativeModel, seed: int) -> Measures:
        """Add the mean reward to what is measured of the categories.

        mean_reward  of the fitted frequencies, before anything is kept
        """
        of_categories = super().metrics(samples, generation0=generation0, seed=seed)
        mean = float(self.frequencies @ self.rewards)
        return Measures({**of_categories.values, "mean_reward": mean})
