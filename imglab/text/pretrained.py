"""Pretrained language models, and adapters on them, whose base is stored once, where it is."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from pydantic import BaseModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from imglab.config.section import LoraSettings
from imglab.errors import InputError, Problem
from imglab.text.hub import open_model, open_tokenizer
from imglab.text.network_settings import PretrainedSettings
from imglab.text.readers import reads_with_cache
from imglab.training.devices import device
from imglab.training.hub import hash_weights, local_name, missing_package
from imglab.training.lora import Adapters, add_adapters

NETWORK = "model.network.name"
"""The key that names pretrained weights."""

BEFORE = "before"
"""Folder of a model folder that holds the adapters on which its own lie, a folder for each."""

TASK = "CAUSAL_LM"
"""What `peft` calls the task of a language model."""

_opened: WeakValueDictionary[tuple[Any, ...], PreTrainedModel] = WeakValueDictionary()
"""Bases that something in this process holds; nothing ever changes them."""

_hashes: WeakKeyDictionary[PreTrainedModel, str] = WeakKeyDictionary()


class Base(BaseModel):
    """The pretrained network to which adapters belong, as a model's imglab.json names it.

    name, revision  as the key `network` of the model names it
    sha256          of its weights in fp32, with their names
    """

    name: str
    revision: str | None
    sha256: str


def open_pretrained(
    settings: PretrainedSettings, tokenizer: PreTrainedTokenizerBase
) -> PreTrainedModel:
    """Open the pretrained network that the settings name.

    Raises InputError unless it is causal and reads the tokens of the tokenizer.
    """
    network = open_base(settings.name, settings.revision, NETWORK)
    try:
        reads_with_cache(network)
    except ValueError as error:
        what = f"{settings.name!r}: {error}"
        raise InputError(Problem(NETWORK, what, "name a causal language model")) from error
    _check_tokenizer(settings, network, tokenizer)
    return network


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


def open_base(name: str, revision: str | None, where: str) -> PreTrainedModel:
    """Open a pretrained network in fp32, or return it where it is open already: do not change it.

    where  the config's key that names it
    """
    key = (name, revision, *_stamps(Path(local_name(name, where))))
    network = _opened.get(key)
    if network is None:
        network = open_model(name, revision, where)
        _opened[key] = network
    return network


def _stamps(folder: Path) -> list[tuple[str, int, int]]:
    """Return what changes when the weights in a folder do; nothing where there is no folder."""
    paths = sorted(folder.glob("*.safetensors"))
    return [(path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in paths]


def describe_base(network: PreTrainedModel, name: str, revision: str | None) -> Base:
    """Return what names a network that `open_base` returned."""
    if network not in _hashes:
        _hashes[network] = hash_weights(network)
    return Base(name=name, revision=revision, sha256=_hashes[network])


def _opened_elsewhere(base: Base) -> PreTrainedModel | None:
    """Return the base if it is open already, from another place than the one that names it."""
    for network in list(_opened.values()):
        if describe_base(network, base.name, base.revision).sha256 == base.sha256:
            return network
    return None


def save_adapters(adapters: Sequence[Adapters], base: Base, folder: Path) -> None:
    """Write adapters into a folder: the last ones, and in `before` those that they lie on."""
    *before, last = adapters
    for number, each in enumerate(before):
        place = folder / BEFORE / f"{number:03d}"
        place.mkdir(parents=True)
        each.save(place, base.name, base.revision)
    last.save(folder, base.name, base.revision)


def open_adapted(
    base: Base, lora: LoraSettings, folder: Path, before: int
) -> tuple[PreTrainedModel, tuple[Adapters, ...]]:
    """Return the network that the adapters in `folder` and their base make, and the adapters.

    before  how many adapters lie in the folder `before`, and are merged first

    Raises InputError where the base is not there any more, or is another one.
    """
    problems = missing_package("peft", "lora", str(folder), "adapters are opened")
    if problems:
        raise InputError(problems)

    try:
        pretrained = open_base(base.name, base.revision, str(folder))
    except InputError as error:
        moved = _opened_elsewhere(base)
        if moved is None:
            what = f"holds adapters of the base {base.name!r}, which does not open"
            reasons = "; ".join(f"{problem.what}: {problem.remedy}" for problem in error.problems)
            remedy = f"put the base back where the run's config names it; {reasons}"
            raise InputError(Problem(str(folder), what, remedy), [error]) from error
        pretrained = moved

    present = describe_base(pretrained, base.name, base.revision)
    if present.sha256 != base.sha256:
        what = (
            f"holds adapters of the base {base.name!r} with the hash {base.sha256[:16]}, and what "
            f"lies there now has {present.sha256[:16]}"
        )
        raise InputError(Problem(str(folder), what, "put the base of the run back"))

    network: Any = copy.deepcopy(pretrained).to(device())
    opened: list[Adapters] = []
    places = [folder / BEFORE / f"{number:03d}" for number in range(before)]
    for place in (*places, folder):
        network, adapters = add_adapters(network, lora, place, TASK)
        opened.append(adapters)
    return network, tuple(opened)
