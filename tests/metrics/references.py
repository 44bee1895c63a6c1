"""Features, and metrics computed from them as plainly as can be."""

from __future__ import annotations

import torch


def normal(n, d, seed, scale=1.0, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64) * scale + shift
