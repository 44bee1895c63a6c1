"""A language model: any causal network of transformers, new or pretrained."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from imglab import seeds
from imglab.model import GenerativeModel
from imglab.progress import Stage
from imglab.samples import TrainingSet
from imglab.text.away import away_reader
from imglab.text.cards import text_card
from imglab.text.fitting import fit_network
from imglab.text.hub import open_model, open_tokenizer, save_tokenizer
from imglab.text.model import TextDescription
from imglab.text.network_settings import PretrainedSettings
from imglab.text.networks import architecture, dropout_rate, new_network
from imglab.text.pretrained import (
    Base,
    describe_base,
    open_adapted,
    open_pretrained,
    save_adapters,
)
from imglab.text.readers import (
    Reader,
    cached_reader,
    reads_with_cache,
    whole_reader,
)
from imglab.text.remedied import RemediedText
from imglab.text.settings import (
    LanguageModelSettings,
    TextTrainingSettings,
)
from imglab.text.windows import check_sizes, needed_tokens, too_short
from imglab.training.devices import device
from imglab.training.fit import Fitted
from imglab.training.hub import quiet

if TYPE_CHECKING:
    from typing_extensions import Self


NEGATIVE = "negative"
"""Folder of the network that drawing is led away from, in a model folder that has one."""


class LanguageModel(RemediedText):
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
            network = open_pretrained(settings.network, tokenizer)
        check_sizes(settings, network, tokenizer, block)
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
        read = self._reader_of(self.network)
        if self._negative is None:
            return read
        return away_reader(read, self._reader_of(self._negative), self._w)

    def _reader_of(self, network: PreTrainedModel) -> Reader:
        if self.cached:
            return cached_reader(network)
        return whole_reader(network)

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
            truncate=self._truncate,
            resume=resume,
        )
        return self._around(fitted, start)

    def _around(self, fitted: Fitted, start: GenerativeModel | None) -> LanguageModel:
        """Return a model like this one around what a fit from `start` came to."""
        model = LanguageModel(
            self._settings,
            network=fitted.network,
            tokenizer=self.tokenizer,
            block=self._block,
            training=fitted.training,
        )
        # Adapters on weights that lie nowhere else are stored merged into those.
        if isinstance(start, LanguageModel) and fitted.adapters is not None:
            model._base = start._base or start._described_base()
            if model._base is not None:
                model._adapters = (*start._adapters, fitted.adapters)
        return model

    def _described_base(self) -> Base | None:
        """Name the pretrained network that this model is; None for a model that was fitted."""
        network = self._settings.network
        if self.training or not isinstance(network, PretrainedSettings):
            return None
        return describe_base(self.network, network.name, network.revision)

    def write_weights(self, path: Path) -> None:
        """Write the network and its tokenizer, or adapters where their base lies elsewhere."""
        if self._base is None:
            super().write_weights(path)
        else:
            path.mkdir()
            save_adapters(self._adapters, self._base, path)
            save_tokenizer(self.tokenizer, path)

        if self._negative is not None:
            with quiet():
                self._negative.save_pretrained(path / NEGATIVE)

    def description(self) -> Mapping[str, Any]:  # noqa: D102
        described = dict(super().description())
        if self._base is not None:
            described["base"] = self._base.model_dump()
        if self._base is not None and len(self._adapters) > 1:
            described["before"] = len(self._adapters) - 1
        if self._negative is not None:
            described["negative"] = self._w
        return described

    def card(self) -> str:  # noqa: D102
        base = None
        if self._base is not None:
            base = self._base.name
        return text_card(
            self.kind,
            self._settings,
            self._block,
            self._training,
            base=base,
            before=len(self._adapters[1:]),
            w=self._w,
        )

    @classmethod
    def restore(cls, description: Mapping[str, Any], path: Path) -> Self:  # noqa: D102
        model = cls._restore_alone(description, path)
        w = TextDescription.model_validate(description).negative
        if w is not None:
            folder = str(path / NEGATIVE)
            model._negative = open_model(folder, None, folder).to(device())
            model._w = w
        return model

    @classmethod
    def _restore_alone(cls, description: Mapping[str, Any], path: Path) -> Self:
        """Return the model without what its drawing is led away from."""
        fitted = TextDescription.model_validate(description)
        settings = LanguageModelSettings.model_validate(fitted.settings)
        if "base" not in description or settings.lora is None:
            return super().restore(description, path)

        base = Base.model_validate(description["base"])
        network, adapters = open_adapted(base, settings.lora, path, fitted.before)
        model = cls(
            settings,
            network=network,
            tokenizer=open_tokenizer(str(path), None, str(path)),
            block=fitted.block,
            training=fitted.training,
        )
        model._adapters = adapters
        model._base = base
        return model

    def check_start(self, start: GenerativeModel) -> LanguageModel:
        """Raise ValueError unless `start` can be fine-tuned in this model's place.

        That is a language model with the same tokenizer that reads as many tokens and, where the
        settings describe a new network, has its layers.
        """
        if not isinstance(start, LanguageModel):
            raise ValueError(f"a language model cannot start from a {type(start).__name__}")
        if start.tokenizer.get_vocab() != self.tokenizer.get_vocab():
            raise ValueError("tokenizer differs: name its folder as modality.tokenizer")

        short = too_short(start.network, needed_tokens(self._settings, self._block))
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
                positions = needed_tokens(self._settings, self._block)
                return new_network(network, self.tokenizer, positions)
            new: PreTrainedModel = AutoModelForCausalLM.from_config(
                self.network.config, dtype=torch.float32
            )
            return new
