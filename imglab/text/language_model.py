"""A language model: any causal network of transformers, new or pretrained."""

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
from imglab.text.hub import open_model, open_tokenizer, reads_at_most
from imglab.text.model import TextModel
from imglab.text.network_settings import PretrainedSettings
from imglab.text.networks import architecture, dropout_rate, new_network
from imglab.text.settings import (
    LanguageModelSettings,
    TextTrainingSettings,
)
from imglab.training.lora import adapter_problems

NETWORK = "model.network.name"
"""The key that names pretrained weights."""


class LanguageModel(TextModel):
    """Learns text by predicting each token from those before it."""

    kind = "language_model"
    _settings: LanguageModelSettings
    settings_class = LanguageModelSettings

    @staticmethod
    def _open_network(
        settings: LanguageModelSettings, tokenizer: PreTrainedTokenizerBase, block: int
    ) -> PreTrainedModel | None:
        network = None
        if isinstance(settings.network, PretrainedSettings):
            network = _open_pretrained(settings.network, tokenizer)
        _check_sizes(settings, network, tokenizer, block)
        return network

    @property
    def window(self) -> int:
        """How many tokens a training example has."""
        return self._settings.window

    @property
    def pretrained(self) -> LanguageModel | None:
        """The model itself, where its settings name pretrained weights."""
        if isinstance(self._settings.network, PretrainedSettings):
            return self
        return None

    @cached_property
    def cached(self) -> bool:
        """Whether the network reads on with a key-value cache."""
        return reads_with_cache(self.network)

    def reader(self) -> Reader:
        """Return what reads with a key-value cache, where the network has one."""
        if self.cached:
            return cached_reader(self.network)
        return whole_reader(self.network)

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
        plan: TextTrainingSettings = settings.fine_tuning
        lora = settings.lora
        if start is None:
            # New weights are trained whole.
            plan = settings.training
            lora = None
            network = self._new_network(seed)
        else:
            network = copy.deepcopy(self.check_start(start).network)

        fitted = yield from fit_network(
            network,
            train,
            plan,
            join=settings.window // self._block,
            seed=seed,
            lora=lora,
            bf16=settings.precision == "bf16",
            drop=dropout_rate(settings.network),
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
        """Raise ValueError unless `start` can be fine-tuned in this model's place.

        That is a language model with the same tokenizer that reads as many tokens and, where the
        settings describe a new network, has its layers.
        """
        if not isinstance(start, LanguageModel):
            raise ValueError(f"a language model cannot start from a {type(start).__name__}")
        if start.tokenizer.get_vocab() != self.tokenizer.get_vocab():
            raise ValueError("tokenizer differs: name its folder as modality.tokenizer")

        short = _too_short(start.network, _needed_tokens(self._settings, self._block))
        if short:
            raise ValueError(f"its network {short}")

        expected = architecture(self._settings.network)
        different = []
        for key, (name, size) in expected.items():
            value = getattr(start.network.config, name, None)
            if value != size:
                different.append(f"{key} is {value}, expected {size}")
        if different:
            raise ValueError(f"architecture differs: {', '.join(different)}")
        return start

    def _new_network(self, seed: int) -> PreTrainedModel:
        """Return a network with new weights of this seed."""
        network = self._settings.network
        with seeds.isolated(seed, "weights"):
            if not isinstance(network, PretrainedSettings):
                positions = _needed_tokens(self._settings, self._block)
                return new_network(network, self.tokenizer, positions)
            new: PreTrainedModel = AutoModelForCausalLM.from_config(
                self.network.config, dtype=torch.float32
            )
            return new


def _open_pretrained(
    settings: PretrainedSettings, tokenizer: PreTrainedTokenizerBase
) -> PreTrainedModel:
    """Open the pretrained network that the settings name.

    Raises InputError unless it is causal and reads the tokens of the tokenizer.
    """
    network = open_model(settings.name, settings.revision, NETWORK)
    try:
        reads_with_cache(network)
    except ValueError as error:
        what = f"{settings.name!r}: {error}"
        raise InputError(Problem(NETWORK, what, "name a causal language model")) from error
    _check_tokenizer(settings, network, tokenizer)
    return network


def _check_sizes(
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
        what = (
            f"a window of {window} tokens never trains the places where a continuation of a "
            f"{block}-token prompt stands"
        )
        problems.append(Problem("model.window", what, f"at least {2 * block}"))

    needed = _needed_tokens(settings, block)
    if network is not None:
        short = _too_short(network, needed)
        if short:
            remedy = "use a smaller modality.block or model.window"
            problems.append(Problem(NETWORK, f"the network {short}", remedy))

    if settings.lora is not None:
        adapted = network
        if adapted is None and not problems:
            with torch.device("meta"):
                adapted = new_network(settings.network, tokenizer, needed)
        problems += adapter_problems(settings.lora, adapted)
    if problems:
        raise InputError(problems)


def _check_tokenizer(
    settings: PretrainedSettings, network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    """Raise InputError unless the text is written in the tokens that the network reads."""
    expected = open_tokenizer(settings.name, settings.revision, NETWORK)
    if expected.get_vocab() != tokenizer.get_vocab():
        sizes = f"{len(tokenizer)} tokens, {len(expected)} in {settings.name!r}"
        remedy = f"use {{kind: pretrained, name: {settings.name}}}"
        what = f"is not that of the network: {sizes}"
        raise InputError(Problem("modality.tokenizer", what, remedy))

    size = network.config.vocab_size
    if size < len(tokenizer):
        what = f"the network reads {size} tokens, its tokenizer has {len(tokenizer)}"
        raise InputError(Problem(NETWORK, what, "resize its embeddings and save it again"))


def _needed_tokens(settings: LanguageModelSettings, block: int) -> int:
    """Return how many tokens a network must read: a window, or a prompt and its continuation."""
    return max(settings.window, 2 * block)


def _too_short(network: PreTrainedModel, needed: int) -> str | None:
    """Say that a network cannot read as many tokens as are needed, if it cannot."""
    bound = reads_at_most(network)
    if bound is None or bound >= needed:
        return None
    return f"reads {bound} tokens at most, {needed} are needed"
