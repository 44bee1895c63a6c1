"""Memory that a config's sizes ask for, known before anything is allocated. No torch.

Each size alone may be sensible, and their product not: a vocabulary times a width, images times
pixels, components times dimensions squared. What is counted here is the least that a run needs, so
that nothing is refused that fits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from imglab.config.machine import machine_memory, size_text
from imglab.config.schema import RunConfig
from imglab.config.section import Section
from imglab.errors import InputError, Problem
from imglab.images.diffusion.settings import DiffusionSettings, DitSettings
from imglab.images.settings import VaeSettings
from imglab.solvable.gaussian.settings import GaussianDataSettings, MixtureSettings
from imglab.text.network_settings import Gpt2Settings, LlamaSettings
from imglab.text.settings import (
    BagOfTokensSettings,
    BpeSettings,
    LanguageModelSettings,
    SequenceEncoderSettings,
    TextSettings,
    WordsSettings,
)

TRAINED = 12
"""Bytes of a weight in a fit: itself, its gradient, and a moment of the optimizer, in fp32."""

STORED = 4


@dataclass(frozen=True)
class Need:
    """Memory that a key asks for.

    size   bytes
    value  of the key, to whose power `power` the bytes are in proportion
    """

    key: str
    what: str
    size: int
    value: int
    power: int = 1

    def problem(self, limit: int) -> Problem:
        """Return the problem of a need of more than `limit` bytes, with what would fit."""
        fitting = int(self.value * (limit / self.size) ** (1 / self.power))
        what = (
            f"{self.value:,} asks for {self.what}, which needs {size_text(self.size)} of memory; "
            f"the machine has {size_text(limit)}"
        )
        remedy = f"with everything else as it is, at most about {fitting:,} fits"
        if not fitting:
            remedy = "with everything else as it is, not even 1 fits"
        return Problem(self.key, what, remedy)


def check_memory(configs: Mapping[str, RunConfig], where: str, limit: int | None = None) -> None:
    """Raise InputError if the sizes of a config cannot fit into memory.

    configs  by what stands before their keys in the config file `where`
    limit    bytes that there are; None: those of the machine
    """
    if limit is None:
        limit = machine_memory()
    if limit is None:
        return

    problems: dict[str, Problem] = {}
    for prefix, config in configs.items():
        for need in needs(config):
            if need.size > limit:
                problem = need.problem(limit)
                place = f"{where}: {prefix}{problem.where}"
                # Chains that have the section in common have the problem in common.
                problems.setdefault(str(problem), replace(problem, where=place))
    if problems:
        raise InputError(problems.values())


def needs(config: RunConfig) -> Iterator[Need]:
    """Yield what the sizes of a config ask for, of the sections that the lab knows."""
    modality = config.modality
    if isinstance(modality, TextSettings):
        yield from _of_text(modality)

    members: Sequence[Any] = getattr(config.model, "models", None) or [config.model]
    for number, member in enumerate(members):
        key = "model"
        if member is not config.model:
            key = f"model.models.{number}"
        if isinstance(member, Section):
            yield from _of_model(member, modality, key)


def _of_text(modality: TextSettings) -> Iterator[Need]:
    extractor = modality.extractor
    vocabulary = _vocabulary(modality)
    if isinstance(extractor, SequenceEncoderSettings | BagOfTokensSettings):
        shape = Gpt2Settings(layers=extractor.layers, width=extractor.width, heads=1)
        weights = _transformer(shape, vocabulary, modality.block)
        yield _network("modality.extractor.width", weights, extractor.width)


def _vocabulary(modality: Section) -> int:
    """Return the tokens that a text has at most; 0 where only the data say it."""
    tokenizer = getattr(modality, "tokenizer", None)
    if isinstance(tokenizer, BpeSettings | WordsSettings):
        return tokenizer.vocabulary
    return 0


def _of_model(model: Section, modality: Any, key: str) -> Iterator[Need]:
    if isinstance(model, LanguageModelSettings):
        yield from _of_language_model(model, modality, key)
    elif isinstance(model, DiffusionSettings):
        yield _of_diffusion(model, key)
    elif isinstance(model, VaeSettings):
        # The first layer also depends on the images.
        sizes = [*model.hidden, model.latent]
        weights = 2 * sum(before * after for before, after in pairwise(sizes))
        yield _network(f"{key}.hidden", weights, max(sizes))
    elif isinstance(model, MixtureSettings) and isinstance(modality, GaussianDataSettings):
        size = 8 * model.components * modality.dimensions**2
        what = f"as many covariances of {modality.dimensions:,} dimensions in float64"
        yield Need(f"{key}.components", what, size, model.components)


def _of_language_model(model: LanguageModelSettings, modality: Any, key: str) -> Iterator[Need]:
    vocabulary = _vocabulary(modality)
    shape = model.network
    if isinstance(shape, Gpt2Settings | LlamaSettings):
        weights = _transformer(shape, vocabulary, model.window)
        yield _network(f"{key}.network.width", weights, shape.width)

    # Logits of a batch, and their gradient.
    logits = 8 * model.window * vocabulary
    what = f"logits of as many tokens out of {vocabulary:,}"
    yield Need(f"{key}.window", what, logits, model.window)
    plans = {"training": model.training, "fine_tuning": model.fine_tuning}
    for name, plan in plans.items():
        what = f"logits of as many windows of {model.window:,} tokens out of {vocabulary:,}"
        yield Need(f"{key}.{name}.batch", what, plan.batch * logits, plan.batch)


def _transformer(shape: Gpt2Settings | LlamaSettings, vocabulary: int, positions: int) -> int:
    """Return the weights of a transformer: attention and perceptron of each layer, embeddings."""
    if isinstance(shape, LlamaSettings):
        positions = 0
    return (12 * shape.layers * shape.width + vocabulary + positions) * shape.width


def _of_diffusion(model: DiffusionSettings, key: str) -> Need:
    shape = model.network
    if isinstance(shape, DitSettings):
        weights = 18 * shape.layers * shape.width**2
        return _network(f"{key}.network.width", weights, shape.width)

    # Two convolutions of 3 x 3 in each residual block, on the way down, in the middle, and on the
    # way up, where a block reads its counterpart too.
    down = 18 * model.layers_per_block
    up = 22 * (model.layers_per_block + 1)
    weights = (down + up) * sum(channels**2 for channels in model.channels)
    weights += 36 * model.channels[-1] ** 2
    return _network(f"{key}.channels", weights, max(model.channels))


def _network(key: str, weights: int, value: int) -> Need:
    what = f"a network of {weights:,} weights that is trained"
    return Need(key, what, TRAINED * weights, value, power=2)
