"""Adapters of low rank (Hu et al. 2021) around any network, by `peft`."""

from __future__ import annotations

import copy

import torch
from torch import nn

from imglab import seeds
from imglab.config.section import LoraSettings
from imglab.errors import Problem, first_line, nearest
from imglab.training.hub import missing_package, quiet

WHERE = "model.lora"
TARGETS = f"{WHERE}.targets"


def with_adapters(
    network: nn.Module, lora: LoraSettings, seed: int, task: str | None = None
) -> nn.Module:
    """Return the network with adapters, which alone are trained.

    `merge_adapters` adds them to its weights.

    task  the task for which `peft` wraps the network, such as "CAUSAL_LM"
    """
    import peft

    config = peft.LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, target_modules=lora.targets, task_type=task
    )
    with seeds.isolated(seed, "adapters"), quiet():
        adapted: nn.Module = peft.get_peft_model(network, config)
    return adapted


def merge_adapters(network: nn.Module) -> nn.Module:
    """Return the network that `with_adapters` was given, with its adapters added to its weights."""
    merged: nn.Module = network.merge_and_unload()  # type: ignore[operator]
    return merged.requires_grad_(True)


def adapter_problems(lora: LoraSettings | None, network: nn.Module | None) -> list[Problem]:
    """Return the problems of adapters for a network.

    There is one where `peft` is not installed, where the network has no layer of a name that
    `lora` targets, or where such a layer takes no adapter.

    network  None: only `peft` is checked
    """
    if lora is None:
        return []
    problems = missing_package("peft", "lora", WHERE, "adapters are made")
    if network is None:
        return problems

    problems += _target_problems(lora, network)
    if problems:
        return problems
    return _placement_problems(lora, network)


def _target_problems(lora: LoraSettings, network: nn.Module) -> list[Problem]:
    """Return a problem for each target that names no layer of the network."""
    if lora.targets == "all-linear":
        return []
    names = [name for name, _ in network.named_modules()]
    layers = {name.rpartition(".")[2] for name in names}

    problems = []
    for target in sorted(set(lora.targets)):
        if not any(name == target or name.endswith(f".{target}") for name in names):
            what = f"no layer is called {target!r}"
            problems.append(Problem(TARGETS, what, nearest(target, layers)))
    return problems


def _placement_problems(lora: LoraSettings, network: nn.Module) -> list[Problem]:
    """Return the problem of targets that take no adapter, found by trying on a weightless copy."""
    try:
        with torch.device("meta"):
            with_adapters(copy.deepcopy(network).to("meta"), lora, 0)
    except ValueError as error:
        what = f"adapters cannot be put there: {first_line(error)}"
        return [Problem(TARGETS, what, "name linear or convolutional layers")]
    return []
