"""Feature extractors from the Hugging Face hub, through transformers: DINOv2 and CLIP."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from imglab.errors import InputError, Problem
from imglab.images.extractor_settings import ClipSettings, DinoSettings
from imglab.images.features import HASH_LENGTH, in_colour
from imglab.modality import Extractor
from imglab.training import hub
from imglab.training.devices import device

WHERE = "modality.extractor.name"
BATCH = 32


class HubExtractor(Extractor):
    """A network of the hub, with its own preparation of images: size, resampling, normalization."""

    kind: str
    """The `kind` in a config, which the extractor's name begins with."""

    auto: str
    """Name of the class of transformers that opens the network."""

    def __init__(self, settings: DinoSettings | ClipSettings) -> None:
        from transformers import AutoImageProcessor, PreTrainedModel

        network, missing = hub.open_network(settings.name, settings.revision, WHERE, self.auto)
        if missing:
            what = (
                f"{settings.name!r} is not a {self.kind} model: it lacks {', '.join(missing[:3])}"
            )
            raise InputError(Problem(WHERE, what, f"name a {self.kind} model"))

        self._network: PreTrainedModel = network.to(device())
        self._hash = hub.hash_weights(network)[:HASH_LENGTH]
        with hub.opening(settings.name, WHERE):
            self._processor: Any = AutoImageProcessor.from_pretrained(
                settings.name, revision=settings.revision or "main", trust_remote_code=False
            )

    @property
    def name(self) -> str:
        """`dinov2@` or `clip@` and the first digits of a sha256 of the weights."""
        return f"{self.kind}@{self._hash}"

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """Return float32 [N, D]."""
        features = []
        for batch in in_colour(images).split(BATCH):
            pixels = self._processor(images=list(batch), return_tensors="pt")["pixel_values"]
            features.append(self._embed(pixels.to(self._network.device)).float().cpu())
        return torch.cat(features)

    @abstractmethod
    def _embed(self, pixels: Tensor) -> Tensor:
        """Return the features of prepared images, [N, D]."""


class Dino(HubExtractor):
    """DINOv2: the class token after the last layer, as in Stein et al. 2023."""

    kind = "dinov2"
    auto = "AutoModel"

    def _embed(self, pixels: Tensor) -> Tensor:
        states: Tensor = self._network(pixel_values=pixels).last_hidden_state
        return states[:, 0]


class Clip(HubExtractor):
    """CLIP: the embedding of an image in the space that images and texts share."""

    kind = "clip"
    auto = "CLIPModel"

    def __init__(self, settings: ClipSettings) -> None:
        from transformers import AutoTokenizer

        super().__init__(settings)
        with hub.opening(settings.name, WHERE):
            self._tokenizer: Any = AutoTokenizer.from_pretrained(
                settings.name, revision=settings.revision or "main", trust_remote_code=False
            )

    @torch.inference_mode()
    def scores(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Return the CLIP score of each image with its prompt, float64 [N], in [0, 100].

        The score is 100 max(cos, 0) of the two embeddings (Hessel et al. 2021).
        """
        of_images = normalize(self.features(images).double(), dim=1)

        # Embed each prompt once, although many images may share it.
        of_texts: dict[str, Tensor] = {}
        for start in range(0, len(prompts), BATCH):
            batch = dict.fromkeys(prompts[start : start + BATCH])
            new = [prompt for prompt in batch if prompt not in of_texts]
            if new:
                of_texts.update(zip(new, self._embed_texts(new), strict=True))

        of_prompts = torch.stack([of_texts[prompt] for prompt in prompts])
        return 100 * (of_images * of_prompts).sum(1).clamp(min=0)

    def _embed(self, pixels: Tensor) -> Tensor:
        return _pooled(self._network.get_image_features(pixel_values=pixels))

    def _embed_texts(self, texts: list[str]) -> Tensor:
        """Return the embeddings of texts, of length 1, float64 [N, D]."""
        tokens = self._tokenizer(
            texts,
            padding=True,
            truncation=True,
            max_length=self._network.config.text_config.max_position_embeddings,
            return_tensors="pt",
        )
        features = self._network.get_text_features(**tokens.to(self._network.device))
        return normalize(_pooled(features).double().cpu(), dim=1)


def _pooled(output: Any) -> Tensor:
    """Return the features, which newer versions of transformers wrap."""
    if isinstance(output, Tensor):
        return output
    features: Tensor = output.pooler_output
    return features
