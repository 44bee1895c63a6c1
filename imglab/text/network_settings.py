"""Keys of `model.network` of language models: which network is trained. Read without torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from imglab.config.section import PathName, Section


class OfTheHub(Section):
    """Keys of what is opened by name."""

    name: PathName
    """Name on the Hugging Face hub, or path of a local folder."""
    revision: str | None = None
    """Branch, tag or commit on the hub; default: `main`."""


class Gpt2Settings(Section):
    """A new network of the architecture of GPT-2; the tokenizer determines its vocabulary."""

    kind: Literal["gpt2"] = "gpt2"
    layers: Annotated[int, Field(ge=1, le=200)] = 2
    """Transformer layers."""
    width: Annotated[int, Field(ge=8, le=65_536)] = 128
    """Size of the hidden states; a multiple of `heads`."""
    heads: Annotated[int, Field(ge=1, le=1024)] = 4
    """Attention heads of each layer."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout rate in training."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Gpt2Settings:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self


class LlamaSettings(Section):
    """A new network of the architecture of Llama; the tokenizer determines its vocabulary.

    It has rotary positions, RMSNorm, gated perceptrons, and one matrix for embedding and output. In
    a small budget it learns more than GPT-2's architecture.
    """

    kind: Literal["llama"] = "llama"
    layers: Annotated[int, Field(ge=1, le=200)] = 4
    """Transformer layers."""
    width: Annotated[int, Field(ge=8, le=65_536)] = 128
    """Size of the hidden states; a multiple of twice `heads`."""
    heads: Annotated[int, Field(ge=1, le=1024)] = 4
    """Attention heads of each layer."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout rate in training."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> LlamaSettings:
        if self.width % (2 * self.heads):
            what = f"width {self.width} is not a multiple of twice the heads, {2 * self.heads}"
            raise ValueError(f"{what}: rotary positions turn pairs")
        return self


class PretrainedSettings(OfTheHub):
    """A causal language model of transformers, from the Hugging Face hub or a local folder.

    Its weights must be stored as safetensors.
    """

    kind: Literal["pretrained"] = "pretrained"
