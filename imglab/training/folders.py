"""What is checked in a saved network's folder before a library opens it, whoever wrote it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from imglab.errors import InputError, Problem, first_line
from imglab.failures import raise_if_unavailable

Network = TypeVar("Network", bound=nn.Module)

PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
ADAPTER = "adapter_config.json"
INDEX = "*.safetensors.index.json"
PART = re.compile(r"[\w-][\w.-]*\.safetensors")
"""Name of a weights file that an index may refer to: in its own folder."""

DEPTH = re.compile(
    r"^(num_|n_)?((hidden|encoder|decoder|transformer|attention|text|single)_)?layers?$"
    r"|^layers?_per_\w+$|^(\w+_)?depths?$|^num_blocks$|^order$"
)
"""Keys of a config that say how often something is repeated in a network. Bounds of them, such as
`max_window_layers`, may lie above the number of layers."""

LARGEST_SIZE = 1 << 27
"""No size in a config is larger; only the bases of angles (`theta`) are, and they are not sizes."""

MOST = {"num_labels": 1 << 20, "num_train_timesteps": 1 << 20}
"""Upper bounds of sizes for which a library makes as many entries at once."""

DEEPEST = 2048
"""Layers of the deepest network: each takes milliseconds to make, whatever its size."""

DAMAGED = "the file is damaged"


def check_weights(folder: Path, where: str) -> None:
    """Raise InputError if `folder` is that of a network that must not, or cannot, be opened.

    That is one without safetensors, with nothing but an adapter, with weights that are said to
    lie elsewhere, or with sizes that no network has: making such a network would never end.

    where  the config's key that names the folder
    """
    if (folder / ADAPTER).is_file():
        what = f"the folder {str(folder)!r} holds an adapter, which names another model to load"
        raise InputError(Problem(where, what, "merge it into its model and save that"))

    for index in folder.glob(INDEX):
        _check_index(index, where)

    if not (folder / "config.json").is_file():
        return
    weights = list(folder.glob("*.safetensors"))
    if not weights:
        raise InputError(_no_weights(folder, where))
    _check_sizes(folder / "config.json", weights, where)


def _check_index(index: Path, where: str) -> None:
    """Raise InputError unless an index refers to safetensors in its own folder alone."""
    files = read_object(index, where).get("weight_map")
    parts = [files]
    if isinstance(files, dict):
        parts = list(files.values())

    if not all(isinstance(part, str) and PART.fullmatch(part) for part in parts):
        what = f"{str(index)!r} names weights that are no safetensors in its folder"
        raise InputError(Problem(where, what, "only safetensors are opened"))


def _no_weights(folder: Path, where: str) -> Problem:
    what = "holds no weights"
    pickled = sorted(path.name for pattern in PICKLED for path in folder.glob(pattern))
    if pickled:
        what = f"holds only pickled weights ({', '.join(pickled)})"
    remedy = "open it once and save it with save_pretrained, which writes safetensors"
    return Problem(where, f"the folder {str(folder)!r} {what}; only safetensors are opened", remedy)


def _check_sizes(config: Path, weights: Sequence[Path], where: str) -> None:
    """Raise InputError where a config has more layers than there are tensors, or absurd sizes."""
    tensors = 0
    for part in weights:
        try:
            with safe_open(part, framework="pt") as stored:
                tensors += len(stored.keys())
        except (OSError, SafetensorError) as error:
            raise_if_unavailable(error, part, ours=True)
            what = f"{str(part)!r} did not open: {first_line(error)}"
            raise InputError(Problem(where, what, DAMAGED)) from error
    check_numbers(config, where, min(tensors, DEEPEST))


def check_numbers(path: Path, where: str, deepest: int = LARGEST_SIZE) -> None:
    """Raise InputError where a config in JSON has an absurd size.

    deepest  how often something can be repeated in the network
    """
    for key, value in _numbers(read_object(path, where)):
        bound = MOST.get(key, LARGEST_SIZE)
        if DEPTH.search(key):
            bound = deepest
        if abs(value) > bound and "theta" not in key:
            what = f"{str(path)!r} says {key}: {str(value)[:20]}, but at most {bound:,} is possible"
            raise InputError(Problem(where, what, DAMAGED))


def _numbers(tree: Any, key: str = "") -> Iterator[tuple[str, int]]:
    """Yield (innermost key, value) for each whole number in a tree of JSON."""
    if type(tree) is int:
        yield key, tree
    elif isinstance(tree, dict):
        for inner, value in tree.items():
            yield from _numbers(value, inner)
    elif isinstance(tree, list):
        for value in tree:
            yield from _numbers(value, key)


def read_object(path: Path, where: str) -> dict[str, Any]:
    """Return the JSON object in a file; InputError at the config's key `where` if there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it is not an object")
    except (OSError, ValueError, RecursionError) as error:
        raise_if_unavailable(error, path, ours=True)
        what = f"{str(path)!r} is not readable JSON: {first_line(error)}"
        raise InputError(Problem(where, what, DAMAGED)) from error
    return content


def fill_network(network: Network, path: Path) -> Network:
    """Give a network that was made on the device `meta`, without memory, the weights in a file.

    Raises ValueError unless names, shapes and dtypes of the weights are those of the network.
    """
    weights = load_file(path)
    check_layout(weights, network.state_dict(), path.name)
    copies = {name: tensor.clone() for name, tensor in weights.items()}
    network.load_state_dict(copies, assign=True)
    return network.eval()


def check_layout(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], file: str) -> None:
    """Raise ValueError unless the weights in a file have the expected names, shapes and dtypes."""
    if layout(weights) != layout(expected):
        raise ValueError(f"{file} holds the weights of another network")


def layout(weights: Mapping[str, Tensor]) -> dict[str, str]:
    """Return the dtype and shape of each tensor, such as "float32 [16, 8]", by name."""
    described = {}
    for name, tensor in weights.items():
        dtype = str(tensor.dtype).removeprefix("torch.")
        described[name] = f"{dtype} {list(tensor.shape)}"
    return described
