"""config.yaml of a run: the resolved config, under a comment line with its hash. No torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imglab.config.load import dump_config, validate_config
from imglab.config.merge import differences, merged
from imglab.config.schema import RunConfig
from imglab.config.yaml import MAX_BYTES, parse_yaml
from imglab.errors import InputError, Problem
from imglab.store import files

SEALED = b"# sha256 of what follows: "
"""How the config.yaml of a run begins."""

HARMLESS = ("checkpoint_every", "keep", "pictures", "tracker")
"""Keys that change nothing that is drawn or scored, and may change between two starts of a run."""


MOVED = "places.json"
"""Says where the data of a run lie now, if they were moved; it is not sealed."""

SPLITS = "modality.source.splits"

PLACES = (
    "modality.source.path",
    "modality.source.test_path",
    "modality.source.name",
    "modality.source.root",
    SPLITS,
    "modality.tokenizer.name",
    "modality.extractor.name",
    "modality.extractor.weights",
    "model.network.name",
    "model.name",
    "base",
)
"""Keys that say where real data, pretrained networks and extractors lie: what they hold is compared
by its hash."""

SYNTHETIC = "modality.synthetic"
"""The list of synthetic sets of the user's own, whose samples are compared by their hashes, too."""

PLACES_OF_SET = ("path", "hub", "run")
"""Keys of a synthetic set that say where it lies."""


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
    return validate_config(_with_former_defaults(tree), str(path))


def _with_former_defaults(tree: Any) -> Any:
    """Return the tree of a run's config with what a key meant that it left out.

    Runs that began before `begin_tokens` was a key, or true by default, did without it.
    """
    if not isinstance(tree, dict) or not isinstance(tree.get("modality"), dict):
        return tree
    modality = tree["modality"]
    tokenizer = modality.get("tokenizer")
    if not isinstance(tokenizer, dict) or tokenizer.get("kind") != "pretrained":
        return tree

    complete = {"begin_tokens": False, **tokenizer}
    return {**tree, "modality": {**modality, "tokenizer": complete}}


def is_move(key: str, before: Any, after: Any) -> bool:
    """Say whether a change of a key only says where something lies now.

    What lies there is compared by its hash.
    """
    if key != SYNTHETIC:
        return key in PLACES
    return bool(before) and _without_places(before) == _without_places(after)


def _without_places(sets: Any) -> Any:
    """Return all that the sections of synthetic sets say but their places."""
    if not isinstance(sets, list) or not all(isinstance(each, dict) for each in sets):
        return sets
    return [
        {key: value for key, value in each.items() if key not in PLACES_OF_SET} for each in sets
    ]


def as_begun(folder: Path, config: RunConfig) -> tuple[RunConfig, dict[str, Any]]:
    """Return a config with the places that the run in `folder` began with, and the present ones.

    config.yaml keeps the first: its hash is in all manifests.
    """
    path = folder / "config.yaml"
    if not path.is_file():
        return config, {}

    tree = config.model_dump(mode="json")
    changes = differences(read_sealed(path).model_dump(mode="json"), tree)
    places = {key: (before, after) for key, before, after in changes if is_move(key, before, after)}
    before = {key: _filled(key, began) for key, (began, _) in places.items()}
    begun = validate_config(merged(tree, before, str(path)), str(path))
    return begun, {key: _filled(key, present) for key, (_, present) in places.items()}


def former_names(before: RunConfig, config: RunConfig) -> dict[str, str]:
    """Return, by the present place of a pretrained network, the place that it had before."""
    changes = differences(before.model_dump(mode="json"), config.model_dump(mode="json"))
    return {
        present: former
        for key, former, present in changes
        if key.startswith("model.") and key in PLACES
    }


def _filled(key: str, value: Any) -> Any:
    """Return the value of a key, which is None where a dump leaves out the default."""
    if value is None and key == SPLITS:
        return "auto"
    return value


def write_places(folder: Path, places: Mapping[str, Any]) -> None:
    """Write down where the data of a run lie now, if not where they lay when it began."""
    path = folder / MOVED
    if places:
        files.write_json(path, {"places": dict(places)})
    elif path.exists():
        files.remove(path)


def located(folder: Path, config: RunConfig) -> RunConfig:
    """Return the config of the run in `folder` with the places where its data lie now."""
    path = folder / MOVED
    if not path.is_file():
        return config

    others = Problem(str(path), "names other keys than places", "remove it")
    places = files.read_json(path, ("places",))["places"]
    if not isinstance(places, dict) or not all(key in (*PLACES, SYNTHETIC) for key in places):
        raise InputError(others)

    before = config.model_dump(mode="json")
    present = validate_config(merged(before, places, str(path)), str(path))
    changes = differences(before, present.model_dump(mode="json"))
    if not all(is_move(*change) for change in changes):
        raise InputError(others)
    return present


def config_hash(config: RunConfig) -> str:
    """Return the sha256 of every key that a generation's bytes depend on.

    `begin_tokens: false` is not among them: manifests of runs hold hashes from before it was a key.
    """
    tree = config.model_dump(mode="json", exclude={"generations", *HARMLESS})
    tokenizer = getattr(config.modality, "tokenizer", None)
    if getattr(tokenizer, "begin_tokens", None) is False:
        del tree["modality"]["tokenizer"]["begin_tokens"]
    return hashlib.sha256(files.json_bytes(tree)).hexdigest()


def _hash_line(text: bytes) -> bytes:
    return SEALED + f"{hashlib.sha256(text).hexdigest()}\n".encode()
