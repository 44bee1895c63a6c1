"""Opening pretrained pipelines of diffusers: safetensors only, no code of their own."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import AutoPipelineForText2Image, DiffusionPipeline
from diffusers import pipelines as diffusers_pipelines
from diffusers.utils import SAFETENSORS_WEIGHTS_NAME
from diffusers.utils import logging as diffusers_logging
from huggingface_hub import snapshot_download
from safetensors import safe_open
from torch import nn
from transformers import PreTrainedTokenizerFast

from imglab import seeds
from imglab.errors import InputError, Problem
from imglab.images.diffusion.settings import PipelineSettings
from imglab.images.latents import NAME
from imglab.training import hub
from imglab.training.folders import check_numbers, check_weights
from imglab.training.sizes import check_described

AVERAGED = "_ema"
"""How diffusers' own training example ends the name of a folder with averaged weights."""

WEIGHTS_STEM = SAFETENSORS_WEIGHTS_NAME.removesuffix(".safetensors")
TRAINED = ("unet", "transformer")
"""The parts that may be trained, by name."""

LIBRARIES = ("diffusers", "transformers")
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
STORED = {"F32": "fp32", "F16": "fp16", "BF16": "bf16"}
"""Names of dtypes in safetensors."""


def open_pipeline(settings: PipelineSettings, where: str = NAME) -> DiffusionPipeline:
    """Open a pipeline of the hub or of a local folder.

    where  the config's key, or the folder, that messages name
    """
    name = hub.local_name(settings.name, where)
    with hub.opening(name, where), _quiet_diffusers(), seeds.isolated("opened"):
        folder = Path(name)
        if not folder.is_dir():
            folder = _download(settings)
        pipeline = _open_folder(folder, settings, where)

    pipeline.set_progress_bar_config(disable=True)
    for network in _networks(pipeline):
        network.eval()
    return pipeline


def _open_folder(folder: Path, settings: PipelineSettings, where: str) -> DiffusionPipeline:
    """Open a pipeline's local folder, with averaged weights in place of its own where they lie."""
    part, reads = _check_folder(folder, settings.name, where)
    _check_sizes(folder, where)
    averaged = _averaged_weights(folder / f"{part}{AVERAGED}", where)

    dtype: str = settings.dtype
    if dtype == "own" and averaged is not None:
        dtype = _stored_dtype(averaged, None)
    elif dtype == "own":
        dtype = _stored_dtype(folder / part, settings.variant)

    # The dtype is given here and not changed afterwards: some layers stay in fp32 where others are
    # in fp16.
    keys = {"use_safetensors": True, "torch_dtype": DTYPES[dtype], "local_files_only": True}
    kind = AutoPipelineForText2Image if reads else DiffusionPipeline
    pipeline: DiffusionPipeline = kind.from_pretrained(
        folder, variant=settings.variant, trust_remote_code=False, **keys
    )
    if averaged is not None:
        network = type(getattr(pipeline, part)).from_pretrained(averaged, **keys)
        setattr(pipeline, part, network)

    for network in _networks(pipeline):
        if any(tensor.is_meta for tensor in network.state_dict().values()):
            raise ValueError(f"its {type(network).__name__} lacks weights")
    return pipeline


def _networks(pipeline: DiffusionPipeline) -> list[nn.Module]:
    return [part for part in pipeline.components.values() if isinstance(part, nn.Module)]


def _download(settings: PipelineSettings) -> Path:
    """Return the local folder of a pipeline of the hub.

    Averaged weights that lie beside its own are downloaded into the same folder.
    """
    folder = DiffusionPipeline.download(
        settings.name, revision=settings.revision, variant=settings.variant, use_safetensors=True
    )

    averaged = []
    for part in TRAINED:
        for file in ("config.json", f"{WEIGHTS_STEM}*.safetensors*"):
            averaged.append(f"{part}{AVERAGED}/{file}")
    snapshot_download(settings.name, revision=settings.revision, allow_patterns=averaged)
    return Path(folder)


def _averaged_weights(folder: Path, where: str) -> Path | None:
    """Return a folder of averaged weights, if there are any; InputError where they are pickled."""
    if not any(file.suffix in (".safetensors", ".bin") for file in folder.glob("*")):
        return None
    check_weights(folder, where)
    return folder


