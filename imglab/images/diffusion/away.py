"""Drawing with guidance away from another network (SIMS, Alemohammad et al. 2024, 2408.16333)."""

from __future__ import annotations

from torch import Tensor, nn

from imglab.images.diffusion.denoiser import Denoiser


class AwayDenoiser(Denoiser):
    """Predicts (1 + w) p - w q, where p is what a denoiser predicts and q another one's network.

    What networks predict is linear in the score at each noise level, so that the scores are
    extrapolated likewise.
    """

    def __init__(self, denoiser: Denoiser, negative: nn.Module, w: float) -> None:
        """Take what draws, and the network of the same layers that it is led away from."""
        super().__init__(
            denoiser.network,
            denoiser.noising,
            denoiser.shape,
            conditional=denoiser.conditional,
            null_label=denoiser.null_label,
        )
        self._denoiser = denoiser
        self._negative = negative
        self._w = w

    def encode(self, images: Tensor, noise: Tensor) -> Tensor:  # noqa: D102
        return self._denoiser.encode(images, noise)

    def decode(self, codes: Tensor) -> Tensor:  # noqa: D102
        return self._denoiser.decode(codes)

    def predict(  # noqa: D102
        self, network: nn.Module, noisy: Tensor, times: Tensor, labels: Tensor | None
    ) -> Tensor:
        predicted = self._denoiser.predict(network, noisy, times, labels)
        other = self._denoiser.predict(self._negative, noisy, times, labels)
        return predicted + self._w * (predicted - other)
