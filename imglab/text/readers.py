"""What reads text on, token by token, for decoding: with a key-value cache, or all of it again."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

PROBED = 6
"""Tokens that are read to see how a network reads."""

PROBED_FIRST = 3
"""How many of them are read before the others."""

READS_OTHERWISE = (
    TypeError,
    ValueError,
    AttributeError,
    IndexError,
    RuntimeError,
    NotImplementedError,
)
"""What networks raise that do not take a key-value cache."""


class Reader(Protocol):
    """Reads on: takes the next tokens, int64 [B, L].

    It returns the logits of the token after all tokens read so far, [B, V].
    """

    def __call__(self, tokens: Tensor) -> Tensor:  # noqa: D102
        ...


ROOM = 64
"""Tokens for which a cache has room beyond those that were read, or a quarter of these."""


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """What a layer of attention has read, with room for more: reading on copies the new tokens.

    transformers' own layer copies all that it has read for each token. The logits are the same to
    the bit. It is for reading on without gradients: nothing but `update` may change what it holds,
    and states of another shape or dtype than those before are a ValueError.
    """

    def __init__(self) -> None:
        super().__init__()
        self._rooms: list[Tensor] = []

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Add the states of the next tokens, [B, H, L, D], and return those of all tokens."""
        first = self.get_seq_length()
        end = first + key_states.shape[-2]
        states = (key_states, value_states)
        if not self._rooms or self._rooms[0].shape[-2] < end:
            self._move(states, end + max(ROOM, end // 4))

        for room, new in zip(self._rooms, states, strict=True):
            part = room[..., first:end, :]
            if part.shape != new.shape or part.dtype != new.dtype:
                raise ValueError("the states of these tokens are not like those before")
            part.copy_(new)
        keys, values = (room[..., :end, :] for room in self._rooms)
        self.keys = keys
        self.values = values
        self.is_initialized = True
        return keys, values

    def _move(self, states: Iterable[Tensor], length: int) -> None:
        """Move what was read to room for the states of so many tokens."""
        before = self._rooms
        self._rooms = [new.new_empty((*new.shape[:-2], length, new.shape[-1])) for new in states]
        for room, old in zip(self._rooms, before, strict=False):
            room[..., : old.shape[-2], :] = old


def cached_reader(network: PreTrainedModel) -> Reader:
    """Return what reads on with a key-value cache."""
    # A static cache pays little or nothing on a CPU (docs/metrics.md, "Decoding"), and its logits
    # differ in the last bits. Newer versions of transformers call the argument `cache`.
    name = "past_key_values"
    if "cache" in inspect.signature(network.forward).parameters:
        name = "cache"
    states = DynamicCache(config=network.config)
    states.layers = [_with_room(layer) for layer in states.layers]
    cache = {name: states}

    def read(tokens: Tensor) -> Tensor:
        output = network(tokens, **cache, use_cache=True, logits_to_keep=1)
        logits: Tensor = output.logits[:, -1]
        return logits

    return read


def _with_room(layer: Any) -> Any:
    """Return a layer with room in place of one that only grows; others stay, as with a window."""
    if type(layer) is DynamicLayer:
        return RoomyLayer()
    return layer


def whole_reader(network: PreTrainedModel) -> Reader:
    """Return what reads everything again for each token.

    It is for networks that keep what they have read in no key-value cache.
    """
    seen: list[Tensor] = []

    def read(tokens: Tensor) -> Tensor:
        seen[:] = [torch.cat([*seen, tokens], 1)]
        logits: Tensor = network(seen[0], use_cache=False).logits[:, -1]
        return logits

    return read


@torch.inference_mode()
def reads_with_cache(network: PreTrainedModel) -> bool:
    """Say whether a network, given a key-value cache, reads on as it reads all at once.

    Some networks take no cache, or keep one of their own, and ignore the keyword silently. Raises
    ValueError for a network whose logits depend on tokens that come later: it cannot continue text.
    """
    size = network.config.vocab_size
    tokens = torch.arange(1, PROBED + 1, device=network.device)[None] % size
    whole = network(tokens, use_cache=False).logits
    start = network(tokens[:, :PROBED_FIRST], use_cache=False).logits
    if not _alike(whole[:, PROBED_FIRST - 1], start[:, -1]):
        raise ValueError(
            "it looks at the tokens that come after: it is not a causal language model"
        )

    try:
        read = cached_reader(network)
        read(tokens[:, :PROBED_FIRST])
        for place in range(PROBED_FIRST, PROBED):
            logits = read(tokens[:, place : place + 1])
    except READS_OTHERWISE:
        return False
    return _alike(logits, whole[:, -1])


def _alike(one: Tensor, two: Tensor) -> bool:
    """Say whether logits agree to a thousandth of their spread."""
    scale = float((two - two.mean()).abs().max()) or 1.0
    return float((one - two).abs().max()) <= 1e-3 * scale
