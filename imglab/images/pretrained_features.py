"""Feature extractors of the hub: DINOv2 and CLIP, through transformers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import AutoImageProcessor, AutoTokenizer, PreTrainedModel

from imglab.errors import InputError, Problem
from imglab.images.features import HASH_LENGTH, Extractor, in_colour
from imglab.images.settings import ClipSettings, DinoSettings
from imglab.training import hub
from imglab.training.devices import device

WHERE = "modality.extractor.name"
BATCH = 32


class Frozen(Extractor):
    """A network of the hub with its own way to prepare images: size, resampling, normalisation."""

    kind: str
    auto: str
    """The class of transformers that opens it."""

    def __init__(self, settings: DinoSettings | ClipSettings) -> None:
        network, missing = hub.open_network(settings.name, settings.revision, WHERE, self.auto)
        if missing:
            what = f"{settings.name!r} is no {self.kind}: it lacks {', '.join(missing[:3])}"
            raise InputError(Problem(WHERE, what, "name one that is"))
        self._network: PreTrainedModel = network.to(device())
        with hub.opening(settings.name, WHERE):
            self._prepare: Any = AutoImageProcessor.from_pretrained(
                settings.name, revision=settings.revision or "main", trust_remote_code=False
            )
        self._hash = hub.hash_weights(network)[:HASH_LENGTH]

    @property
    def name(self) -> str:
        """`dinov2@` or `clip@` and the first digits of a sha256 of the weights."""
        return f"{self.kind}@{self._hash}"

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """Return float32 [N, D]."""
        found = []
        for batch in in_colour(images).split(BATCH):
            pixels = self._prepare(images=list(batch), return_tensors="pt")["pixel_values"]
            found.append(self._embed(pixels.to(self._network.device)).float().cpu())
        return torch.cat(found)

    @abstractmethod
    def _embed(self, pixels: Tensor) -> Tensor:
        """Return the features of prepared images, [N, D]."""


class Dino(Frozen):
    """DINOv2: the class token after the last layer, as in Stein et al. 2023."""

    kind = "dinov2"
    auto = "AutoModel"

    def _embed(self, pixels: Tensor) -> Tensor:
        states: Tensor = self._network(pixel_values=pixels).last_hidden_state
        return states[:, 0]


class Clip(Frozen):
    """CLIP: the image's place in the space that it shares with text."""

    kind = "clip"
    auto = "CLIPModel"

    def __init__(self, settings: ClipSettings) -> None:
        super().__init__(settings)
        with hub.opening(settings.name, WHERE):
            self._reader: Any = AutoTokenizer.from_pretrained(
                settings.name, revision=settings.revision or "main", trust_remote_code=False
            )

    def _embed(self, pixels: Tensor) -> Tensor:
        return _pooled(self._network.get_image_features(pixel_values=pixels))

    @torch.inference_mode()
    def scores(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Return the CLIP score of each image with its prompt, 100 max(cos, 0), float64 [N] (Hessel et al. 2021)."""
        seen = torch.nn.functional.normalize(self.features(images).double(), dim=1)
        texts: dict[str, Tensor] = {}
        for at in range(0, len(prompts), BATCH):
            new = [
                prompt for prompt in dict.fromkeys(prompts[at : at + BATCH]) if prompt not in texts
            ]
            if new:
                most = self._network.config.text_config.max_position_embeddings
                given = self._reader(
                    new, padding=True, truncation=True, max_length=most, return_tensors="pt"
                )
                read = (
                    _pooled(self._network.get_text_features(**given.to(self._network.device)))
                    .double()
                    .cpu()
                )
                texts.update(zip(new, torch.nn.functional.normalize(read, dim=1), strict=True))
        told = torch.stack([texts[prompt] for prompt in prompts])
        return 100 * (seen * told).sum(1).clamp(min=0)


def _pooled(found: Any) -> Tensor:
    """Return the features, which newer versions of transformers wrap."""
    features: Tensor = found if isinstance(found, Tensor) else found.pooler_output
    return features
