"""Opening what others saved, from local folders or by names of the hub: quietly, safetensors only, no remote code."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
import transformers
from huggingface_hub.utils import logging as hub_logging
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import logging

from imglab import seeds
from imglab.errors import InputError, Problem, first_line

Network = TypeVar("Network", bound=nn.Module)
NO_NETWORK = "give a local folder that `save_pretrained` wrote, or a name of the hub that the network reaches"
OF_THE_MACHINE = ("_name_or_path", "is_local", "local_files_only", "name_or_path")
"""Keys that libraries add to a config on loading."""
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
ADAPTER = "adapter_config.json"
INDEX = "*.safetensors.index.json"
DEPTH = re.compile(r"layers?(_per_\w+)?$|n_layer|depths?$|num_blocks$|^order$")
"""Keys of a config that say how often something is repeated in a network."""
LARGEST_SIZE = 1 << 27
"""No size in a config is larger, but bases of angles, which are no sizes."""
MOST = {"num_labels": 1 << 20, "num_train_timesteps": 1 << 20}
"""Sizes for which an entry each is made at once."""
DAMAGED = (
    *(
        OSError,
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        AttributeError,
        AssertionError,
        ArithmeticError,
    ),
    *(RuntimeError, MemoryError, SafetensorError),
)
"""What comes of making a network from files that are damaged, or somebody's invention."""


def open_network(
    name: str, revision: str | None, where: str, auto: str
) -> tuple[PreTrainedModel, list[str]]:
    """Open a network of a local folder or of the hub in fp32; return it and the names of weights that it lacks.

    auto  the class of transformers that opens it; what a checkpoint lacks, that class fills at random
    Raises InputError, with the config's key `where`, also for weights in any form but safetensors.
    """
    check_name(name, where)
    check_weights(Path(name), where)
    with opening(name, where), seeds.isolated("opened"):
        opened, loading = getattr(transformers, auto).from_pretrained(
            name,
            revision=revision or "main",
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
        )
    found: PreTrainedModel = opened.eval()
    return found, sorted(loading["missing_keys"])


def check_name(name: str, where: str) -> None:
    """Raise InputError for what can only be a local path and is none, before the hub is asked for it."""
    if name.startswith((".", "/", "~")) and not Path(name).exists():
        raise InputError(Problem(where, f"there is no folder {name!r}", NO_NETWORK))


def check_weights(folder: Path, where: str) -> None:
    """Raise InputError if `folder` is that of a network without weights as safetensors, or not of a whole network.

    Also for weights that are said to lie elsewhere, and for sizes that no network has: making it would never end.
    """
    if (folder / ADAPTER).is_file():
        what = f"the folder {str(folder)!r} holds an adapter, which names another model to load"
        raise InputError(Problem(where, what, "merge it into its model and save that"))
    for index in folder.glob(INDEX):
        named = _read_object(index, where).get("weight_map")
        parts = named.values() if isinstance(named, dict) else [named]
        if not all(
            isinstance(part, str) and re.fullmatch(r"[\w-][\w.-]*\.safetensors", part)
            for part in parts
        ):
            what = f"{str(index)!r} names weights that are no safetensors in its folder"
            raise InputError(Problem(where, what, "only safetensors are opened"))
    if not (folder / "config.json").is_file():
        return
    weights = list(folder.glob("*.safetensors"))
    if weights:
        check_sizes(folder / "config.json", weights, where)
        return
    pickled = sorted(path.name for pattern in PICKLED for path in folder.glob(pattern))
    what = f"holds only pickled weights ({', '.join(pickled)})" if pickled else "holds no weights"
    remedy = "open it once and save it with save_pretrained, which writes safetensors"
    raise InputError(
        Problem(where, f"the folder {str(folder)!r} {what}; only safetensors are opened", remedy)
    )


