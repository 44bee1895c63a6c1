"""config.yaml of a run: the resolved config, under a comment line with its hash. No torch."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from imglab.config.load import dump_config, validate_config
from imglab.config.schema import RunConfig
from imglab.config.yaml import MAX_BYTES, parse_yaml
from imglab.errors import InputError, Problem
from imglab.store import files

HARMLESS = ("checkpoint_every", "tracker")
"""Keys that change no byte of a generation, and may change from one start of a run to the next."""


def write_config(folder: Path, config: RunConfig) -> None:
    """Write config.yaml under a line with the sha256 of the rest."""
    text = dump_config(config).encode()
    files.write_bytes(folder / "config.yaml", _hash_line(text) + text)


def read_sealed(path: Path) -> RunConfig:
    """Read what `write_config` wrote; InputError if it was changed since."""
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)

    text = content.partition(b"\n")[2]
    if content != _hash_line(text) + text:
        remedy = "put it back, or run the changed config with another --out"
        raise InputError(Problem(str(path), "was changed after the run wrote it", remedy))

    try:
        tree = parse_yaml(text.decode(), str(path))
    except UnicodeDecodeError as error:
        problem = Problem(str(path), "is not UTF-8 text", "put it back from a copy")
        raise InputError(problem) from error
    return validate_config(with_former_defaults(tree), str(path))


def with_former_defaults(tree: Any) -> Any:
    """Return the tree of a run's config with what a key meant that it left out.

    `begin_tokens` is written where it is true: runs that began before it was are read as they were.
    """
    modality = tree.get("modality") if isinstance(tree, dict) else None
    tokenizer = modality.get("tokenizer") if isinstance(modality, dict) else None
    if not isinstance(tokenizer, dict) or tokenizer.get("kind") != "pretrained":
        return tree

    complete = {"begin_tokens": False, **tokenizer}
    return {**tree, "modality": {**modality, "tokenizer": complete}}


def config_hash(config: RunConfig) -> str:
    """Return the sha256 of every key that a generation's bytes depend on."""
    tree = config.model_dump(mode="json", exclude={"generations", *HARMLESS})
    return hashlib.sha256(files.json_bytes(tree)).hexdigest()


def _hash_line(text: bytes) -> bytes:
    return f"# sha256 of what follows: {hashlib.sha256(text).hexdigest()}\n".encode()
