"""Latent space filtering (Cai et al. 2026, "Stabilizing self-consuming diffusion models",
2511.12742).
"""

from __future__ import annotations

from torch import Tensor

from imglab.curation.context import Context
from imglab.curation.ranking import best
from imglab.metrics.eigen import eigh
from imglab.samples import Samples


def latent_filter(samples: Samples, context: Context, *, keep: float, variance: float) -> Tensor:
    """Keep the share whose features lie nearest to the subspace that those of real data span.

    The paper finds that the low-dimensional structure of latents degrades over generations, and
    filters out what has lost it. Here the structure is that of the principal components of the
    real training set's features, as many as hold the share `variance` of their variance, and a
    sample's score is the squared distance of its features from them.
    """
    real = context.real.double()
    mean = real.mean(0)
    values, vectors = eigh((real - mean).T @ (real - mean))

    # Eigenvalues ascend: the subspace is what is left without the smallest ones.
    left_out = int((values.clamp(min=0).cumsum(0) <= (1 - variance) * values.sum()).sum())
    residual = (context.features.double() - mean) @ vectors[:, :left_out]
    return best(-residual.square().sum(1), keep)
