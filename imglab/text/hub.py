"""Opening what transformers saves: local folders or names on the hub, quietly, safetensors only, no remote code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.utils import logging as hub_logging
from tokenizers import ByteLevelBPETokenizer
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.utils import logging

from imglab import seeds
from imglab.errors import InputError, Problem
from imglab.text.settings import BpeSettings, PretrainedTokenizerSettings

DOCUMENT_END = "<|endoftext|>"
CAUSAL = "AutoModelForCausalLM"
TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "vocab.txt", "tokenizer.model", "spiece.model")
NO_NETWORK = "give a local folder that `save_pretrained` wrote, or a name of the hub that the network reaches"
OF_THE_MACHINE = ("is_local", "local_files_only", "name_or_path")
"""Keys that transformers adds to a tokenizer's config on loading; they would make the next save differ."""


def make_tokenizer(
    settings: BpeSettings | PretrainedTokenizerSettings, documents: list[str]
) -> PreTrainedTokenizerBase:
    """Train a tokenizer on the real training documents, or open the one that is named."""
    if isinstance(settings, PretrainedTokenizerSettings):
        return open_tokenizer(settings.name, settings.revision, "modality.tokenizer.name")
    learned = ByteLevelBPETokenizer()
    learned.train_from_iterator(
        documents, vocab_size=settings.vocabulary, special_tokens=[DOCUMENT_END], show_progress=False
    )
    ends = dict.fromkeys(("bos_token", "eos_token", "pad_token"), DOCUMENT_END)
    return PreTrainedTokenizerFast(tokenizer_object=learned._tokenizer, clean_up_tokenization_spaces=False, **ends)


def open_tokenizer(name: str, revision: str | None, where: str) -> PreTrainedTokenizerBase:
    """Open a tokenizer of a local folder or of the hub; `where` is the config's key that names it."""
    folder = Path(name)
    if folder.is_dir() and not any((folder / file).is_file() for file in TOKENIZER_FILES):
        remedy = "save it there: tokenizer.save_pretrained(folder)"
        raise InputError(Problem(where, f"the folder {name!r} has no tokenizer", remedy))
    with _opening(name, where, NO_NETWORK):
        opened: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            name, revision=revision or "main", trust_remote_code=False
        )
    return opened


def open_model(name: str, revision: str | None, where: str, auto: str = CAUSAL) -> PreTrainedModel:
    """Open a network of a local folder or of the hub in fp32; weights in any form but safetensors are refused."""
    folder = Path(name)
    if folder.is_dir() and (folder / "config.json").is_file() and not any(folder.glob("*.safetensors")):
        remedy = "open it once and save it with save_pretrained, which writes safetensors"
        pickled = sorted(path.name for path in (*folder.glob("*.bin"), *folder.glob("*.pt")))
        what = f"holds only pickled weights ({', '.join(pickled)})" if pickled else "holds no weights"
        raise InputError(Problem(where, f"the folder {name!r} {what}; only safetensors are opened", remedy))
    # What a checkpoint lacks, transformers fills at random: a head must be there, a pooler does not matter.
    with _opening(name, where, NO_NETWORK), seeds.isolated("opened"):
        opened, loading = getattr(transformers, auto).from_pretrained(
            name,
            revision=revision or "main",
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
        )
    if auto == CAUSAL and loading["missing_keys"]:
        missing = ", ".join(sorted(loading["missing_keys"])[:3])
        raise InputError(Problem(where, f"{name!r} is no whole language model: it lacks {missing}", "name one that is"))
    found: PreTrainedModel = opened.eval()
    return found


def reads_at_most(network: PreTrainedModel) -> int | None:
    """Return how many tokens a network can read, where it has such a bound."""
    bound: int | None = getattr(network.config, "max_position_embeddings", None)
    return bound


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write a tokenizer: the same one, loaded or not, gives the same bytes."""
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    config = {key: value for key, value in json.loads(path.read_text()).items() if key not in OF_THE_MACHINE}
    path.write_text(json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


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
def _opening(name: str, where: str, remedy: str) -> Iterator[None]:
    try:
        with quiet():
            yield
    except Exception as error:  # transformers, tokenizers and the hub's client raise a dozen kinds
        reason = (str(error) or type(error).__name__).splitlines()[0]
        kind: Any = None if isinstance(error, (OSError, ValueError)) else type(error).__name__
        what = f"{name!r} did not open: {f'{kind}: ' if kind else ''}{reason}"
        raise InputError(Problem(where, what, remedy)) from None
