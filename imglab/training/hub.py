"""Opening what others saved, from local folders or by names of the hub.

Everything is opened quietly, from safetensors only, and without running code that comes with it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from imglab import seeds
from imglab.config.fetched import locate
from imglab.config.paths import check_not_mistyped, missing_path, nearest_sibling
from imglab.errors import InputError, Problem, first_line
from imglab.training.folders import check_weights
from imglab.training.sizes import check_described

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NO_NETWORK = (
    "give a local folder that `save_pretrained` wrote, "
    "or a name of the hub that the network reaches"
)
OF_THE_MACHINE = ("_name_or_path", "is_local", "local_files_only", "name_or_path")
"""Keys that libraries add to a config on loading."""


def open_network(
    name: str, revision: str | None, where: str, auto: str
) -> tuple[PreTrainedModel, list[str]]:
    """Open a network of a local folder or of the hub in fp32.

    Return it and the names of the weights that it lacks, which transformers has drawn at random.

    auto  the class of transformers that opens it
    Raises InputError at the config's key `where`, also for weights in any form but safetensors.
    """
    import transformers

    name = local_name(name, where)
    check_weights(Path(name), where)
    with opening(name, where), seeds.isolated("opened"):
        if Path(name).is_dir():
            check_described(Path(name), where, partial(_described, name, auto))
        opened, loading = getattr(transformers, auto).from_pretrained(
            name,
            revision=revision or "main",
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
        )

    network: PreTrainedModel = opened.eval()
    return network, sorted(loading["missing_keys"])


def _described(name: str, auto: str) -> nn.Module:
    """Return the network that the config in a folder describes, with new weights."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
    kind = getattr(transformers, auto)
    if auto.startswith("Auto"):
        network: nn.Module = kind.from_config(config, trust_remote_code=False)
    else:
        network = kind(config)
    return network


def local_name(name: str, where: str) -> str:
    """Return the folder of a name such as `got:smollm2`; return other names as they are.

    Raises InputError if it has not been fetched, and for a name that can only be a local path,
    where there is no such folder. The hub is then not asked for it.
    """
    check_not_mistyped(name, where, NO_NETWORK)
    return locate(name, where)


@contextmanager
def opening(name: str, where: str, remedy: str = NO_NETWORK) -> Iterator[None]:
    """Turn what a library raises while it opens `name` into an InputError at the key `where`."""
    try:
        with quiet():
            yield
    except InputError:
        raise
    # transformers, diffusers, tokenizers and the hub's client raise a dozen kinds of errors.
    except Exception as error:
        reason = first_line(error)
        if not isinstance(error, (OSError, ValueError)):
            reason = f"{type(error).__name__}: {reason}"
        problem = Problem(where, f"{name!r} did not open: {reason}", remedy)
        raise InputError(of_local_name(name, problem)) from error


def of_local_name(name: str, problem: Problem) -> Problem:
    """Return the problem of a name that did not open as that of a folder, if one is called alike.

    problem  what was said of it, maybe by the hub, where nothing has that name
    """
    if Path(name).exists() or nearest_sibling(name) is None:
        return problem
    mistyped = missing_path(name, problem.where, problem.remedy)
    return replace(mistyped, what=f"{mistyped.what}; as a name of the hub, {problem.what}")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers and the hub's client from drawing progress bars and from remarks.

    Their remarks are meant for people who call them themselves.
    """
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    hub_verbosity = hub_logging.get_verbosity()

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    hub_logging.set_verbosity_error()

    try:
        yield
    finally:
        hub_logging.set_verbosity(hub_verbosity)
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def hash_weights(network: nn.Module) -> str:
    """Return a sha256 of a network's weights and their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def forget_machine(folder: Path) -> None:
    """Remove from the JSON files below a folder where their content was loaded from.

    The same content then gives the same bytes on every machine.
    """
    for path in sorted(folder.rglob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or not set(content) & set(OF_THE_MACHINE):
            continue

        lasting = {key: value for key, value in content.items() if key not in OF_THE_MACHINE}
        text = json.dumps(lasting, indent=2, sort_keys=True, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")


def missing_package(package: str, extra: str, where: str, what: str) -> list[Problem]:
    """Return the problem of an optional package that is not installed, or nothing."""
    if importlib.util.find_spec(package) is not None:
        return []
    problem = f"{what} with the package `{package}`"
    return [Problem(where, problem, f"pip install 'imglab-collapse[{extra}]'")]


def load_hub(
    name: str,
    subset: str | None = None,
    *,
    split: str | None,
    revision: str | None = None,
    where: str,
) -> Any:
    """Load a data set of the Hugging Face hub, or a local folder in its form.

    split  name of one split; None: all of them, by name
    where  what an InputError calls the place of the name
    """
    try:
        import datasets
    except ImportError as error:
        what = "data sets of the hub are read with the package `datasets`"
        raise InputError(Problem(where, what, "pip install 'imglab-collapse[hub]'")) from error

    remedy = "check the name and `subset`; without network give a local folder"
    check_not_mistyped(name, where, remedy)
    # `datasets` is the code of others, and raises a dozen kinds for names, splits, files, network.
    try:
        with quiet():
            return datasets.load_dataset(
                name, subset, split=split, revision=revision, trust_remote_code=False
            )
    except Exception as error:
        what = f"{name!r} did not load: {first_line(error)}"
        if error.__cause__:
            what = f"{what} ({first_line(error.__cause__)})"
        raise InputError(of_local_name(name, Problem(where, what, remedy))) from error
