"""Feature extractors for text: what the distribution metrics see."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from imglab import seeds
from imglab.errors import InputError, Problem
from imglab.progress import Stage
from imglab.samples import Samples, TrainingSet
from imglab.store import files
from imglab.text.fitting import fit_network
from imglab.text.gpt2 import new_gpt2
from imglab.text.hub import open_model, open_tokenizer, reads_at_most
from imglab.text.settings import (
    EncoderSettings,
    Gpt2Settings,
    SentenceEncoderSettings,
    TextTrainingSettings,
)
from imglab.training.hub import hash_weights
from imglab.training.devices import device
from imglab.training.fit import Fitted

HASH_LENGTH = 12
BATCH = 128


class TextExtractor(ABC):
    """Turns texts into features. A class named as `module:Class` is made with `tokenizer=` and its section's keys."""

    def prepare(self, real: Tensor, shared: Path) -> None:  # noqa: B027 (some have nothing to prepare)
        """Make, or load from the folder `shared`, the weights; `real` are the training blocks, int64 [N, T]."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Name, with `@` and a hash of the weights where there are any."""

    @abstractmethod
    def features(self, tokens: Tensor) -> Tensor:
        """Return float32 [N, D] of texts int64 [N, T]; text i's features depend on text i alone."""


class LanguageEncoder(TextExtractor):
    """A small language model trained on the real text; the mean of its last hidden states, before
    the last norm, is the feature, each dimension scaled to mean 0 and deviation 1 on the real training text.

    Deterministic: the same text, settings and thread count give the same weights.
    """

    def __init__(self, settings: EncoderSettings, tokenizer: PreTrainedTokenizerBase) -> None:
        self._settings = settings
        self._tokenizer = tokenizer
        self._body: nn.Module | None = None
        self._scale = (torch.zeros(()), torch.ones(()))
        self._hash = ""

    @property
    def name(self) -> str:
        """`text encoder@` and the first digits of the weights' sha256."""
        return f"text encoder@{self._hash}"

    def prepare(self, real: Tensor, shared: Path) -> None:
        """Train on the real training blocks, once, and keep the weights as `encoder.safetensors`."""
        path, settings = shared / "encoder.safetensors", self._settings
        # Heads of 32 dimensions, or more where that does not divide the width.
        heads = max(
            count
            for count in range(1, max(1, settings.width // 32) + 1)
            if settings.width % count == 0
        )
        shape = Gpt2Settings(layers=settings.layers, width=settings.width, heads=heads)
        with seeds.isolated(settings.seed, "encoder"):
            network = new_gpt2(shape, self._tokenizer, real.shape[1])
        if not path.exists():
            plan = TextTrainingSettings(tokens=settings.tokens, batch=64, learning_rate=3e-3)
            train = TrainingSet.of(Samples.real(real))
            _finish(
                fit_network(
                    network, train, plan, join=1, seed=seeds.derive(settings.seed, "encoder")
                )
            )
            weights = {name: tensor.detach() for name, tensor in network.named_parameters()}
            files.write_atomically(path, lambda temporary: save_file(weights, temporary))
        network.load_state_dict(load_file(path), strict=False)
        network.tie_weights()
        # The last norm centres each state: with it, the covariance of the features would be singular.
        network.transformer.ln_f = nn.Identity()
        self._body = network.transformer.eval().to(device())
        pooled = self._pooled(real)
        self._scale = (pooled.mean(0), pooled.std(0).clamp(min=1e-6))
        self._hash = files.sha256_file(path)[:HASH_LENGTH]

    def features(self, tokens: Tensor) -> Tensor:
        """Return the pooled states in units of the real training text's spread, float32 [N, width]."""
        mean, deviation = self._scale
        return (self._pooled(tokens) - mean) / deviation

    @torch.inference_mode()
    def _pooled(self, tokens: Tensor) -> Tensor:
        if self._body is None:
            raise RuntimeError("the encoder has not been prepared")
        batches = (batch.to(device()) for batch in tokens.split(BATCH))
        return torch.cat([self._body(batch).last_hidden_state.mean(1).cpu() for batch in batches])


class SentenceEncoder(TextExtractor):
    """A text encoder of the hub, or of a local folder; the mean of its last hidden states is the feature."""

    def __init__(
        self, settings: SentenceEncoderSettings, tokenizer: PreTrainedTokenizerBase
    ) -> None:
        where = "modality.extractor.name"
        self._writer = tokenizer
        self._reader = open_tokenizer(settings.name, settings.revision, where)
        self._network = open_model(settings.name, settings.revision, where, auto="AutoModel").to(
            device()
        )
        if self._reader.pad_token is None:
            self._reader.pad_token = self._reader.eos_token
        if self._reader.pad_token is None:
            raise InputError(
                Problem(
                    where, f"the tokenizer of {settings.name!r} has no padding token", "set one"
                )
            )
        self._hash = hash_weights(self._network)[:HASH_LENGTH]
        reads = reads_at_most(self._network)
        self._most = min(self._reader.model_max_length, 512, *([] if reads is None else [reads]))
        try:
            self.features(torch.zeros(1, 4, dtype=torch.int64))
        except (ValueError, TypeError, RuntimeError, IndexError, AttributeError) as error:
            what = f"{settings.name!r} does not read plain text: {str(error).splitlines()[0]}"
            raise InputError(Problem(where, what, "name an encoder of sentences")) from error

    @property
    def name(self) -> str:
        """`sentence encoder@` and the first digits of a sha256 of the weights."""
        return f"sentence encoder@{self._hash}"

    @torch.inference_mode()
    def features(self, tokens: Tensor) -> Tensor:
        """Return the pooled states of the texts that the tokens spell, float32 [N, D]."""
        found = []
        for batch in tokens.split(BATCH):
            texts = self._writer.batch_decode(batch, skip_special_tokens=True)
            # Padded to one length, so that a text's features do not depend on its neighbours in the batch.
            longest = min(self._most, 4 * tokens.shape[1])
            given = self._reader(
                texts,
                padding="max_length",
                truncation=True,
                max_length=longest,
                return_tensors="pt",
            ).to(self._network.device)
            states = self._network(**given).last_hidden_state
            mask = given["attention_mask"][:, :, None].to(states.dtype)
            found.append(((states * mask).sum(1) / mask.sum(1).clamp(min=1)).float().cpu())
        return torch.cat(found)


def _finish(work: Stage[Fitted]) -> None:
    for _ in work:
        pass
