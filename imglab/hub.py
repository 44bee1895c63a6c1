"""Opening what others saved, from local folders or by names of the hub: quietly, safetensors only, no remote code."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.utils import logging as hub_logging
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import logging

from imglab import seeds
from imglab.errors import InputError, Problem, first_line

NO_NETWORK = "give a local folder that `save_pretrained` wrote, or a name of the hub that the network reaches"
OF_THE_MACHINE = ("_name_or_path", "is_local", "local_files_only", "name_or_path")
"""Keys that libraries add to a config on loading."""
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")


def open_network(name: str, revision: str | None, where: str, auto: str) -> tuple[PreTrainedModel, list[str]]:
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
    """Raise InputError if `folder` is the folder of a network without weights as safetensors."""
    if not (folder / "config.json").is_file() or any(folder.glob("*.safetensors")):
        return
    pickled = sorted(path.name for pattern in PICKLED for path in folder.glob(pattern))
    what = f"holds only pickled weights ({', '.join(pickled)})" if pickled else "holds no weights"
    remedy = "open it once and save it with save_pretrained, which writes safetensors"
    raise InputError(Problem(where, f"the folder {str(folder)!r} {what}; only safetensors are opened", remedy))


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
    except Exception as error:  # transformers, diffusers, tokenizers and the hub's client raise a dozen kinds
        reason = first_line(error)
        kind: Any = None if isinstance(error, (OSError, ValueError)) else type(error).__name__
        what = f"{name!r} did not open: {f'{kind}: ' if kind else ''}{reason}"
        raise InputError(Problem(where, what, remedy)) from None


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
            path.write_text(json.dumps(kept, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def missing_package(package: str, extra: str, where: str, what: str) -> list[Problem]:
    """Return the problem of an optional package that is not installed, or nothing."""
    if importlib.util.find_spec(package) is not None:
        return []
    return [Problem(where, f"{what} with the package `{package}`", f"pip install 'imglab[{extra}]'")]
