"""Feature extractors for text: what the distribution metrics compare."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from imglab import seeds
from imglab.errors import InputError, Problem, first_line
from imglab.modality import Extractor
from imglab.progress import report
from imglab.samples import Samples, TrainingSet
from imglab.store import files
from imglab.text.fitting import fit_network
from imglab.text.gpt2 import encoder_shape, new_gpt2
from imglab.text.hub import open_model, open_tokenizer, reads_at_most
from imglab.text.settings import (
    BagOfTokensSettings,
    SentenceEncoderSettings,
    TextTrainingSettings,
)
from imglab.training.devices import device
from imglab.training.hub import hash_weights

TextExtractor = Extractor
"""The name of `Extractor` for text in version 0.1."""

HASH_LENGTH = 12
"""Digits of the weights' sha256 in the name of an extractor."""

BATCH = 128

TITLES = {"bag_of_tokens": "bag of tokens", "encoder": "text encoder"}
"""Names by kind: runs that were made with the older kind go on under the name they recorded."""

LONGEST_TEXT = 512
"""Tokens that a sentence encoder reads at most."""

TOKENS_PER_TOKEN = 4
"""Tokens of a sentence encoder that are read for each token of the samples, at most."""

NOT_AN_ENCODER = (ValueError, TypeError, RuntimeError, IndexError, AttributeError)
"""Exceptions that a network raises which does not read plain text."""


class BagOfTokens(Extractor):
    """A small language model trained on the real text; its mean hidden state is the feature.

    The states are those before the last norm. Each dimension is scaled to mean 0 and standard
    deviation 1 on the real training text. It does not see the order of the tokens: the same text
    with the tokens of each block shuffled scores as the text does. Deterministic: the same text,
    settings and thread count give the same weights.
    """

    def __init__(self, settings: BagOfTokensSettings, tokenizer: PreTrainedTokenizerBase) -> None:
        self._settings = settings
        self._tokenizer = tokenizer
        self._body: nn.Module | None = None
        self._mean = torch.zeros(())
        self._deviation = torch.ones(())
        self._hash = ""

    @property
    def name(self) -> str:
        """`bag of tokens@` (or `text encoder@`, by its older name) and a hash of the weights."""
        title = TITLES[self._settings.kind]
        return f"{title}@{self._hash}"

    def prepare(self, real: Tensor, shared: Path) -> None:
        """Train on the real training blocks, once, and store the weights.

        The file in the folder `shared` is `encoder.safetensors`.
        """
        path = shared / "encoder.safetensors"
        network = self._new_network(real.shape[1])
        if not path.exists():
            self._fit(network, real)
            weights = {name: tensor.detach() for name, tensor in network.named_parameters()}
            files.write_atomically(path, lambda temporary: save_file(weights, temporary))

        network.load_state_dict(load_file(path), strict=False)
        network.tie_weights()

        # Without the last norm, which centres each state: with it, the covariance of the features
        # would be singular.
        network.transformer.ln_f = nn.Identity()
        self._body = network.transformer.eval().to(device())
        pooled = self._pooled(real)
        self._mean = pooled.mean(0)
        self._deviation = pooled.std(0).clamp(min=1e-6)
        self._hash = files.sha256_file(path)[:HASH_LENGTH]

    def features(self, tokens: Tensor) -> Tensor:
        """Return the pooled states in units of the real training text, float32 [N, width]."""
        return (self._pooled(tokens) - self._mean) / self._deviation

    def _new_network(self, block: int) -> PreTrainedModel:
        settings = self._settings
        shape = encoder_shape(layers=settings.layers, width=settings.width)
        with seeds.isolated(settings.seed, "encoder"):
            return new_gpt2(shape, self._tokenizer, block)

    def _fit(self, network: PreTrainedModel, real: Tensor) -> None:
        plan = TextTrainingSettings(tokens=self._settings.tokens, batch=64, learning_rate=3e-3)
        train = TrainingSet.of(Samples.real(real))
        seed = seeds.derive(self._settings.seed, "encoder")
        for progress in fit_network(network, train, plan, join=1, seed=seed):
            report("extractor", progress.seen, progress.total)

    @torch.inference_mode()
    def _pooled(self, tokens: Tensor) -> Tensor:
        """Return the mean hidden state of each text, float32 [N, width]."""
        if self._body is None:
            raise RuntimeError("the encoder has not been prepared")

        pooled = []
        for batch in tokens.split(BATCH):
            states = self._body(batch.to(device())).last_hidden_state
            pooled.append(states.mean(1).cpu())
        return torch.cat(pooled)


class SentenceEncoder(Extractor):
    """A text encoder from the hub or a local folder; its mean last hidden state is the feature."""

    def __init__(
        self, settings: SentenceEncoderSettings, tokenizer: PreTrainedTokenizerBase
    ) -> None:
        """Open the encoder; `tokenizer` is that of the samples."""
        where = "modality.extractor.name"
        self._sample_tokenizer = tokenizer
        self._encoder_tokenizer = open_tokenizer(settings.name, settings.revision, where)
        network = open_model(settings.name, settings.revision, where, auto="AutoModel")
        self._network = network.to(device())

        if self._encoder_tokenizer.pad_token is None:
            self._encoder_tokenizer.pad_token = self._encoder_tokenizer.eos_token
        if self._encoder_tokenizer.pad_token is None:
            what = f"the tokenizer of {settings.name!r} has no padding token"
            raise InputError(Problem(where, what, "set one"))

        self._hash = hash_weights(self._network)[:HASH_LENGTH]
        self._longest = min(self._encoder_tokenizer.model_max_length, LONGEST_TEXT)
        bound = reads_at_most(self._network)
        if bound is not None:
            self._longest = min(self._longest, bound)

        try:
            self.features(torch.zeros(1, 4, dtype=torch.int64))
        except NOT_AN_ENCODER as error:
            what = f"{settings.name!r} does not read plain text: {first_line(error)}"
            raise InputError(Problem(where, what, "name an encoder of sentences")) from error

    @property
    def name(self) -> str:
        """`sentence encoder@` and the first digits of a sha256 of the weights."""
        return f"sentence encoder@{self._hash}"

    @torch.inference_mode()
    def features(self, tokens: Tensor) -> Tensor:
        """Return the pooled states of the texts that the tokens spell, float32 [N, D]."""
        longest = min(self._longest, TOKENS_PER_TOKEN * tokens.shape[1])
        pooled = []
        for batch in tokens.split(BATCH):
            # Padded to one length, so that a text's features do not depend on the others in the
            # batch.
            texts = self._sample_tokenizer.batch_decode(batch, skip_special_tokens=True)
            encoded = self._encoder_tokenizer(
                texts,
                padding="max_length",
                truncation=True,
                max_length=longest,
                return_tensors="pt",
            ).to(self._network.device)

            states = self._network(**encoded).last_hidden_state
            mask = encoded["attention_mask"][:, :, None].to(states.dtype)
            mean = (states * mask).sum(1) / mask.sum(1).clamp(min=1)
            pooled.append(mean.float().cpu())
        return torch.cat(pooled)
