"""Samplers on the noise levels of Karras et al. 2022, for a denoiser of any objective.

The images are clean + sigma * noise, float32 [N, ...]; `denoise(images, sigma)` returns what is
clean in them. `fresh()` returns standard normal noise of their shape, new in each call.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

import torch
from torch import Tensor

Denoise: TypeAlias = Callable[[Tensor, Tensor], Tensor]
Fresh: TypeAlias = Callable[[], Tensor]

HIGHEST = 80.0
LOWEST = 0.002
"""Noise at which drawing begins and ends (Karras et al. 2022, table 1)."""

RHO = 7.0
"""How much closer the lower noise levels lie together (ibid., equation 5)."""


@dataclass(frozen=True)
class KarrasSampler:
    """A solver on these noise levels.

    clip     keep what is clean in [-1, 1]: where a network predicts the noise of what is nearly
             noise alone, what is clean is a small difference of large numbers
    highest  noise at which drawing begins; `lowest`: the last before none
    stop     time at which it ends early: e^(-stop) clean + sqrt(1 - e^(-2 stop)) noise is drawn
    """

    solver: Literal["dpm-solver++", "sde-dpm-solver++", "heun"]
    clip: bool = False
    highest: float = HIGHEST
    lowest: float = LOWEST
    stop: float = 0.0

    def draw(self, denoise: Denoise, noise: Tensor, steps: int, fresh: Fresh) -> Tensor:
        """Return images made of standard normal noise in so many steps."""
        sigmas = karras_sigmas(steps, highest=self.highest, lowest=self.lowest)
        signal = math.exp(-self.stop)
        if self.stop:
            last = math.sqrt(1 / signal**2 - 1)  # noise relative to the image
            sigmas = karras_sigmas(steps + 1, highest=self.highest, lowest=last)[:-1]

        def clean(images: Tensor, sigma: Tensor) -> Tensor:
            images = denoise(images, sigma)
            if self.clip:
                return images.clamp(-1, 1)
            return images

        if self.solver == "heun":
            images = heun(clean, noise, sigmas)
        elif self.solver == "dpm-solver++":
            images = dpm_solver(clean, noise, sigmas)
        else:
            images = dpm_solver(clean, noise, sigmas, fresh)
        return images * signal


def karras_sigmas(steps: int, *, highest: float = HIGHEST, lowest: float = LOWEST) -> Tensor:
    """Return falling noise levels, float32 [steps + 1]; the last is 0 (equation 5)."""
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    first = highest ** (1 / RHO)
    last = lowest ** (1 / RHO)
    sigmas = (first + ramp * (last - first)) ** RHO
    return torch.cat([sigmas, torch.zeros(1)]).float()


def dpm_solver(
    denoise: Denoise, noise: Tensor, sigmas: Tensor, fresh: Fresh | None = None
) -> Tensor:
    """Draw with DPM-Solver++(2M) (Lu et al. 2022, 2211.01095, algorithm 2), in h = ln of sigma.

    A step extrapolates what is clean from the two last estimates; the last step returns it.

    fresh  solve the stochastic equation in place of the ordinary one (SDE-DPM-Solver++(2M), ibid.,
           appendix D): each step takes away twice the noise and adds some anew, so that later
           steps mend the errors of earlier ones
    """
    images = noise * sigmas[0]
    before: Tensor | None = None
    h_before = sigmas.new_zeros(())

    for sigma, following in pairwise(sigmas):
        clean = denoise(images, sigma)
        if following == 0:
            return clean

        h = (sigma / following).log()
        ahead = clean
        if before is not None:
            ahead = clean + (clean - before) * h / (2 * h_before)

        if fresh is None:
            images = following / sigma * images - torch.expm1(-h) * ahead
        else:
            renewed = -torch.expm1(-2 * h)  # share of the variance that is new
            images = (following / sigma) ** 2 * images + renewed * ahead
            images = images + following * renewed.sqrt() * fresh()
        before = clean
        h_before = h
    return images


def heun(denoise: Denoise, noise: Tensor, sigmas: Tensor) -> Tensor:
    """Draw with Heun's method, without added noise (Karras et al. 2022, algorithm 1)."""
    images = noise * sigmas[0]
    for sigma, following in pairwise(sigmas):
        slope = (images - denoise(images, sigma)) / sigma
        step = following - sigma
        predicted = images + step * slope

        # At 0 there is nothing to correct by.
        if following > 0:
            corrected = (predicted - denoise(predicted, following)) / following
            predicted = images + step * (slope + corrected) / 2
        images = predicted
    return images
