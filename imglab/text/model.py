"""What all text models share: a network of transformers, its tokenizer, drawing, and saving."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import torch
from pydantic import BaseModel, Field
from torch import Tensor
from transformers import LogitsProcessorList, PreTrainedModel, PreTrainedTokenizerBase

from imglab import seeds
from imglab.errors import InputError, Problem
from imglab.modality import Modality
from imglab.model import GenerativeModel
from imglab.samples import Samples
from imglab.text.cards import text_card
from imglab.text.decoding import penalties, sample_tokens, search_beams
from imglab.text.decoding_settings import BeamSettings, SamplingSettings
from imglab.text.hub import open_model, open_tokenizer, save_tokenizer
from imglab.text.readers import Reader
from imglab.text.scoring import score_tokens
from imglab.text.settings import TextModelSettings
from imglab.text.watermark import watermark_processor
from imglab.training.devices import device
from imglab.training.hub import quiet
from imglab.training.threads import Threads

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
        """How many tokens a sample has, and a prompt."""


class TextModel(GenerativeModel):
    """Continues prompts; its network is a causal language model of transformers.

    A sample's data are `block` tokens; its condition is the prompt that they continue, and all
    prompts are int64 [N, P].
    """

    kind: ClassVar[str]
    """The kind in a config."""

    settings_class: ClassVar[type[TextModelSettings]]
    """The keys of the kind in a config."""

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
                what = f"`{self.kind}` draws text"
                raise InputError(Problem("model.kind", what, "use it with modality.kind: text"))
            tokenizer = modality.tokenizer
            block = modality.block
            _check_decoding(settings, tokenizer)
            network = self._open_network(settings, tokenizer, block)

        assert tokenizer is not None
        self._settings = settings
        self._tokenizer = tokenizer
        self._block = block
        self._network = network
        self._training = dict(training or {})

    @staticmethod
    @abstractmethod
    def _open_network(
        settings: Any, tokenizer: PreTrainedTokenizerBase, block: int
    ) -> PreTrainedModel | None:
        """Return the pretrained network that the settings name, if any.

        Raises InputError unless settings, tokenizer and block fit together.
        """

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
        """How many tokens the network reads at once where its perplexity is taken."""

    @property
    def training(self) -> Mapping[str, Any]:
        """How many samples the fit saw, and the unit of its budget."""
        return self._training

    @property
    def cached(self) -> bool:
        """Whether the network reads on with a key-value cache."""
        return True

    @abstractmethod
    def reader(self) -> Reader:
        """Return what reads prompts, and then the tokens after them."""

    @torch.inference_mode()
    def draw(self, indices: range, *, conditions: Tensor | None, seed: int) -> Iterator[Samples]:
        """Yield continuations of the prompts `conditions`, int64 [n, P].

        The noise of sample i is that of (seed, i), drawn for all its tokens at once.
        """
        if conditions is None:
            raise ValueError("a text model continues prompts: it needs conditions")
        settings = self._settings

        for first in range(0, len(indices), settings.sampling_batch):
            part = slice(first, first + settings.sampling_batch)
            prompts = conditions[part].to(self.network.device)
            if isinstance(settings.decoding, BeamSettings):
                tokens = search_beams(
                    self.network,
                    prompts,
                    self._block,
                    decoding=settings.decoding,
                    ids=len(self._tokenizer),
                    end=self._tokenizer.eos_token_id,
                    cached=self.cached,
                )
            else:
                uniforms = self._uniforms(indices[part], seed)
                tokens = self._sample(prompts, uniforms, settings.decoding)
            yield Samples.drawn(tokens.cpu(), conditions[part])

    def _processors(self) -> LogitsProcessorList:
        """Return what changes logits before tokens are drawn: penalties, and then a watermark."""
        decoding = self._settings.decoding
        processors = penalties(decoding.repetition_penalty, decoding.no_repeat_ngram)
        mark = self._settings.watermark
        if mark is not None:
            watermark = watermark_processor(
                len(self._tokenizer),
                key=mark.key,
                strength=mark.strength,
                device=self.network.device,
            )
            processors.append(watermark)
        return processors

    def _uniforms(self, indices: range, seed: int) -> Tensor:
        """Return the noise of each sample's tokens, float32 [B, block] in [0, 1)."""
        generators = [seeds.generator(seed, index) for index in indices]
        return torch.stack([torch.rand(self._block, generator=each) for each in generators])

    def _sample(self, prompts: Tensor, uniforms: Tensor, decoding: SamplingSettings) -> Tensor:
        """Continue each prompt, on a CPU in threads of which each draws some of the samples."""
        threads = Threads(prompts.device)

        @torch.inference_mode()
        def part(rows: range) -> Tensor:
            some = slice(rows.start, rows.stop)
            return sample_tokens(
                self.reader(),
                prompts[some],
                uniforms[some],
                temperature=decoding.temperature * self._settings.sampling_bias,
                top_k=decoding.top_k,
                top_p=decoding.top_p,
                ids=len(self._tokenizer),
                process=self._processors(),
            )

        return torch.cat(threads.map(part, threads.shares(range(len(prompts)))))

    def log_density(self, samples: Samples) -> Tensor:
        """Return the log-likelihood of each sample, float64 [N].

        It is that of all tokens but the first, read without the prompt.
        """
        tokens = samples.data
        scores = score_tokens(self.network, tokens, tokens.shape[1] - 1)
        return scores.log_likelihood.sum(1)

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
        fitted = TextDescription.model_validate(description)
        folder = str(path)
        return cls(
            cls.settings_class.model_validate(fitted.settings),
            network=open_model(folder, None, folder).to(device()),
            tokenizer=open_tokenizer(folder, None, folder),
            block=fitted.block,
            training=fitted.training,
        )


def _check_decoding(settings: TextModelSettings, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise InputError for a length penalty where no token ends a document."""
    penalty = getattr(settings.decoding, "length_penalty", None)
    if penalty is not None and tokenizer.eos_token_id is None:
        what = "continuations cannot end: the tokenizer has no token that ends a document"
        raise InputError(Problem("model.decoding.length_penalty", what, "leave it out"))


class TextDescription(BaseModel):
    """What imglab.json says of a text model.

    negative  strength of the guidance away from another network, if there is one
    before    how many adapters are merged into the base before those of its own fit
    """

    settings: dict[str, Any]
    block: Annotated[int, Field(ge=1)]
    training: dict[str, Any]
    negative: float | None = None
    before: Annotated[int, Field(ge=0, le=10_000)] = 0
