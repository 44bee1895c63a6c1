"""Adapters of low rank (Hu et al. 2021) around any network, by `peft`."""

from __future__ import annotations

import copy
import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from imglab import seeds
from imglab.config.section import LoraSettings
from imglab.errors import Problem, first_line, nearest
from imglab.training.folders import ADAPTER, check_layout
from imglab.training.hub import missing_package, quiet

WHERE = "model.lora"
TARGETS = f"{WHERE}.targets"
WEIGHTS = "adapter_model.safetensors"

MOST_LAYERS = 16
"""Names of layers that a message holds, at most."""


@dataclass(frozen=True)
class Adapters:
    """Fitted adapters apart from the network that they were trained around.

    config   what `peft` needs to put them around that network, as JSON values
    weights  their tensors, by the names that `peft` gives them in a file
    """

    config: Mapping[str, Any]
    weights: Mapping[str, Tensor]

    @classmethod
    def of(cls, network: nn.Module) -> Adapters:
        """Copy the adapters of what `with_adapters` returned."""
        import peft

        described: Any = network.peft_config["default"].to_dict()  # type: ignore[index, union-attr]
        tensors = peft.get_peft_model_state_dict(network, save_embedding_layers=False)
        weights = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
        return cls({key: _plain(value) for key, value in described.items()}, weights)

    def save(self, folder: Path, base: str, revision: str | None) -> None:
        """Write them into an existing folder, in the form of `peft`, with the name of their base.

        The same adapters give the same bytes.
        """
        names = {"base_model_name_or_path": base, "revision": revision, "inference_mode": True}
        text = json.dumps({**self.config, **names}, indent=2, sort_keys=True)
        (folder / ADAPTER).write_text(text + "\n", encoding="utf-8")
        save_file(
            {name: each.contiguous() for name, each in self.weights.items()}, folder / WEIGHTS
        )


def _plain(value: Any) -> Any:
    """Return a value of `peft`'s config as JSON has it: sets in order, kinds by their names."""
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, enum.Enum):
        return value.value
    return value


def add_adapters(
    network: nn.Module, lora: LoraSettings, folder: Path, task: str | None = None
) -> tuple[nn.Module, Adapters]:
    """Put the adapters in `folder` around a network and merge them; return both.

    How they are made follows from `lora`, not from the folder. ValueError unless their names,
    shapes and dtypes are those that `lora` gives to this network.
    """
    import peft

    weights = load_file(folder / WEIGHTS)
    adapted = with_adapters(network, lora, 0, task)
    check_layout(weights, Adapters.of(adapted).weights, WEIGHTS)
    peft.set_peft_model_state_dict(adapted, weights)
    adapters = Adapters.of(adapted)
    return merge_adapters(adapted), adapters


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
    problems = []
    for target in sorted(set(lora.targets)):
        if not any(name == target or name.endswith(f".{target}") for name in names):
            what = f"no layer is called {target!r}"
            problems.append(Problem(TARGETS, what, _suggestion(target, network)))
    return problems


def _suggestion(target: str, network: nn.Module) -> str:
    """Return the remedy for a target that a network does not have: the layers that it has."""
    parts = [nearest(target, adaptable_layers(network))]
    usual = usual_targets(network)
    if usual:
        parts.append(f"this architecture usually takes {', '.join(usual)}")
    return "; ".join([*parts, "or all-linear"])


def adaptable_layers(network: nn.Module) -> list[str]:
    """Return the names of the layers that adapters are made for, each once, in their order."""
    from transformers.pytorch_utils import Conv1D

    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Embedding, Conv1D)
    layers = [name for name, layer in network.named_modules() if isinstance(layer, kinds)]
    # A number stands for a place in a list of layers: its list's name belongs to it.
    short = (".".join(name.split(".")[-1 - name.split(".")[-1].isdigit() :]) for name in layers)
    return list(dict.fromkeys(short))


def usual_targets(network: nn.Module) -> list[str]:
    """Return the layers that `peft` adapts by default in networks of this kind; [] if unknown.

    Layers that the network does not have are left out.
    """
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as TABLE

    model_type = getattr(getattr(network, "config", None), "model_type", None)
    targets = TABLE.get(str(model_type), [])
    if isinstance(targets, str):  # an expression, not names
        return []
    layers = set(adaptable_layers(network))
    return [target for target in targets if target in layers]


def _placement_problems(lora: LoraSettings, network: nn.Module) -> list[Problem]:
    """Return the problem of targets that take no adapter, found by trying on a weightless copy."""
    try:
        with torch.device("meta"):
            with_adapters(copy.deepcopy(network).to("meta"), lora, 0)
    except ValueError as error:
        what = f"adapters cannot be put there: {first_line(error)}"
        names = ", ".join(adaptable_layers(network)[:MOST_LAYERS])
        return [Problem(TARGETS, what, f"name linear or convolutional layers: {names}")]
    return []