def _check_folder(folder: Path, name: str, where: str) -> tuple[str, bool]:
    """Return the name of the part that is trained, and whether the pipeline reads text.

    Raises InputError unless it is a pipeline, of parts that are known, with safe weights.
    """
    index = folder / "model_index.json"
    if not index.is_file():
        what = f"the folder {name!r} has no model_index.json, so it is not a pipeline"
        raise InputError(Problem(where, what, "save it there: pipeline.save_pretrained(folder)"))

    components: dict[str, list[Any]] = {}
    for key, value in json.loads(index.read_text()).items():
        if isinstance(value, list):
            components[key] = value
    for key, value in components.items():
        if not _is_known(value):
            what = f"the part {key!r} of {name!r} is of neither diffusers nor transformers"
            raise InputError(Problem(where, what, "no code but theirs is run"))

    for config in folder.glob("*/scheduler_config.json"):
        check_numbers(config, where)
    parts = [key for key, value in components.items() if value[0]]
    for part in parts:
        check_weights(folder / part, where)

    for trained in TRAINED:
        if trained in parts:
            return trained, "tokenizer" in parts
    what = f"{name!r} has neither a unet nor a transformer"
    raise InputError(Problem(where, what, "name a diffusion pipeline"))


def _check_sizes(folder: Path, where: str) -> None:
    """Raise InputError where a part of a pipeline describes more weights than lie in its folder."""
    for key, value in json.loads((folder / "model_index.json").read_text()).items():
        path = folder / key
        if not isinstance(value, list) or not (path / "config.json").is_file():
            continue
        library = {"diffusers": diffusers, "transformers": transformers}.get(value[0])
        kind = getattr(library, str(value[1]), None)
        if isinstance(kind, type) and issubclass(kind, nn.Module):
            check_described(path, where, partial(_described, kind, path))


def _described(kind: Any, folder: Path) -> nn.Module:
    """Return the network that a part's config describes, with new weights."""
    network: nn.Module
    if issubclass(kind, transformers.PreTrainedModel):
        network = kind(kind.config_class.from_pretrained(folder))
    else:
        network = kind.from_config(kind.load_config(folder))
    return network


def _is_known(component: list[Any]) -> bool:
    """Say whether a part of a pipeline, [library, class], is left out or of a known library."""
    if len(component) != 2:
        return False
    library = component[0]
    if library is None:
        return True
    if not isinstance(library, str):
        return False
    return library in LIBRARIES or getattr(diffusers_pipelines, library, None) is not None


def _stored_dtype(folder: Path, variant: str | None) -> str:
    """Return the dtype of most weights in the file of a folder that is opened first.

    It is fp32 where the weights are stored in none of `DTYPES`.
    """
    files = _weight_files(folder, "")
    if variant:
        files = [*_weight_files(folder, f".{variant}"), *files]
    if not files:
        return "fp32"

    with safe_open(files[0], framework="pt") as stored:
        names = list(stored.keys())
        dtypes = Counter(stored.get_slice(name).get_dtype() for name in names)
    if not dtypes:
        return "fp32"
    return STORED.get(dtypes.most_common(1)[0][0], "fp32")


def _weight_files(folder: Path, variant: str) -> list[Path]:
    """Return the files of weights of a variant in the order in which diffusers looks for them.

    Weights in several files come first, then those in one.
    """
    number = "[0-9]" * 5
    stems = [
        f"{WEIGHTS_STEM}{variant}-{number}-of-{number}",
        f"{WEIGHTS_STEM}-{number}-of-{number}{variant}",
        f"{WEIGHTS_STEM}{variant}",
    ]

    files: list[Path] = []
    for stem in stems:
        files += sorted(folder.glob(f"{stem}.safetensors"))
    return files


def save_pipeline(pipeline: DiffusionPipeline, path: Path) -> None:
    """Write a pipeline into the folder `path`: the same pipeline gives the same bytes."""
    # A tokenizer would be saved with the padding of the texts that it read last.
    for part in pipeline.components.values():
        if isinstance(part, PreTrainedTokenizerFast):
            part.backend_tokenizer.no_padding()
            part.backend_tokenizer.no_truncation()
    with hub.quiet(), _quiet_diffusers():
        pipeline.save_pretrained(path)
    hub.forget_machine(path)


@contextmanager
def _quiet_diffusers() -> Iterator[None]:
    """Keep diffusers from drawing progress bars and from remarks meant for its own users."""
    verbosity = diffusers_logging.get_verbosity()
    bars = diffusers_logging.is_progress_bar_enabled()

    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        diffusers_logging.set_verbosity(verbosity)
        if bars:
            diffusers_logging.enable_progress_bar()
