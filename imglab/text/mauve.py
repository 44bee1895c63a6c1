"""MAUVE (Pillutla et al. 2021), through the package `mauve-text` if the user has installed it."""

from __future__ import annotations

from torch import Tensor

from imglab import seeds
from imglab.measures import Measures


def mauve_metrics(*, real: Tensor, synthetic: Tensor) -> Measures:
    """Return `mauve`, in (0, 1], higher is closer, of features float32 [N, D] and [M, D]."""
    import mauve

    seed = seeds.derive("mauve") % 2**31
    result = mauve.compute_mauve(
        p_features=real.numpy(), q_features=synthetic.numpy(), seed=seed, verbose=False
    )
    return Measures({"mauve": float(result.mauve)})
