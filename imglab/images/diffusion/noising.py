"""How noise is added to images, and what a network predicts of them: the objectives.

Every objective reads `scale * (clean + sigma * noise)` and predicts something that, with what was
read, gives the clean image. So one sampler draws with all of them (Karras et al. 2022, table 1).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from imglab.images.diffusion.settings import NoiseLevels

if TYPE_CHECKING:
    from diffusers import DDPMScheduler

TAIL = 1e-6
"""Share of the noise levels at either end that is left out: the normal distribution has no end."""

LEAST_SHARE = 0.05
"""Share of noise below which the error of a predicted image counts no more."""


class Noising(ABC):
    """Adds noise to clean images, and says what a network should predict.

    Images and noise are float32 [N, ...]. Times are as the network reads them, [N].
    """

    @abstractmethod
    def times(self, quantiles: Tensor, levels: NoiseLevels | None) -> Tensor:
        """Return the times at these quantiles, in [0, 1), of the distribution to train on.

        levels  the distribution of the noise; None: the objective's own
        """

    @abstractmethod
    def shares(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """Return a and b, of which a time's noisy image is made: a * clean + b * noise."""

    @abstractmethod
    def at(self, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Return the time at which the noise is `sigma` = b / a, and a; all of one shape."""

    @abstractmethod
    def target(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Return what the network should predict of a noisy image."""

    @abstractmethod
    def clean(self, noisy: Tensor, predicted: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Return the clean image, by what the network predicts of a * clean + b * noise."""

    @abstractmethod
    def response(self, a: Tensor, b: Tensor) -> Tensor:
        """Return by how much `clean` moves, up to the sign, where the prediction moves by one."""

    def add_noise(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Return the images as the network reads them at these times."""
        a, b = self.shares(times)
        return wide(a, clean) * clean + wide(b, noise) * noise

    def weights(self, times: Tensor) -> Tensor | None:
        """Return the objective's own weights of the squared errors, [N]; None: all count alike."""
        return None

    def min_snr(self, times: Tensor, *, most: float) -> Tensor:
        """Return the weights of the squared errors of what the network predicts, [N].

        The error of the clean image counts as often as the ratio of signal to noise, (a / b)^2, but
        at most `most` times: Hang et al. 2023 (2303.09556), equation 9. For a network that predicts
        noise the weight is min(snr, most) / snr, for velocity min(snr, most) / (snr + 1).
        """
        a, b = self.shares(times)
        ratio = (a / b.clamp(min=1e-8)) ** 2
        weights: Tensor = ratio.clamp(max=most) * self.response(a, b) ** 2
        return weights


class VariancePreserving(Noising):
    """Noise of diffusers' schedulers of the DDPM family: a^2 + b^2 = 1, at whole times.

    The network predicts the noise (`epsilon`, Ho et al. 2020), the velocity a * noise - b * clean
    (`v_prediction`, Salimans and Ho 2022) or the image (`sample`).
    """

    def __init__(self, scheduler: DDPMScheduler) -> None:
        self._scheduler = scheduler
        self._prediction: str = scheduler.config.prediction_type
        signal = scheduler.alphas_cumprod.double()
        self._log_sigmas = (((1 - signal) / signal).log() / 2).float()

    def times(self, quantiles: Tensor, levels: NoiseLevels | None) -> Tensor:
        """Return whole times, int64: all alike, or nearest to the levels."""
        last = len(self._log_sigmas)
        times = quantiles * last
        if levels is not None:
            times = self._time(log_normal(quantiles, levels).log()).round()
        return times.long().clamp(max=last - 1)

    def shares(self, times: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        signal = self._scheduler.alphas_cumprod.to(times.device)[times]
        return signal**0.5, (1 - signal) ** 0.5

    def at(self, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Return a time between whole ones, by the logarithm of sigma."""
        return self._time(sigma.log()), (1 + sigma**2) ** -0.5

    def _time(self, log_sigma: Tensor) -> Tensor:
        """Return the times, float32, at which the logarithm of the noise has these values."""
        table = self._log_sigmas.to(log_sigma.device)
        after = torch.searchsorted(table, log_sigma.contiguous()).clamp(1, len(table) - 1)
        low = table[after - 1]
        part = (log_sigma - low) / (table[after] - low)
        times: Tensor = after - 1 + part.clamp(0, 1)
        return times

    def add_noise(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:  # noqa: D102
        noisy: Tensor = self._scheduler.add_noise(clean, noise, times)
        return noisy

    def target(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:  # noqa: D102
        if self._prediction == "sample":
            return clean
        if self._prediction == "epsilon":
            return noise
        velocity: Tensor = self._scheduler.get_velocity(clean, noise, times)
        return velocity

    def clean(self, noisy: Tensor, predicted: Tensor, a: Tensor, b: Tensor) -> Tensor:  # noqa: D102
        if self._prediction == "sample":
            return predicted
        if self._prediction == "epsilon":
            return (noisy - b * predicted) / a
        return a * noisy - b * predicted

    def response(self, a: Tensor, b: Tensor) -> Tensor:  # noqa: D102
        if self._prediction == "sample":
            return torch.ones_like(a)
        if self._prediction == "epsilon":
            return b / a
        return b


class Flow(Noising):
    """Rectified flow: a straight line from the image to noise (Liu et al. 2022, 2209.03003).

    At a time t there is a share t / steps of noise; the network predicts noise - clean.
    """

    def __init__(self, steps: int, levels: NoiseLevels | None = None) -> None:
        """Take the time of pure noise.

        levels  distribution of b / a in training; None: all whole times alike. Where the logarithm
                of b / a is normal, the share of noise is logit-normal (Esser et al. 2024)
        """
        self._steps = steps
        self._levels = levels

    def times(self, quantiles: Tensor, levels: NoiseLevels | None) -> Tensor:  # noqa: D102
        levels = levels or self._levels
        if levels is None:
            whole = (quantiles * self._steps).long().clamp(max=self._steps - 1)
            return (whole + 1).float()
        return self.at(log_normal(quantiles, levels))[0]

    def shares(self, times: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        noise = times / self._steps
        return 1 - noise, noise

    def at(self, sigma: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        a = 1 / (1 + sigma)
        return sigma * a * self._steps, a

    def add_noise(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:  # noqa: D102
        share = (times / self._steps).to(clean.dtype)
        return torch.lerp(clean, noise, wide(share, clean))

    def target(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:  # noqa: D102
        return noise - clean

    def clean(self, noisy: Tensor, predicted: Tensor, a: Tensor, b: Tensor) -> Tensor:  # noqa: D102
        return noisy - b * predicted

    def response(self, a: Tensor, b: Tensor) -> Tensor:  # noqa: D102
        return b


class FlowOfImages(Flow):
    """Rectified flow by a network that predicts the image, with the loss of the flow.

    Where data fill a small part of their space, as strokes on black do, an image is much easier to
    predict than noise (Li and He 2025, 2511.13720). The error of noise - clean is that of the image
    over the share of noise, which counts as at least 0.05.
    """

    def target(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:  # noqa: D102
        return clean

    def clean(self, noisy: Tensor, predicted: Tensor, a: Tensor, b: Tensor) -> Tensor:  # noqa: D102
        return predicted

    def response(self, a: Tensor, b: Tensor) -> Tensor:  # noqa: D102
        return torch.ones_like(a)

    def weights(self, times: Tensor) -> Tensor:  # noqa: D102
        share = self.shares(times)[1]
        return share.clamp(min=LEAST_SHARE) ** -2


class Edm(Noising):
    """The preconditioning of Karras et al. 2022 (2206.00364), table 1: unit variance throughout.

    For data of the standard deviation `deviation`, what the network reads and what it predicts has
    variance 1 at every sigma. A time is ln(sigma) / 4, as diffusers' EDM schedulers give it.
    """

    def __init__(self, deviation: float, levels: NoiseLevels) -> None:
        self._deviation = deviation
        self._levels = levels

    def times(self, quantiles: Tensor, levels: NoiseLevels | None) -> Tensor:  # noqa: D102
        return log_normal(quantiles, levels or self._levels).log() / 4

    def shares(self, times: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        sigma = (4 * times).exp()
        a = self.at(sigma)[1]
        return a, sigma * a

    def at(self, sigma: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        return sigma.log() / 4, (sigma**2 + self._deviation**2) ** -0.5

    def target(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:  # noqa: D102
        a, b = (wide(share, clean) for share in self.shares(times))
        return b * clean / self._deviation - a * self._deviation * noise

    def clean(self, noisy: Tensor, predicted: Tensor, a: Tensor, b: Tensor) -> Tensor:  # noqa: D102
        deviation = self._deviation
        return a * deviation**2 * noisy + b * deviation * predicted

    def response(self, a: Tensor, b: Tensor) -> Tensor:  # noqa: D102
        return b * self._deviation


def log_normal(quantiles: Tensor, levels: NoiseLevels) -> Tensor:
    """Return exp(mean + deviation * z) at these quantiles of the standard normal z, in (0, 1)."""
    z = torch.special.ndtri(quantiles.clamp(TAIL, 1 - TAIL))
    sigmas: Tensor = (levels.mean + levels.deviation * z).exp()
    return sigmas


def wide(numbers: Tensor, images: Tensor) -> Tensor:
    """Return one number for each image in a shape that multiplies images."""
    return numbers.reshape(-1, *[1] * (images.dim() - 1))
