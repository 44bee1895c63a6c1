"""What all text models share: a network of transformers with its tokenizer, drawing, and the folder on disk."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from imglab import seeds
from imglab.errors import InputError, Problem
from imglab.modality import Modality
from imglab.model import GenerativeModel
from imglab.samples import Samples
from imglab.text.cards import text_card
from imglab.text.decoding import Reader, sample_tokens, search_beams
from imglab.text.hub import open_model, open_tokenizer, save_tokenizer
from imglab.text.scoring import score_tokens
from imglab.text.settings import BeamSettings, TextModelSettings
from imglab.text.watermark import watermark_processor
from imglab.training.hub import quiet
from imglab.training.devices import device

if TYPE_CHECKING:
    from typing_extensions import Self


class TokenModality(Modality):
    """A kind of data whose samples are blocks of tokens."""

    @property
    @abstractmethod
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer, the same for all generations."""

    @property
    @abstractmethod
    def block(self) -> int:
        """Tokens of a sample, and of a prompt."""


class TextModel(GenerativeModel):
    """Continues prompts; its network is a causal language model of transformers.

    A sample's data are `block` tokens, its condition the prompt, int64 [N, P], that they continue.
    """

    kind: ClassVar[str]
    """The kind in a config."""
    settings_class: ClassVar[type[TextModelSettings]]
    """Its keys there."""

    def __init__(
        self,
        settings: TextModelSettings,
        modality: Modality | None = None,
        *,
        network: PreTrainedModel | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        block: int = 0,
        training: Mapping[str, Any] | None = None,
    ) -> None:
        """Make a model for `modality`, or around the fitted `network` and its tokenizer."""
        if modality is not None:
            if not isinstance(modality, TokenModality):
                problem = Problem(
                    "model.kind", f"`{self.kind}` draws text", "use it with modality.kind: text"
                )
                raise InputError(problem)
            tokenizer, block = modality.tokenizer, modality.block
            network = self._checked(settings, tokenizer, block)
        assert tokenizer is not None
        self._settings = settings
        self._tokenizer = tokenizer
        self._block = block
        self._network = network
        self._training = dict(training or {})

    @staticmethod
    @abstractmethod
    def _checked(
        settings: Any, tokenizer: PreTrainedTokenizerBase, block: int
    ) -> PreTrainedModel | None:
        """Raise InputError unless all fits together; return the pretrained network that the settings name, if any."""

    @property
    def network(self) -> PreTrainedModel:
        """The fitted network."""
        if self._network is None:
            raise ValueError("the model has not been fitted")
        return self._network

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer, the same in every generation."""
        return self._tokenizer

    @property
    @abstractmethod
    def window(self) -> int:
        """How many tokens it is asked to see at once when its perplexity is taken."""

    @property
    def training(self) -> Mapping[str, Any]:
        """Samples seen in the fit, and the budget's unit."""
        return self._training

    @property
    def cached(self) -> bool:
        """Whether its network reads on with a key-value cache."""
        return True

    @abstractmethod
    def reader(self) -> Reader:
        """Return what reads prompts and the tokens after them."""

    @torch.inference_mode()
    def draw(self, indices: range, *, conditions: Tensor | None, seed: int) -> Iterator[Samples]:
        """Yield continuations of the prompts `conditions`, int64 [n, P]; noise is of (seed, i), all drawn up front."""
        if conditions is None:
            raise ValueError("a text model continues prompts: it needs conditions")
        settings, network = self._settings, self.network
        process = None
        if settings.watermark is not None:
            mark = settings.watermark.model_dump()
            process = watermark_processor(len(self._tokenizer), device=network.device, **mark)
        for at in range(0, len(indices), settings.sampling_batch):
            part = slice(at, at + settings.sampling_batch)
            prompts, ids = conditions[part].to(network.device), len(self._tokenizer)
            if isinstance(settings.decoding, BeamSettings):
                tokens = search_beams(
                    network,
                    prompts,
                    self._block,
                    beams=settings.decoding.beams,
                    ids=ids,
                    cached=self.cached,
                )
            else:
                generators = [seeds.generator(seed, index) for index in indices[part]]
                uniforms = torch.stack(
                    [torch.rand(self._block, generator=generator) for generator in generators]
                )
                tokens = sample_tokens(
                    self.reader(),
                    prompts,
                    uniforms,
                    temperature=settings.decoding.temperature * settings.sampling_bias,
                    top_k=settings.decoding.top_k,
                    top_p=settings.decoding.top_p,
                    ids=ids,
                    process=process,
                )
            yield Samples.drawn(tokens.cpu(), conditions[part])

    def log_density(self, samples: Samples) -> Tensor:
        """Return the log-likelihood of each sample, read without its prompt: all tokens but the first, float64 [N]."""
        return score_tokens(
            self.network, samples.data, samples.data.shape[1] - 1
        ).log_likelihood.sum(1)

    def write_weights(self, path: Path) -> None:
        """Write network and tokenizer as transformers does."""
        with quiet():
            self.network.save_pretrained(path)
        save_tokenizer(self._tokenizer, path)

    def description(self) -> Mapping[str, Any]:  # noqa: D102
        return {
            "kind": self.kind,
            "settings": self._settings.model_dump(),
            "block": self._block,
            "training": self._training,
        }

    def card(self) -> str:  # noqa: D102
        return text_card(self.kind, self._settings, self._block, self._training)

    @classmethod
    def restore(cls, description: Mapping[str, Any], path: Path) -> Self:  # noqa: D102
        return cls(
            cls.settings_class(**description["settings"]),
            network=open_model(str(path), None, str(path)).to(device()),
            tokenizer=open_tokenizer(str(path), None, str(path)),
            block=description["block"],
            training=description["training"],
        )
