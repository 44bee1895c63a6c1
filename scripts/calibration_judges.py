"""Judges whose networks are none of the lab's: do its features rank damage as these do?

    PYTHONPATH=scripts imglab calibrate configs/image_digits.yaml --samples 250 --repeats 2 \
        --splits 20 --out runs/judges --extractor '{kind: classifier, images: 30_000}' \
        --extractor self_supervised --extractor '{kind: classifier, network: lenet, seed: 1}' \
        --extractor calibration_judges:ResNet --extractor calibration_judges:Mixer
    python scripts/calibration_judges.py runs/judges digits

The second command keeps Spearman's correlations of the FID, over damages and strengths, in
docs/calibration/judges/digits.json.
"""

from __future__ import annotations

import json
import sys
from abc import abstractmethod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from imglab import Extractor, seeds
from imglab.images.network_fitting import BATCH, fit, fitted_once
from imglab.images.networks import apply, scaled
from imglab.training.devices import device

JUDGES = Path(__file__).resolve().parent.parent / "docs/calibration/judges"
ORDER = ("classifier", "self_supervised", "lenet", "resnet", "mixer")
"""The extractors of the command above."""


class Judge(Extractor):
    """A classifier whose last hidden layer gives the features, float32 [N, D].

    images  that it sees in training, moved by up to two pixels
    """

    def __init__(self, *, images: int = 60_000, seed: int = 1) -> None:
        self._steps = max(1, images // BATCH)
        self._seed = seed
        self._hash = ""
        self._body: nn.Module
        self._network: nn.Module

    @abstractmethod
    def _hidden(self, channels: int, side: int) -> tuple[nn.Module, int]:
        """Return the network up to its last hidden layer, and the size of that."""

    @property
    def name(self) -> str:
        """The name of the class, and a hash of the weights."""
        return f"{type(self).__name__.lower()}@{self._hash}"

    def prepare(self, real: Any, shared: Path) -> None:
        """Train on the labels of the real training images, once."""
        with seeds.isolated(self._seed, self.name, "weights"):
            self._body, size = self._hidden(*real.images.shape[1:3])
            head = nn.Linear(size, int(real.labels.max()) + 1)
        self._network = nn.Sequential(self._body, head)

        path = shared / f"{type(self).__name__.lower()}.safetensors"
        self._hash = fitted_once(self._network, path, lambda network: self._train(network, real))

    def _train(self, network: nn.Module, real: Any) -> None:
        generator = seeds.generator(self._seed, "judge", "batches")

        def loss_of(network: nn.Module, _step: int) -> Tensor:
            rows = torch.randint(len(real.images), (BATCH,), generator=generator)
            shift = torch.randint(-2, 3, (2,), generator=generator).tolist()
            images = real.images[rows].roll(shift, dims=(2, 3)).to(device())
            return cross_entropy(network(scaled(images)), real.labels[rows].to(device()))

        fit(network, loss_of, steps=self._steps)

    @torch.inference_mode()
    def features(self, data: Tensor) -> Tensor:
        """Return the last hidden layer."""
        return apply(self._body, data)


class _Residual(nn.Module):
    """Two convolutions around which the input is passed."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.around = nn.Conv2d(before, after, 1, stride)

    def forward(self, images: Tensor) -> Tensor:
        return torch.relu(self.path(images) + self.around(images))


class ResNet(Judge):
    """A small residual network (He et al. 2016): 128 means over the last maps."""

    def _hidden(self, channels: int, side: int) -> tuple[nn.Module, int]:
        blocks = [_Residual(channels, 32, 2), _Residual(32, 64, 2), _Residual(64, 128, 2)]
        return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten()), 128


class _Mixing(nn.Module):
    """Mixes places, then channels (Tolstikhin et al. 2021), of tokens [N, places, width]."""

    def __init__(self, places: int, width: int) -> None:
        super().__init__()
        self.over_places = nn.Sequential(nn.Linear(places, 64), nn.GELU(), nn.Linear(64, places))
        self.over_channels = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.normed = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.over_places(self.normed(tokens).mT).mT
        mixed: Tensor = tokens + self.over_channels(tokens)
        return mixed


class _Tokens(nn.Module):
    """Squares of 4 x 4 pixels as tokens [N, places, width]."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(channels, width, 4, 4)

    def forward(self, images: Tensor) -> Tensor:
        tokens: Tensor = self.embed(images).flatten(2).mT
        return tokens


class _Mean(nn.Module):
    """The mean over places."""

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens.mean(1)


class Mixer(Judge):
    """An MLP-Mixer: 64 means over places."""

    def _hidden(self, channels: int, side: int) -> tuple[nn.Module, int]:
        places = (side // 4) ** 2
        mixing = [_Mixing(places, 64) for _ in range(4)]
        return nn.Sequential(_Tokens(channels, 64), *mixing, nn.LayerNorm(64), _Mean()), 64


def keep(folder: Path, name: str) -> None:
    """Keep how similarly the extractors of a calibration rank damage."""
    result = json.loads((folder / "calibration.json").read_text())
    sources = [scores["source"] for scores in result["scores"][1:]]
    label = dict(zip(sources, ORDER, strict=True))
    agreement: dict[str, dict[str, float]] = {}
    for pair in result["agreement"]:
        one, other = (label[source] for source in pair["extractors"])
        agreement.setdefault(one, {})[other] = round(pair["spearman"], 3)
    kept = {"sizes": result["sizes"], "damages": list(result["damages"]), "spearman": agreement}
    JUDGES.mkdir(exist_ok=True)
    (JUDGES / f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    keep(Path(sys.argv[1]), sys.argv[2])
