"""Adapters of low rank (Hu et al. 2021) around any network, by `peft`."""

from __future__ import annotations

import copy

import torch
from torch import nn

from imglab import seeds
from imglab.config.section import LoraSettings
from imglab.errors import Problem, nearest
from imglab.training.hub import missing_package, quiet

WHERE = "model.lora"
TARGETS = f"{WHERE}.targets"


def with_adapters(
    network: nn.Module, lora: LoraSettings, seed: int, task: str | None = None
) -> nn.Module:
    """Return the network with adapters, which alone are trained; `merged` puts them into its weights."""
    import peft

    config = peft.LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, target_modules=lora.targets, task_type=task
    )
    with seeds.isolated(seed, "adapters"), quiet():
        adapted: nn.Module = peft.get_peft_model(network, config)
    return adapted


def merged(network: nn.Module) -> nn.Module:
    """Return the network that `with_adapters` was given, with what the adapters learned."""
    whole: nn.Module = network.merge_and_unload()  # type: ignore[operator]
    return whole.requires_grad_(True)


def adapter_problems(lora: LoraSettings | None, network: nn.Module | None) -> list[Problem]:
    """Return what stands in the way of adapters for a network: no `peft`, no such layers, or none that takes one."""
    if lora is None:
        return []
    problems = missing_package("peft", "lora", WHERE, "adapters are made")
    if network is None:
        return problems
    names = [name for name, _ in network.named_modules()]
    layers = {name.rpartition(".")[2] for name in names}
    for target in sorted(set(lora.targets) if lora.targets != "all-linear" else ()):
        if not any(name == target or name.endswith(f".{target}") for name in names):
            problems.append(
                Problem(TARGETS, f"no layer is called {target!r}", nearest(target, layers))
            )
    if problems:
        return problems
    try:
        with torch.device("meta"):
            with_adapters(copy.deepcopy(network).to("meta"), lora, 0)
    except ValueError as error:
        what = f"adapters cannot be put there: {str(error).splitlines()[0]}"
        return [Problem(TARGETS, what, "name linear or convolutional layers")]
    return []
