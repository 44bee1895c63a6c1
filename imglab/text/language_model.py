"""A language model: any causal network of transformers, from scratch or pretrained, whole or with adapters."""

from __future__ import annotations

import copy
from functools import cached_property

import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from imglab import seeds
from imglab.errors import InputError, Problem
from imglab.model import GenerativeModel
from imglab.progress import Stage
from imglab.samples import TrainingSet
from imglab.text.decoding import Reader, cached_reader, reads_with_cache, whole_reader
from imglab.text.fitting import fit_network
from imglab.text.gpt2 import new_gpt2
from imglab.text.hub import open_model, open_tokenizer, reads_at_most
from imglab.text.model import TextModel
from imglab.text.settings import Gpt2Settings, LanguageModelSettings, PretrainedSettings
from imglab.training.lora import adapter_problems

NETWORK = "model.network.name"
"""The key that names pretrained weights."""


class LanguageModel(TextModel):
    """Learns text by predicting each token from those before it."""

    kind = "language_model"
    _settings: LanguageModelSettings
    settings_class = LanguageModelSettings

    @staticmethod
    def _checked(
        settings: LanguageModelSettings, tokenizer: PreTrainedTokenizerBase, block: int
    ) -> PreTrainedModel | None:
        network = None
        if isinstance(settings.network, PretrainedSettings):
            network = open_model(settings.network.name, settings.network.revision, NETWORK)
            try:
                reads_with_cache(network)
            except ValueError as error:
                raise InputError(
                    Problem(NETWORK, f"{settings.network.name!r}: {error}", "name one that is")
                ) from error
            _check_tokenizer(settings.network, network, tokenizer)
        _check(settings, network, tokenizer, block)
        return network

    @property
    def window(self) -> int:
        """Tokens of a training example."""
        return self._settings.window

    @property
    def pretrained(self) -> LanguageModel | None:
        """Itself, where its settings name pretrained weights."""
        return self if isinstance(self._settings.network, PretrainedSettings) else None

    @cached_property
    def cached(self) -> bool:
        """Whether its network reads on with a key-value cache."""
        return reads_with_cache(self.network)

    def reader(self) -> Reader:
        """Read with a key-value cache where the network has one."""
        return cached_reader(self.network) if self.cached else whole_reader(self.network)

    def fit(
        self,
        train: TrainingSet,
        *,
        start: GenerativeModel | None,
        seed: int,
        resume: dict[str, Tensor] | None = None,
    ) -> Stage[GenerativeModel]:
        """Train on windows of `train` until the budget of tokens is spent."""
        settings = self._settings
        plan = settings.training if start is None else settings.fine_tuning
        network = (
            self._new_network(seed)
            if start is None
            else copy.deepcopy(self.check_start(start).network)
        )
        fitted = yield from fit_network(
            network,
            train,
            plan,
            join=settings.window // self._block,
            seed=seed,
            lora=None if start is None else settings.lora,
            bf16=settings.precision == "bf16",
            resume=resume,
        )
        return LanguageModel(
            settings,
            network=fitted.network,
            tokenizer=self.tokenizer,
            block=self._block,
            training=fitted.training,
        )

    def check_start(self, start: GenerativeModel) -> LanguageModel:
        """Raise ValueError unless `start` is a language model with this tokenizer and, if made new, these layers."""
        if not isinstance(start, LanguageModel):
            raise ValueError(f"a language model cannot start from a {type(start).__name__}")
        if start.tokenizer.get_vocab() != self.tokenizer.get_vocab():
            raise ValueError("its tokenizer is another one: name its folder as modality.tokenizer")
        short = _too_short(start.network, max(self._settings.window, 2 * self._block))
        if short:
            raise ValueError(f"its network {short}")
        wanted = self._settings.network
        if isinstance(wanted, Gpt2Settings):
            config = start.network.config
            keys = {"layers": "n_layer", "width": "n_embd", "heads": "n_head"}
            theirs = {key: getattr(config, name, None) for key, name in keys.items()}
            different = [key for key in keys if theirs[key] != getattr(wanted, key)]
            if different:
                each = ", ".join(
                    f"{key} {theirs[key]} instead of {getattr(wanted, key)}" for key in different
                )
                raise ValueError(f"its network is another one: {each}")
        return start

    def _new_network(self, seed: int) -> PreTrainedModel:
        wanted = self._settings.network
        with seeds.isolated(seed, "weights"):
            if isinstance(wanted, PretrainedSettings):
                made: PreTrainedModel = AutoModelForCausalLM.from_config(
                    self.network.config, dtype=torch.float32
                )
                return made
            return new_gpt2(wanted, self.tokenizer, max(self._settings.window, 2 * self._block))


def _check(
    settings: LanguageModelSettings,
    network: PreTrainedModel | None,
    tokenizer: PreTrainedTokenizerBase,
    block: int,
) -> None:
    """Raise InputError unless network, tokenizer, windows and blocks fit together."""
    problems = []
    window = settings.window
    if window % block:
        whole = max(1, round(window / block)) * block
        what = f"{window} is not a multiple of modality.block, {block}: a window is whole samples"
        problems.append(Problem("model.window", what, f"e.g. {whole}"))
    if network is None and window < 2 * block:
        what = f"a window of {window} tokens never trains the places where a continuation of a {block}-token prompt stands"
        problems.append(Problem("model.window", what, f"at least {2 * block}"))
    needed = max(window, 2 * block)
    if network is not None and (short := _too_short(network, needed)):
        problems.append(
            Problem(NETWORK, f"the network {short}", "use a smaller modality.block or model.window")
        )
    if settings.lora is not None:
        with torch.device("meta"):
            made = network or (
                new_gpt2(settings.network, tokenizer, needed) if not problems else None
            )
        problems += adapter_problems(settings.lora, made)
    if problems:
        raise InputError(problems)


def _check_tokenizer(
    settings: PretrainedSettings, network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    """Raise InputError unless the text is written in the tokens that the pretrained network knows."""
    own = open_tokenizer(settings.name, settings.revision, NETWORK)
    if own.get_vocab() != tokenizer.get_vocab():
        what = (
            f"is not that of the network: {len(tokenizer)} tokens, {len(own)} in {settings.name!r}"
        )
        remedy = f"use {{kind: pretrained, name: {settings.name}}}"
        raise InputError(Problem("modality.tokenizer", what, remedy))
    if network.config.vocab_size < len(tokenizer):
        what = f"the network knows {network.config.vocab_size} tokens, its tokenizer has {len(tokenizer)}"
        raise InputError(Problem(NETWORK, what, "resize its embeddings and save it again"))


def _too_short(network: PreTrainedModel, needed: int) -> str | None:
    """Say that a network cannot read as many tokens as are needed, if it cannot."""
    reads = reads_at_most(network)
    return (
        f"reads {reads} tokens at most, {needed} are needed"
        if reads is not None and reads < needed
        else None
    )
