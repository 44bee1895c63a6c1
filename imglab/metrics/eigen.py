"""Eigenvalues and eigenvectors of symmetric matrices, also where one library gives up."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

WIDE = 256
"""Columns beyond which a decomposition takes longer than to import another library for it."""


def eigh(symmetric: Tensor) -> tuple[Tensor, Tensor]:
    """Return the eigenvalues, ascending, and the eigenvectors of symmetric matrices [..., D, D].

    Torch's are those of MKL, which does not converge where many eigenvalues are equal: on 4% of the
    covariances of 500 draws of 300 Zipf categories, one-hot. Then they are those of numpy's LAPACK.
    """
    try:
        values, vectors = torch.linalg.eigh(symmetric)
    except RuntimeError:  # torch's LinAlgError is one
        if not bool(symmetric.isfinite().all()):
            raise
        of_numpy = np.linalg.eigh(symmetric.cpu().numpy())
        values, vectors = (torch.from_numpy(part).to(symmetric.device) for part in of_numpy)
    return values, vectors


def eigen_decomposition(symmetric: Tensor) -> tuple[Tensor, Tensor]:
    """Return what `eigh` does of one matrix, [D, D], on the CPU.

    A large one is left to scipy, which takes two thirds of the time of torch.
    """
    if len(symmetric) <= WIDE:
        return eigh(symmetric)
    from scipy.linalg import eigh as of_scipy

    of_array = of_scipy(symmetric.numpy(), driver="evr", check_finite=False)
    return torch.from_numpy(of_array[0]), torch.from_numpy(of_array[1])