def check_sizes(path: Path, weights: Sequence[Path], where: str) -> None:
    """Raise InputError where a network's config has more layers than its weights, or sizes beyond all sense."""
    with opening(str(path.parent), where):
        tensors = 0
        for part in weights:
            with safe_open(part, framework="pt") as stored:
                tensors += len(stored.keys())
    check_numbers(path, where, tensors)


def check_numbers(path: Path, where: str, deepest: int = LARGEST_SIZE) -> None:
    """Raise InputError where a config has a size beyond all sense, or repeats something more often than `deepest`."""
    for key, value in _numbers(_read_object(path, where)):
        bound = deepest if DEPTH.search(key) else MOST.get(key, LARGEST_SIZE)
        if abs(value) > bound and "theta" not in key:
            what = f"{str(path)!r} says {key}: {str(value)[:20]}, where at most {bound:,} can be"
            raise InputError(Problem(where, what, "the file is damaged"))


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


def _read_object(path: Path, where: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it is no object")
    except (OSError, ValueError, RecursionError) as error:
        problem = Problem(
            where, f"{str(path)!r} is not readable JSON: {first_line(error)}", "the file is damaged"
        )
        raise InputError(problem) from error
    return found


def read_described(folder: Path) -> dict[str, Any]:
    """Return what the `imglab.json` of a `model/` folder says; InputError where it says nothing."""
    return _read_object(folder / "imglab.json", str(folder))


@contextmanager
def loading(folder: Path) -> Iterator[None]:
    """Turn what a damaged `model/` folder raises while it is opened into an InputError that names it."""
    try:
        yield
    except DAMAGED as error:
        what = f"does not open as a model: {first_line(error)}"
        raise InputError(Problem(str(folder), what, "the folder is damaged")) from error


def filled(network: Network, path: Path) -> Network:
    """Give a network that was made on the device `meta`, where it takes no memory, the weights in a file.

    Raises ValueError unless they have its names, shapes and dtypes.
    """
    weights, own = load_file(path), network.state_dict()
    if {name: (each.shape, each.dtype) for name, each in weights.items()} != {
        name: (each.shape, each.dtype) for name, each in own.items()
    }:
        raise ValueError(f"{path.name} holds the weights of another network")
    network.load_state_dict({name: each.clone() for name, each in weights.items()}, assign=True)
    return network.eval()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers and the hub's client from drawing progress bars and from remarks meant for their own users."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    hub = hub_logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    hub_logging.set_verbosity_error()
    try:
        yield
    finally:
        hub_logging.set_verbosity(hub)
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def opening(name: str, where: str, remedy: str = NO_NETWORK) -> Iterator[None]:
    """Turn whatever a library raises while it opens `name` into an InputError at the config's key `where`."""
    try:
        with quiet():
            yield
    except InputError:
        raise
    except (
        Exception
    ) as error:  # transformers, diffusers, tokenizers and the hub's client raise a dozen kinds
        reason = first_line(error)
        kind: Any = None if isinstance(error, (OSError, ValueError)) else type(error).__name__
        what = f"{name!r} did not open: {f'{kind}: ' if kind else ''}{reason}"
        raise InputError(Problem(where, what, remedy)) from error


def hash_weights(network: nn.Module) -> str:
    """Return a sha256 of a network's weights and their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def forget_machine(folder: Path) -> None:
    """Take out of the JSON files below a folder where their content was loaded from: the next save is the same then."""
    for path in sorted(folder.rglob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict) and set(found) & set(OF_THE_MACHINE):
            kept = {key: value for key, value in found.items() if key not in OF_THE_MACHINE}
            path.write_text(
                json.dumps(kept, indent=2, sort_keys=True, ensure_ascii=False) + "\n",
                encoding="utf-8",
            )


def missing_package(package: str, extra: str, where: str, what: str) -> list[Problem]:
    """Return the problem of an optional package that is not installed, or nothing."""
    if importlib.util.find_spec(package) is not None:
        return []
    return [
        Problem(where, f"{what} with the package `{package}`", f"pip install 'imglab[{extra}]'")
    ]
