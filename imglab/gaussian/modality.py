"""Vectors from a standard normal distribution: the loop's own truth, since every chain of fits is solvable."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from imglab import seeds
from imglab.gaussian.model import GaussianModel
from imglab.gaussian.render import draw_scatter
from imglab.gaussian.settings import GaussianDataSettings
from imglab.modality import GenerativeModel, Measures, Modality, Spec, Split
from imglab.samples import Samples


class GaussianModality(Modality):
    """Real data are draws from N(0, I); features are the vectors themselves."""

    picture: ClassVar[str] = "scatter.png"

    def __init__(self, settings: GaussianDataSettings) -> None:
        self._dimensions = settings.dimensions
        self._seed = settings.data_seed
        self._real = {
            "train": Samples.real(self._draw(settings.n_train, "train")),
            "test": Samples.real(self._draw(settings.n_test, "test")),
        }

    @property
    def spec(self) -> Spec:
        """float32 vectors [D]."""
        return Spec((self._dimensions,), torch.float32)

    @property
    def extractor(self) -> str:
        """The vectors are their own features."""
        return "identity"

    def real(self, split: Split) -> Samples:
        """Return the split that `data_seed` drew."""
        return self._real[split]

    def fresh(self, n: int, *, first: int, seed: int) -> Samples:
        """Draw anew from the true distribution."""
        return Samples.real(seeds.normal((self._dimensions,), range(first, first + n), seed=seed))

    def fresh_available(self) -> int | None:
        """Endless."""
        return None

    def features(self, samples: Samples) -> Tensor:
        """Return the vectors."""
        return samples.data.float()

    def metrics(self, samples: Samples, *, model: GenerativeModel, first: GenerativeModel, seed: int) -> Measures:
        """Compare the fitted parameters with the truth.

        mean_error  squared distance of the fitted mean from 0
        variance    mean of the fitted covariance's diagonal; 1 is the truth
        w2          squared 2-Wasserstein distance between the fitted Gaussian and N(0, I)
        """
        if not isinstance(model, GaussianModel):
            reason = "the model has no mean and covariance"
            return Measures(
                dict.fromkeys(("mean_error", "variance", "w2")), dict.fromkeys(("mean_error", "variance", "w2"), reason)
            )
        mean, covariance = model.parameters
        deviations = torch.linalg.eigvalsh(covariance).clamp(min=0).sqrt()
        mean_error = float(mean.square().sum())
        return Measures(
            {
                "mean_error": mean_error,
                "variance": float(covariance.diagonal().mean()),
                "w2": mean_error + float((deviations - 1).square().sum()),
            }
        )

    def render(self, shown: Sequence[Samples], path: Path) -> None:
        """Draw the last generation's vectors over the true distribution."""
        draw_scatter(shown[-1].data, len(shown) - 1, path)

    def _draw(self, n: int, split: Split) -> Tensor:
        return torch.randn(n, self._dimensions, generator=seeds.generator(self._seed, "gaussian", split))
