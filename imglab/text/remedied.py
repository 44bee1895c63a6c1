"""What remedies ask of language models: other weights, guidance, another loss, edited texts."""

from __future__ import annotations

import copy
from abc import abstractmethod
from typing import TYPE_CHECKING

from transformers import PreTrainedModel

from imglab.model import GenerativeModel
from imglab.samples import Samples
from imglab.text.decoding_settings import BeamSettings
from imglab.text.editing import edited_tokens
from imglab.text.model import TextModel
from imglab.text.pretrained import Base
from imglab.training.lora import Adapters
from imglab.training.moving import joined_training, moved_network

if TYPE_CHECKING:
    from typing_extensions import Self


class RemediedText(TextModel):
    """A text model that has the abilities of `imglab.remedies.abilities`."""

    _adapters: tuple[Adapters, ...] = ()
    """Adapters that were merged into the base one after the other, the last one by its own fit."""
    _base: Base | None = None
    """The pretrained network that the adapters belong to; None: none is stored elsewhere."""
    _negative: PreTrainedModel | None = None
    """A network that drawing is led away from, with strength `_w`."""
    _w: float = 0.0
    _truncate: float = 1.0
    """Tokens of a higher probability are left out of the loss of a fit."""

    @abstractmethod
    def check_start(self, start: GenerativeModel) -> RemediedText:
        """Raise ValueError unless `start` has this model's tokenizer and architecture."""

    def moved_away(self, other: GenerativeModel, w: float) -> Self:
        """Return a model with the weights (1 + w) self - w other (`imglab.remedies.neon`).

        It is stored whole, whatever its adapters were.
        """
        model = copy.copy(self)
        model._network = moved_network(self.network, self.check_start(other).network, w)
        model._training = joined_training(self.training, other.training)
        model._adapters = ()
        model._base = None
        return model

    def check_guidance(self) -> None:
        """Raise ValueError where text is drawn by beam search, which reads one network."""
        if isinstance(self._settings.decoding, BeamSettings):
            raise ValueError("beam search reads one network: set model.decoding to sampling")

    def guided_away(self, other: GenerativeModel, w: float) -> Self:
        """Return the same model, led away from `other` (`imglab.remedies.negative_guidance`)."""
        if self._negative is not None:
            raise ValueError("drawing is led away from another network already")
        model = copy.copy(self)
        model._training = joined_training(self.training, other.training)
        model._negative = self.check_start(other).network
        model._w = w
        return model

    def check_weights(self) -> None:
        """Do nothing: a fit reads the weights of its training set, whatever the settings are."""

    def truncating(self, threshold: float) -> Self:
        """Return the same settings, whose fits leave out what the network is sure of."""
        model = copy.copy(self)
        model._truncate = threshold
        return model

    def edited(self, samples: Samples, threshold: float, *, seed: int) -> Samples:
        """Return texts whose all too likely tokens are drawn again (`edited_tokens`)."""
        return edited_tokens(self.network, samples, threshold, ids=len(self.tokenizer), seed=seed)
